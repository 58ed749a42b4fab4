"""Records of accounts and addresses as the version at commit 2da4a84 stored them:
tests/data/stored-records.json.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from support.cheap_passwords import CheapPasswords

from v1registry import MemoryStorage
from v1registry.accounts.base import AccountExists, Email
from v1registry.accounts.users import UserStore
from v1registry.rights import User

DATA: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data/stored-records.json").read_bytes())

#: A user name may be any text.
HALF = "\ud800half"


@pytest.fixture
def storage() -> MemoryStorage:
    storage = MemoryStorage()
    for key, value in DATA["records"].items():
        storage.write(key, value.encode("utf-8", "surrogatepass"))
    return storage


@pytest.fixture
def store(storage: MemoryStorage) -> UserStore:
    return UserStore(storage, passwords=CheapPasswords())


def test_recorded_account_is_read(store: UserStore) -> None:
    account = store.account("mira_k")
    assert account.user == User("mira_k", frozenset({"team", "red"}))
    assert (account.id, account.user.id) == (7939832830466049, "7939832830466049")
    assert account.date_joined == datetime(2014, 5, 3, 8, 15, 30, tzinfo=timezone.utc)
    assert account.emails == (
        Email("Mira@example.org", verified=True, primary=True),
        Email("mira.two@example.org", verified=False, primary=False),
    )
    assert (account.full_name, account.location, account.company) == ("Mira Kovác", "Graz", "")


def test_recorded_account_that_awaits_activation_is_activated_by_its_state(store: UserStore) -> None:
    assert store.find(HALF) == User(HALF, is_active=False, is_administrator=True)
    store.set_active(HALF, True)
    assert store.find(HALF) == User(HALF, is_administrator=True)
    assert [user.name for user in store.users()] == ["mira_k", HALF]


def test_recorded_reservations_keep_addresses(store: UserStore) -> None:
    with pytest.raises(AccountExists):
        store.create("other", "correct-horse", "MIRA@example.org")
    assert store.confirm(
        "mira_k", "mira.two@example.org", store.unconfirmed("mira_k")["mira.two@example.org"]
    )
    assert store.set_primary_email("mira_k", "mira.two@example.org")
    assert store.remove_email("mira_k", "mira@example.org")
    store.create("other", "correct-horse", "mira@example.org")


def test_change_keeps_what_a_newer_version_added(store: UserStore, storage: MemoryStorage) -> None:
    key = "accounts/users/mira_k"
    fields = json.loads(storage.read(key)[0])
    storage.write(key, json.dumps({**fields, "language": "sl"}).encode())
    store.set_groups("mira_k", ["blue"])
    changed = json.loads(storage.read(key)[0])
    assert (changed["language"], changed["groups"]) == ("sl", ["blue"])
    assert {**changed, "groups": fields["groups"]} == {**fields, "language": "sl"}
