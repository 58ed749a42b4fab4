"""Listings: the documents of a store, merged into keys in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from itertools import islice
from typing import Final

from ..base import Stat
from .documents import Document, has_names_below, is_tombstone
from .groups import BEGINNING, DOCUMENTS, FOLDER, Group, Groups
from .moments import Moments
from .names import decoded, encode, printable_part
from .store import PAGE_NAMES, Found, ObjectAccess

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
            group = self._groups.of_object(found.name)
            if group is None:
                continue
            if not group.start.startswith(prefix):
                if group.start > prefix:
                    break
            elif group.start >= text and not is_tombstone(found.size):
                yield group, found.e_tag
                self._moments.end()
        self._moments.end()

    def folders(self, folder: str, after: str) -> Iterator[str]:
        """Yield, sorted, the first segments, below a folder, of the keys that have another segment there.

        The store is asked while they are taken.

        :param folder: ``""`` is the root.
        :param after: only segments that sort after this text are included.
        """
        base = f"{folder}/" if folder else ""
        cover = self._groups.cover(base)
        sure = self._segments_in(base, [(group, "") for group in cover.groups])
        if cover.is_open and self._groups.are_nested(base):
            yield from self._folders_of_level(base, after, sure)
            return
        names = _Ascending(after)
        names.add(sure)
        if cover.is_open:
            self._moments.end()
            for found, start in self._starts(base, after):
                names.add(self._segments_of(base, found))
                for name in names.until(_least_segment(start)):
                    yield name
                    self._moments.end()
            self._moments.end()
        yield from names.until(None)

    def _folders_of_level(self, base: str, after: str, sure: set[str]) -> Iterator[str]:
        """Yield what :meth:`folders` does, from the documents directly in a folder if they tell enough.

        :param sure: segments that are known already.
        """
        self._moments.end()
        level = self._access.level(_object_folder(base))
        for found in level.objects:
            sure.update(self._segments_of(base, found))
        named = ((decoded(name.rpartition("/")[2]), name) for name in level.folders)
        possible = {segment: name for segment, name in named if segment is not None}
        for segment in sorted(sure | possible.keys()):
            if segment > after and (segment in sure or self._has_keys(possible[segment])):
                self._moments.end()
                yield segment
        self._moments.end()

    def _has_keys(self, folder: str) -> bool:
        """Tell whether a folder of documents has one with names."""
        return any(
            not is_tombstone(found.size) and self._groups.of_object(found.name) is not None
            for found in self._access.list(folder)
        )

    def _starts(self, base: str, after: str) -> Iterator[tuple[Found, str]]:
        """Yield the documents below a folder, in order, each with what follows ``base`` in its start.

        Of a folder that is known after one document, and fills a page with others, the rest is left out.
        """
        folder = _object_folder(base)
        begin: str | None = _object_before(base + printable_part(after))
        while begin is not None:
            documents = self._access.list(folder, after=begin)
            begin = None
            current, is_known, count = "", False, 0
            for found in documents:
                group = self._groups.of_object(found.name)
                if group is None:
                    continue
                start = group.start[len(base) :]
                segment, slash, _ = start.partition("/")
                yield found, start
                if not slash:
                    continue
                if segment != current:
                    current, is_known, count = segment, segment <= after, 0
                is_known = is_known or not is_tombstone(found.size)
                count += is_known
                if count >= PAGE_NAMES and self._access.begins_anywhere:
                    # the character that follows the slash
                    begin = f"{DOCUMENTS}/{encode(base + segment)}0"
                    break

    def _segments_of(self, base: str, found: Found) -> Iterable[str]:
        """Return the segments that an object says to be folders; none if it is no document."""
        group = self._groups.of_object(found.name)
        if group is None or is_tombstone(found.size):
            return ()
        segment, slash, _ = group.start[len(base) :].partition("/")
        if slash or (group.kind == FOLDER and has_names_below(found.size)):
            return (segment,)
        return self._segments_in(base, [(group, found.e_tag)]) if group.kind == BEGINNING else ()

    def _segments_in(self, base: str, groups: Iterable[tuple[Group, str]]) -> set[str]:
        """Return the segments of the keys in some documents that have another segment."""
        segments: set[str] = set()
        for group, document in self._read_documents(groups):
            keys = (group.start + name for name in document.names)
            rests = (key[len(base) :] for key in keys if key.startswith(base))
            segments.update(rest.partition("/")[0] for rest in rests if "/" in rest)
        return segments


class _Ascending:
    """Sorts names that come nearly sorted, and drops those that came before.

    :param after: names up to this text are dropped too.
    """

    def __init__(self, after: str):
        self._last = after
        self._heap: list[str] = []
        self._waiting: set[str] = set()

    def add(self, names: Iterable[str]) -> None:
        """Add names that are not less than the last one that was yielded."""
        for name in names:
            if name > self._last and name not in self._waiting:
                self._waiting.add(name)
                heappush(self._heap, name)

    def until(self, most: str | None) -> Iterator[str]:
        """Yield the names up to a text, None for all. No name that is added later may be less than it."""
        while self._heap and (most is None or self._heap[0] <= most):
            self._last = heappop(self._heap)
            self._waiting.remove(self._last)
            yield self._last


def _object_folder(base: str) -> str:
    """Return the folder of the documents whose starts begin with a folder and a slash, or with ``""``."""
    return f"{DOCUMENTS}/{encode(base[:-1])}" if base else DOCUMENTS


def _least_segment(start: str) -> str:
    """Return the least first segment that a text can have which is not less than ``start``.

    >>> _least_segment("app-server/x"), _least_segment("app/x"), _least_segment("app")
    ('app', 'app', 'app')
    """
    return next((start[:end] for end in range(1, len(start)) if start[end] <= "/"), start)


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
