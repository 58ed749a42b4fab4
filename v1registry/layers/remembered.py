"""A size-bounded LRU cache for the threads of one process.

It is for values that never change, or that are kept under a key with their etag, so that other processes
cannot make them stale.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import suppress
from operator import itemgetter
from threading import Lock
from typing import Generic, TypeVar

from cachetools import LRUCache

T = TypeVar("T")


class Remembered(Generic[T]):
    """The most recently used values, up to a total size. Safe for threads.

    :param limit: the total size of all values. A larger value is not kept.
    :param size_of: returns the size of a value, in the same unit.

    >>> words = Remembered[str](10, len)
    >>> words.keep(1, "one two")
    >>> words.keep(2, "three")
    >>> words.find(1), words.find(2)
    (None, 'three')
    """

    def __init__(self, limit: int, size_of: Callable[[T], int]):
        self._size_of = size_of
        self._lock = Lock()  # cachetools is not safe for threads
        self._values: LRUCache[Hashable, tuple[T, int]] = LRUCache(limit, itemgetter(1))

    def find(self, key: Hashable) -> T | None:
        """Return the value that is kept under a key, or None."""
        with self._lock:
            found = self._values.get(key)
        return None if found is None else found[0]

    def keep(self, key: Hashable, value: T) -> None:
        """Keep a value in place of the one before; the least recently used ones are dropped."""
        size = self._size_of(value)
        with self._lock:
            self._values.pop(key, None)
            with suppress(ValueError):  # it is larger than the limit
                self._values[key] = value, size

    def __len__(self) -> int:
        return len(self._values)
