"""The limit on failed logins, at its bounds and past them, under a clock of the test's own."""

from __future__ import annotations

import threading
import tracemalloc

import pytest
from support.clock import Clock

from v1registry.access.attempts import LoginLimiter
from v1registry.wsgi.origin import Proxies

HERE, THERE = "192.0.2.1", "198.51.100.7"


@pytest.fixture
def clock() -> Clock:
    return Clock(1000)


def make(clock: Clock, **options: float) -> LoginLimiter:
    return LoginLimiter(clock=clock, **{"free": 3, "longest_wait_s": 60, **options})  # type: ignore[arg-type]


def fail(limiter: LoginLimiter, times: int, username: str = "mira", address: str = HERE) -> None:
    for _ in range(times):
        limiter.failed(username, address)


# -- by name


@pytest.mark.parametrize("failures", [0, 1, 2, 3])
def test_free_failures_cause_no_wait(clock: Clock, failures: int) -> None:
    limiter = make(clock)
    fail(limiter, failures)
    assert limiter.wait_s("mira", HERE) == 0


@pytest.mark.parametrize(
    ("failures", "wait_s"), [(4, 1), (5, 2), (6, 4), (7, 8), (9, 32), (10, 60), (11, 60), (500, 60)]
)
def test_each_further_failure_doubles_the_wait(clock: Clock, failures: int, wait_s: float) -> None:
    limiter = make(clock)
    fail(limiter, failures)
    assert limiter.wait_s("mira", HERE) == wait_s


def test_next_failure_after_a_wait_doubles_it(clock: Clock) -> None:
    limiter = make(clock, forget_s=10**9)
    fail(limiter, 5)
    clock.now_s += 1.5
    assert limiter.wait_s("mira", HERE) == 0.5
    clock.now_s += 0.5
    assert limiter.wait_s("mira", HERE) == 0
    fail(limiter, 1)
    assert limiter.wait_s("mira", HERE) == pytest.approx(4)


def test_guesser_gets_one_attempt_per_longest_wait(clock: Clock) -> None:
    limiter = make(clock)
    tries = 0
    for _ in range(24 * 3600):
        clock.now_s += 1
        if not limiter.wait_s("mira", HERE):
            fail(limiter, 1)
            tries += 1
    assert tries < 24 * 60 + 20


def test_names_are_counted_separately(clock: Clock) -> None:
    limiter = make(clock)
    fail(limiter, 4)
    assert limiter.wait_s("otto", HERE) == 0


@pytest.mark.parametrize("spelling", ["MIRA", " mira", "Mira\t", "mIRA "])
def test_spellings_of_a_name_are_counted_together(clock: Clock, spelling: str) -> None:
    limiter = make(clock)
    for number, username in enumerate(["mira", spelling] * 2):
        limiter.failed(username, f"203.0.113.{number}")
    assert limiter.wait_s(spelling, THERE) == limiter.wait_s("mira", THERE) == 1


def test_unknown_name_waits_like_a_known_one(clock: Clock) -> None:
    limiter = make(clock)
    limiter.succeeded("mira", THERE)
    for username in ("mira", "nobody"):
        fail(limiter, 6, username)
    assert limiter.wait_s("mira", HERE) == limiter.wait_s("nobody", HERE) == 4


@pytest.mark.parametrize("username", ["", "a" * 100_000, "\ud800", "\x00", "é:ü"])
def test_any_text_is_a_name(clock: Clock, username: str) -> None:
    limiter = make(clock)
    fail(limiter, 4, username)
    assert limiter.wait_s(username, HERE) == 1


def test_long_names_use_no_more_memory(clock: Clock) -> None:
    limiter = make(clock)
    tracemalloc.start()
    try:
        for number in range(200):
            limiter.failed("x" * 100_000 + str(number), f"203.0.113.{number}")
        assert tracemalloc.get_traced_memory()[0] < 500_000
    finally:
        tracemalloc.stop()


# -- by address


def test_address_has_ten_times_as_many_free_failures(clock: Clock) -> None:
    limiter = make(clock)
    for number in range(30):
        limiter.failed(f"user{number}", HERE)
    assert limiter.wait_s("somebody", HERE) == 0
    limiter.failed("user30", HERE)
    assert limiter.wait_s("somebody", HERE) == 1
    assert limiter.wait_s("somebody", THERE) == 0


def test_guesses_from_many_addresses_wait_for_the_name(clock: Clock) -> None:
    limiter = make(clock)
    for number in range(4):
        limiter.failed("mira", f"203.0.113.{number}")
    assert limiter.wait_s("mira", THERE) == 1


def test_only_the_name_counts_without_an_address(clock: Clock) -> None:
    limiter = make(clock)
    for number in range(100):
        limiter.failed(f"user{number}", "")
    assert limiter.wait_s("somebody", "") == 0
    fail(limiter, 4, address="")
    assert limiter.wait_s("mira", "") == 1


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("a name", "a name", True),
    ],
)
def test_addresses_of_one_subscriber_are_counted_together(
    clock: Clock, one: str, other: str, is_same: bool
) -> None:
    limiter = make(clock)
    for number in range(31):
        limiter.failed(f"user{number}", one)
    assert (limiter.wait_s("somebody", other) > 0) is is_same


# -- known pairs of name and address


def test_known_pair_does_not_wait_for_guesses_from_elsewhere(clock: Clock) -> None:
    limiter = make(clock)
    limiter.succeeded("mira", HERE)
    fail(limiter, 50, address=THERE)
    assert limiter.wait_s("mira", THERE) == 60
    assert limiter.wait_s("mira", HERE) == 0


