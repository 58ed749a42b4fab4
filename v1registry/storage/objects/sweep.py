"""The removal of data objects that no document names.

A data object is removed if the sweep before found no document that named it, at least
:data:`LEAST_WAIT_S` ago, and two walks of this one find none either. docs/internals.md says why no key loses
its value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from ...clock import Clock
from ..base import InvalidKey, StorageUnavailable
from ..sweeping import Swept
from .data import DATA_OBJECTS
from .documents import DATA, UnreadableDocument, is_tombstone, parse
from .groups import DOCUMENTS, Groups, group_of_object
from .parallel import in_parallel
from .store import Found, ObjectAccess

#: The object that names what the last sweep found.
FOUND_OBJECT: Final = "sweep/found"

#: How long an object was without a document before it is removed, in seconds. Changes that began before the
#: last sweep have ended, and so have nearly all downloads.
LEAST_WAIT_S: Final = 3600

#: Documents below this folder that are empty for so long are removed. Uploads make many.
_UPLOADS: Final = f"{DOCUMENTS}/uploads"
_LASTING_UPLOADS: Final = f"{_UPLOADS}/_deleted/"
_TOMBSTONE_AGE_S: Final = 3600

#: How many objects the last sweep may name, and how many are removed at once.
_MOST_FOUND: Final = 200_000
_REMOVED_AT_ONCE: Final = 500


class _Record(NamedTuple):
    """What the last sweep found."""

    ended_s: float
    names: frozenset[str]


class ObjectSweep:
    """One sweep.

    :param groups: which keys change together.
    :param old_folders: the folders of old objects, which are data objects too if their names are keys.
    :param look: is called with the number of objects that were looked at since the last call.
    """

    def __init__(
        self,
        access: ObjectAccess,
        *,
        groups: Groups,
        old_folders: Iterable[str],
        clock: Clock,
        look: Callable[[int], None],
    ):
        self._access = access
        self._groups = groups
        self._data_folders = (DATA_OBJECTS, *old_folders)
        self._clock = clock
        self._now_s = clock.time_s()  #: when the sweep began
        self._look = look

    def run(self, *, older_than_s: float, is_dry_run: bool) -> Swept:
        """Remove what no document names, and note what the next sweep may remove.

        :param older_than_s: data objects that are younger stay.
        :raises StorageUnavailable: the store failed, or a document cannot be read.
        """
        before = self._read_record()
        documents, tombstones = self._documents()
        named = self._named_by(documents)
        cutoff_ns = int((self._now_s - older_than_s) * 1e9)
        unnamed = {
            found.name: found.size for found in self._old_data(cutoff_ns) if hash(found.name) not in named
        }
        if unnamed:
            # a document may have got the name from one that was read later
            documents, _ = self._documents()
            still = self._named_by(reversed(documents))
            unnamed = {name: size for name, size in unnamed.items() if hash(name) not in still}
        removed = {name: size for name, size in unnamed.items() if name in before.names}
        waiting = {name: size for name, size in unnamed.items() if name not in removed}
        if not is_dry_run:
            self._remove(removed)
            for _ in in_parallel(self._remove_tombstone, tombstones):
                pass
            self._write_record(before, waiting)
        return Swept(len(removed), sum(removed.values()), len(waiting), sum(waiting.values()))

    def _documents(self) -> tuple[list[str], list[Found]]:
        """Return the names of the documents that name something, and the empty ones that may be removed."""
        names: list[str] = []
        tombstones = []
        old_ns = int((self._now_s - _TOMBSTONE_AGE_S) * 1e9)
        for found in self._access.list(DOCUMENTS):
            self._look(1)
            if not is_tombstone(found.size):
                names.append(found.name)
            elif (
                found.name.startswith(f"{_UPLOADS}/")
                and not found.name.startswith(_LASTING_UPLOADS)
                and found.modified_ns < old_ns
            ):
                tombstones.append(found)
        return names, tombstones

    def _named_by(self, documents: Iterable[str]) -> set[int]:
        """Return the hashes of the names of all data objects that documents name."""
        named: set[int] = set()
        for names in in_parallel(self._names_in, documents):
            named.update(names)
        return named

    def _names_in(self, document: str) -> list[int]:
        try:
            found = self._access.get(document)
        except FileNotFoundError:
            return []
        assert found is not None
        try:
            names = parse(found[0]).names
        except UnreadableDocument as error:
            start = group_of_object(document).start
            raise StorageUnavailable(start, f"the object {document} cannot be used: {error}") from None
        return [hash(entry.value) for entry in names.values() if entry.kind == DATA]

    def _old_data(self, cutoff_ns: int) -> Iterator[Found]:
        for folder in self._data_folders:
            for found in self._access.list(folder):
                self._look(1)
                if found.modified_ns < cutoff_ns and self._may_have_key(found.name):
                    yield found

    def _may_have_key(self, name: str) -> bool:
        """Tell whether a document may name an object. No key was made of other old objects, so they stay."""
        try:
            self._groups.of_any(name)
        except InvalidKey:
            return False
        return True

    def _remove(self, names: Iterable[str]) -> None:
        rest = iter(names)
        while some := list(islice(rest, _REMOVED_AT_ONCE)):
            self._access.delete(*some)

    def _remove_tombstone(self, found: Found) -> None:
        """Remove an empty document of uploads. A push that comes back in this very moment begins again."""
        now = self._access.head(found.name)
        if now is not None and now.e_tag == found.e_tag:
            self._access.delete(found.name)

    def _read_record(self) -> _Record:
        """Return what the last sweep found, if that is long enough ago."""
        try:
            found = self._access.get(FOUND_OBJECT)
            assert found is not None
            record = json.loads(found[0])
            ended_s, names = float(record["ended"]), frozenset(record["names"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return _Record(0.0, frozenset())
        if ended_s > self._now_s - LEAST_WAIT_S:
            return _Record(ended_s, frozenset())
        return _Record(ended_s, names)

    def _write_record(self, before: _Record, waiting: Iterable[str]) -> None:
        """Note what the next sweep may remove."""
        if before.ended_s > self._now_s - LEAST_WAIT_S:
            # what the last one found waits already
            return
        names = list(islice(waiting, _MOST_FOUND))
        # a long sweep has only now ended
        data = json.dumps({"ended": self._clock.time_s(), "names": names}, separators=(",", ":")).encode()
        self._access.replace(FOUND_OBJECT, data)
