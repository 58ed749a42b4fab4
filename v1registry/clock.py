"""The clock of a registry: the one place from which its services get the time.

A service that decides by the time gets a :class:`Clock` by its constructor, as ``clock``. What measures how
long its own work or a client takes (time-outs, durations in logs) uses the system's clock directly, because
that time really passes.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Final


class Clock:
    """Reads the system's time. A subclass may tell another one. Safe for threads.

    >>> Clock().now().tzinfo
    datetime.timezone.utc
    """

    def time_s(self) -> float:
        """Return the seconds since the epoch, for moments that are stored or signed."""
        return time.time()

    def monotonic_s(self) -> float:
        """Return seconds that never go back, for periods within one process. Their origin is arbitrary."""
        return time.monotonic()

    def now(self) -> datetime:
        """Return the moment of :meth:`time_s`, aware, in UTC."""
        return datetime.fromtimestamp(self.time_s(), timezone.utc)


#: What services use unless they get a different one.
SYSTEM_CLOCK: Final = Clock()
