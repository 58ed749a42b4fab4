"""Limits on how often something happens."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from cachetools import LRUCache

from ..clock import SYSTEM_CLOCK, Clock


@dataclass
class _Count:
    events: float  #: decreases with time
    noted_at_s: float


class Rate:
    """Counts events by a key, in this process. Safe for threads.

    At most ``limit`` events happen at once. They are forgotten steadily, ``limit`` of them in ``period_s``.

    :param limit: at least 1.
    :param period_s: in seconds.
    :param capacity: how many keys are remembered.
    """

    def __init__(
        self,
        limit: int,
        period_s: float,
        *,
        capacity: int = 10_000,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._limit = limit
        self._period_s = period_s
        self._clock = clock
        self._counts: LRUCache[str, _Count] = LRUCache(capacity)
        self._lock = Lock()

    def wait_s(self, key: str) -> float:
        """Return the seconds until another event may happen; 0 if it may happen now."""
        with self._lock:
            return self._wait_s(self._current(key))

    def take(self, key: str) -> float:
        """Count an event if it may happen now, and return 0; else return the seconds until it may happen."""
        with self._lock:
            count = self._current(key)
            wait_s = self._wait_s(count)
            if wait_s == 0:
                count.events += 1
                self._counts[key] = count
            return wait_s

    def give_back(self, key: str) -> None:
        """Forget one event, because it did not happen."""
        with self._lock:
            count = self._current(key)
            count.events = max(0.0, count.events - 1)
            self._counts[key] = count

    def _current(self, key: str) -> _Count:
        now, count = self._clock.monotonic_s(), self._counts.get(key)
        if count is None:
            return _Count(0.0, now)
        forgotten = (now - count.noted_at_s) * self._limit / self._period_s
        return _Count(max(0.0, count.events - forgotten), now)

    def _wait_s(self, count: _Count) -> float:
        # tolerate rounding
        too_many = count.events + 1 - self._limit
        return 0.0 if too_many <= 1e-9 else too_many * self._period_s / self._limit
