"""A storage in an object store: S3, Google Cloud Storage, Azure, or the memory of a process for tests.

Processes of any number of machines may share it. docs/internals.md explains why each step is correct.

The keys of a group (:mod:`.groups`) stand in one document, an object below ``folders/``. Each change of keys
is one conditional write of this object. Small values stand in the document. Large ones are objects below
``data/``. They are written before the document names them, and never changed.

Keys of different groups do not exclude each other as ``a`` and ``a/b`` do within one group.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

from ...clock import SYSTEM_CLOCK, Clock
from ..base import (
    Blob,
    InvalidKey,
    KeyNotFound,
    Stat,
    check_folders,
    check_key,
    clip_range,
)
from ..memory import MemoryBlob
from ..sweeping import Swept
from .adoption import AdoptingAccess
from .changes import Move, without
from .committing import Committer
from .data import DataBlob, missing
from .documents import DATA, Document, Entry, is_large
from .groups import Group, Groups
from .listing import READ_AHEAD, Listing
from .parallel import THREADS, Together, in_parallel
from .sweep import ObjectSweep
from .writing import ObjectWrites

if TYPE_CHECKING:
    from obstore.store import ObjectStore

S = TypeVar("S")
T = TypeVar("T")

#: Keys with the same first segment are one group.
DEFAULT_GROUPS: Final = Groups()

#: How long a change waits for other threads, and is tried while other writers are faster, in seconds.
DEADLINE_S: Final = 25.0

#: How much is kept of documents, in bytes of their objects.
CACHE_BYTES: Final = 16 << 20

#: How many keys of :meth:`ObjectStorage.read_many` are looked at together.
_KEYS_AT_ONCE: Final = 64


class ObjectStorage(ObjectWrites):
    """Keeps keys in an object store. Safe for threads, and for processes on any machines.

    Nothing is sent before the first use. A process may fork before its first use, not after it.

    :param store: of obstore, with the bucket, the prefix and the credentials.
    :param transfers: the same for large values, whose transfers may take long; None for ``store``.
    :param public: the same as clients reach it, for signed URLs; None for ``store``.
    :param groups: which keys change together. All users of one bucket need the same table for ever.
    :param old_folders: folders whose objects become keys when the bucket is used for the first time
        (:mod:`.adoption`).
    :param single_writer: the store has no conditional writes, and this is the only process that writes.
    :param single_process: besides, the server has one process, even if ``wsgi.multiprocess`` says otherwise.
    :param clock: gives the time that :class:`~v1registry.storage.base.Stat` has as ``modified``.
    :param deadline_s: how long a change waits for other threads and is tried, and a request for slow calls.
    :param description: names the store for administrators, without credentials.
    :raises ImportError: obstore is missing.
    """

    shared_by_processes = True

    def __init__(
        self,
        store: ObjectStore,
        *,
        transfers: ObjectStore | None = None,
        public: ObjectStore | None = None,
        groups: Groups = DEFAULT_GROUPS,
        old_folders: Iterable[str] = (),
        single_writer: bool = False,
        single_process: bool = False,
        clock: Clock = SYSTEM_CLOCK,
        deadline_s: float = DEADLINE_S,
        cache_bytes: int = CACHE_BYTES,
        description: str = "",
    ):
        access = AdoptingAccess(
            store,
            groups=groups,
            folders=tuple(old_folders),
            transfers=transfers,
            public=public,
            is_single_writer=single_writer,
        )
        committer = Committer(access, clock=clock, deadline_s=deadline_s, cache_bytes=cache_bytes)
        super().__init__(access, groups, committer, clock)
        #: whether only one process may write
        self.is_single_writer = single_writer
        #: whether the administrator says that the server has one process, so that the server need not say it
        self.is_single_process = single_process
        #: returns what the store does with conditional writes; see :meth:`ObjectAccess.conditions`
        self.conditions = access.conditions
        self.description = description or type(store).__name__
        self._old_folders = access.old_folders
        self._together = Together()
        self._listing = Listing(access, groups, self._committer.moments, self._read_documents)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} in {self.description}>"

    def moment(self) -> AbstractContextManager[None]:
        """Return a context in which calls for keys of one group that follow each other ask the store once."""
        return self._committer.moments.moment()

    def at_once(self, call: Callable[[S], T], items: Iterable[S]) -> Generator[T, None, None]:
        """Yield what ``call`` returns for each item, in order, with up to ``THREADS`` calls at once.

        See :func:`v1registry.storage.at_once.at_once`.
        """
        with closing(in_parallel(call, items, ahead=2 * THREADS, ends_with_calls=True)) as results:
            for result in results:
                # other threads asked for other groups
                self._committer.moments.end()
                yield result

    def together(self, *changes: Callable[[], object]) -> None:
        """Make independent changes at the same time. See :func:`v1registry.storage.at_once.together`."""

        def in_moment(change: Callable[[], object]) -> None:
            with self.moment():
                change()

        try:
            self._together.make(*(partial(in_moment, change) for change in changes))
        finally:
            # other threads asked for other groups
            self._committer.moments.end()

    def guessing(self) -> AbstractContextManager[None]:
        """Return a context in which this thread may read what the process saw last.

        See :func:`v1registry.storage.combined.guessing`.
        """
        return self._committer.moments.guessing()

    # -- reading

    def stat(self, key: str) -> Stat:
        """Return size, etag and time of ``key``.

        :raises KeyNotFound: nothing is stored under ``key``.
        """
        return self._find(key).stat(key)

    def read(self, key: str) -> tuple[bytes, Stat]:
        """Return the whole value, a small one, and the Stat that belongs to exactly these bytes.

        :raises KeyNotFound: nothing is stored under ``key``.
        """
        entry = self._find(key)
        value = entry.inline()
        if value is None:
            with self._blob(key, entry, 0, None) as blob:
                return blob.read(), blob.stat
        return value, entry.stat(key)

    def read_many(self, keys: Iterable[str]) -> Iterator[tuple[str, tuple[bytes, Stat] | None]]:
        """Yield each key with what :meth:`read` returns for it, None if nothing is stored.

        Each document is read once for some dozens of keys, and several documents are read at once.
        """
        wanted = iter(keys)
        count = READ_AHEAD
        while some := list(islice(wanted, count)):
            groups = {self._group(key) for key in some}
            documents = dict(self._read_documents((group, "") for group in sorted(groups)))
            entries = [self._entry_of(documents, key) for key in some]
            large = {key: entry for key, entry in zip(some, entries, strict=True) if is_large(entry)}
            values = dict(in_parallel(lambda item: self._read_large(*item), large.items()))
            for key, entry in zip(some, entries, strict=True):
                value = None if entry is None else entry.inline()
                yield key, values.get(key) if entry is None or value is None else (value, entry.stat(key))
            count = _KEYS_AT_ONCE

    def folder_version(self, folder: str) -> str | None:
        """Return a text that changes with each change of the group that has the keys directly in a folder.

        :return: None if they are in several groups.
        """
        base = f"{check_key(folder)}/"
        group = self._groups.only(folder, is_deep=False)
        if group is None:
            return None
        document = self._committer.read(group)
        keys = (group.start + name for name in document.names)
        if any(key.startswith(base) and "/" not in key[len(base) :] for key in keys):
            return document.version
        return ""

    def open(self, key: str, start: int = 0, stop: int | None = None) -> Blob:
        """Return bytes ``[start, stop)`` of the value as a stream that the caller closes.

        :raises KeyNotFound: nothing is stored under ``key``.
        :raises ValueError: ``start`` or ``stop`` is negative.
        """
        return self._blob(key, self._find(key), start, stop)

    def signed_url(self, key: str, expires_s: int) -> str | None:
        """Return a URL with which the store gives the value to every client.

        A small value has no object of its own, and so no URL: then None is returned.

        :param expires_s: how long the URL works.
        :raises KeyNotFound: nothing is stored under ``key``.
        """
        entry = self._find(key)
        return self._access.sign(entry.value, expires_s) if entry.kind == DATA else None

    def list(self, prefix: str, *, after: str = "") -> Iterator[Stat]:
        """Yield the Stat of every key that begins with ``prefix`` and sorts after ``after``, in key order."""
        return self._listing.keys(prefix, after)

    def list_folders(self, folder: str, *, after: str = "") -> Iterator[str]:
        """Yield, sorted, the folders in ``folder`` that sort after ``after`` and have keys below."""
        return self._listing.folders(check_key(folder) if folder else "", after)

    # -- changing several groups

    def delete_tree(self, folder: str) -> None:
        """Remove every key below ``folder + "/"``, durably; those of one group in one step.

        When this ends, also by a failure, nothing is removed any more.
        """
        base = f"{check_key(folder)}/"

        def remove(group: Group) -> None:
            self._committer.commit(folder, group, lambda names: without(names, group, base))

        removed = 0
        try:
            with closing(in_parallel(remove, self._listing.groups(base), ends_with_calls=True)) as removals:
                for _ in removals:
                    removed += 1
        finally:
            if removed != 1:
                # other threads asked for other groups
                self._committer.moments.end()

    def publish(self, staged: str, folder: str) -> None:
        """Make every key below ``staged + "/"`` appear below ``folder + "/"`` instead, durably.

        Etags and times stay. Between two groups, a process that is killed may leave the keys in both. Two
        processes that publish one folder to two different ones at the same time may both succeed.

        :raises KeyNotFound: no key is below ``staged``.
        :raises KeyConflict: a key is below ``folder``.
        :raises InvalidKey: see the protocol; or the keys of one of the folders are of several groups.
        :raises StorageFull: no room is left.
        """
        self._publish(staged, folder, self._committer.read)

    def publish_left(self, staged: str, folder: str, *, is_own: bool) -> None:
        """Publish a folder that the caller removes next, and leave it if its removal is a step of its own.

        See :func:`v1registry.storage.combined.publish_left`.

        :raises KeyNotFound: no key is below ``staged``.
        :raises KeyConflict: a key is below ``folder``.
        :raises InvalidKey: see :meth:`publish`.
        :raises StorageFull: no room is left.
        """
        read = self._committer.read_own if is_own else self._committer.read
        self._publish(staged, folder, read, is_left=True)

    def _publish(
        self, staged: str, folder: str, read: Callable[[Group], Document], *, is_left: bool = False
    ) -> None:
        check_folders(staged, folder)
        source, target = self._only_group(staged), self._only_group(folder)
        move = Move(staged, source, folder, target)
        if source == target:
            self._committer.commit(folder, target, move.within)
            return
        with self._committer.locked(folder, source, target):
            copied = move.moving(read(source).names)
            self._committer.commit(folder, target, lambda names: move.added(copied, names), is_new=True)
            if not is_left:
                self._committer.commit(staged, source, lambda names: move.removed(copied, names))

    def sweep(
        self, *, older_than_s: float, is_dry_run: bool = False, look: Callable[[int], None] = lambda _: None
    ) -> Swept:
        """Remove data objects that no key has now, nor had at the last sweep, an hour ago or more.

        See :class:`~v1registry.storage.sweeping.Sweepable`.
        """
        sweep = ObjectSweep(
            self._access,
            groups=self._groups,
            old_folders=self._old_folders(),
            clock=self._clock,
            look=look,
        )
        return sweep.run(older_than_s=older_than_s, is_dry_run=is_dry_run)

    # -- steps

    def _only_group(self, folder: str) -> Group:
        group = self._groups.only(folder, is_deep=True)
        if group is None:
            raise InvalidKey(folder, "its keys are of several groups, which cannot be published in one step")
        return group

    def _read_documents(self, groups: Iterable[tuple[Group, str]]) -> Iterator[tuple[Group, Document]]:
        """Yield groups with their documents. See :data:`.listing.ReadDocuments`."""

        def read(found: tuple[Group, str]) -> tuple[Group, Document]:
            group, e_tag = found
            committer = self._committer
            return group, committer.read_listed(group, e_tag) if e_tag else committer.read(group)

        for number, result in enumerate(in_parallel(read, groups)):
            if number:
                # others were read after the first one
                self._committer.moments.end()
            yield result

    def _entry_of(self, documents: Mapping[Group, Document], key: str) -> Entry | None:
        group = self._groups.of(key)
        return documents[group].names.get(key[len(group.start) :])

    def _read_large(self, key: str, entry: Entry) -> tuple[str, tuple[bytes, Stat] | None]:
        """Return a key with its value, None if it was removed since its document was read."""
        with suppress(KeyNotFound), self._blob(key, entry, 0, None) as blob:
            return key, (blob.read(), blob.stat)
        return key, None

    def _blob(self, key: str, entry: Entry, start: int, stop: int | None) -> Blob:
        """Return a stream of a value.

        :raises KeyNotFound: the value was removed since the document was read.
        :raises DataMissing: the store has no such data object, although the document names it.
        """
        while True:
            first, end = clip_range(start, stop, entry.size)
            value = entry.inline()
            if value is not None:
                return MemoryBlob(value, entry.stat(key), first, end)
            try:
                return DataBlob(self._access, entry.value, entry.stat(key), first, end)
            except FileNotFoundError:
                self._committer.moments.end()
                now = self._find(key)
                if now.value == entry.value:
                    raise missing(key, entry.value) from None
                entry = now
