"""A clock that stands still until a test sets it."""

from __future__ import annotations

from v1registry.clock import Clock as AnyClock


class Clock(AnyClock):
    """Tells the time that a test set, also as monotonic seconds.

    :param now_s: in seconds since the epoch.
    """

    def __init__(self, now_s: float = 1_400_000_000.0):
        self.now_s = now_s

    def time_s(self) -> float:
        return self.now_s

    def monotonic_s(self) -> float:
        return self.now_s
