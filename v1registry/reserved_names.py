"""Names that cannot be registered, because rights were given to them (decisions.md 20).

``accounts/reserved/<name in lower case>`` is an empty value for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock
from typing import Final

from .storage.base import KeyNotFound, Storage
from .storage.records import quoted

_FOLDER: Final = "accounts/reserved"


def reserve(storage: Storage, name: str) -> None:
    """Reserve a name for ever: that of a group, or of a collaborator.

    :raises StorageUnavailable: the storage failed.
    """
    if not _has(storage, name):
        storage.write(_key(name), b"")


class ReservedNames:
    """Tells which names are reserved. Safe for threads.

    :param storage: contains the names.
    :param older: returns names that got rights before names were reserved. It is called once, for the first
        question, because it may take long.
    """

    def __init__(self, storage: Storage, older: Callable[[], Iterable[str]] = tuple) -> None:
        self._storage = storage
        self._older = older
        self._older_names: frozenset[str] | None = None
        self._lock = Lock()

    def includes(self, name: str) -> bool:
        """Tell whether a name is reserved, in whatever case.

        :raises StorageUnavailable: the storage failed.
        """
        return _has(self._storage, name) or name.lower() in self._known_older()

    def _known_older(self) -> frozenset[str]:
        with self._lock:
            if self._older_names is None:
                self._older_names = frozenset(name.lower() for name in self._older())
            return self._older_names


def _key(name: str) -> str:
    return f"{_FOLDER}/{quoted(name.lower())}"


def _has(storage: Storage, name: str) -> bool:
    try:
        storage.stat(_key(name))
    except KeyNotFound:
        return False
    return True
