"""Locks around calls of a store. If the store fails for one thread, those that waited for it fail too.

Without that, each of them would wait for a failure of its own, one after the other.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

from ..base import StorageUnavailable
from .failures import StoreFailed


class Turn:
    """A lock of threads that call a store. A thread may take it again while it has it."""

    def __init__(self) -> None:
        self._lock = RLock()  # guards the attributes below
        self._failures = 0  #: how many holders the store failed for
        self._reason = ""  #: of the last failure

    @contextmanager
    def taken(self, key: str, until_s: float | None = None) -> Iterator[None]:
        """Hold the lock.

        :param key: what the caller of the storage named, for exceptions.
        :param until_s: how long it is waited for, on the monotonic clock; None for as long as holders take.
        :raises StoreFailed: the store failed for another holder while this thread waited.
        :raises StorageUnavailable: the time is over.
        """
        failures = self._failures
        timeout_s = -1.0 if until_s is None else max(0.0, until_s - time.monotonic())
        if not self._lock.acquire(timeout=timeout_s):
            raise StorageUnavailable(key, "other requests wait for the object store too long")
        try:
            if self._failures != failures:
                raise StoreFailed(key, self._reason)
            try:
                yield
            except StoreFailed as error:
                self._failures += 1
                self._reason = error.reason
                raise
        finally:
            self._lock.release()
