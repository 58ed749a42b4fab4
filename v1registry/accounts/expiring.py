"""Values that a process remembers until a time that each of them has."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class ExpiringValues(Generic[T]):
    """The values that were used last, until they expire. Safe for threads.

    It is for looks at each request: those of cachetools cost several times as much.

    :param most: how many values are kept; beyond, the least recently used one is dropped.
    """

    def __init__(self, most: int):
        self._most = most
        self._lock = Lock()
        self._values: OrderedDict[Hashable, tuple[T, float]] = OrderedDict()

    def find(self, key: Hashable, now_s: float) -> T | None:
        """Return the value of a key; None if there is none, or it has expired.

        :param now_s: the time, on the clock of ``expires_at_s``.
        """
        with self._lock:
            found = self._values.get(key)
            if found is None:
                return None
            value, expires_at_s = found
            if expires_at_s <= now_s:
                del self._values[key]
                return None
            self._values.move_to_end(key)
            return value

    def keep(self, key: Hashable, value: T, expires_at_s: float) -> None:
        """Keep a value in place of the one before."""
        with self._lock:
            self._values[key] = value, expires_at_s
            self._values.move_to_end(key)
            if len(self._values) > self._most:
                self._values.popitem(last=False)

    def expire(self, now_s: float) -> None:
        """Drop all values that have expired."""
        with self._lock:
            for key in [key for key, found in self._values.items() if found[1] <= now_s]:
                del self._values[key]

    def __len__(self) -> int:
        return len(self._values)
