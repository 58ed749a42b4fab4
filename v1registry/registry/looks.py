"""Looks into layers: one at a time in a process, each within bounds, and failed ones remembered.

A layer of a kilobyte may expand to gigabytes, and every reader of an image may ask for what is in it. So the
lists of files, the changes, the TarSums and the pages share one turn (decisions.md 19). WSGI does not tell
whether the client has gone, so a look ends after a time at the latest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from .. import errors
from ..clock import SYSTEM_CLOCK, Clock
from ..layers.archive import RECORDS_LIMIT
from ..layers.compression import LookTooLong
from ..layers.remembered import Remembered
from ..layers.turns import Busy, Patience, Turns

#: Every layer may expand to so many bytes, however small it is.
FREE_EXPANSION_BYTES: Final = 32 << 20

#: How requests for lists and pages wait. The client can repeat them.
READER: Final = Patience(most_waiting=8, wait_s=3.0)

#: How ``PUT checksum`` waits: engines take every answer but 200 for a failed push.
PUSHER: Final = Patience(most_waiting=8, wait_s=30.0)

#: The text for clients if a look took too long.
TOO_LONG: Final = "Looking into the layer takes longer than this server allows"

#: How long a look is not repeated that took too long, in seconds. The load of the machine may be the cause.
_SLOW_LIFETIME_S: Final = 600.0

#: What the remembered failures may take, in bytes, and one of them, about.
_FAILURES_BYTES: Final = 8 << 20
_FAILURE_BYTES: Final = 1024


@dataclass(frozen=True)
class Bounds:
    """How far one look goes. Beyond them LayerTooLarge is raised."""

    expanded_bytes: int = 4 << 30  #: how many bytes a layer may expand to
    ratio: int = 100  #: how many times its own size, if that is more than FREE_EXPANSION_BYTES
    records: int = RECORDS_LIMIT  #: how many tar headers and PAX records it may have
    seconds: float = 30.0

    def expansion(self, stored_bytes: int) -> int:
        """Return how many bytes a layer may expand to.

        :param stored_bytes: its size as it is stored.

        >>> Bounds(4 << 30, ratio=100).expansion(10), Bounds(4 << 30, ratio=100).expansion(1 << 30)
        (33554432, 4294967296)
        """
        return min(self.expanded_bytes, max(FREE_EXPANSION_BYTES, self.ratio * stored_bytes))


class Failures:
    """The looks that failed, so that they are not repeated. Safe for threads.

    They are kept in the process alone: the bounds are settings, and what can be read depends on what is
    installed.
    """

    def __init__(self, clock: Clock):
        self._clock = clock
        self._kept = Remembered[tuple[errors.RegistryError, float]](_FAILURES_BYTES, lambda _: _FAILURE_BYTES)

    def keep(self, place: Hashable, error: errors.RegistryError) -> None:
        """Keep the failure of a look at ``place``, which includes the etag of the layer."""
        is_slow = isinstance(error.__cause__, LookTooLong)
        until = self._clock.monotonic_s() + _SLOW_LIFETIME_S if is_slow else float("inf")
        self._kept.keep(place, (_new(error), until))

    def check(self, place: Hashable) -> None:
        """Raise the error that is kept for ``place``, if there is one.

        :raises LayerNotSupported: a look before found that.
        :raises LayerTooLarge: a look before found that.
        """
        found = self._kept.find(place)
        if found is not None and self._clock.monotonic_s() < found[1]:
            raise _new(found[0])


def _new(error: errors.RegistryError) -> errors.RegistryError:
    """Return an equal error, because one that was raised keeps its traceback."""
    return type(error)(error.public, **error.context)


class Looks:
    """The turn for looks into the layers of one application. Safe for threads.

    :param clock: tells when a look that took too long may be repeated.
    :param timer: seconds that never go back, by which a look takes its time. It is real work, so no test
        moves it.
    """

    def __init__(
        self,
        bounds: Bounds | None = None,
        *,
        turns: Turns | None = None,
        clock: Clock = SYSTEM_CLOCK,
        timer: Callable[[], float] = time.monotonic,
    ):
        self.bounds: Final = bounds or Bounds()
        self.failures: Final = Failures(clock)
        self._turns = turns or Turns()
        self._timer = timer

    @contextmanager
    def look(self, image_id: str, patience: Patience = READER) -> Iterator[Callable[[], None]]:
        """Take the turn; give a function that ends the look if its time is over.

        That function raises :class:`~v1registry.layers.compression.LookTooLong`. It is to be called often.

        :param image_id: for the log.
        :raises LayerBusy: the turn did not come in time.
        """
        try:
            with self._turns.turn(patience):
                end = self._timer() + self.bounds.seconds

                def check() -> None:
                    if self._timer() > end:
                        raise LookTooLong(
                            f"the look takes longer than the limit of {self.bounds.seconds:g} seconds"
                        )

                yield check
        except Busy:
            raise errors.LayerBusy(image_id=image_id) from None
