"""One turn for all threads of a process, with a bounded number of waiting threads.

No library bounds the waiters.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition
from typing import Final


class Busy(Exception):
    """A different thread has the turn, and too many wait already or the wait took too long."""


@dataclass(frozen=True)
class Patience:
    """How threads of one kind wait for the turn. A waiting thread cannot serve other requests."""

    most_waiting: int  #: how many threads may wait at once
    wait_s: float  #: how long each of them waits, in seconds


class Turns:
    """Lets one thread at a time work, while a few others wait. For the threads of one process."""

    def __init__(self) -> None:
        self._changed: Final = Condition()  # guards all that follows
        self._is_taken = False
        self._waiting: dict[Patience, int] = {}

    @contextmanager
    def turn(self, patience: Patience) -> Iterator[None]:
        """Exclude all other threads that ask for a turn.

        :param patience: how long to wait. The bound of waiting threads counts those with an equal patience.
        :raises Busy: too many threads wait already, or the turn did not come in time.
        """
        with self._changed:
            if self._is_taken:
                self._wait(patience)
            self._is_taken = True
        try:
            yield
        finally:
            with self._changed:
                self._is_taken = False
                self._changed.notify_all()

    def _wait(self, patience: Patience) -> None:
        waiting = self._waiting.get(patience, 0)
        if waiting >= patience.most_waiting:
            raise Busy
        self._waiting[patience] = waiting + 1
        try:
            if not self._changed.wait_for(lambda: not self._is_taken, patience.wait_s):
                raise Busy
        finally:
            self._waiting[patience] -= 1