def test_known_pair_does_not_wait_for_others_behind_the_address(clock: Clock) -> None:
    limiter = make(clock)
    limiter.succeeded("mira", HERE)
    for number in range(60):
        limiter.failed(f"user{number}", HERE)
    assert limiter.wait_s("otto", HERE) == 60
    assert limiter.wait_s("mira", HERE) == 0


def test_known_pair_waits_for_its_own_failures(clock: Clock) -> None:
    limiter = make(clock)
    limiter.succeeded("mira", HERE)
    fail(limiter, 5)
    assert limiter.wait_s("mira", HERE) == 2
    assert limiter.wait_s("mira", THERE) == 0


@pytest.mark.parametrize("address", [HERE, ""])
def test_login_does_not_reset_the_failures_of_its_address(clock: Clock, address: str) -> None:
    limiter = make(clock)
    limiter.succeeded("mira", address)
    fail(limiter, 5, address=address)
    limiter.succeeded("mira", address)
    assert limiter.wait_s("mira", address) == 2
    fail(limiter, 1, address=address)
    assert limiter.wait_s("mira", address) == 4


def test_logins_of_the_user_give_a_guesser_no_new_attempts(clock: Clock) -> None:
    limiter = make(clock)
    fail(limiter, 6, address=THERE)
    limiter.succeeded("mira", HERE)
    assert limiter.wait_s("mira", THERE) == 4
    fail(limiter, 1, address=THERE)
    assert limiter.wait_s("mira", THERE) == 8


# -- forgetting


def test_failures_are_forgotten_one_by_one(clock: Clock) -> None:
    limiter = make(clock, forget_s=300)
    fail(limiter, 3)
    clock.now_s += 200
    fail(limiter, 2)
    assert limiter.wait_s("mira", HERE) == 0
    fail(limiter, 1)
    assert limiter.wait_s("mira", HERE) == 1


def test_slow_failures_behind_one_address_do_not_accumulate(clock: Clock) -> None:
    limiter = make(clock, forget_s=3600)
    for number in range(5000):
        clock.now_s += 125
        limiter.failed(f"user{number}", HERE)
    assert limiter.wait_s("somebody", HERE) == 0


def fill(limiter: LoginLimiter) -> None:
    """Let 10 names fail, ``first`` before the others."""
    fail(limiter, 4, "first", "")
    for number in range(9):
        fail(limiter, 4, f"user{number}", "")


def test_names_up_to_the_capacity_are_remembered(clock: Clock) -> None:
    limiter = make(clock, capacity=10)
    fill(limiter)
    assert limiter.wait_s("first", "") == 1


def test_oldest_name_is_forgotten_beyond_the_capacity(clock: Clock) -> None:
    limiter = make(clock, capacity=10)
    fill(limiter)
    fail(limiter, 4, "last", "")
    assert limiter.wait_s("first", "") == 0
    assert all(limiter.wait_s(f"user{number}", "") for number in range(9))


def test_name_that_is_tried_again_is_not_the_oldest(clock: Clock) -> None:
    limiter = make(clock, capacity=10)
    fill(limiter)
    assert limiter.wait_s("first", "") == 1
    fail(limiter, 4, "last", "")
    assert limiter.wait_s("first", "") == 1
    assert limiter.wait_s("user0", "") == 0


def test_oldest_pair_is_forgotten_beyond_the_capacity(clock: Clock) -> None:
    limiter = make(clock, capacity=10)
    limiter.succeeded("first", HERE)
    for number in range(9):
        limiter.succeeded(f"user{number}", HERE)
    fail(limiter, 4, "first", THERE)
    assert limiter.wait_s("first", HERE) == 0
    limiter.succeeded("one more", HERE)
    assert limiter.wait_s("first", HERE) == 1


def test_failures_of_threads_are_all_counted(clock: Clock) -> None:
    limiter = make(clock, free=800, longest_wait_s=2)
    threads = [threading.Thread(target=fail, args=(limiter, 100)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert limiter.wait_s("mira", HERE) == 0
    fail(limiter, 1)
    assert limiter.wait_s("mira", HERE) == 1


# -- behind proxies


@pytest.mark.parametrize(
    ("remote", "forwarded", "address"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "203.0.113.5", "192.0.2.1"),  # not a trusted proxy
        ("10.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", "1.1.1.1,203.0.113.5,10.0.0.2", "203.0.113.5"),
        ("10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("::ffff:10.0.0.1", "203.0.113.5, ::ffff:10.0.0.2", "203.0.113.5"),
        ("::ffff:11.0.0.1", "203.0.113.5", "::ffff:11.0.0.1"),
        ("10.0.0.1", None, ""),
        ("10.0.0.1", "", ""),
        ("10.0.0.1", "unknown", "unknown"),
        ("10.0.0.1", "203.0.113.5, unknown, 10.0.0.2", "unknown"),
        ("", "203.0.113.5", ""),
        ("a socket", "203.0.113.5", "a socket"),
    ],
)
def test_address_behind_a_trusted_proxy_is_the_forwarded_one(
    remote: str, forwarded: str | None, address: str
) -> None:
    environ = {"REMOTE_ADDR": remote}
    if forwarded is not None:
        environ["HTTP_X_FORWARDED_FOR"] = forwarded
    assert Proxies(["10.0.0.0/8", "::1"]).client_address(environ) == address
