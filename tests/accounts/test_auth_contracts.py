"""Each contract fails for a backend that breaks its rules."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable

import pytest
from support.cheap_passwords import CheapPasswords
from v1registry_fakes.contracts import AccountsContract, BackendContract, ProfilesContract

from v1registry.accounts.base import AuthError, Backend
from v1registry.accounts.users import UserStore
from v1registry.rights import User
from v1registry.storage.memory import MemoryStorage


class Faulty(Backend):
    """A backend whose only fault is ``is_right``."""

    def __init__(self, is_right: Callable[[str, str], bool], *, shows_password: bool = False) -> None:
        self._is_right = is_right
        self._shows_password = shows_password

    def authenticate(self, username: str, password: str) -> User | None:
        if self._shows_password:
            logging.getLogger("faulty").info("%s logs in with %s", username, password)
        return User(username) if self._is_right(username, password) else None


def failures(contract: BackendContract, argument: str, make: Callable[[], object]) -> set[str]:
    """Return the tests that fail, of those whose only argument is this fixture; ``make`` gives it."""
    failed = set()
    for name in dir(contract):
        test = getattr(contract, name)
        if name.startswith("test_") and list(inspect.signature(test).parameters) == [argument]:
            try:
                test(make())
            except (AssertionError, AuthError, pytest.fail.Exception):
                failed.add(name)
    return failed


@pytest.mark.parametrize(
    ("is_right", "failed"),
    [
        (lambda name, password: (name, password) == ("mira", "correct horse"), set()),
        (lambda name, password: False, {"test_right_password_returns_the_user"}),
        (lambda name, password: name == "mira", {"test_empty_password_is_wrong"}),
        (
            lambda name, password: "correct horse".startswith(password),
            {"test_empty_password_is_wrong"},
        ),
        (
            lambda name, password: password == "correct horse",
            {"test_right_password_makes_no_wrong_one_right"},
        ),
        (
            lambda name, password: name + password == "miracorrect horse",
            {"test_right_password_makes_no_wrong_one_right"},
        ),
    ],
)
def test_backend_that_authenticates_wrongly_fails(
    is_right: Callable[[str, str], bool], failed: set[str]
) -> None:
    found = failures(BackendContract(), "backend", lambda: Faulty(is_right))
    assert failed <= found
    assert bool(failed) == bool(found)


def test_backend_that_logs_passwords_fails(caplog: pytest.LogCaptureFixture) -> None:
    backend = Faulty(lambda name, password: False, shows_password=True)
    with pytest.raises(AssertionError):
        BackendContract().test_passwords_are_neither_logged_nor_shown(backend, caplog)


def test_backend_that_does_not_accept_any_text_fails() -> None:
    backend = Faulty(lambda name, password: (name.encode(), password.encode()) == (b"", b""))
    with pytest.raises(UnicodeEncodeError):
        BackendContract().test_odd_name_is_unknown(backend, "lone surrogate")


class ForgetfulStore(UserStore):
    """Does not check that a name is free."""

    def create(self, username: str, password: str, email: str = "", **options: bool) -> User:  # type: ignore[override]
        if self.find(username):
            self.delete(username)
        return super().create(username, password, email, **options)


class CarelessStore(UserStore):
    """Confirms addresses that the user does not have."""

    def confirm_email(self, username: str, email: str) -> bool:
        super().confirm_email(username, email)
        return True


@pytest.mark.parametrize(
    ("kind", "failed"),
    [
        (UserStore, set()),
        (ForgetfulStore, {"test_taken_name_is_refused_and_its_user_stays"}),
        (
            CarelessStore,
            {"test_only_an_own_address_is_confirmed", "test_address_of_another_user_cannot_be_added"},
        ),
    ],
)
def test_backend_of_accounts_that_breaks_a_rule_fails(kind: type[UserStore], failed: set[str]) -> None:
    def store() -> UserStore:
        return kind(MemoryStorage(), passwords=CheapPasswords())

    found = failures(AccountsContract(), "accounts", store)
    assert failed <= found
    assert bool(failed) == bool(found)


class ForgetfulOfPrimary(UserStore):
    """Removes the primary address too, and reports every removal as done."""

    def remove_email(self, username: str, email: str) -> bool:
        self._records.update(username, lambda record: record.without_added_email(email))
        return True


@pytest.mark.parametrize(
    ("kind", "failed"),
    [
        (UserStore, set()),
        (
            ForgetfulOfPrimary,
            {"test_primary_address_cannot_be_removed", "test_address_of_another_user_cannot_be_changed"},
        ),
    ],
)
def test_backend_of_profiles_that_breaks_a_rule_fails(kind: type[UserStore], failed: set[str]) -> None:
    found = failures(
        ProfilesContract(),
        "accounts",
        lambda: kind(MemoryStorage(), passwords=CheapPasswords()),
    )
    assert failed <= found
    assert bool(failed) == bool(found)
