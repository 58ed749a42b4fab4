"""Records of users that were read lately: what a look at one costs, and that it is never stale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.cheap_passwords import CheapPasswords
from support.faulty_storage import FaultyStorage

from v1registry import FileStorage
from v1registry.accounts.base import BackendUnavailable, UnknownUser
from v1registry.accounts.user_records import UserRecords
from v1registry.accounts.users import UserStore

PASSWORD = "correct horse"


@pytest.fixture
def counted(tmp_path: Path) -> FaultyStorage:
    return FaultyStorage(FileStorage(tmp_path, durable=False))


@pytest.fixture
def users(counted: FaultyStorage) -> UserStore:
    users = UserStore(counted, passwords=CheapPasswords())
    users.create("mira", PASSWORD)
    return users


@pytest.fixture
def other(tmp_path: Path) -> UserStore:
    """The same accounts in another process."""
    return UserStore(FileStorage(tmp_path, durable=False), passwords=CheapPasswords())


ASKED: dict[str, Callable[[UserStore], object]] = {
    "authenticate": lambda users: users.authenticate("mira", PASSWORD),
    "wrong password": lambda users: users.authenticate("mira", "wrong"),
    "find": lambda users: users.find("mira"),
    "account": lambda users: users.account("mira"),
    "password_mark": lambda users: users.password_mark("mira"),
    "emails": lambda users: users.emails("mira"),
}


@pytest.mark.parametrize("name", ASKED)
def test_second_question_about_a_user_costs_one_stat(
    users: UserStore, counted: FaultyStorage, name: str
) -> None:
    first = ASKED[name](users)
    before = counted.count(), counted.count("stat")
    assert ASKED[name](users) == first
    assert (counted.count() - before[0], counted.count("stat") - before[1]) == (1, 1)


CHANGES: dict[str, Callable[[UserStore], object]] = {
    "disabled": lambda users: users.set_active("mira", False),
    "administrator": lambda users: users.set_administrator("mira", True),
    "groups": lambda users: users.set_groups("mira", ["team"]),
    "password": lambda users: users.set_password("mira", "another one"),
    "profile": lambda users: users.set_profile("mira", {"company": "Example"}),
    "address": lambda users: users.add_email("mira", "mira@example.org"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_change_of_another_process_counts_at_once(users: UserStore, other: UserStore, change: str) -> None:
    for ask in ASKED.values():
        ask(users)
    CHANGES[change](other)
    fresh = UserStore(other._storage, passwords=CheapPasswords())
    for name, ask in ASKED.items():
        assert ask(users) == ask(fresh), name


def test_user_whom_another_process_deletes_is_unknown(users: UserStore, other: UserStore) -> None:
    users.account("mira")
    other.delete("mira")
    assert (users.find("mira"), users.authenticate("mira", PASSWORD)) == (None, None)
    with pytest.raises(UnknownUser):
        users.account("mira")


def test_later_account_of_a_name_is_a_different_one(users: UserStore, other: UserStore) -> None:
    before = users.account("mira")
    other.delete("mira")
    other.create("mira", PASSWORD)
    assert users.account("mira").user.id != before.user.id
    assert users.account("mira") == other.account("mira")


def test_record_that_is_damaged_later_is_unavailable(users: UserStore, tmp_path: Path) -> None:
    users.account("mira")
    (tmp_path / "accounts/users/mira").write_bytes(b"")
    for ask in ASKED.values():
        with pytest.raises(BackendUnavailable):
            ask(users)


def test_remembered_user_is_unavailable_while_the_storage_fails(
    users: UserStore, counted: FaultyStorage
) -> None:
    users.account("mira")
    counted.fail("stat", "read")
    for ask in ASKED.values():
        with pytest.raises(BackendUnavailable):
            ask(users)
    counted.heal()
    assert users.account("mira").user.name == "mira"


def test_long_record_is_not_remembered(users: UserStore, counted: FaultyStorage) -> None:
    users.set_profile("mira", {"company": "x" * 5000})
    for _ in range(3):
        before = counted.count("read")
        assert users.account("mira").company == "x" * 5000
        assert counted.count("read") == before + 1


def test_number_of_remembered_records_is_bounded(counted: FaultyStorage, users: UserStore) -> None:
    records: Any = UserRecords(counted)
    records._values._recent._capacity = 10
    record = counted.read("accounts/users/mira")[0]
    for number in range(20):
        counted.write(f"accounts/users/u{number}", record)
        records.find(f"u{number}")
    assert len(records._values._recent._values) == 10
