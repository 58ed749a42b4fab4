"""The records of users in a storage: found, changed and deleted one by one.

Changes are conditional writes, without locks. A record that was read lately is kept in parsed form. Each use
asks the storage for its etag, so a change of any process counts at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from ..log import get_logger
from ..rights import User
from ..storage import records
from ..storage.base import KeyConflict, KeyNotFound, Storage, StorageUnavailable
from ..storage.recent_values import ParsedValues
from .base import Account, BackendUnavailable, UnknownUser
from .records import UserRecord, user_key

log = get_logger(__name__)

UNAVAILABLE: Final = "The accounts cannot be read or changed now, try again later"

#: How many records are kept. Longer ones are read for each use.
_KEPT: Final = 4096
_LONGEST_KEPT_BYTES: Final = 4096


@dataclass(frozen=True)
class FoundUser:
    """A record with what is made of it for requests."""

    record: UserRecord
    user: User
    account: Account = field(repr=False)

    @classmethod
    def parse(cls, key: str, value: bytes) -> FoundUser:
        """Return what a stored value says.

        :raises BrokenRecord: it is not a record.
        """
        record = records.parsed(key, value, UserRecord)
        account = record.account
        return cls(record, account.user, account)


class UserRecords:
    """The records of the users of one storage. Safe for threads and, if the storage is, for processes.

    Every method raises BackendUnavailable if the storage fails, or if the record is broken.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._values = ParsedValues(storage, FoundUser.parse, _KEPT, _LONGEST_KEPT_BYTES)

    def find(self, username: str) -> FoundUser | None:
        """Return what is stored of a user, None if there is none."""
        try:
            return self._values.read(user_key(username))[0]
        except KeyNotFound:
            return None
        except StorageUnavailable as error:
            raise _unavailable(error) from error

    def require(self, username: str) -> FoundUser:
        """Return what is stored of a user.

        :raises UnknownUser: there is no such user.
        """
        found = self.find(username)
        if found is None:
            raise unknown_user()
        return found

    def update(self, username: str, change: Callable[[UserRecord], UserRecord]) -> UserRecord:
        """Change a record without losing other changes. Return the record as it was before.

        :param change: its exceptions pass through.
        :raises UnknownUser: there is no such user.
        """

        def changed(record: UserRecord | None) -> UserRecord | None:
            return None if record is None else change(record)

        with available():
            old, _ = records.update(self._storage, user_key(username), UserRecord, changed)
        if old is None:
            raise unknown_user()
        return old

    def delete(self, username: str, is_meant: Callable[[UserRecord], bool]) -> UserRecord | None:
        """Delete a record without losing a change of it. Return it as it was, None if there was none that is
        meant.
        """
        while True:
            with available():
                stored = records.find_stored(self._storage, user_key(username), UserRecord)
                if stored is None or not is_meant(stored.record):
                    return None
                try:
                    self._storage.delete(stored.key, expect=stored.etag)
                except KeyNotFound:
                    return None
                except KeyConflict:
                    continue
                return stored.record


@contextmanager
def available() -> Iterator[None]:
    """Raise BackendUnavailable if the storage fails, or if a record is broken."""
    try:
        yield
    except StorageUnavailable as error:
        raise _unavailable(error) from error


def _unavailable(error: StorageUnavailable) -> BackendUnavailable:
    log.error("the storage of the accounts: %s", error)
    return BackendUnavailable(UNAVAILABLE)


def unknown_user() -> UnknownUser:
    """Return the error for a name of no user."""
    return UnknownUser("There is no such user")
