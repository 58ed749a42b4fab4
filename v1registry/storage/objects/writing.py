"""Changes of single groups: how an object store gets new values, and loses keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from itertools import groupby

from ...clock import Clock
from ..base import ABSENT, ANY, KeyConflict, KeyNotFound, Stat, StorageError, StorageUnavailable
from ..combined import Beside
from ..patience import cleanup
from .changes import check_places, deleted, without_all, written
from .committing import Change, Committer
from .data import store_value
from .documents import DATA, Entry, Names, inline_entry
from .groups import Group, Groups
from .parallel import in_parallel
from .store import PART_BYTES, ObjectAccess


class ObjectWrites:
    """The part of an ObjectStorage that changes keys one group at a time. Safe for threads."""

    #: see :class:`v1registry.storage.combined.Combining`
    held_bytes = PART_BYTES

    def __init__(self, access: ObjectAccess, groups: Groups, committer: Committer, clock: Clock):
        self._access = access
        self._groups = groups
        self._group = groups.of_any
        self._committer = committer
        self._clock = clock

    def write(
        self, key: str, data: bytes | Iterable[bytes], *, expect: str = ANY, modified_ns: int | None = None
    ) -> Stat:
        """Store ``data`` under ``key``, whole or not at all, and durably; return its Stat. See the protocol.

        :param modified_ns: the time of the value, in nanoseconds since 1970; None for now.
        :raises KeyConflict: the stored value is not the expected one.
        :raises StorageFull: no room is left.
        """
        group = self._group(key)
        entry = self._store(group, data, self._now_ns() if modified_ns is None else modified_ns)
        self._commit(
            key,
            group,
            lambda names: written(names, group, key, entry, expect),
            entry,
            is_new=expect == ABSENT,
        )
        return entry.stat(key)

    def write_with(
        self, key: str, data: bytes | Iterable[bytes], beside: Beside, *, expect: str = ANY
    ) -> Stat:
        """Store a value, and those of its group that follow from it in the same step.

        See :func:`v1registry.storage.combined.write_with`.

        :raises KeyConflict: the stored value is not the expected one.
        :raises StorageFull: no room is left.
        """
        group, now_ns = self._group(key), self._now_ns()
        entry = self._store(group, data, now_ns)
        try:
            values = beside(entry.stat(key))
        except BaseException:
            self._drop(entry)
            raise
        near = {other: value for other, value in values.items() if self._group(other) == group}
        entries = self._entries(group, near, now_ns)

        def change(names: Names) -> Names:
            return _merged(written(names, group, key, entry, expect), group, entries)

        self._commit(key, group, change, entry, *entries.values(), is_new=expect == ABSENT)
        self.write_many({other: value for other, value in values.items() if other not in near})
        return entry.stat(key)

    def write_dated(self, key: str, data: bytes | Iterable[bytes], modified_ns: int) -> Stat:
        """Store ``data`` under ``key`` as :meth:`write` does, with a given time."""
        return self.write(key, data, modified_ns=modified_ns)

    def write_many(self, values: Mapping[str, bytes]) -> None:
        """Store small values under their keys, in order; those of one group in one step.

        :raises StorageFull: no room is left.
        """
        now_ns = self._now_ns()
        self.write_many_dated({key: (value, now_ns) for key, value in values.items()})

    def write_many_dated(self, values: Mapping[str, tuple[bytes, int]]) -> None:
        """Store small values with given times as :meth:`write_many` does."""
        for group, keys in groupby(values, self._group):
            entries = {key[len(group.start) :]: self._store(group, *values[key]) for key in keys}
            change = partial(_merged, group=group, entries=entries)
            self._commit(group.start, group, change, *entries.values(), is_new=True)

    def exchange(self, values: Mapping[str, bytes], keys: Iterable[str]) -> None:
        """Store small values and remove keys; in one step if all are of one group.

        See :func:`v1registry.storage.combined.exchange`.

        :raises StorageFull: no room is left.
        """
        removed = list(keys)
        groups = {self._group(key) for key in (*values, *removed)}
        if len(groups) != 1:
            self.write_many(values)
            self.delete_many(removed)
            return
        (group,) = groups
        entries = self._entries(group, values, self._now_ns())

        def change(names: Names) -> Names | None:
            merged = _merged(names, group, entries)
            kept = without_all(merged, group, removed)
            return merged if kept is None and entries else kept

        self._commit(group.start, group, change, *entries.values())

    def delete(self, key: str, *, expect: str = ANY) -> None:
        """Remove ``key``, durably.

        :raises KeyNotFound: nothing is stored under ``key``.
        :raises KeyConflict: the stored value has a different etag.
        """
        group = self._group(key)
        self._committer.commit(key, group, lambda names: deleted(names, group, key, expect))

    def delete_many(self, keys: Iterable[str]) -> None:
        """Remove keys, in their order; those of one group in one step. Missing ones are no error."""
        for group, some in groupby(keys, self._group):
            change = partial(without_all, group=group, keys=tuple(some))
            self._committer.commit(group.start, group, change)

    def link(self, source: str, target: str) -> Stat:
        """Store the value of ``source`` under ``target`` too, durably.

        The bytes of a large value are shared, and so is its etag.

        :raises KeyNotFound: nothing is stored under ``source``.
        :raises KeyConflict: a value is stored under ``target``.
        :raises StorageFull: no room is left.
        """
        return self._link(self._find(source), target)

    def link_exactly(self, source: str, target: str, etag: str) -> Stat:
        """Store the value of ``source`` under ``target`` too, if it has this etag, durably.

        :raises KeyNotFound: nothing is stored under ``source``.
        :raises KeyConflict: the value has a different etag, or a value is stored under ``target``.
        :raises StorageFull: no room is left.
        """
        found = self._find(source)
        if found.etag != etag:
            raise KeyConflict(source, "the stored value is not the expected one")
        return self._link(found, target)

    def _link(self, found: Entry, target: str) -> Stat:
        group, entry = self._group(target), _linked(found, self._now_ns())
        self._committer.commit(
            target, group, lambda names: written(names, group, target, entry, ABSENT), is_new=True
        )
        return entry.stat(target)

    def write_and_link(self, values: Mapping[str, bytes], links: Mapping[str, str]) -> None:
        """Store small values, and the values of other keys too; in one step if all are of one group.

        See :func:`v1registry.storage.combined.write_and_link`.

        :raises KeyNotFound: nothing is stored under one of the other keys.
        :raises KeyConflict: a value is stored where another one is to be linked.
        :raises StorageFull: no room is left.
        """
        groups = {self._group(key) for key in (*values, *links)}
        if len(groups) != 1:
            self.write_many(values)
            for target, source in links.items():
                self.link(source, target)
            return
        (group,) = groups
        found = list(in_parallel(self._find, links.values()))
        # other threads asked for other groups
        self._committer.moments.end()
        now_ns = self._now_ns()
        linked = {
            key[len(group.start) :]: _linked(entry, now_ns) for key, entry in zip(links, found, strict=True)
        }
        entries = self._entries(group, values, now_ns)

        def change(names: Names) -> Names:
            taken = next((name for name in linked if name in names), None)
            if taken is not None:
                raise KeyConflict(group.start + taken, "the stored value is not the expected one")
            return _merged(names, group, {**entries, **linked})

        self._commit(group.start, group, change, *entries.values(), is_new=True)

    # -- steps

    def _find(self, key: str) -> Entry:
        group = self._group(key)
        entry = self._committer.read(group).names.get(key[len(group.start) :])
        if entry is None:
            raise KeyNotFound(key)
        return entry

    def _now_ns(self) -> int:
        # floats hold microseconds
        return round(self._clock.time_s() * 1_000_000) * 1000

    def _store(self, group: Group, data: bytes | Iterable[bytes], now_ns: int) -> Entry:
        return store_value(self._access, data, now_ns, self._committer.most_inline(group))

    def _entries(self, group: Group, values: Mapping[str, bytes], now_ns: int) -> dict[str, Entry]:
        """Return what a document will say of values of its group, by what follows its start in their keys."""
        return {key[len(group.start) :]: self._store(group, value, now_ns) for key, value in values.items()}

    def _drop(self, *entries: Entry) -> None:
        """Remove data objects that no document names, if the store answers."""
        names = [entry.value for entry in entries if entry.kind == DATA]
        if names:
            with cleanup(), suppress(StorageUnavailable):
                self._access.delete(*names)

    def _commit(self, key: str, group: Group, change: Change, *entries: Entry, is_new: bool = False) -> None:
        """Change a group; remove new data objects if that is refused."""
        try:
            self._committer.commit(key, group, change, is_new=is_new)
        except StorageUnavailable:
            # the document may name them
            raise
        except StorageError:
            self._drop(*entries)
            raise


def _linked(found: Entry, now_ns: int) -> Entry:
    """Return what a document will say of a value that another document has too."""
    value = found.inline()
    return found._replace(modified_ns=now_ns) if value is None else inline_entry(value, now_ns)


def _merged(names: Names, group: Group, entries: Mapping[str, Entry]) -> Names:
    """Return the names of a group with more entries, in the place of those of the same names.

    :raises InvalidKey: a key is the folder of others or lies below one.
    """
    merged = {**names, **entries}
    check_places(merged, group, [name for name in entries if name not in names])
    return merged
