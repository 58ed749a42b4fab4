"""Which user has an address: the reservations of :class:`~v1registry.accounts.users.UserStore`.

An address belongs to the user whom its reservation names, if that user's record lists it. Every other
reservation is void, and another user may take it over. docs/internals.md, section "Registration", says why an
address never belongs to two users.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from ..storage import records
from ..storage.base import KeyConflict, KeyNotFound, Storage
from .base import AccountExists
from .records import Reservation, address_key


class Reservations:
    """The reservations in a storage. Safe for threads and, if the storage is, for processes.

    Every method raises StorageUnavailable if the storage fails, or if a reservation is broken.

    :param lists: returns whether the record of a user lists an address.
    """

    def __init__(self, storage: Storage, lists: Callable[[str, str], bool]) -> None:
        self._storage = storage
        self._lists = lists

    def owner(self, email: str) -> str | None:
        """Return the name of the user who has the address; None if it is free."""
        found = records.find(self._storage, address_key(email), Reservation)
        owner = None if found is None else found.username
        return owner if owner is not None and self._lists(owner, email) else None

    def reserved_at(self, email: str) -> datetime | None:
        """Return when an address was reserved, None if it is not."""
        try:
            return self._storage.stat(address_key(email)).modified
        except KeyNotFound:
            return None

    def reserve(self, username: str, email: str) -> None:
        """Reserve a free address, before the record lists it.

        :raises AccountExists: the address belongs to another user.
        """

        def reserved(found: Reservation | None) -> Reservation | None:
            owner = None if found is None else found.username
            if owner == username:
                return None
            if owner is not None and self._lists(owner, email):
                raise AccountExists("Username or email already exists")
            return Reservation.new(username)

        records.update(self._storage, address_key(email), Reservation, reserved)

    def settle(self, username: str, email: str) -> bool:
        """Write the reservation of a listed address again. This write decides who has the address.

        Return False if another user has reserved it meanwhile. The record must then no longer list it.
        """

        def settled(found: Reservation | None) -> Reservation | None:
            is_free = found is None or found.username in (username, None)
            return Reservation.new(username) if is_free else None

        _, new = records.update(self._storage, address_key(email), Reservation, settled)
        return new is not None and new.username == username

    def release(self, username: str, email: str) -> None:
        """Remove the user's reservation of an address that the record does not list."""
        found = records.find_stored(self._storage, address_key(email), Reservation)
        if found is not None and found.record.username == username and not self._lists(username, email):
            # another value was written since: by another user, or because the record lists the address again
            with suppress(KeyNotFound, KeyConflict):
                self._storage.delete(found.key, expect=found.etag)
