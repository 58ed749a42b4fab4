"""What takes long to make and is asked for again: a memory with a bound, and turns at the work.

Both are for one process: what they hold can be made again, and never says anything that another process could make untrue.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import Condition, Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """The values that were asked for last, bounded in bytes. Safe for threads.

    :param limit_bytes: what all values together may take. One that takes more alone is not kept.
    :param size_of: how many bytes a value takes, about, its key included.

    >>> words = Remembered[str](10, len)
    >>> words.keep(1, "one two")
    >>> words.keep(2, "three")
    >>> words.find(1), words.find(2)
    (None, 'three')
    """

    def __init__(self, limit_bytes: int, size_of: Callable[[T], int]):
        self._limit_bytes = limit_bytes
        self._size_of = size_of
        self._lock = Lock()  # guards all that follows
        self._values: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()  # what was asked for last is last
        self._size_bytes = 0

    def find(self, key: Hashable) -> T | None:
        """Return what is remembered under a key, None where nothing is."""
        with self._lock:
            found = self._values.get(key)
            if found is None:
                return None
            self._values.move_to_end(key)
            return found[0]

    def keep(self, key: Hashable, value: T) -> None:
        """Remember a value in the place of the one before; those that nobody asked for longest give way."""
        size = self._size_of(value)
        with self._lock:
            self._size_bytes -= self._values.pop(key, (value, 0))[1]
            if size > self._limit_bytes:
                return
            self._values[key] = value, size
            self._size_bytes += size
            while self._size_bytes > self._limit_bytes:
                self._size_bytes -= self._values.popitem(last=False)[1][1]

    def __len__(self) -> int:
        return len(self._values)


class Busy(Exception):
    """Somebody else is at it, and nobody more may wait, or the wait was too long."""


class Turns:
    """Lets one thread at a time work on a thing; a few others wait for it, for a while. Safe for threads.

    Whoever waits keeps a thread of the server from everybody else: so only few may, however long the work takes.

    :param most_waiting: how many threads wait, for all things together.
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
        """Keep out all others who ask for a turn at a thing. Busy."""
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
