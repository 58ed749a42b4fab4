"""Accounts in a storage with crashes, simultaneous changes, outages and broken records."""

from __future__ import annotations

import json

import pytest
from support.account_records import record_of
from support.cheap_passwords import CheapPasswords
from support.faulty_storage import FaultyStorage

from v1registry.accounts.base import AccountExists, BackendUnavailable, Email, EmailRefused
from v1registry.accounts.records import MOST_EMAILS, address_key, user_key
from v1registry.accounts.users import UserStore
from v1registry.rights import User
from v1registry.storage.base import StorageUnavailable
from v1registry.storage.memory import MemoryStorage

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
