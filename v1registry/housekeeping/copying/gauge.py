"""How far a copy is, counted by several threads, and how fast it may read."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event, Lock

from ..findings import Problem
from ..pace import Pace
from .report import MOST_KEPT, LeftOutTag


class Cancelled(Exception):
    """The copy was interrupted."""


@dataclass
class Pass:
    """What one pass found and did."""

    keys: int = 0
    changes: int = 0  #: values that were written or removed, or that changed while they were read
    extra: int = 0  #: keys that only the destination has
    problems: list[Problem] = field(default_factory=list)
    damaged: set[str] = field(default_factory=set)  #: the keys of the problems
    left_out_tags: list[LeftOutTag] = field(default_factory=list)


class Gauge:
    """Counts for a copy. Safe for threads."""

    def __init__(self, pace: Pace):
        self._pace = pace
        self._pace_lock = Lock()
        self._lock = Lock()
        self._waiting_bytes = 0
        self.cancelled = Event()
        self.copied = self.copied_bytes = self.linked = self.deleted = 0
        self.current = Pass()

    def read(self, size_bytes: int) -> None:
        """Count bytes that were read from the source, and wait until they are due.

        :raises Cancelled: the copy was interrupted.
        """
        if self.cancelled.is_set():
            raise Cancelled
        with self._lock:
            self._waiting_bytes += size_bytes
        with self._pace_lock:
            self._pace.spend(size_bytes=size_bytes)

    def passed(self, size_bytes: int) -> None:
        """Count bytes that need not be copied."""
        with self._lock:
            self._waiting_bytes += size_bytes

    def looked_at(self) -> None:
        """Count a key. Called by the thread of the run."""
        self.current.keys += 1
        with self._pace_lock:
            self._pace.spend(objects=1)

    def take_bytes(self) -> int:
        """Return the bytes since the last call, for the progress."""
        with self._lock:
            size, self._waiting_bytes = self._waiting_bytes, 0
        return size

    def wrote(self, size_bytes: int) -> None:
        """Count a value that was written."""
        with self._lock:
            self.copied += 1
            self.copied_bytes += size_bytes
            self.current.changes += 1

    def shared(self) -> None:
        """Count a value that was linked."""
        with self._lock:
            self.linked += 1
            self.current.changes += 1

    def removed(self) -> None:
        """Count a key that was removed from the destination."""
        with self._lock:
            self.deleted += 1
            self.current.changes += 1

    def changed(self) -> None:
        """Count a value that the source replaced or removed while it was read."""
        with self._lock:
            self.current.changes += 1

    def found(self, problem: Problem) -> None:
        """Note a damaged value."""
        with self._lock:
            if len(self.current.problems) < MOST_KEPT:
                self.current.problems.append(problem)
                self.current.damaged.add(problem.key)

    def left_out(self, tag: LeftOutTag) -> None:
        """Note a tag that is not copied."""
        with self._lock:
            if len(self.current.left_out_tags) < MOST_KEPT:
                self.current.left_out_tags.append(tag)
