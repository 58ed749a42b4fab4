"""Small values that were read lately, each good as long as its etag."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from ..storage.base import Stat


class RecentValues:
    """Small values by key and etag, the least recently used dropped first. Safe for threads."""

    def __init__(self, capacity: int):
        self._capacity = capacity  #: entries, each some hundred bytes
        self._values: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._lock = Lock()

    def get(self, stat: Stat) -> str | None:
        """Return the value of a key as it is stored now, None if it is not remembered."""
        with self._lock:
            etag, value = self._values.get(stat.key, ("", ""))
            if etag != stat.etag:
                return None
            self._values.move_to_end(stat.key)
            return value

    def put(self, stat: Stat, value: str) -> None:
        """Remember a value."""
        with self._lock:
            self._values[stat.key] = (stat.etag, value)
            self._values.move_to_end(stat.key)
            if len(self._values) > self._capacity:
                self._values.popitem(last=False)
