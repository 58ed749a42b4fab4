"""Many attempts to log in at the same instant: each one counts while its password is checked."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

import pytest
from support.backends import People
from support.clock import Clock
from support.credentials import basic
from support.wsgi_client import call

from v1registry import MemoryStorage, Registry
from v1registry.access.attempts import LoginLimiter
from v1registry.errors import TooManyAttempts
from v1registry.rights import User

HERE = "192.0.2.1"


def at_once(count: int, ask: Callable[[int], object]) -> Counter[object]:
    """Return how often each result came of calls that begin together."""
    results: list[object] = []
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        barrier.wait()
        results.append(ask(number))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(results)


class SlowPeople(People):
    """Checks each password only when other attempts had time to begin."""

    def __init__(self, *users: User) -> None:
        super().__init__({user.name: user for user in users})
        self.pause = threading.Event()

    def authenticate(self, username: str, password: str) -> User | None:
        self.pause.wait(0.02)
        return super().authenticate(username, password)


@pytest.mark.parametrize("path", ["/v1/users/", "/v2/", "/v1/search", "/v1/repositories/mira/app/tags"])
def test_burst_of_guesses_gets_no_more_than_one_after_the_other(path: str) -> None:
    people = SlowPeople(User("mira"))
    app = Registry(storage=MemoryStorage(), auth=people)

    def guess(number: int) -> object:
        header = basic("mira", f"guess-{number}")["Authorization"]
        return call(app, "GET", path, HTTP_AUTHORIZATION=header, REMOTE_ADDR=f"192.0.2.{number}").status

    statuses = at_once(60, guess)
    assert statuses == {401: 11, 429: 49}
    assert people.asked == 11


def test_burst_from_one_address_is_counted_for_all_names() -> None:
    people = SlowPeople()
    app = Registry(storage=MemoryStorage(), auth=people)

    def guess(number: int) -> object:
        header = basic(f"user{number}", "guess")["Authorization"]
        return call(app, "GET", "/v1/users/", HTTP_AUTHORIZATION=header, REMOTE_ADDR=HERE).status

    assert at_once(130, guess) == {401: 101, 429: 29}


def test_burst_of_right_passwords_is_not_refused() -> None:
    app = Registry(storage=MemoryStorage(), auth=SlowPeople(User("mira")))

    def ask(number: int) -> object:
        header = basic("mira")["Authorization"]
        return call(app, "GET", "/v1/users/", HTTP_AUTHORIZATION=header, REMOTE_ADDR=HERE).status

    assert at_once(40, ask) == {200: 40}


def test_attempts_after_a_right_password_are_free_again() -> None:
    limiter = LoginLimiter(free=3, clock=Clock(1000))
    for _ in range(20):
        with limiter.attempt("mira", HERE) as attempt:
            attempt.succeeded()
    assert limiter.wait_s("mira", HERE) == 0


def test_attempt_that_the_backend_could_not_answer_does_not_count() -> None:
    limiter = LoginLimiter(free=3, clock=Clock(1000))
    for _ in range(20):
        with pytest.raises(OSError, match="down"), limiter.attempt("mira", HERE):
            raise OSError("down")
    assert limiter.wait_s("mira", HERE) == 0


def test_blocked_name_is_told_how_long_to_wait() -> None:
    limiter = LoginLimiter(free=3, clock=Clock(1000))
    for _ in range(6):
        limiter.failed("mira", HERE)
    with pytest.raises(TooManyAttempts) as caught, limiter.attempt("mira", HERE):
        pass
    assert caught.value.wait_s == 4


def test_ended_attempts_leave_nothing_behind() -> None:
    limiter = LoginLimiter(free=3)

    def attempt(number: int) -> None:
        with limiter.attempt(f"user{number % 4}", HERE) as attempt:
            attempt.succeeded()

    at_once(20, attempt)
    assert not limiter._running


def test_burst_of_secrets_of_an_application_is_counted() -> None:
    app = Registry(storage=MemoryStorage(), auth=People.of(User("mira")), oauth_http="allow")
    application, _ = app.applications.add("CI", ["https://ci.example.org/back"])

    def guess(number: int) -> object:
        header = basic(application.client_id, f"guess-{number}")["Authorization"]
        body = b"grant_type=refresh_token&refresh_token=x"
        return call(
            app,
            "POST",
            "/api/v1.1/o/token/",
            body,
            HTTP_AUTHORIZATION=header,
            REMOTE_ADDR=HERE,
            CONTENT_TYPE="application/x-www-form-urlencoded",
        ).status

    assert at_once(60, guess) == {401: 11, 429: 49}
