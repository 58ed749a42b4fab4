"""Accounts in a storage: the contracts, records, administration and the cost of passwords."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from support.account_records import record_of
from support.cheap_passwords import CheapPasswords
from support.clock import Clock
from v1registry_fakes.contracts import ConfirmationContract, ProfilesContract

from v1registry.accounts.base import AccountExists, Email, UnknownUser
from v1registry.accounts.records import user_key
from v1registry.accounts.users import UserStore
from v1registry.rights import User
from v1registry.storage.filesystem import FileStorage
from v1registry.storage.memory import MemoryStorage


class TestUserStoreInMemory(ConfirmationContract, ProfilesContract):
    @pytest.fixture
    def accounts(self) -> UserStore:
        return UserStore(MemoryStorage(), passwords=CheapPasswords())


class TestUserStoreInFiles(ConfirmationContract, ProfilesContract):
    @pytest.fixture
    def accounts(self, tmp_path: Path) -> UserStore:
        return UserStore(FileStorage(tmp_path / "data", durable=False), passwords=CheapPasswords())

    @pytest.fixture
    def reopened(self, tmp_path: Path) -> UserStore:
        return UserStore(FileStorage(tmp_path / "data", durable=False), passwords=CheapPasswords())


# -- what is stored


def test_HUB_032_record_contains_a_hash_and_no_password(storage: MemoryStorage) -> None:
    store = UserStore(storage)
    store.create("mira", "correct horse", "mira@example.org")
    store.authenticate("mira", "correct horse")
    store.set_password("mira", "battery staple")
    stored = b"".join(storage.read(stat.key)[0] for stat in storage.list(""))
    assert b"$argon2id$" in stored
    assert b"correct horse" not in stored
    assert b"battery staple" not in stored
    assert "$argon2id$" not in repr(store) + repr(store.account("mira"))


def test_HUB_032_error_does_not_say_what_is_taken(store: UserStore) -> None:
    store.create("mira", "correct horse", "mira@example.org")
    texts = set()
    for username, email in (("mira", "other@example.org"), ("other", "mira@example.org")):
        with pytest.raises(AccountExists) as caught:
            store.create(username, "correct horse", email)
        texts.add(str(caught.value))
    assert texts == {"Username or email already exists"}


def test_record_has_every_field_of_the_accounts_api(storage: MemoryStorage) -> None:
    joined = datetime(2014, 5, 3, 10, 15, 30, 250, tzinfo=timezone(timedelta(hours=2)))
    store = UserStore(storage, passwords=CheapPasswords(), clock=Clock(joined.timestamp()))
    store.create("mira", "correct horse", "mira@example.org")
    record = record_of(storage, "mira")
    assert record.pop("password") != ""
    assert record.pop("id") == store.account("mira").id
    assert record == {
        "username": "mira",
        "emails": [{"email": "mira@example.org", "verified": True, "primary": True}],
        "is_active": True,
        "is_administrator": False,
        "awaits_activation": False,
        "groups": [],
        "date_joined": "2014-05-03T08:15:30.000250Z",
        "full_name": "",
        "location": "",
        "company": "",
        "profile_url": "",
        "gravatar_email": "",
    }
    assert store.account("mira").date_joined == joined


def test_keys_are_quoted_names_and_digests_of_addresses(storage: MemoryStorage) -> None:
    store = UserStore(storage, passwords=CheapPasswords())
    store.create("a/b", "correct horse", "Mira@Example.org")
    assert [stat.key for stat in storage.list("")] == [
        # echo -n mira@example.org | sha256sum
        "accounts/addresses/30245b89acedc1a9882a84ba3e154b39323e67ae383f817d29f7d25681086d9a",
        "accounts/users/a%2Fb",
    ]


def test_number_of_an_account_stays_and_is_given_once(store: UserStore) -> None:
    store.create("mira", "correct horse")
    first = store.account("mira").id
    store.set_password("mira", "battery staple")
    assert store.account("mira").id == first
    assert 0 < first < 2**53
    store.delete("mira")
    store.create("mira", "correct horse")
    assert store.account("mira").id != first


def test_unknown_fields_of_a_record_are_kept(store: UserStore, storage: MemoryStorage) -> None:
    store.create("mira", "correct horse")
    storage.write(user_key("mira"), json.dumps(record_of(storage, "mira") | {"theme": ["dark"]}).encode())
    store.set_groups("mira", ["red"])
    assert record_of(storage, "mira")["theme"] == ["dark"]


def test_record_without_a_profile_is_read(store: UserStore, storage: MemoryStorage) -> None:
    store.create("mira", "correct horse")
    record = record_of(storage, "mira")
    del record["company"]
    storage.write(user_key("mira"), json.dumps(record).encode())
    assert store.account("mira").company == ""


# -- administration


def test_administrators_and_groups_can_be_set(store: UserStore) -> None:
    store.create("mira", "correct horse")
    store.set_administrator("mira", True)
    store.set_groups("mira", ["red", "blue", "red"])
    expected = User("mira", frozenset({"red", "blue"}), is_administrator=True)
    assert store.find("mira") == store.authenticate("mira", "correct horse") == expected
    store.set_administrator("mira", False)
    store.set_groups("mira", [])
    assert store.find("mira") == User("mira")


def test_name_and_addresses_of_a_deleted_user_are_free(store: UserStore) -> None:
    store.create("mira", "correct horse", "mira@example.org")
    store.add_email("mira", "two@example.org")
    assert store.authenticate("mira", "correct horse") is not None
    store.delete("mira")
    assert store.find("mira") is None
    assert store.authenticate("mira", "correct horse") is None
    assert not store.is_taken("mira", "two@example.org")
    store.create("other", "correct horse", "mira@example.org")
    store.create("mira", "correct horse", "two@example.org")
    assert store.is_taken("third", "mira@example.org")
    assert store.is_taken("third", "two@example.org")


def test_deleted_user_leaves_no_key(store: UserStore, storage: MemoryStorage) -> None:
    store.create("mira_k", "correct horse", "mira@example.org")
    store.delete("mira_k")
    assert all(
        b"mira" not in storage.read(stat.key)[0] and "mira" not in stat.key for stat in storage.list("")
    )


def test_administration_of_an_unknown_user_is_an_error(store: UserStore) -> None:
    for change in (
        lambda: store.set_administrator("nobody", True),
        lambda: store.set_groups("nobody", []),
        lambda: store.delete("nobody"),
        lambda: store.emails("nobody"),
        lambda: store.account("nobody"),
    ):
        with pytest.raises(UnknownUser):
            change()


def test_OAU_023_one_address_is_primary_and_the_order_stays(store: UserStore) -> None:
    store.create("mira", "correct horse", is_active=False)
    for email in ("c@example.org", "a@example.org", "b@example.org"):
        store.add_email("mira", email)
    assert store.confirm_email("mira", "A@example.org")
    assert store.emails("mira") == (
        Email("c@example.org", verified=False, primary=True),
        Email("a@example.org", verified=True, primary=False),
        Email("b@example.org", verified=False, primary=False),
    )


def test_first_address_of_an_active_account_is_confirmed(store: UserStore) -> None:
    store.create("mira", "correct horse", "mira@example.org", is_active=True)
    store.create("other", "correct horse", "other@example.org", is_active=False)
    assert store.emails("mira") == (Email("mira@example.org", verified=True, primary=True),)
    assert store.emails("other") == (Email("other@example.org", verified=False, primary=True),)


# -- the cost of a password


def test_pull_of_30_layers_costs_one_hash(store: UserStore, passwords: CheapPasswords) -> None:
    store.create("mira", "correct horse")
    passwords.count = 0
    # a v1 pull asks for the image list, the tags, the ancestry, and json and layer of each image
    assert {store.authenticate("mira", "correct horse") for _ in range(3 + 2 * 30)} == {User("mira")}
    assert passwords.count == 1


def test_three_layers_at_once_cost_one_hash(storage: MemoryStorage) -> None:
    passwords = CheapPasswords(memory_kib=4096)  # some milliseconds
    store = UserStore(storage, passwords=passwords)
    store.create("mira", "correct horse")
    passwords.count = 0
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: store.authenticate("mira", "correct horse"), range(30)))
    assert passwords.count == 1


def test_wrong_password_and_unknown_name_cost_the_same(
    store: UserStore, storage: MemoryStorage, passwords: CheapPasswords
) -> None:
    store.create("mira", "correct horse")
    store.create("sleeping", "correct horse", is_active=False)
    store.create("without", "correct horse")
    storage.write(user_key("without"), json.dumps(record_of(storage, "without") | {"password": ""}).encode())
    costs = {}
    for username in ("mira", "sleeping", "without", "nobody", "", "a/b", "x" * 10_000):
        passwords.count = 0
        assert [store.authenticate(username, "wrong") for _ in range(3)] == [None] * 3
        costs[username] = passwords.count
    assert set(costs.values()) == {3}, costs


def test_empty_password_costs_no_hash(store: UserStore, passwords: CheapPasswords) -> None:
    store.create("mira", "")
    passwords.count = 0
    assert store.authenticate("mira", "") is None
    assert store.authenticate("nobody", "") is None
    assert passwords.count == 0


def test_remembered_password_is_refused_after_a_change(
    store: UserStore, storage: MemoryStorage, passwords: CheapPasswords
) -> None:
    elsewhere = UserStore(storage, passwords=CheapPasswords())
    store.create("mira", "correct horse")
    assert store.authenticate("mira", "correct horse") is not None
    elsewhere.set_password("mira", "battery staple")
    assert store.authenticate("mira", "correct horse") is None
    elsewhere.set_password("mira", "correct horse")
    passwords.count = 0
    assert store.authenticate("mira", "correct horse") is not None
    assert passwords.count == 1, "a new hash is verified, even if it is of the old password"


def test_hash_with_other_parameters_is_replaced_at_login(store: UserStore, storage: MemoryStorage) -> None:
    store.create("mira", "correct horse")
    old = record_of(storage, "mira")["password"]
    stronger = CheapPasswords(memory_kib=16)
    later = UserStore(storage, passwords=stronger)
    assert later.authenticate("mira", "wrong") is None
    assert record_of(storage, "mira")["password"] == old
    assert later.authenticate("mira", "correct horse") == User("mira")
    assert "$m=16," in str(record_of(storage, "mira")["password"])
    stronger.count = 0
    assert later.authenticate("mira", "correct horse") == User("mira")
    assert stronger.count == 0, "the new hash needs no verification"
    assert store.authenticate("mira", "correct horse") == User("mira")


# -- ids


def test_user_has_the_same_id_wherever_it_comes_from(store: UserStore) -> None:
    made = store.create("mira", "correct horse")
    found = [store.find("mira"), store.authenticate("mira", "correct horse"), *store.users()]
    assert {user.id for user in found if user is not None} == {made.id}
    assert made.id == str(store.account("mira").id)
    assert store.can_find
    assert store.has_ids


def test_later_account_of_a_name_has_a_different_id(store: UserStore) -> None:
    before = store.create("mira", "correct horse")
    store.delete("mira")
    assert store.create("mira", "correct horse").id != before.id


def test_password_mark_changes_with_the_password(store: UserStore) -> None:
    store.create("mira", "correct horse")
    before = store.password_mark("mira")
    store.set_password("mira", "battery staple")
    assert before != store.password_mark("mira") != ""
    assert store.password_mark("nobody") == ""
