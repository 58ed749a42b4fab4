"""How fast maintenance works, so that a server beside it stays quick."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Final

from ..clock import SYSTEM_CLOCK, Clock

#: Pauses that are shorter than this are made up for later, in seconds.
_SHORTEST_PAUSE_S: Final = 0.01

#: How much time without work may be made up for at once, in seconds.
_MOST_CREDIT_S: Final = 0.1


class Pace:
    """Bounds a rate: each call of :meth:`spend` waits until the work that it names is due. Safe for threads.

    :param bytes_per_s: how many bytes may be read in a second; None if there is no limit.
    :param objects_per_s: how many objects may be looked at in a second; None if there is no limit.
    :param sleep: waits for a number of seconds. An exception that it raises passes through.
    :raises ValueError: a limit is not positive.
    """

    def __init__(
        self,
        bytes_per_s: float | None = None,
        objects_per_s: float | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
        sleep: Callable[[float], None] = time.sleep,
    ):
        for name, limit in (("bytes_per_s", bytes_per_s), ("objects_per_s", objects_per_s)):
            if limit is not None and not limit > 0:
                raise ValueError(f"{name} must be more than 0, not {limit!r}")
        self._bytes_per_s = bytes_per_s
        self._objects_per_s = objects_per_s
        self._clock = clock
        self._sleep = sleep
        self._lock = Lock()  # guards the time
        self._due_s = float("-inf")

    def spend(self, size_bytes: int = 0, objects: int = 0) -> None:
        """Wait until that many bytes and objects are within the limits.

        :param size_bytes: how many bytes were read since the last call.
        :param objects: how many objects were looked at since the last call.
        """
        cost_s = 0.0
        if self._bytes_per_s is not None:
            cost_s = size_bytes / self._bytes_per_s
        if self._objects_per_s is not None:
            cost_s = max(cost_s, objects / self._objects_per_s)
        if cost_s == 0:
            return
        with self._lock:
            now_s = self._clock.monotonic_s()
            self._due_s = max(self._due_s, now_s - _MOST_CREDIT_S) + cost_s
            pause_s = self._due_s - now_s
        if pause_s >= _SHORTEST_PAUSE_S:
            self._sleep(pause_s)


#: Has no limits, and so no state.
UNLIMITED: Final = Pace()
