"""Turns of the threads of a process, with a bounded number of waiting threads: one for all, or one for each
client.

No library bounds the waiters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
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


class ClientTurns:
    """Lets one thread of each client at a time work, and threads of a few clients at once.

    :param most: of how many clients threads work at once.
    :param patience: how the threads of one client wait. All clients together may have ``most`` times as many.
    """

    def __init__(self, most: int, patience: Patience):
        self._most: Final = most
        self._patience: Final = patience
        self._changed: Final = Condition()  # guards all that follows
        self._running: set[Hashable] = set()
        self._waiting: Counter[Hashable] = Counter()

    @contextmanager
    def turn(self, client: str) -> Iterator[None]:
        """Exclude other threads of the same client.

        :param client: empty if it is unknown; it then excludes no other client.
        :raises Busy: too many threads of the client wait already, or the turn did not come in time.
        """
        key: Hashable = client or object()
        with self._changed:
            if not self._is_free(key):
                self._wait(key)
            self._running.add(key)
        try:
            yield
        finally:
            with self._changed:
                self._running.discard(key)
                self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """How many threads wait."""
        with self._changed:
            return self._waiting.total()

    def _is_free(self, key: Hashable) -> bool:
        return key not in self._running and len(self._running) < self._most

    def _wait(self, key: Hashable) -> None:
        most = self._patience.most_waiting
        if self._waiting[key] >= most or self._waiting.total() >= most * self._most:
            raise Busy
        self._waiting[key] += 1
        try:
            if not self._changed.wait_for(lambda: self._is_free(key), self._patience.wait_s):
                raise Busy
        finally:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key]
