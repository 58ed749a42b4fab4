"""Listings: the documents of a store, merged into keys in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from itertools import islice
from typing import Final

from ..base import Stat
from .documents import Document, has_names_below, is_tombstone
from .groups import BEGINNING, DOCUMENTS, FOLDER, Group, Groups, group_of_object
from .moments import Moments
from .names import decode, encode, printable_part
from .store import ObjectAccess

#: Reads documents, several at once, in the order of the groups. With each group comes the etag of its object,
#: empty if it was not listed.
ReadDocuments = Callable[[Iterable[tuple[Group, str]]], Iterator[tuple[Group, Document]]]

#: How many documents are read at once at most.
READ_AHEAD: Final = 16


class Listing:
    """What is in the groups of a store. Safe for threads."""

    def __init__(self, access: ObjectAccess, groups: Groups, moments: Moments, read_documents: ReadDocuments):
        self._access = access
        self._moments = moments
        self._groups = groups
        self._read_documents = read_documents

    def keys(self, prefix: str, after: str) -> Iterator[Stat]:
        """Yield the Stat of every key that begins with ``prefix`` and sorts after ``after``, in key order.

        Documents come in the order of their starts, and a key is not less than the start of its group. So the
        keys before the next start are complete.
        """
        if not _may_begin_a_key(prefix) or (after > prefix and not after.startswith(prefix)):
            return
        waiting: list[tuple[str, Stat]] = []
        for group, document in self._read_documents(self._found(prefix, after)):
            while waiting and waiting[0][0] < group.start:
                yield heappop(waiting)[1]
            for name, entry in document.names.items():
                key = group.start + name
                if key > after and key.startswith(prefix):
                    heappush(waiting, (key, entry.stat(key)))
        while waiting:
            yield heappop(waiting)[1]

    def groups(self, prefix: str, after: str = "") -> Iterator[Group]:
        """Yield the groups that may have keys with a prefix that sort after ``after``, in the order of their
        starts.
        """
        return (group for group, _ in self._found(prefix, after))

    def _found(self, prefix: str, after: str) -> Iterator[tuple[Group, str]]:
        """Yield :meth:`groups`, each with the etag of its object, which is empty if it was not listed."""
        cover = self._groups.cover(prefix)
        after = printable_part(after) if after > prefix else ""
        first = set(cover.groups)
        if cover.is_open:
            first.update(self._groups.starts_within(prefix, after))
        yield from ((group, "") for group in sorted(first))
        if cover.is_open:
            yield from self._listed(prefix, after or prefix)

    def _listed(self, prefix: str, text: str) -> Iterator[tuple[Group, str]]:
        """Yield the groups whose start begins with ``prefix`` and is not less than ``text``."""
        folder = "".join(f"/{segment}" for segment in prefix.split("/")[:-1])
        self._moments.end()
        for found in self._access.list(DOCUMENTS + encode(folder), after=_object_before(text)):
            group = group_of_object(found.name)
            if not group.start.startswith(prefix):
                if group.start > prefix:
                    break
            elif group.start >= text and not is_tombstone(found.size):
                yield group, found.e_tag
                self._moments.end()
        self._moments.end()

    def folders(self, folder: str) -> set[str]:
        """Return the first segments, below a folder, of the keys that have another segment there.

        :param folder: ``""`` is the root.
        """
        base = f"{folder}/" if folder else ""
        cover = self._groups.cover(base)
        names: set[str] = set()
        to_read = [(group, "") for group in cover.groups]
        if cover.is_open:
            self._moments.end()
            level = self._access.level(f"{DOCUMENTS}/{encode(folder)}" if folder else DOCUMENTS)
            for found in level.objects:
                group = group_of_object(found.name)
                if group.kind == FOLDER and has_names_below(found.size):
                    names.add(group.start[len(base) :])
                elif group.kind == BEGINNING and not is_tombstone(found.size):
                    to_read.append((group, found.e_tag))
            for name in level.folders:
                segment = decode(name.rpartition("/")[2])
                if segment not in names and self._has_keys(name):
                    names.add(segment)
        for group, document in self._read_documents(to_read):
            keys = (group.start + name for name in document.names)
            rests = (key[len(base) :] for key in keys if key.startswith(base))
            names.update(rest.partition("/")[0] for rest in rests if "/" in rest)
        return names

    def _has_keys(self, folder: str) -> bool:
        """Tell whether a folder of documents has one with names."""
        return any(not is_tombstone(found.size) for found in self._access.list(folder))


def _may_begin_a_key(prefix: str) -> bool:
    """Tell whether a key may begin with ``prefix``."""
    whole = prefix.split("/")[:-1]
    return printable_part(prefix) == prefix and not any(segment in ("", ".", "..") for segment in whole)


def _object_before(text: str) -> str:
    """Return a name that sorts before the objects of all groups with a start not less than ``text``, and not
    much before.
    """
    segments = text.split("/")
    whole = list(islice(_until_no_segment(segments), len(segments)))
    return "/".join([DOCUMENTS, *(encode(segment) for segment in whole)]) if whole else ""


def _until_no_segment(segments: Iterable[str]) -> Iterator[str]:
    """Yield segments up to one that no name of an object can have."""
    for segment in segments:
        if segment in ("", ".", ".."):
            return
        yield segment
