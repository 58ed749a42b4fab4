"""Reading and changing documents: every change of a group is one conditional write of its object.

A writer begins with the state that the process saw last. If the store has a different one, the write fails,
the state is read, and the change is applied again. A change is rejected, because a key exists for example,
only after the store confirmed the state that forbids it.

A write may have happened although the store did not say so: a time-out, or a call that was sent twice, of
which the second one met the first. Each write leaves a text of its own in the document, and the writer looks
for it there.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from ...clock import Clock
from ..base import StorageError, StorageFull, StorageUnavailable
from ..patience import wait
from .documents import (
    INLINE_BYTES,
    INLINE_BYTES_OF_LONG,
    LONG_DOCUMENT_BYTES,
    REMEMBERED_WRITERS,
    Document,
    Names,
    UnreadableDocument,
    Writer,
    parse,
)
from .groups import Group
from .known import ABSENT_DOCUMENT, KnownDocuments, Seen
from .moments import Moments
from .store import Conflict, ObjectAccess, is_same_e_tag
from .turns import Turn

#: Makes new names of those of a document, None if nothing changes. It may be called several times, and raises
#: the StorageError that the caller of the storage gets.
Change = Callable[[Names], Names | None]

#: Threads of a process that change one group wait for each other instead of overtaking each other.
_STRIPES: Final = 256

#: The longest document, in bytes: some 250,000 keys. Each change of one of them writes all of it.
MOST_BYTES: Final = 32 << 20

#: How long a writer waits after it was overtaken, at first and at most, in seconds.
_FIRST_PAUSE_S: Final = 0.005
_LONGEST_PAUSE_S: Final = 0.3

#: How often a write is tried whose result the store did not tell.
_UNKNOWN_RESULTS: Final = 3


class Committer:
    """Reads and changes the documents of a storage. Safe for threads.

    :param deadline_s: how long a change waits for other threads and is tried, and how long a request waits
        for slow calls in all.
    :param cache_bytes: how much is kept of the documents that were seen last.
    """

    def __init__(self, access: ObjectAccess, *, clock: Clock, deadline_s: float, cache_bytes: int):
        self._access = access
        self._deadline_s = deadline_s
        self._known = KnownDocuments(cache_bytes)
        self.moments = Moments(self._known, clock, deadline_s)
        self._turns = [Turn() for _ in range(_STRIPES)]
        self._writer = Writer()

    def read(self, group: Group) -> Document:
        """Return the document of a group as it is in the store now, or in the moment of a request; or a guess
        (:meth:`Moments.guessing`).

        :raises StorageUnavailable: the store failed, or the object is not a document.
        """
        return (self.moments.guess(group) or self.moments.find(group) or self._look(group)).document

    def read_own(self, group: Group) -> Document:
        """Return the document of a group that only this process changes, as the process knows it.

        :raises StorageUnavailable: it is not known any more, and the store failed.
        """
        known = self._known.get(group)
        return self.read(group) if known is None else known.document

    def read_listed(self, group: Group, e_tag: str) -> Document:
        """Return the document of a group that was just listed. It is not read if it is known.

        :param e_tag: of the object in the listing; empty if that had none.
        :raises StorageUnavailable: the store failed, or the object is not a document.
        """
        known = self._known.get(group)
        if known is not None and known.version is not None and is_same_e_tag(known.version.e_tag, e_tag):
            return known.document
        return self._look(group).document

    def most_inline(self, group: Group) -> int:
        """Return how many bytes a value may have that is put into the document of a group.

        The document that the process saw last decides.
        """
        known = self._known.get(group)
        return INLINE_BYTES_OF_LONG if known and known.size > LONG_DOCUMENT_BYTES else INLINE_BYTES

    def commit(self, key: str, group: Group, change: Change, *, is_new: bool = False) -> None:
        """Change a group in one step.

        :param key: what the caller of the storage named, for exceptions.
        :param is_new: whether the group has probably no document, if this process has not seen it.
        :raises StorageError: ``change`` raised it for the state in the store.
        :raises StorageFull: the document would be too long.
        :raises StorageUnavailable: the store failed, or other writers were faster again and again. If the
            store failed, the change may have happened.
        """
        until_s = time.monotonic() + self._deadline_s
        with self.locked(key, group, until_s=until_s):
            attempt = _Attempt(self._writer_of_process(), until_s)
            seen = self.moments.find(group)
            is_sure = seen is not None
            if seen is None and not self._access.is_single_writer:
                seen = self._known.get(group) or (ABSENT_DOCUMENT if is_new else None)
            if seen is None:
                is_sure = True
                seen = self._look(group)
            while True:
                try:
                    names = change(seen.document.names)
                except StorageError:
                    if is_sure:
                        raise
                    names = None
                if names is not None:
                    document = seen.document.followed_by(names, attempt.writer)
                    if self._write(key, group, seen, document, attempt):
                        return
                    attempt.pause(key)
                elif is_sure:
                    return
                base, seen = seen, self._look(group)
                if names is not None and attempt.has_happened(key, base, seen, is_sure=is_sure):
                    return
                is_sure = True

    def _writer_of_process(self) -> Writer:
        """Return the name of this process as a writer. A process that was forked is another writer."""
        if self._writer.process != os.getpid():
            self._writer = Writer()
        return self._writer

    def _write(self, key: str, group: Group, seen: Seen, document: Document, attempt: _Attempt) -> bool:
        """Write a document over the one that was seen; return whether that succeeded for sure.

        :raises StorageFull: the document would be too long.
        :raises StorageUnavailable: the probe of the store failed.
        """
        data = document.dump()
        if len(data) > max(MOST_BYTES, seen.size):
            raise StorageFull(
                key, f"the keys that begin with {group.start} need more than {MOST_BYTES} bytes"
            )
        if not self._access.is_single_writer:
            # if the probe fails, nothing was sent, and no result is unknown
            self._access.conditions()
        attempt.writes.append(document.version)
        try:
            version = self._access.put(group.object_name, data, seen.version)
        except Conflict:
            return False
        except StorageUnavailable as error:
            self._known.forget(group)
            attempt.note_unknown(error)
            return False
        seen = Seen(document, version, len(data))
        self._known.put(group, seen)
        self.moments.note(group, seen)
        return True

    def _look(self, group: Group) -> Seen:
        """Return the state of a group in the store."""
        known = self._known.get(group)
        seen = self._read(group, known)
        if seen is not known:
            self._known.replace(group, known, seen)
        self.moments.note(group, seen)
        return seen

    def _read(self, group: Group, known: Seen | None) -> Seen:
        """Return the state of a group in the store; the known one if it still is that."""
        name = group.object_name
        try:
            found = self._access.get(name, None if known is None else known.version)
        except FileNotFoundError:
            return ABSENT_DOCUMENT
        if found is None:
            assert known is not None
            return known
        data, version = found
        try:
            return Seen(parse(data), version, len(data))
        except UnreadableDocument as error:
            raise StorageUnavailable(group.start, f"the object {name} cannot be used: {error}") from None

    @contextmanager
    def locked(self, key: str, *groups: Group, until_s: float | None = None) -> Iterator[None]:
        """Keep other threads of this process from changing some groups.

        :param until_s: how long they are waited for, on the monotonic clock; None for the usual time.
        :raises StorageUnavailable: they took too long, or the store failed for one of them.
        """
        if until_s is None:
            until_s = time.monotonic() + self._deadline_s
        with ExitStack() as held:
            for number in sorted({hash(group) % _STRIPES for group in groups}):
                with wait(key):
                    held.enter_context(self._turns[number].taken(key, until_s))
            yield


class _Attempt:
    """The tries of one change. Until it ends, its writer makes no other change of the group.

    :param ends_s: of the monotonic clock.
    """

    def __init__(self, writer: Writer, ends_s: float):
        self.writer = writer
        self._ends_s = ends_s
        self._pause_s = _FIRST_PAUSE_S
        self._unknown: list[StorageUnavailable] = []
        self.writes: list[str] = []  #: what the tries wrote into the document, if they wrote it

    def pause(self, key: str) -> None:
        """Wait a moment, each time longer, and differently from other writers.

        :raises StorageUnavailable: the time is over, or the store failed until then.
        """
        if time.monotonic() + self._pause_s > self._ends_s:
            if self._unknown:
                raise self._unknown[-1]
            raise StorageUnavailable(key, "other writers changed the same document again and again")
        time.sleep(random.uniform(0, self._pause_s))  # noqa: S311 - no secret
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def note_unknown(self, error: StorageUnavailable) -> None:
        """Keep the error of a write whose result is unknown."""
        self._unknown.append(error)

    def has_happened(self, key: str, base: Seen, now: Seen, *, is_sure: bool) -> bool:
        """Tell whether one of the tries has changed the document.

        :param base: what the last try expected.
        :param is_sure: whether the store had confirmed ``base`` before that.
        :raises StorageUnavailable: there were so many other writers since then that this cannot be known; or
            the store failed too often.
        """
        mine = [write for write in now.document.writes if self.writer.is_mine(write)]
        if any(write in self.writes for write in mine):
            return True
        # what is left out of the document is older than all that it names
        is_forgotten = (
            not mine
            and len(now.document.writes) >= REMEMBERED_WRITERS
            and not set(base.document.writes) & set(now.document.writes)
        )
        if is_forgotten and (is_sure or self._unknown):
            raise StorageUnavailable(key, "it is unknown whether the value was stored")
        if len(self._unknown) >= _UNKNOWN_RESULTS:
            raise self._unknown[-1]
        return False
