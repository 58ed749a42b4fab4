"""A lock for each thing, with a bounded number of waiting threads. No library bounds the waiters."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from threading import Condition


class Busy(Exception):
    """A different thread works on the thing, and too many wait already or the wait took too long."""


class Turns:
    """Lets one thread at a time work on a thing, while a few others wait. For the threads of one process.

    A waiting thread cannot serve other requests, so the number of waiting threads is bounded.

    :param most_waiting: how many threads may wait, for all things together.
    :param wait_s: how long each of them waits, in seconds.
    """

    def __init__(self, *, most_waiting: int, wait_s: float):
        self._most_waiting = most_waiting
        self._wait_s = wait_s
        self._changed = Condition()  # guards all that follows
        self._taken: set[Hashable] = set()
        self._waiting = 0

    @contextmanager
    def turn(self, thing: Hashable) -> Iterator[None]:
        """Exclude all other threads that ask for a turn at the same thing.

        :raises Busy: too many threads wait already, or the turn did not come in time.
        """
        with self._changed:
            if thing in self._taken:
                self._wait(thing)
            self._taken.add(thing)
        try:
            yield
        finally:
            with self._changed:
                self._taken.discard(thing)
                self._changed.notify_all()

    def _wait(self, thing: Hashable) -> None:
        if self._waiting >= self._most_waiting:
            raise Busy
        self._waiting += 1
        try:
            if not self._changed.wait_for(lambda: thing not in self._taken, self._wait_s):
                raise Busy
        finally:
            self._waiting -= 1
