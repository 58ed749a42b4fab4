"""Accounts in a storage: the contracts, records, crashes and races."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from support.cheap_passwords import CheapPasswords
from support.faulty_storage import FaultyStorage
from v1registry_fakes.contracts import ConfirmationContract, ProfilesContract

from v1registry.accounts.base import AccountExists, BackendUnavailable, Email, EmailRefused, UnknownUser
from v1registry.accounts.records import MOST_EMAILS, address_key, user_key
from v1registry.accounts.users import UserStore
from v1registry.rights import User
from v1registry.storage.base import Storage, StorageUnavailable
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


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def passwords() -> CheapPasswords:
    return CheapPasswords()


@pytest.fixture
def store(storage: MemoryStorage, passwords: CheapPasswords) -> UserStore:
    return UserStore(storage, passwords=passwords)


def record_of(storage: Storage, username: str) -> dict[str, object]:
    record = json.loads(storage.read(user_key(username))[0])
    assert isinstance(record, dict)
    return record


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
    store = UserStore(storage, passwords=CheapPasswords(), now=lambda: joined)
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


# -- a storage that is watched, disturbed or broken


@pytest.fixture
def disturbed() -> FaultyStorage:
    return FaultyStorage()


def crash() -> None:
    raise StorageUnavailable("accounts", "the disk is gone")


def test_reservation_without_a_record_is_free(
    disturbed: FaultyStorage,
) -> None:
    store = UserStore(disturbed, passwords=CheapPasswords())
    disturbed.before(crash, "write", key=user_key("mira"))
    with pytest.raises(BackendUnavailable):
        store.create("mira", "correct horse", "one@example.org")
    assert disturbed.read(address_key("one@example.org"))[0]
    assert not store.is_taken("mira", "one@example.org")
    store.create("other", "correct horse", "one@example.org")
    with pytest.raises(AccountExists):
        store.create("mira", "correct horse", "one@example.org")


def test_creation_that_crashed_can_be_repeated(disturbed: FaultyStorage) -> None:
    store = UserStore(disturbed, passwords=CheapPasswords())
    disturbed.before(crash, "write", key=user_key("mira"))
    with pytest.raises(BackendUnavailable):
        store.create("mira", "correct horse", "one@example.org")
    store.create("mira", "correct horse", "one@example.org")
    assert store.confirm_email("mira", "one@example.org")


def test_address_in_the_record_belongs_to_its_user_after_a_crash(
    disturbed: FaultyStorage,
) -> None:
    store = UserStore(disturbed, passwords=CheapPasswords())
    key = address_key("one@example.org")
    disturbed.before(lambda: disturbed.before(crash, "write", key=key), "write", key=user_key("mira"))
    with pytest.raises(BackendUnavailable):
        store.create("mira", "correct horse", "one@example.org")
    assert store.authenticate("mira", "correct horse") == User("mira")
    with pytest.raises(AccountExists):
        store.create("other", "correct horse", "one@example.org")
    assert store.confirm_email("mira", "one@example.org")


def test_takeover_before_the_record_is_written_wins(disturbed: FaultyStorage) -> None:
    store = UserStore(disturbed, passwords=CheapPasswords())
    disturbed.before(
        lambda: store.create("other", "correct horse", "one@example.org"), "write", key=user_key("mira")
    )
    with pytest.raises(AccountExists):
        store.create("mira", "correct horse", "one@example.org")
    assert [user.name for user in store.users()] == ["other"]
    assert store.confirm_email("other", "one@example.org")


def test_takeover_of_a_settled_address_fails(disturbed: FaultyStorage) -> None:
    store = UserStore(disturbed, passwords=CheapPasswords())
    disturbed.before(crash, "write", key=user_key("mira"))
    with pytest.raises(BackendUnavailable):
        store.create("mira", "correct horse", "one@example.org")
    # "other" has seen that the reservation is void, and is about to replace it, when mira tries again
    disturbed.before(
        lambda: store.create("mira", "correct horse", "one@example.org"),
        "write",
        key=address_key("one@example.org"),
    )
    with pytest.raises(AccountExists):
        store.create("other", "correct horse", "one@example.org")
    assert [user.name for user in store.users()] == ["mira"]
    assert store.confirm_email("mira", "one@example.org")


def test_address_that_is_lost_during_addition_is_not_listed(disturbed: FaultyStorage) -> None:
    store = UserStore(disturbed, passwords=CheapPasswords())
    store.create("mira", "correct horse")
    disturbed.before(
        lambda: store.create("other", "correct horse", "one@example.org"), "write", key=user_key("mira")
    )
    with pytest.raises(AccountExists):
        store.add_email("mira", "one@example.org")
    assert store.emails("mira") == ()
    disturbed.before(
        lambda: store.create("third", "correct horse", "two@example.org"), "write", key=user_key("mira")
    )
    store.add_email("mira", "mira@example.org")
    with pytest.raises(AccountExists):
        store.add_email("mira", "two@example.org")
    assert store.emails("mira") == (Email("mira@example.org", verified=False, primary=True),)


def test_listed_address_that_is_reserved_for_another_user_is_not_confirmed(
    store: UserStore, storage: MemoryStorage
) -> None:
    store.create("mira", "correct horse", "one@example.org")
    # as after a crash between a lost race and its undoing
    entry = {"email": "one@example.org", "verified": False, "primary": True}
    store.create("other", "correct horse")
    storage.write(user_key("other"), json.dumps(record_of(storage, "other") | {"emails": [entry]}).encode())
    assert not store.confirm_email("other", "one@example.org")
    with pytest.raises(AccountExists):
        store.add_email("other", "one@example.org")
    assert store.confirm_email("mira", "one@example.org")


def test_password_that_is_changed_during_a_rehash_stays_changed(disturbed: FaultyStorage) -> None:
    store = UserStore(disturbed, passwords=CheapPasswords())
    store.create("mira", "correct horse")
    later = UserStore(disturbed, passwords=CheapPasswords(memory_kib=16))
    disturbed.before(lambda: later.set_password("mira", "battery staple"), "write", key=user_key("mira"))
    assert later.authenticate("mira", "correct horse") == User("mira"), "it was right when it was verified"
    assert later.authenticate("mira", "correct horse") is None
    assert later.authenticate("mira", "battery staple") == User("mira")


def test_login_succeeds_if_the_new_hash_cannot_be_stored(disturbed: FaultyStorage) -> None:
    UserStore(disturbed, passwords=CheapPasswords()).create("mira", "correct horse")
    later = UserStore(disturbed, passwords=CheapPasswords(memory_kib=16))
    disturbed.before(crash, "write", key=user_key("mira"))
    assert later.authenticate("mira", "correct horse") == User("mira")


def test_address_whose_removal_crashed_is_free() -> None:
    storage = FaultyStorage()
    storage.fail("delete")
    store = UserStore(storage, passwords=CheapPasswords())
    store.create("mira", "correct horse", "mira@example.org")
    store.add_email("mira", "two@example.org")
    with pytest.raises(BackendUnavailable):
        store.remove_email("mira", "two@example.org")
    assert [email.email for email in store.emails("mira")] == ["mira@example.org"]
    assert not store.is_taken("other", "two@example.org")
    store.create("other", "correct horse", "two@example.org")
    # what the first owner does later does not take it from the second
    storage.heal()
    assert not store.remove_email("mira", "two@example.org")
    store.delete("mira")
    assert store.is_taken("third", "two@example.org")


def test_removed_address_leaves_no_reservation(storage: MemoryStorage, store: UserStore) -> None:
    def reserved() -> set[str]:
        return {stat.key for stat in storage.list("accounts/addresses/")}

    store.create("mira", "correct horse", "mira@example.org")
    store.add_email("mira", "two@example.org")
    assert reserved() == {address_key("mira@example.org"), address_key("two@example.org")}
    store.remove_email("mira", "Two@example.org")
    assert reserved() == {address_key("mira@example.org")}
    store.delete("mira")
    assert reserved() == set()


def test_address_that_a_full_account_refuses_is_not_reserved(
    storage: MemoryStorage, store: UserStore
) -> None:
    store.create("mira", "correct horse", "mira@example.org")
    for number in range(1, MOST_EMAILS):
        store.add_email("mira", f"{number}@example.org")
        store.confirm_email("mira", f"{number}@example.org")
    before = len(list(storage.list("accounts/addresses/")))
    with pytest.raises(EmailRefused):
        store.add_email("mira", "more@example.org")
    assert len(list(storage.list("accounts/addresses/"))) == before == MOST_EMAILS


def test_account_that_fills_meanwhile_leaves_no_reservation(
    disturbed: FaultyStorage,
) -> None:
    store = UserStore(disturbed, passwords=CheapPasswords())
    store.create("mira", "correct horse", "mira@example.org")
    for number in range(1, MOST_EMAILS - 1):
        store.add_email("mira", f"{number}@example.org")
        store.confirm_email("mira", f"{number}@example.org")
    disturbed.before(lambda: store.add_email("mira", "faster@example.org"), "write", key=user_key("mira"))
    with pytest.raises(EmailRefused):
        store.add_email("mira", "slower@example.org")
    assert len(store.emails("mira")) == MOST_EMAILS
    assert store.is_taken("other", "faster@example.org")
    assert not store.is_taken("other", "slower@example.org")
    assert len(list(disturbed.list("accounts/addresses/"))) == MOST_EMAILS


def test_logins_are_unavailable_while_the_storage_is() -> None:
    storage = FaultyStorage()
    store = UserStore(storage, passwords=CheapPasswords())
    store.create("mira", "correct horse", "mira@example.org")
    assert store.authenticate("mira", "correct horse") == User("mira")
    storage.fail()
    for question in (
        lambda: store.authenticate("mira", "correct horse"),
        lambda: store.authenticate("nobody", "correct horse"),
        lambda: store.find("mira"),
        lambda: store.is_taken("mira", ""),
        lambda: store.create("other", "correct horse"),
        lambda: store.set_password("mira", "battery staple"),
        lambda: list(store.users()),
    ):
        with pytest.raises(BackendUnavailable, match="cannot be read or changed now") as caught:
            question()
        assert isinstance(caught.value.__cause__, StorageUnavailable)
    storage.heal()
    assert store.authenticate("mira", "correct horse") == User("mira")


BROKEN_RECORDS = {
    "nothing": b"",
    "not UTF-8": b"\xff\xfe",
    "no JSON": b"{",
    "deep": b"[" * 100_000,
    "a list": b"[]",
    "no fields": b"{}",
    "administrator by text": b'{"is_administrator": "false"}',
}


@pytest.mark.parametrize("name", BROKEN_RECORDS)
def test_broken_record_is_unavailable_and_harms_no_other_user(
    store: UserStore, storage: MemoryStorage, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.create("mira", "correct horse")
    store.create("other", "correct horse")
    storage.write(user_key("mira"), BROKEN_RECORDS[name])
    for question in (
        lambda: store.authenticate("mira", "correct horse"),
        lambda: store.find("mira"),
        lambda: store.set_active("mira", True),
    ):
        with pytest.raises(BackendUnavailable):
            question()
    with pytest.raises(BackendUnavailable):
        store.create("mira", "correct horse")
    assert store.authenticate("other", "correct horse") == User("other")
    assert list(store.users()) == [User("other")]
    assert "accounts/users/mira" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        {"password": "$argon2id$v=19$broken"},
        {"password": None},
        {"is_active": 1},
        {"is_administrator": None},
        {"groups": "red"},
        {"groups": [1]},
        {"emails": [{"email": "a@example.org"}]},
        {"emails": ["a@example.org"]},
        {"id": "7"},
        {"id": True},
        {"date_joined": "yesterday"},
    ],
)
def test_record_with_a_wrong_type_is_unavailable(
    store: UserStore, storage: MemoryStorage, change: dict[str, object]
) -> None:
    store.create("mira", "correct horse")
    storage.write(user_key("mira"), json.dumps(record_of(storage, "mira") | change).encode())
    with pytest.raises(BackendUnavailable):
        store.authenticate("mira", "correct horse")


def test_broken_reservation_is_unavailable(store: UserStore, storage: MemoryStorage) -> None:
    for value in (b"", b'{"username": 7}'):
        storage.write(address_key("one@example.org"), value)
        with pytest.raises(BackendUnavailable):
            store.create("mira", "correct horse", "one@example.org")
    assert store.find("mira") is None


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
