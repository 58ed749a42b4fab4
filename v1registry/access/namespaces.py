"""Which user a namespace belongs to, if users come from outside (decisions.md 21).

The namespace of a user is the name in lower case. Directories, password files and single sign-on may know
two users whose names differ in case only. The first one who logs in gets the namespace:
``accounts/namespaces/<name in lower case>`` is a record with the name as it is. If repositories are in it
before, it belongs to the user whose name is in lower case, as far as the backend finds one: without records
only that user could write there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final

from cachetools import LRUCache, TTLCache

from ..accounts.base import NotSupported
from ..clock import SYSTEM_CLOCK, Clock
from ..log import get_logger
from ..reserved_names import reserve
from ..rights import User
from ..storage import records
from ..storage.base import KeyConflict, Storage

log = get_logger(__name__)

#: How many users are remembered by a process, and how long, in seconds: a namespace may be given away.
_REMEMBERED: Final = 10_000
_REMEMBERED_S: Final = 60.0


@dataclass(frozen=True)
class NamespaceRecord:
    """The owner of a namespace."""

    username: str


def namespace_key(username: str) -> str:
    """Return the key of the record of a user's namespace."""
    return f"accounts/namespaces/{records.quoted(username.lower())}"


class Namespaces:
    """Gives each namespace to one user. Safe for threads and, if the storage is, for processes.

    :param storage: contains the records.
    :param find: looks a user up by name, as a backend does; None if nothing is looked up.
    :param has_repositories: tells whether a namespace has repositories.
    :param is_read_only: whether nothing may be written; the process then remembers new owners.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        find: Callable[[str], User | None] | None = None,
        has_repositories: Callable[[str], bool] = lambda namespace: False,
        is_read_only: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._storage = storage
        self._find = find
        self._has_repositories = has_repositories
        self._is_read_only = is_read_only
        self._unrecorded: LRUCache[str, str] = LRUCache(_REMEMBERED)
        self._seen: TTLCache[User, bool] = TTLCache(_REMEMBERED, _REMEMBERED_S, timer=clock.monotonic_s)
        self._lock = Lock()

    def admits(self, user: User) -> bool:
        """Tell whether the user owns the namespace of the name. The first user of the name gets it.

        The names of the user's groups are reserved, so they cannot be registered. A refusal is logged.

        :raises StorageUnavailable: the storage failed.
        """
        with self._lock:
            if self._seen.get(user):
                return True
        owner = self._claimed(user.name)
        if owner != user.name:
            log.warning(
                "refused user %r: the namespace %r belongs to user %r, whose name differs in case only; "
                "to give it away, remove %s from the storage",
                user.name, user.namespace, owner, namespace_key(user.name),
            )  # fmt: skip
            return False
        for group in () if self._is_read_only else sorted(user.groups):
            reserve(self._storage, group)
        with self._lock:
            self._seen[user] = True
        return True

    def is_owned(self, username: str) -> bool:
        """Tell whether a user has logged in to whom the namespace of the name belongs.

        :raises StorageUnavailable: the storage failed.
        """
        return self._owner(username) is not None

    def _owner(self, username: str) -> str | None:
        record = records.find(self._storage, namespace_key(username), NamespaceRecord)
        return None if record is None else record.username

    def _claimed(self, username: str) -> str | None:
        """Return the owner of a namespace. If it had none, it gets one.

        :raises BackendUnavailable: the backend cannot answer now.
        """
        owner = self._owner(username)
        if owner is not None:
            return owner
        owner = self._new_owner(username)
        if self._is_read_only:
            with self._lock:
                return self._unrecorded.setdefault(username.lower(), owner)
        try:
            records.create(self._storage, namespace_key(username), NamespaceRecord(owner))
        except KeyConflict:
            return self._owner(username)
        return owner

    def _new_owner(self, username: str) -> str:
        """Return the user, or the one of that name in lower case if the repositories there are older.

        :raises BackendUnavailable: the backend cannot answer now.
        """
        namespace = username.lower()
        if username == namespace or self._find is None or not self._has_repositories(namespace):
            return username
        try:
            found = self._find(namespace)
        except NotSupported:
            return username
        # a directory may find the user under another spelling
        return namespace if found is not None and found.name == namespace else username
