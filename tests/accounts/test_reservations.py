"""Reservations of addresses, interrupted by another user or process between two calls of the storage."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.cheap_passwords import CheapPasswords
from support.faulty_storage import FaultyStorage

from v1registry.accounts.base import AccountExists
from v1registry.accounts.records import Reservation, address_key, user_key
from v1registry.accounts.reservations import Reservations
from v1registry.accounts.users import UserStore
from v1registry.rights import User
from v1registry.storage.base import Storage
from v1registry.storage.memory import MemoryStorage
from v1registry.storage.records import find

EMAIL = "one@example.org"


class Lists:
    """Which addresses the records of users list."""

    def __init__(self, *listed: tuple[str, str]) -> None:
        self.listed = set(listed)

    def __call__(self, username: str, email: str) -> bool:
        return (username, email) in self.listed


def owner_in(storage: Storage) -> str | None:
    found = find(storage, address_key(EMAIL), Reservation)
    return None if found is None else found.username


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


def interrupted(storage: Storage, method: str, lists: Lists, act: Callable[[], object]) -> Reservations:
    faulty = FaultyStorage(storage)
    faulty.before(act, method, key=address_key(EMAIL))
    faulty.fail("lock", error=AssertionError("reservations need no locks"))
    return Reservations(faulty, lists)


def test_reservation_that_no_record_lists_is_void(storage: MemoryStorage) -> None:
    lists = Lists()
    reservations = Reservations(storage, lists)
    reservations.reserve("mira", EMAIL)
    assert reservations.owner(EMAIL) is None
    reservations.reserve("zoe", EMAIL)
    lists.listed.add(("zoe", EMAIL))
    assert reservations.settle("zoe", EMAIL)
    assert reservations.owner(EMAIL) == "zoe"
    with pytest.raises(AccountExists):
        reservations.reserve("mira", EMAIL)


def test_released_address_that_was_taken_over_stays_reserved(storage: MemoryStorage) -> None:
    lists = Lists()
    other = Reservations(storage, lists)
    other.reserve("mira", EMAIL)
    reservations = interrupted(storage, "delete", lists, lambda: other.reserve("zoe", EMAIL))
    reservations.release("mira", EMAIL)
    assert owner_in(storage) == "zoe"


def test_released_address_that_was_added_again_stays_reserved(storage: MemoryStorage) -> None:
    lists = Lists()
    other = Reservations(storage, lists)
    other.reserve("mira", EMAIL)

    def add_again() -> None:
        lists.listed.add(("mira", EMAIL))
        assert other.settle("mira", EMAIL)

    interrupted(storage, "delete", lists, add_again).release("mira", EMAIL)
    assert other.owner(EMAIL) == "mira"


def test_reservation_released_before_settling_is_written_again(storage: MemoryStorage) -> None:
    lists = Lists()
    reservations = Reservations(storage, lists)
    reservations.reserve("mira", EMAIL)
    reservations.release("mira", EMAIL)
    assert owner_in(storage) is None
    lists.listed.add(("mira", EMAIL))
    assert reservations.settle("mira", EMAIL)
    assert reservations.owner(EMAIL) == "mira"


def test_takeover_after_the_new_owner_settled_fails(storage: MemoryStorage) -> None:
    lists = Lists()
    other = Reservations(storage, lists)
    other.reserve("mira", EMAIL)

    def settle() -> None:
        lists.listed.add(("mira", EMAIL))
        assert other.settle("mira", EMAIL)

    with pytest.raises(AccountExists):
        interrupted(storage, "write", lists, settle).reserve("zoe", EMAIL)
    assert other.owner(EMAIL) == "mira"


def test_takeover_before_the_new_owner_settles_wins(storage: MemoryStorage) -> None:
    lists = Lists()
    other = Reservations(storage, lists)
    other.reserve("mira", EMAIL)

    def take_over() -> None:
        other.reserve("zoe", EMAIL)
        lists.listed |= {("mira", EMAIL), ("zoe", EMAIL)}

    assert not interrupted(storage, "write", lists, take_over).settle("mira", EMAIL)
    assert other.owner(EMAIL) == "zoe"


def test_registration_that_lost_its_address_keeps_a_later_account(
    storage: MemoryStorage,
) -> None:
    other = UserStore(storage, passwords=CheapPasswords())
    states: list[User] = []

    def lose_all() -> None:
        """Delete the new account, and give its name and its address to others."""
        other.delete("mira")
        other.create("zoe", "correct horse", EMAIL)
        states.append(other.create("mira", "battery staple"))

    # the address is read before the reservation, in it, and before it is settled: the third time
    late = FaultyStorage(storage)
    late.before(lose_all, "read", key=address_key(EMAIL), skip=2)
    store = UserStore(late, passwords=CheapPasswords())
    with pytest.raises(AccountExists):
        store.create("mira", "correct horse", EMAIL)
    assert other.find("mira") == states[0]
    assert other.account("mira").user.id == states[0].id
    assert other.authenticate("mira", "battery staple") is not None
    assert storage.stat(user_key("zoe")).size > 0


def test_address_whose_reservation_was_taken_over_can_be_removed(storage: MemoryStorage) -> None:
    users = UserStore(storage, passwords=CheapPasswords())
    users.create("mira", "pw-mira", "mira@example.org")
    users.create("zoe", "pw-zoe")
    users.add_email("mira", EMAIL)
    storage.delete(address_key(EMAIL))  # as if mira's process was killed before it settled
    users.add_email("zoe", EMAIL)
    assert users.remove_email("mira", EMAIL)
    assert [email.email for email in users.emails("mira")] == ["mira@example.org"]
    assert owner_in(storage) == "zoe"
    assert not users.remove_email("mira", EMAIL)
