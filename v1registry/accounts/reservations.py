"""To whom an address belongs: the reservations of :class:`~v1registry.accounts.users.UserStore`.

An address belongs to the user whom its reservation names, if that user's record lists it. Every other reservation is void:
its owner crashed before the record was written, lost the race for the name, gave the address up or was deleted; and who wants
the address takes it over. So a new owner (1) reserves the address, (2) lists it in the record, (3) writes the
reservation anew. Somebody else who found the reservation void did so before (2), and whose takeover comes after (3) meets
another value than the one that was void; one that comes before (3) is seen there, and then (2) is undone. A crash at any
point leaves nothing that blocks the address, or leaves the address with its owner.

Who gives an address up (1) strikes it from the record, (2) removes the reservation if it still is void then. Storages do not remove
conditionally, so (2) and whatever writes a reservation are done under the lock of their folder, for a moment each.
"""

from __future__ import annotations

from collections.abc import Callable

from ..storage.base import KeyNotFound, Storage, update
from .base import AccountExists
from .records import ADDRESSES_FOLDER, address_key, reservation, reserved_for


class Reservations:
    """The reservations in a storage. StorageUnavailable and BrokenValue from every method.

    :param lists: tells whether the record of a user lists an address.
    """

    def __init__(self, storage: Storage, lists: Callable[[str, str], bool]) -> None:
        self._storage = storage
        self._lists = lists

    def owner(self, email: str) -> str | None:
        """Return the name of the user to whom the address belongs, None where it is free."""
        try:
            owner = reserved_for(self._storage.read(address_key(email))[0])
        except KeyNotFound:
            return None
        return owner if owner is not None and self._lists(owner, email) else None

    def reserve(self, username: str, email: str) -> None:
        """Reserve a free address, or take over a void reservation. AccountExists."""
        with self._storage.lock(ADDRESSES_FOLDER):
            update(self._storage, address_key(email), lambda value: self._taken_over(value, username, email))

    def _taken_over(self, value: bytes | None, username: str, email: str) -> bytes | None:
        """Return the reservation of a new owner; None where it is theirs already. AccountExists."""
        owner = None if value is None else reserved_for(value)
        if owner == username:
            return None
        if owner is not None and self._lists(owner, email):
            raise AccountExists("Username or email already exists")
        return reservation(username)

    def settle(self, username: str, email: str) -> bool:
        """Write the reservation of a listed address anew. False where somebody took it over before."""
        is_settled = False

        def settled(value: bytes | None) -> bytes | None:
            nonlocal is_settled
            is_settled = value is None or reserved_for(value) in (username, None)
            return reservation(username) if is_settled else None

        with self._storage.lock(ADDRESSES_FOLDER):
            update(self._storage, address_key(email), settled)
        return is_settled

    def release(self, username: str, email: str) -> None:
        """Remove the reservation of an address that the user's record does not list, if it still is the user's."""
        key = address_key(email)
        with self._storage.lock(ADDRESSES_FOLDER):
            try:
                owner = reserved_for(self._storage.read(key)[0])
            except KeyNotFound:
                return
            if owner == username and not self._lists(username, email):
                self._storage.delete(key)
