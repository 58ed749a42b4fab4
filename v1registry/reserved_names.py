"""Names that cannot be registered, because rights were given to them (decisions.md 20).

``accounts/reserved/<name in lower case>`` is an empty value for each of them. Rights that were given before
names were reserved are in the records of repositories and users alone. They are collected once for a storage,
which ``accounts/reserved-names-complete`` says afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from threading import Lock, Thread
from typing import Final

from . import errors
from .log import get_logger
from .storage.base import KeyNotFound, Storage
from .storage.records import quoted

log = get_logger(__name__)

_FOLDER: Final = "accounts/reserved"
_COMPLETE: Final = "accounts/reserved-names-complete"

#: How long a question waits for the names of old data, in seconds.
_LONGEST_WAIT_S: Final = 5.0


def reserve(storage: Storage, name: str) -> None:
    """Reserve a name for ever: that of a group, or of a collaborator.

    :raises StorageUnavailable: the storage failed.
    """
    if not _has(storage, _key(name)):
        storage.write(_key(name), b"")


class ReservedNames:
    """Tells which names are reserved. Safe for threads, and for processes if the storage is.

    :param storage: contains the names.
    :param older: returns names that got rights before names were reserved. It may take long. It is called in
        a thread, for the first question of all processes.
    :param wait_s: how long a question waits for that, in seconds.
    """

    def __init__(
        self,
        storage: Storage,
        older: Callable[[], Iterable[str]] = tuple,
        *,
        wait_s: float = _LONGEST_WAIT_S,
    ) -> None:
        self._storage = storage
        self._older = older
        self._wait_s = wait_s
        self._lock = Lock()
        self._collection: Future[None] | None = None  #: the one that runs

    def includes(self, name: str) -> bool:
        """Tell whether a name is reserved, in whatever case.

        :raises NamesBusy: the names of old data are still being collected.
        :raises StorageUnavailable: the storage failed.
        """
        if _has(self._storage, _key(name)):
            return True
        if _has(self._storage, _COMPLETE):
            return False
        try:
            self._running().result(self._wait_s)
        except FutureTimeout:
            raise errors.NamesBusy from None
        return _has(self._storage, _key(name))

    def _running(self) -> Future[None]:
        """Return the collection that runs, after it was begun if need be."""
        with self._lock:
            if self._collection is None:
                self._collection = Future()
                Thread(target=self._collect, args=(self._collection,), daemon=True).start()
            return self._collection

    def _collect(self, collection: Future[None]) -> None:
        """Reserve the names of old data. If it is interrupted, a later question begins again."""
        failure = None
        try:
            for name in self._older():
                reserve(self._storage, name)
            self._storage.write(_COMPLETE, b"")
        except Exception as error:  # noqa: BLE001 (it is raised by the questions)
            log.error("the reserved names of old data cannot be collected: %s", error)
            failure = error
        with self._lock:
            self._collection = None
        if failure is None:
            collection.set_result(None)
        else:
            collection.set_exception(failure)


def _key(name: str) -> str:
    return f"{_FOLDER}/{quoted(name.lower())}"


def _has(storage: Storage, key: str) -> bool:
    try:
        storage.stat(key)
    except KeyNotFound:
        return False
    return True
