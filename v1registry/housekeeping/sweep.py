"""The steps of a garbage collection that change the storage (docs/internals.md, Garbage collection)."""

from __future__ import annotations

import json
import os
import secrets
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Final

from ..clock import SYSTEM_CLOCK, Clock
from ..distribution import layout as v2_layout
from ..registry import layout
from ..registry.keeping import CLAIM, SWEEP, host_of_pids, is_dead
from ..storage.base import ABSENT, KeyConflict, KeyNotFound, Stat, Storage
from .candidates import Candidate
from .repository_records import last_segment

#: How often a collection writes its key, in seconds. Others take it for dead after some minutes.
_REFRESHED_EACH_S: Final = 30.0

#: How many of its last writes a collection knows. A thread that looks at the key may see the one before.
_KNOWN_ETAGS: Final = 4


class CollectionRunning(Exception):
    """Another garbage collection runs, or has taken over."""


class Sweep:
    """The key by which requests know that a collection runs. Safe for threads.

    :raises CollectionRunning: another collection runs.
    """

    def __init__(self, storage: Storage, *, clock: Clock = SYSTEM_CLOCK):
        self._storage = storage
        self._clock = clock
        self._fields = {"run": secrets.token_hex(8), "host": host_of_pids(), "pid": os.getpid()}
        expect = ABSENT
        with suppress(KeyNotFound):
            value, stat = storage.read(SWEEP)
            if not is_dead(value, stat, clock.time_s()):
                raise CollectionRunning
            expect = stat.etag
        self._writing = Lock()  # guards the attributes below, but the last one
        self._etags = deque[str](maxlen=_KNOWN_ETAGS)  # what this run has written last
        self._changes = 0  # how many run
        self._has_ended = False
        self._write(self._fields, expect)
        self.has_removed = False

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Change the storage in this context. Requests know of the collection until it ends.

        :raises CollectionRunning: another collection has taken over, or this one has ended.
        """
        with self._writing:
            if self._has_ended:
                raise CollectionRunning
            self._changes += 1
        try:
            self.check()
            yield
        finally:
            with self._writing:
                self._changes -= 1

    def refresh(self) -> None:
        """Let others know that the collection goes on, if that is due. Called often.

        :raises CollectionRunning: another collection has taken over.
        """
        with self._writing:
            is_due = self._clock.monotonic_s() - self._written_at_s > _REFRESHED_EACH_S
        if is_due:
            self.check()

    def check(self) -> None:
        """Check that no other collection has taken over.

        :raises CollectionRunning: one has, because this one was stopped for a long time.
        """
        try:
            stat = self._storage.stat(SWEEP)
        except KeyNotFound:
            raise CollectionRunning from None
        with self._writing:
            # another thread may have written it since
            if stat.etag not in self._etags:
                raise CollectionRunning
            if self._clock.monotonic_s() - self._written_at_s > _REFRESHED_EACH_S:
                self._write(self._fields, self._stat.etag)

    def end(self) -> None:
        """Let requests know that the collection has ended.

        If the run was interrupted, other threads may still change something. Then the key stays, and requests
        go on to keep what they refer to. The next collection takes the key over.
        """
        with self._writing:
            self._has_ended = True
            if self._changes:
                return
        with suppress(KeyNotFound, CollectionRunning, KeyConflict):
            if self.has_removed:
                self._write({"run": self._fields["run"], "ended_s": self._clock.time_s()}, self._stat.etag)
            else:
                # no request can have looked at something that is gone now
                self._storage.delete(SWEEP, expect=self._stat.etag)

    def _write(self, fields: dict[str, object], expect: str) -> None:
        value = json.dumps({**fields, "nonce": secrets.token_hex(8)}).encode("ascii")
        try:
            self._stat = self._storage.write(SWEEP, value, expect=expect)
        except KeyConflict:
            raise CollectionRunning from None
        self._etags.append(self._stat.etag)
        self._written_at_s = self._clock.monotonic_s()

    # -- removing

    def remove(self, candidate: Candidate, cutoff_s: float) -> bool:
        """Remove a content or a blob, unless a request keeps it; tell whether it was removed.

        :param cutoff_s: nothing is removed if a key is younger, in seconds since the epoch.
        """
        with self.changing():
            return self._remove(candidate, cutoff_s)

    def _remove(self, candidate: Candidate, cutoff_s: float) -> bool:
        keys = list(self._keys(candidate.folder))
        if any(stat.modified.timestamp() > cutoff_s for stat in keys if last_segment(stat) != CLAIM):
            return False
        value = json.dumps({"removing": self._fields["run"], "nonce": secrets.token_hex(8)}).encode("ascii")
        try:
            # this decides, together with the next step
            claim = self._storage.write(f"{candidate.folder}/{CLAIM}", value, expect=candidate.claim)
        except KeyConflict:
            return False
        self.has_removed = True
        first = v2_layout.DATA if candidate.content is None else layout.JSON
        is_removed = True
        # without the first key, the others count for nothing
        for stat in sorted(keys, key=lambda stat: last_segment(stat) != first):
            if last_segment(stat) == CLAIM:
                continue
            try:
                self._storage.delete(stat.key, expect=stat.etag)
            except KeyNotFound:
                continue
            except KeyConflict:
                if last_segment(stat) == first:
                    is_removed = False
                    break
        self._delete(claim)
        return is_removed

    def _keys(self, folder: str) -> Iterable[Stat]:
        """Yield the keys directly in a folder."""
        prefix = f"{folder}/"
        return (stat for stat in self._storage.list(prefix) if "/" not in stat.key[len(prefix) :])

    def delete(self, stat: Stat) -> bool:
        """Remove a key as it was listed; tell whether it was removed."""
        with self.changing():
            self.has_removed = True
            return self._delete(stat)

    def tidy(self, claim: Stat) -> None:
        """Remove a claim of a request that began before this collection. Nothing else depends on it."""
        with self.changing():
            self._delete(claim)

    def replace(self, stat: Stat, value: bytes) -> bool:
        """Replace a value as it was listed; tell whether it was replaced."""
        with self.changing():
            self.has_removed = True
            try:
                self._storage.write(stat.key, value, expect=stat.etag)
            except KeyConflict:
                return False
            return True

    def _delete(self, stat: Stat) -> bool:
        try:
            self._storage.delete(stat.key, expect=stat.etag)
        except (KeyNotFound, KeyConflict):
            return False
        return True
