"""Which user has an address: the reservations of :class:`~v1registry.accounts.users.UserStore`.

An address belongs to the user whom its reservation names, if that user's record lists it. Every other
reservation is void, and another user may take it over. docs/internals.md, section "Registration", says why an
address never belongs to two users.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from ..storage.base import KeyConflict, KeyNotFound, Storage, update
from .base import AccountExists
from .records import address_key, reservation, reserved_for


class Reservations:
    """The reservations in a storage. Safe for threads and, if the storage is, for processes.

    Every method raises StorageUnavailable if the storage fails, and BrokenValue for a value that is no
    reservation.

    :param lists: returns whether the record of a user lists an address.
    """

    def __init__(self, storage: Storage, lists: Callable[[str, str], bool]) -> None:
        self._storage = storage
        self._lists = lists

    def owner(self, email: str) -> str | None:
        """Return the name of the user who has the address; None if it is free."""
        try:
            value, _ = self._storage.read(address_key(email))
        except KeyNotFound:
            return None
        owner = reserved_for(value)
        return owner if owner is not None and self._lists(owner, email) else None

    def reserve(self, username: str, email: str) -> None:
        """Reserve a free address, before the record lists it.

        :raises AccountExists: the address belongs to another user.
        """
        update(self._storage, address_key(email), lambda value: self._taken_over(value, username, email))

    def _taken_over(self, value: bytes | None, username: str, email: str) -> bytes | None:
        """Return the reservation of a new owner; None if the user has reserved the address already.

        :raises AccountExists: the address belongs to another user.
        """
        owner = None if value is None else reserved_for(value)
        if owner == username:
            return None
        if owner is not None and self._lists(owner, email):
            raise AccountExists("Username or email already exists")
        return reservation(username)

    def settle(self, username: str, email: str) -> bool:
        """Write the reservation of a listed address again. This write decides who has the address.

        Return False if another user has reserved it meanwhile. The record must then no longer list it.
        """

        def settled(value: bytes | None) -> bytes | None:
            is_free = value is None or reserved_for(value) in (username, None)
            return reservation(username) if is_free else None

        _, value = update(self._storage, address_key(email), settled)
        return value is not None and reserved_for(value) == username

    def release(self, username: str, email: str) -> None:
        """Remove the user's reservation of an address that the record does not list."""
        key = address_key(email)
        try:
            value, stat = self._storage.read(key)
        except KeyNotFound:
            return
        if reserved_for(value) == username and not self._lists(username, email):
            # another value was written since: by another user, or because the record lists the address again
            with suppress(KeyNotFound, KeyConflict):
                self._storage.delete(key, expect=stat.etag)
