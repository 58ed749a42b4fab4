"""Bounds of CPU time that a busy machine does not break."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: A collection of garbage or a thread of an earlier test may fall into one measurement, but not into all.
ATTEMPTS = 4


def within_cpu(limit_s: float, action: Callable[[], T], what: object = "") -> T:
    """Return the result of the action, which is called again if it took too much CPU time.

    :raises AssertionError: each of :data:`ATTEMPTS` calls took more than ``limit_s``.
    """
    taken = []
    for _ in range(ATTEMPTS):
        began_s = time.process_time()
        result = action()
        taken.append(time.process_time() - began_s)
        if taken[-1] < limit_s:
            return result
    raise AssertionError(f"expected at most {limit_s} s of CPU time, it took {taken}: {what}")
