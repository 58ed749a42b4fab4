"""A storage in a folder: every key is a file. Threads and processes of one machine may share it.

docker-registry 0.6 to 0.9 can read the folder, and this storage reads theirs (storage-layout.md). An old
server may write into its files in place. Readers here then see what a file holds, or StorageUnavailable if it
became shorter.

What is in the folder:

* A value is written to ``.<name>.<16 hex digits>.tmp`` beside its place, synced, and renamed. Readers never
  see it before. Its writer holds ``flock`` on this file. A file of that form without a lock was left by a
  killed writer: each streamed write into the folder removes it, and so does the first write of a process.
* A deleted tree is first renamed to such a name in the root, then removed.
* Folders appear with their first key and vanish with their last one.

Writes, deletions and publications take ``flock`` on the folder of the key. ``docs/internals.md`` explains
why.

The file system must have ``flock`` on folders, which local ones have and NFS has not: there, writes raise
StorageUnavailable. It must rename over a file, and keep times of files that are finer than a second.

Symbolic links inside the folder belong to the administrator. They are followed, so ``images`` may be on
another disk. No key can make one or name a way out. Writing or deleting a key that is a link replaces or
removes the link.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from typing import Final

from .base import (
    ABSENT,
    ANY,
    Blob,
    InvalidKey,
    KeyNotFound,
    Stat,
    StorageUnavailable,
    check_folders,
    check_key,
    clip_range,
)
from .disk import Disk, Synced
from .files import (
    FileBlob,
    check_expected,
    open_at,
    read_range,
    reading,
    stat_at,
    version_at,
)
from .folders import Folders, failure
from .listing import Listing
from .many import delete_in_order, no_moment, read_in_order
from .trees import NO_LINK, sweep
from .urls import path_of_url
from .writer import Small, Writer

#: How often a step is repeated if other processes undo what it needs.
_ATTEMPTS: Final = 1000


class FileStorage:
    """Keeps every key as a file below ``path``. Safe for threads and processes.

    The folder is made at the first write. Nothing is opened before.

    :param path: a relative one is resolved now, from the current folder.
    :param durable: False lets the system decide when values reach the disk, for tests. A power cut may then
        lose values or leave them without their bytes.
    :param lock_timeout_s: how long to wait for the lock of a folder.
    :param private: folders whose files only the owner may read. They are made with modes 0700 and 0600.
    :param unfinished: folders of values that become durable when they are published or linked to a place
        outside of them. Before that a power cut may lose them or leave them without their bytes.
    :param finished: folders inside those whose values are durable like all others.
    :raises ValueError: the path is empty or holds NUL, or the time is negative.
    """

    shared_by_processes = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durable: bool = True,
        lock_timeout_s: float = 60.0,
        private: Iterable[str] = ("accounts",),
        unfinished: Iterable[str] = ("uploads",),
        finished: Iterable[str] = ("uploads/_deleted",),
    ) -> None:
        name = os.fspath(path)
        if not name or "\0" in name:
            raise ValueError(f"path must be the path of a folder, not {name!r}")
        if lock_timeout_s < 0:
            raise ValueError(f"lock_timeout_s must be 0 or more, not {lock_timeout_s:g}")
        self._root = os.path.abspath(name)
        self._inside = self._root.rstrip("/") + "/"
        self._listing = Listing(self._root)
        self._disk = Disk(
            self._root,
            is_durable=durable,
            unfinished=[self._path(folder) for folder in unfinished],
            finished=[self._path(folder) for folder in finished],
        )
        self._folders = Folders(
            self._disk, lock_timeout_s=lock_timeout_s, private=[self._path(folder) for folder in private]
        )
        self._writer = Writer(self._folders)

    @classmethod
    def from_url(cls, url: str) -> FileStorage:
        """Return the storage for ``file:///folder``; the path is percent-encoded.

        :raises ValueError: the URL has a different form. The message says what is expected.

        >>> FileStorage.from_url("file:///srv/my%20registry").path
        '/srv/my registry'
        """
        return cls(path_of_url(url))

    @property
    def path(self) -> str:
        """The absolute path of the storage's folder."""
        return self._root

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._root!r})"

    moment = staticmethod(no_moment)

    def stat(self, key: str) -> Stat:
        """Return size, etag and time of ``key``.

        :raises KeyNotFound: no file is there.
        """
        return stat_at(key, self._path(key))

    def read(self, key: str) -> tuple[bytes, Stat]:
        """Return the whole value, a small one, and the Stat that belongs to exactly these bytes.

        :raises KeyNotFound: no file is there.
        """
        descriptor, stat = open_at(key, self._path(key))
        try:
            return read_range(descriptor, key, 0, stat.size), stat
        finally:
            os.close(descriptor)

    def read_many(self, keys: Iterable[str]) -> Iterator[tuple[str, tuple[bytes, Stat] | None]]:
        """Yield each key with what :meth:`read` returns for it, None if no file is there."""
        return read_in_order(self.read, keys)

    def folder_version(self, folder: str) -> str | None:
        """Return a text made of the inode and the times of a folder; empty if there is no folder.

        None for a second after each change of the folder: two changes in one step of the system's clock give
        it the same times. A file that is written in place does not change its folder.
        """
        return version_at(folder, self._path(folder))

    def open(self, key: str, start: int = 0, stop: int | None = None) -> Blob:
        """Return bytes ``[start, stop)`` as a stream that the caller closes.

        :raises KeyNotFound: no file is there.
        :raises ValueError: ``start`` or ``stop`` is negative.
        """
        descriptor, stat = open_at(key, self._path(key))
        try:
            first, end = clip_range(start, stop, stat.size)
        except ValueError:
            os.close(descriptor)
            raise
        return FileBlob(descriptor, stat, first, end)

    # -- writing

    def write(
        self, key: str, data: bytes | Iterable[bytes], *, expect: str = ANY, modified_ns: int | None = None
    ) -> Stat:
        """Store ``data`` under ``key``, whole or not at all, and durably; return its Stat. See the protocol.

        :param modified_ns: the time of the file, in nanoseconds since 1970; None for now.
        :raises KeyConflict: the stored value is not the expected one.
        :raises StorageFull: no room is left on the disk.
        """
        return self._writer.write(key, self._path(key), data, expect, modified_ns)

    def write_many(self, values: Mapping[str, bytes]) -> None:
        """Store values under their keys, in their order, and sync them at the same time. See the protocol.

        :raises StorageFull: no room is left on the disk.
        """
        self._writer.write_many([Small(key, self._path(key), value) for key, value in values.items()])

    def write_dated(self, key: str, data: bytes | Iterable[bytes], modified_ns: int) -> Stat:
        """Store ``data`` under ``key`` as :meth:`write` does, with a given time."""
        return self.write(key, data, modified_ns=modified_ns)

    def write_many_dated(self, values: Mapping[str, tuple[bytes, int]]) -> None:
        """Store values with given times under their keys, as :meth:`write_many` does."""
        self._writer.write_many(
            [Small(key, self._path(key), value, time_ns) for key, (value, time_ns) in values.items()]
        )

    def delete(self, key: str, *, expect: str = ANY) -> None:
        """Remove ``key``, and the folders that are empty then, durably.

        :raises KeyNotFound: no file is there.
        :raises KeyConflict: the stored value has a different etag.
        """
        path = self._path(key)
        folder = os.path.dirname(path)
        with self._folders.locked(key, folder) as held, reading(key):
            if os.path.isdir(path) or not os.path.lexists(path):
                raise KeyNotFound(key)
            check_expected(key, path, expect)
            os.unlink(path)
            held.is_changed = True
        self._folders.prune(folder)

    def delete_many(self, keys: Iterable[str]) -> None:
        """Remove keys, one after the other. Missing ones are no error."""
        delete_in_order(self.delete, keys)

    def delete_tree(self, folder: str) -> None:
        """Remove every key below ``folder + "/"`` at once, durably. A folder without keys is no error.

        If ``folder`` is a symbolic link, the entries vanish one by one instead.
        """
        path = self._path(folder)
        parent = os.path.dirname(path)
        for place in {self._root, parent}:
            sweep(place)
        try:
            with self._folders.locked(folder, path), self._folders.writing(folder):
                if os.path.islink(path):
                    self._folders.empty(folder, path)
                else:
                    self._folders.discard(folder, path)
        except KeyNotFound:
            return
        self._folders.prune(parent)

    def publish(self, staged: str, folder: str) -> None:
        """Rename the folder ``staged`` to ``folder``, durably. An empty folder may be there already.

        Etags and times stay. If the folders are on different disks, which only a symbolic link can cause, the
        keys are copied and get new etags. They may not be changed during the copy, and a crash may leave them
        in ``staged`` too.

        :raises KeyNotFound: no key is below ``staged``.
        :raises KeyConflict: a key, or a file that is not a key, is below ``folder``.
        :raises InvalidKey: see the protocol.
        :raises StorageFull: no room is left on the disk.
        """
        check_folders(staged, folder)
        source, target = self._path(staged), self._path(folder)
        changed = {os.path.dirname(source), os.path.dirname(target)}
        try:
            self._listing.check_publication(staged, folder)
            if os.path.isfile(target):
                raise InvalidKey(folder, "it is a key, not a folder")
            sweep(source)
            with self._folders.writing(folder):
                synced = self._disk.sync_staged(source, target)
            self._move(staged, folder, changed)
        except KeyNotFound:
            # another caller may have published, and not yet synced, what this one has written there
            self._sync_published(folder, changed, frozenset())
            raise
        self._sync_published(folder, changed, synced)
        self._folders.prune(os.path.dirname(source))

    def link(self, source: str, target: str) -> Stat:
        """Make a hard link, durably; copy the value if the system cannot make one. The etag is the same for a
        link.

        A program that writes into a file in place, as docker-registry does with unfinished images, changes
        both keys.

        :raises KeyNotFound: no file is at ``source``.
        :raises KeyConflict: a value is stored under ``target``.
        :raises StorageFull: no room is left on the disk.
        """
        path = self._path(target)
        with closing(self.open(source)) as blob:
            value = blob.file.fileno() if self._disk.needs(path) and blob.file is not None else None
            for _ in range(_ATTEMPTS):
                with self._folders.writing(target):
                    if os.path.isdir(os.path.dirname(path)):
                        self._disk.sync_all((), value)
                    else:
                        self._folders.make_durably(target, os.path.dirname(path), value)
                value = None
                try:
                    return self._link(source, target, path)
                except KeyNotFound:
                    # another process removed the empty folder, or the source
                    self.stat(source)
                except OSError as error:
                    if error.errno in NO_LINK:
                        return self.write(target, blob, expect=ABSENT)
                    raise failure(target, error) from error
        raise StorageUnavailable(target, "other processes deleted its folder again and again")

    def _link(self, source: str, target: str, path: str) -> Stat:
        """Make a hard link in an existing folder.

        :raises KeyNotFound: the source or the folder is missing.
        :raises KeyConflict: a value is stored under ``target``.
        :raises OSError: the system cannot do it.
        """
        with self._folders.locked(target, os.path.dirname(path)) as held:
            try:
                check_expected(target, path, ABSENT)
            except IsADirectoryError:
                raise InvalidKey(target, "it is the folder of other keys") from None
            try:
                os.link(self._path(source), path)
            except FileNotFoundError:
                raise KeyNotFound(source) from None
            held.is_changed = True
            return stat_at(target, path)

    # -- listing

    def list(self, prefix: str, *, after: str = "") -> Iterator[Stat]:
        """Yield the Stat of every key that begins with ``prefix`` and sorts after ``after``, in key order.

        Folders are read one by one, if their keys are needed. Files that cannot be keys are left out.
        """
        return self._listing.keys(prefix, after)

    def list_folders(self, folder: str, *, after: str = "") -> Iterator[str]:
        """Yield, sorted, the folders in ``folder`` that sort after ``after`` and have keys below."""
        return self._listing.subfolders(f"{check_key(folder)}/" if folder else "", after)

    # -- steps of reading and writing

    def remove_leftovers(self, folder: str) -> None:
        """Remove the temporary files below a folder that processes left when they were killed.

        Files that are being written stay.
        """
        for path, _, _ in os.walk(self._path(folder)):
            sweep(path)

    def _path(self, key: str) -> str:
        return self._inside + check_key(key)

    def _move(self, staged: str, folder: str, made_in: set[str]) -> None:
        """Rename a folder of keys to one without; ``made_in`` gets the folders in which some were made."""
        try:
            for _ in range(_ATTEMPTS):
                if self._try_move(staged, folder, made_in):
                    return
            raise StorageUnavailable(folder, "other processes wrote into the folder again and again")
        except BaseException:
            self._folders.prune(self._path(folder))
            raise

    def _try_move(self, staged: str, folder: str, made_in: set[str]) -> bool:
        """Return False if others wrote into the folder meanwhile."""
        source, target = self._path(staged), self._path(folder)
        with ExitStack() as locks:
            # in sorted order, so that two callers in opposite directions do not wait for each other
            for path, key in sorted([(source, staged), (target, folder)]):
                made = made_in if path == target else None
                locks.enter_context(self._folders.locked(key, path, made_in=made))
            self._listing.check_publication(staged, folder)
            with self._folders.writing(folder):
                return self._folders.move(folder, source, target)

    def _sync_published(self, folder: str, changed: set[str], synced: frozenset[Synced] | None) -> None:
        with self._folders.writing(folder):
            self._disk.sync_tree(self._path(folder), synced, changed)
