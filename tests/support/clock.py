"""A clock that stands still until a test sets it."""

from __future__ import annotations


class Clock:
    """Return the time that a test set, in seconds since the epoch. It takes the place of ``time.time``."""

    def __init__(self, now_s: float = 1_400_000_000.0):
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s
