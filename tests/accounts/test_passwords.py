"""Hashes of passwords, and the memory of verified passwords."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import argon2
import pytest
from support.cheap_passwords import CheapPasswords
from support.clock import Clock

from v1registry.accounts.passwords import PasswordMemory, Passwords


class Verification:
    """Counts how often it is called."""

    def __init__(self, answer: str | None = "right") -> None:
        self.answer = answer
        self.count = 0

    def __call__(self) -> str | None:
        self.count += 1
        return self.answer


# -- hashes


def test_HUB_032_hashes_are_argon2id_with_the_measured_parameters() -> None:
    passwords = Passwords()
    first, second = passwords.hash("correct horse"), passwords.hash("correct horse")
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert first != second
    assert "correct horse" not in first
    assert passwords.verify(first, "correct horse")
    assert passwords.verify(second, "correct horse")


def test_hash_with_other_parameters_is_verified_and_outdated() -> None:
    old, new = Passwords(memory_kib=8, passes=1), Passwords(memory_kib=16, passes=1)
    stored = old.hash("correct horse")
    assert new.verify(stored, "correct horse")
    assert not new.verify(stored, "wrong")
    assert new.is_outdated(stored)
    assert not old.is_outdated(stored)


@pytest.mark.parametrize(
    "stored", ["", "plain text", "$argon2id$", "$argon2id$v=19$m=8,t=1,p=1$x$y", "ä", "$2y$05$x"]
)
def test_invalid_hash_is_an_error(stored: str) -> None:
    with pytest.raises(ValueError, match="cannot be verified"):
        Passwords().verify(stored, stored)


@pytest.mark.parametrize("password", ["\udcff", "a\0b", "a", "é", "x" * 100_000])
def test_hashes_of_different_texts_differ(password: str) -> None:
    passwords = CheapPasswords()
    stored = passwords.hash(password)
    assert passwords.verify(stored, password)
    assert not passwords.verify(stored, password + "\0")


def test_number_of_simultaneous_hashes_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    mutex = threading.Lock()
    running = most = 0
    genuine = argon2.PasswordHasher.hash

    def watched(hasher: argon2.PasswordHasher, password: bytes) -> str:
        nonlocal running, most
        with mutex:
            running += 1
            most = max(most, running)
        try:
            return genuine(hasher, password)
        finally:
            with mutex:
                running -= 1

    monkeypatch.setattr(argon2.PasswordHasher, "hash", watched)
    passwords = Passwords(memory_kib=512, passes=1, at_once=2)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(passwords.hash, ["correct horse"] * 16))
    assert 1 <= most <= 2


@pytest.mark.parametrize(("memory_kib", "passes"), [(7, 1), (8, 0)])
def test_impossible_parameters_are_refused(memory_kib: int, passes: int) -> None:
    with pytest.raises(ValueError, match="at least 8 KiB and one pass"):
        Passwords(memory_kib=memory_kib, passes=passes)


# -- the memory


def test_success_is_remembered_until_it_expires() -> None:
    clock, verify = Clock(1000), Verification()
    memory: PasswordMemory[str] = PasswordMemory(300, clock=clock)
    for now in (1000.0, 1001.0, 1299.9):
        clock.now_s = now
        assert memory.get("mira", "secret", "v1", verify) == "right"
    assert verify.count == 1
    clock.now_s = 1300.0  # counted from the verification, not from the last use
    assert memory.get("mira", "secret", "v1", verify) == "right"
    assert verify.count == 2


def test_refusal_is_not_remembered() -> None:
    verify = Verification(None)
    memory: PasswordMemory[str] = PasswordMemory()
    assert [memory.get("mira", "wrong", "v1", verify) for _ in range(3)] == [None] * 3
    assert verify.count == 3
    assert len(memory) == 0


@pytest.mark.parametrize(
    ("username", "password", "version"),
    [
        ("other", "secret", "v1"),
        ("mira", "other", "v1"),
        ("mira", "secret", "v2"),
        ("miras", "ecret", "v1"),
        ("mira", "secretv", "1"),
        ("", "mirasecretv1", ""),
    ],
)
def test_different_name_password_or_version_is_no_hit(username: str, password: str, version: str) -> None:
    memory: PasswordMemory[str] = PasswordMemory()
    memory.get("mira", "secret", "v1", Verification())
    other = Verification(None)
    assert memory.get(username, password, version, other) is None
    assert other.count == 1


def test_nothing_is_remembered_with_a_time_of_zero() -> None:
    verify = Verification()
    memory: PasswordMemory[str] = PasswordMemory(0)
    assert [memory.get("mira", "secret", "v1", verify) for _ in range(3)] == ["right"] * 3
    assert verify.count == 3


def test_oldest_success_is_removed_beyond_the_maximum() -> None:
    memory: PasswordMemory[str] = PasswordMemory(max_entries=2)
    for name in ("first", "second", "third"):
        memory.get(name, "secret", "v1", Verification())
        assert len(memory) <= 2
    again = {name: Verification() for name in ("third", "second", "first")}
    for name, verify in again.items():
        memory.get(name, "secret", "v1", verify)
    assert {name: verify.count for name, verify in again.items()} == {"third": 0, "second": 0, "first": 1}


def test_expired_successes_are_removed() -> None:
    clock = Clock(1000)
    memory: PasswordMemory[str] = PasswordMemory(10, clock=clock)
    memory.get("first", "secret", "v1", Verification())
    memory.get("second", "secret", "v1", Verification())
    clock.now_s += 10
    memory.get("third", "secret", "v1", Verification())
    assert len(memory) == 1


@pytest.mark.parametrize(
    ("ttl_s", "max_entries"), [(-1, 10), (float("inf"), 10), (float("nan"), 10), (10, 0)]
)
def test_impossible_bounds_are_refused(ttl_s: float, max_entries: int) -> None:
    with pytest.raises(ValueError, match="0 s or more for 1 entry or more"):
        PasswordMemory(ttl_s, max_entries)


def test_memory_does_not_contain_the_password() -> None:
    memory: PasswordMemory[str] = PasswordMemory()
    memory.get("a-user-name", "a-secret-password", "a-stored-hash", Verification())
    kept = repr(vars(memory)) + repr(memory)
    assert not any(text in kept for text in ("a-user-name", "a-secret-password", "a-stored-hash"))


class Slow(Verification):
    """A verification as slow as a real hash, whose first calls raise ``errors``."""

    def __init__(self, *errors: BaseException) -> None:
        super().__init__()
        self.errors = list(errors)

    def __call__(self) -> str | None:
        answer = super().__call__()
        Passwords().hash("correct horse")
        if self.errors:
            raise self.errors.pop(0)
        return answer


def ask_at_once(memory: PasswordMemory[str], slow: Slow, times: int = 8) -> list[str | BaseException | None]:
    """Ask from several threads that begin together."""
    begin = threading.Barrier(times)

    def ask(_: int) -> str | BaseException | None:
        begin.wait(60)
        try:
            return memory.get("mira", "secret", "v1", slow)
        except (ZeroDivisionError, KeyboardInterrupt) as error:
            return error

    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(ask, range(times)))


def test_callers_during_a_verification_wait_for_its_result() -> None:
    slow = Slow()
    assert ask_at_once(PasswordMemory(), slow) == ["right"] * 8
    assert slow.count == 1


def test_exception_reaches_every_waiting_caller() -> None:
    memory: PasswordMemory[str] = PasswordMemory()
    slow = Slow(ZeroDivisionError())
    answers = ask_at_once(memory, slow)
    assert {type(answer) for answer in answers} <= {ZeroDivisionError, str}
    assert slow.count <= 2
    assert memory.get("mira", "secret", "v1", slow) == "right"


def test_interrupted_verification_is_repeated_by_a_waiting_caller() -> None:
    slow = Slow(KeyboardInterrupt())
    answers = ask_at_once(PasswordMemory(), slow)
    assert sorted(type(answer).__name__ for answer in answers) == ["KeyboardInterrupt"] + ["str"] * 7
    assert slow.count == 2
