"""FakeClock: the time of a fake, which a test moves. No function of the standard library is patched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta, timezone
from threading import Lock

from v1registry.clock import Clock

#: The clocks that are shifted in the current context, each with its seconds.
_SHIFTED: ContextVar[tuple[tuple[FakeClock, float], ...]] = ContextVar("v1registry_fakes.shifted", default=())


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
        self._ahead_s = 0.0  # of the system's time since the epoch
        self._monotonic_ahead_s = 0.0  # of the system's monotonic seconds
        self._frozen_at_s: tuple[float, float] | None = None  # time and monotonic seconds of the system

    def time_s(self) -> float:
        """Return the seconds since the epoch, as moved and shifted."""
        shift_s = sum(seconds for clock, seconds in _SHIFTED.get() if clock is self)
        with self._lock:
            return self._system_s()[0] + self._ahead_s + shift_s

    def monotonic_s(self) -> float:
        """Return seconds that never go back. They move with :meth:`advance`, and with a later moment in
        :meth:`set`.
        """
        with self._lock:
            return self._system_s()[1] + self._monotonic_ahead_s

    def advance(self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """Move the time forward by the sum of the arguments. A frozen clock stays frozen at the new time.

        :raises ValueError: the sum is negative, or ends after the year 9999. :meth:`set` moves the time back.
        """
        try:
            step_s = timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days).total_seconds()
        except OverflowError as error:
            raise ValueError(f"must end before the year 10000: {error}") from None
        if step_s < 0:
            raise ValueError(f"must be 0 seconds or more, not {step_s}; set() moves the time back")
        with self._lock:
            self._move(step_s)

    def set(self, moment: datetime) -> None:
        """Set the time to a moment. A frozen clock stays frozen at that moment.

        Limits and memories count monotonic seconds, so a moment in the past does not move those back.

        :param moment: an aware datetime.
        :raises ValueError: it has no time zone.
        """
        if moment.tzinfo is None:
            raise ValueError(f"must have a time zone, such as tzinfo=timezone.utc, not {moment!r}")
        with self._lock:
            self._move(moment.timestamp() - self._system_s()[0] - self._ahead_s)

    def freeze(self) -> None:
        """Stop the time where it is; :meth:`advance` and :meth:`set` still move it."""
        with self._lock:
            if self._frozen_at_s is None:
                self._frozen_at_s = self._system_s()

    def unfreeze(self) -> None:
        """Let the time run on from where it stands."""
        with self._lock:
            if self._frozen_at_s is None:
                return
            time_s, monotonic_s = self._frozen_at_s
            self._frozen_at_s = None
            self._ahead_s -= self._system_s()[0] - time_s
            self._monotonic_ahead_s -= self._system_s()[1] - monotonic_s

    @property
    def is_frozen(self) -> bool:
        """Whether the time stands still."""
        with self._lock:
            return self._frozen_at_s is not None

    def reset(self) -> None:
        """Return to the system's time."""
        with self._lock:
            self._ahead_s = self._monotonic_ahead_s = 0.0
            self._frozen_at_s = None

    @contextmanager
    def shifted(self, seconds: float) -> Iterator[None]:
        """Shift the time within the block, only for the current thread or task (:mod:`contextvars`).

        Monotonic seconds stay, so limits and memories that others use too are not touched. Shifts add up. All
        that a request does in the block happens at the shifted time: it may also remove what is expired then.

        :param seconds: how far; negative for the past.
        """
        token = _SHIFTED.set((*_SHIFTED.get(), (self, seconds)))
        try:
            yield
        finally:
            _SHIFTED.reset(token)

    def __repr__(self) -> str:
        return f"<FakeClock at {self.now()}{', frozen' if self.is_frozen else ''}>"

    def _system_s(self) -> tuple[float, float]:
        """Return the time and the monotonic seconds of the system, as they were if the clock is frozen."""
        return self._frozen_at_s or (super().time_s(), super().monotonic_s())

    def _move(self, step_s: float) -> None:
        moved_s = self._system_s()[0] + self._ahead_s + step_s
        try:
            datetime.fromtimestamp(moved_s, timezone.utc)
        except (OverflowError, ValueError, OSError):
            raise ValueError(f"must end before the year 10000, not {moved_s} seconds after 1970") from None
        self._ahead_s += step_s
        self._monotonic_ahead_s += max(0.0, step_s)
