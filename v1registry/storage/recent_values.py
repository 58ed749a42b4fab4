"""Small values that were read lately, each valid as long as its etag."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from .base import Stat, Storage

T = TypeVar("T")


class RecentValues(Generic[T]):
    """Small values by key and etag, the least recently used dropped first. Safe for threads.

    :param capacity: how many values are kept; each takes some hundred bytes.
    """

    def __init__(self, capacity: int):
        self._capacity = capacity
        self._values: OrderedDict[str, tuple[str, T]] = OrderedDict()
        self._lock = Lock()

    def has(self, key: str) -> bool:
        """Tell whether a value of a key is kept, valid or not."""
        return key in self._values

    def get(self, stat: Stat) -> T | None:
        """Return the value of a key as it is stored now, None if it is not kept."""
        with self._lock:
            found = self._values.get(stat.key)
            if found is None or found[0] != stat.etag:
                return None
            self._values.move_to_end(stat.key)
            return found[1]

    def put(self, stat: Stat, value: T) -> None:
        """Keep a value."""
        with self._lock:
            self._values[stat.key] = stat.etag, value
            self._values.move_to_end(stat.key)
            if len(self._values) > self._capacity:
                self._values.popitem(last=False)


class ParsedValues(Generic[T]):
    """Small values of a storage in parsed form. One that is kept costs a look at its etag. Safe for threads.

    It is for keys that docker-registry does not write: it writes in place, and its file systems may give two
    values of one moment the same etag.

    :param parse: makes of key and value the form that is kept, which no caller changes.
    :param capacity: how many values are kept; each takes some hundred bytes.
    :param longest_bytes: a longer value is parsed for each use.
    """

    def __init__(
        self, storage: Storage, parse: Callable[[str, bytes], T], capacity: int, longest_bytes: int = 16_384
    ):
        self._storage = storage
        self._parse = parse
        self._longest_bytes = longest_bytes
        self._recent = RecentValues[T](capacity)

    def read(self, key: str) -> tuple[T, Stat]:
        """Return the parsed value of a key, and its Stat.

        :raises KeyNotFound: nothing is stored under the key.
        """
        if self._recent.has(key):
            stat = self._storage.stat(key)
            found = self._recent.get(stat)
            if found is not None:
                return found, stat
        value, stat = self._storage.read(key)
        parsed = self._parse(key, value)
        if stat.size <= self._longest_bytes:
            self._recent.put(stat, parsed)
        return parsed, stat
