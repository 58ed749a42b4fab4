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
from .groups import DOCUMENTS, Groups
from .name_filter import NameFilter
from .parallel import in_parallel
from .store import Found, ObjectAccess

#: The object that names what the last sweep found.
FOUND_OBJECT: Final = "sweep/found"

#: How long an object was without a document before it is removed, in seconds. Changes that began before the
#: last sweep have ended, and so have nearly all downloads.
LEAST_WAIT_S: Final = 3600

#: Documents below this folder that are empty for so long are removed. Uploads make many.
_UPLOADS: Final = f"{DOCUMENTS}/uploads"
_LASTING_UPLOADS: Final = (f"{_UPLOADS}/_deleted/", f"{_UPLOADS}/_bytes/")
_TOMBSTONE_AGE_S: Final = 3600

#: How many objects a sweep may find, which the next one removes, and how many are removed at once.
_MOST_FOUND: Final = 100_000
_REMOVED_AT_ONCE: Final = 500

#: How many documents are listed before those after them are read, on the way back. A store that lists from
#: its beginning on each time (Azure) makes fewer of them expensive.
_LISTED_AT_ONCE: Final = 20_000


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
        named = NameFilter()
        starts = [""]
        for names in in_parallel(self._names_in, self._forward(starts, removes=not is_dry_run)):
            self._look(0)
            for name in names:
                named.add(name)
        removed, waiting = self._unnamed(int((self._now_s - older_than_s) * 1e9), named, before.names)
        if removed or waiting:
            # a document may have got the name from one that was read later
            for names in in_parallel(self._names_in, self._backward(starts)):
                self._look(0)
                for name in names:
                    removed.pop(name, None)
                    waiting.pop(name, None)
        if not is_dry_run:
            self._remove(removed)
            self._write_record(before, waiting)
        return Swept(len(removed), sum(removed.values()), len(waiting), sum(waiting.values()))

    def _forward(self, starts: list[str], *, removes: bool) -> Iterator[str]:
        """Yield the documents that may name something, in the order of their names.

        :param starts: begins with an empty name. The names after which :meth:`_backward` lists are added.
        :param removes: whether old empty documents of uploads are removed.
        """
        old_ns = int((self._now_s - _TOMBSTONE_AGE_S) * 1e9)
        tombstones: list[Found] = []
        last = ""
        for number, found in enumerate(self._documents()):
            if number and number % _LISTED_AT_ONCE == 0:
                starts.append(last)
            last = found.name
            if not is_tombstone(found.size):
                yield found.name
            elif removes and found.modified_ns < old_ns and _is_of_uploads(found.name):
                tombstones.append(found)
                if len(tombstones) == _REMOVED_AT_ONCE:
                    self._remove_tombstones(tombstones)
                    tombstones.clear()
        self._remove_tombstones(tombstones)

    def _backward(self, starts: list[str]) -> Iterator[str]:
        """Yield the documents of now that may name something, the last one first.

        :param starts: names of documents in order, the first one empty.
        """
        until: str | None = None
        for start in reversed(starts):
            page = []
            for found in self._documents(after=start):
                if until is not None and found.name > until:
                    break
                if not is_tombstone(found.size):
                    page.append(found.name)
            yield from reversed(page)
            until = start

    def _documents(self, after: str = "") -> Iterator[Found]:
        """Yield the documents, in the order of their names, without the objects of other programs."""
        for found in self._listed(DOCUMENTS, after=after):
            if self._groups.of_object(found.name) is not None:
                yield found

    def _listed(self, folder: str, after: str = "") -> Iterator[Found]:
        for found in self._access.list(folder, after=after):
            self._look(1)
            yield found

    def _names_in(self, document: str) -> list[str]:
        """Return the names of the data objects that a document names."""
        try:
            found = self._access.get(document)
        except FileNotFoundError:
            return []
        assert found is not None
        try:
            names = parse(found[0]).names
        except UnreadableDocument as error:
            group = self._groups.of_object(document)
            key = document if group is None else group.start
            raise StorageUnavailable(key, f"the object {document} cannot be used: {error}") from None
        return [entry.value for entry in names.values() if entry.kind == DATA]

    def _unnamed(
        self, cutoff_ns: int, named: NameFilter, before: frozenset[str]
    ) -> tuple[dict[str, int], dict[str, int]]:
        """Return the names and sizes of old data objects that no document names: those that the last sweep
        found too, and others.
        """
        known: dict[str, int] = {}
        others: dict[str, int] = {}
        for found in self._old_data(cutoff_ns):
            if named.may_have(found.name) or not self._may_have_key(found.name):
                continue
            if found.name in before:
                known[found.name] = found.size
            elif len(others) < _MOST_FOUND:
                others[found.name] = found.size
        return known, others

    def _old_data(self, cutoff_ns: int) -> Iterator[Found]:
        for folder in self._data_folders:
            for found in self._listed(folder):
                if found.modified_ns < cutoff_ns:
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
            self._look(0)
            self._access.delete(*some)

    def _remove_tombstones(self, tombstones: Iterable[Found]) -> None:
        for _ in in_parallel(self._remove_tombstone, tombstones):
            pass

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
        if not ended_s <= self._now_s + LEAST_WAIT_S:
            # a sweep whose clock was wrong wrote it; nothing would be removed until then
            return _Record(0.0, frozenset())
        if ended_s > self._now_s - LEAST_WAIT_S:
            return _Record(ended_s, frozenset())
        return _Record(ended_s, names)

    def _write_record(self, before: _Record, waiting: Iterable[str]) -> None:
        """Note what the next sweep may remove."""
        if before.ended_s > self._now_s - LEAST_WAIT_S:
            # what the last one found waits already
            return
        # a long sweep has only now ended
        data = json.dumps(
            {"ended": self._clock.time_s(), "names": list(waiting)}, separators=(",", ":")
        ).encode()
        self._access.replace(FOUND_OBJECT, data)


def _is_of_uploads(document: str) -> bool:
    """Tell whether a document may be removed when it is empty."""
    return document.startswith(f"{_UPLOADS}/") and not document.startswith(_LASTING_UPLOADS)
