"""FakeClock: the time of a fake, which a test moves. No function of the standard library is patched."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta, timezone
from threading import Lock
from typing import Final

from v1registry.clock import Clock

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_SECOND_NS: Final = 1_000_000_000

#: The clocks that are shifted in the current context, each with its nanoseconds.
_SHIFTED: ContextVar[tuple[tuple[FakeClock, int], ...]] = ContextVar("v1registry_fakes.shifted", default=())


class FakeClock(Clock):
    """The system's time until a test moves it. Safe for threads.

    Everything that expires in a registry with this clock expires by it: tokens, sessions, OAuth, mailed
    links, unfinished uploads, limits, and what a storage in memory tells about the age of its values.
    Time-outs of connections and the durations in logs stay real.

    >>> from datetime import datetime, timezone
    >>> clock = FakeClock()
    >>> clock.freeze()
    >>> clock.set(datetime(2014, 5, 1, tzinfo=timezone.utc))
    >>> clock.advance(hours=12)
    >>> str(clock.now())
    '2014-05-01 12:00:00+00:00'
    """

    def __init__(self) -> None:
        self._lock = Lock()  # guards the attributes below
        # whole nanoseconds, so that many steps end exactly where their sum does
        self._ahead_ns = 0  # of the system's time since the epoch
        self._monotonic_ahead_ns = 0  # of the system's monotonic time
        self._frozen_at_ns: tuple[int, int] | None = None  # time and monotonic time of the system

    def time_s(self) -> float:
        """Return the seconds since the epoch, as moved and shifted."""
        shift_ns = sum(shift_ns for clock, shift_ns in _SHIFTED.get() if clock is self)
        with self._lock:
            return (self._system_ns()[0] + self._ahead_ns + shift_ns) / _SECOND_NS

    def monotonic_s(self) -> float:
        """Return seconds that never go back. They move with :meth:`advance`, and with a later moment in
        :meth:`set`.
        """
        with self._lock:
            return (self._system_ns()[1] + self._monotonic_ahead_ns) / _SECOND_NS

    def advance(self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """Move the time forward by the sum of the arguments. A frozen clock stays frozen at the new time.

        :raises ValueError: the sum is negative, or ends after the year 9999. :meth:`set` moves the time back.
        """
        try:
            step = timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days)
        except OverflowError as error:
            raise ValueError(f"must end before the year 10000: {error}") from None
        if step < timedelta():
            raise ValueError(
                f"must be 0 seconds or more, not {step.total_seconds()}; set() moves the time back"
            )
        with self._lock:
            self._move(_ns(step))

    def set(self, moment: datetime) -> None:
        """Set the time to a moment. A frozen clock stays frozen at that moment.

        Limits and memories count monotonic seconds, so a moment in the past does not move those back.

        :param moment: an aware datetime.
        :raises ValueError: it has no time zone.
        """
        if moment.tzinfo is None:
            raise ValueError(f"must have a time zone, such as tzinfo=timezone.utc, not {moment!r}")
        with self._lock:
            self._move(_ns(moment - _EPOCH) - self._system_ns()[0] - self._ahead_ns)

    def freeze(self) -> None:
        """Stop the time where it is; :meth:`advance` and :meth:`set` still move it."""
        with self._lock:
            if self._frozen_at_ns is None:
                self._frozen_at_ns = self._system_ns()

    def unfreeze(self) -> None:
        """Let the time run on from where it stands."""
        with self._lock:
            if self._frozen_at_ns is None:
                return
            time_ns, monotonic_ns = self._frozen_at_ns
            self._frozen_at_ns = None
            self._ahead_ns -= self._system_ns()[0] - time_ns
            self._monotonic_ahead_ns -= self._system_ns()[1] - monotonic_ns

    @property
    def is_frozen(self) -> bool:
        """Whether the time stands still."""
        with self._lock:
            return self._frozen_at_ns is not None

    def reset(self) -> None:
        """Return to the system's time."""
        with self._lock:
            self._ahead_ns = self._monotonic_ahead_ns = 0
            self._frozen_at_ns = None

    @contextmanager
    def shifted(self, seconds: float) -> Iterator[None]:
        """Shift the time within the block, only for the current thread or task (:mod:`contextvars`).

        Monotonic seconds stay, so limits and memories that others use too are not touched. Shifts add up. All
        that a request does in the block happens at the shifted time: it may also remove what is expired then.

        :param seconds: how far; negative for the past.
        """
        token = _SHIFTED.set((*_SHIFTED.get(), (self, round(seconds * _SECOND_NS))))
        try:
            yield
        finally:
            _SHIFTED.reset(token)

    def __repr__(self) -> str:
        return f"<FakeClock at {self.now()}{', frozen' if self.is_frozen else ''}>"

    def _system_ns(self) -> tuple[int, int]:
        """Return the time and the monotonic time of the system, as they were if the clock is frozen."""
        return self._frozen_at_ns or (time.time_ns(), time.monotonic_ns())

    def _move(self, step_ns: int) -> None:
        """Move the time.

        :raises ValueError: it would be after the year 9999.
        """
        moved_s = (self._system_ns()[0] + self._ahead_ns + step_ns) / _SECOND_NS
        try:
            datetime.fromtimestamp(moved_s, timezone.utc)
        except (OverflowError, ValueError, OSError):
            raise ValueError(f"must end before the year 10000, not {moved_s} seconds after 1970") from None
        self._ahead_ns += step_ns
        self._monotonic_ahead_ns += max(0, step_ns)


def _ns(span: timedelta) -> int:
    return span // timedelta(microseconds=1) * 1000
