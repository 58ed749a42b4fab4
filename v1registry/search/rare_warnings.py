"""Warnings that many requests would cause are logged once in a minute."""

from __future__ import annotations

from threading import Lock
from typing import Final

from ..clock import Clock
from ..log import get_logger

log = get_logger(__name__)

#: How long a warning is not repeated, in seconds.
PERIOD_S: Final = 60.0


class RareWarnings:
    """Logs each kind of warning at most once in a minute. Safe for threads."""

    def __init__(self, clock: Clock):
        self._clock = clock
        self._lock = Lock()
        self._logged: dict[str, tuple[float, int]] = {}  # kind -> when it was logged, how many were not since

    def warn(self, kind: str, *values: object) -> None:
        """Log a warning, or count it.

        :param kind: the message; its ``%s`` stand for the values.
        """
        now_s = self._clock.monotonic_s()
        with self._lock:
            logged_s, left_out = self._logged.get(kind, (float("-inf"), 0))
            if logged_s <= now_s < logged_s + PERIOD_S:
                self._logged[kind] = logged_s, left_out + 1
                return
            self._logged[kind] = now_s, 0
        more = f" ({left_out} more like it were not logged)" if left_out else ""
        log.warning(kind + "%s", *values, more)
