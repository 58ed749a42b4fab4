"""Documents that a process has seen lately. Each is a guess until the store confirms it."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Final, NamedTuple

from .documents import NO_DOCUMENT, Document
from .groups import Group
from .probes import Version

#: What a guess costs besides the bytes of its document, about.
_OVERHEAD_BYTES: Final = 500


class Seen(NamedTuple):
    """A document, and the state of the object it came from."""

    document: Document
    version: Version | None  #: None if the object did not exist
    size: int  #: bytes of the object


#: A group whose object does not exist.
ABSENT_DOCUMENT: Final = Seen(NO_DOCUMENT, None, 0)


class KnownDocuments:
    """The documents that were seen last, the least recently used dropped first. Safe for threads.

    :param capacity_bytes: of the objects; in memory they take some times more.
    """

    def __init__(self, capacity_bytes: int):
        self._capacity_bytes = capacity_bytes
        self._seen: OrderedDict[Group, Seen] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, group: Group) -> Seen | None:
        """Return what was seen last of a group; None if that is not kept."""
        with self._lock:
            seen = self._seen.get(group)
            if seen is not None:
                self._seen.move_to_end(group)
            return seen

    def put(self, group: Group, seen: Seen) -> None:
        """Keep what was written of a group."""
        with self._lock:
            self._put(group, seen)

    def replace(self, group: Group, before: Seen | None, seen: Seen) -> None:
        """Keep what was read of a group, unless another thread kept something since the reading began.

        :param before: what was kept then.
        """
        with self._lock:
            if self._seen.get(group) is before:
                self._put(group, seen)

    def _put(self, group: Group, seen: Seen) -> None:
        before = self._seen.pop(group, None)
        if before is not None:
            self._bytes -= before.size + _OVERHEAD_BYTES
        self._seen[group] = seen
        self._bytes += seen.size + _OVERHEAD_BYTES
        while self._bytes > self._capacity_bytes and len(self._seen) > 1:
            _, dropped = self._seen.popitem(last=False)
            self._bytes -= dropped.size + _OVERHEAD_BYTES

    def forget(self, group: Group) -> None:
        """Drop what was seen of a group, because a write of it may or may not have happened."""
        with self._lock:
            seen = self._seen.pop(group, None)
            if seen is not None:
                self._bytes -= seen.size + _OVERHEAD_BYTES
