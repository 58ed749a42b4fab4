"""The folders of a FileStorage: they are made, locked, moved and removed while others do the same."""

from __future__ import annotations

import errno
import os
import stat as modes
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from .base import NO_SPACE, InvalidKey, KeyConflict, KeyNotFound, StorageFull, StorageUnavailable, is_reserved
from .disk import Disk, OpenFolders
from .trees import (
    NOT_EMPTY,
    TEMPORARY,
    copy_tree,
    is_empty,
    open_folder,
    remove_tree,
    sweep,
    temporary_name,
    try_lock,
    unlock,
)

#: Pauses between two attempts to take a lock: the first and the longest.
_FIRST_PAUSE_S: Final = 0.0002
_LONGEST_PAUSE_S: Final = 0.02

#: Errors of the system for a path that leads nowhere.
NOWHERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})

#: How many folders are remembered as swept; each takes some hundred bytes.
_MOST_SWEPT: Final = 10_000


@dataclass
class Held:
    """The lock of a folder while it is held."""

    is_changed: bool = False  #: set by the holder: the names in the folder shall be on the disk afterwards


class Folders:
    """The operations of a FileStorage on folders. Paths are absolute; errors name ``key``.

    :param disk: tells what of the folder that is never removed has to be on the disk.
    :param lock_timeout_s: how long to wait for a lock.
    :param private: folders that only the owner may read.
    """

    def __init__(self, disk: Disk, *, lock_timeout_s: float, private: Iterable[str] = ()) -> None:
        self.disk = disk
        self.root = disk.root
        self._private = tuple(private)
        self._lock_timeout_s = lock_timeout_s
        self._swept: set[str] = set()

    @contextmanager
    def writing(self, key: str) -> Iterator[None]:
        """Turn an error of the system during a write into an error of the protocol.

        :raises InvalidKey: a part of the path is a file, or a name is too long.
        :raises StorageFull: no room is left.
        :raises StorageUnavailable: any other error.
        """
        try:
            yield
        except OSError as error:
            if error.errno == errno.ENOTDIR and os.path.isdir(self.root):
                raise InvalidKey(key, "a part of it is a key, not a folder") from error
            if error.errno == errno.ENAMETOOLONG:
                raise InvalidKey(key, "the file system does not accept names of this length") from error
            raise failure(key, error) from error

    def folder_mode(self, folder: str) -> int:
        """Return the mode in which to make a folder, before the umask."""
        return 0o700 if self._is_private(folder) else 0o777

    def file_mode(self, path: str) -> int:
        """Return the mode in which to make a file, before the umask."""
        return 0o600 if self._is_private(path) else 0o666

    def _is_private(self, path: str) -> bool:
        return any(path == private or path.startswith(private + "/") for private in self._private)

    # -- making and syncing

    def make(self, folder: str, *, was_missing: bool = False) -> set[str]:
        """Make ``folder`` and the missing ones above it; return the folders that have a new name, to be
        synced.

        It may be gone again at once, because others remove empty folders.

        :param was_missing: the folder was missing a moment ago. If it exists now, the process that made it
            may not have synced anything yet, so all folders above are returned.
        :raises OSError: the system cannot do it.
        """
        parent = os.path.dirname(folder)
        made_in: set[str] = set()
        try:
            os.mkdir(folder, self.folder_mode(folder))
        except FileExistsError:
            if not _may_be_folder(folder):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder) from None
            return set(self._above(folder)) if was_missing else made_in
        except FileNotFoundError:
            made_in = self.make(parent, was_missing=True)
            with suppress(FileExistsError, FileNotFoundError):
                os.mkdir(folder, self.folder_mode(folder))
        return made_in | {parent}

    def make_durably(self, key: str, folder: str, value: int | None = None) -> None:
        """Make ``folder`` and the missing ones above it, and bring them to the disk if they have to be there.

        :param value: an open file that is brought to the disk at the same time.
        :raises OSError: the system cannot do it.
        """
        made_in = self.make(folder, was_missing=True)
        with self.writing(key):
            self.disk.sync_all(made_in if self.disk.needs(folder) else (), value)

    def _above(self, folder: str) -> Iterator[str]:
        """Yield the folders above one, up to the root."""
        while folder != self.root and folder != (folder := os.path.dirname(folder)):
            yield folder

    def sync(self, key: str, folder: str) -> None:
        """Bring the names in ``folder`` to the disk if they have to be there. A missing folder needs no sync.

        :raises StorageUnavailable: the disk failed.
        """
        with self.writing(key):
            self.disk.sync(folder)

    def sync_all(self, key: str, folders: Iterable[str]) -> None:
        """Bring the names in several folders to the disk at the same time, as :meth:`sync` does.

        :raises StorageUnavailable: the disk failed.
        """
        with self.writing(key):
            self.disk.sync_all(folders)

    # -- locks

    @contextmanager
    def locked(
        self, key: str, folder: str, *, made_in: set[str] | None = None, changed: OpenFolders | None = None
    ) -> Iterator[Held]:
        """Hold the lock of ``folder``. If the holder sets ``is_changed``, sync the folder after the release,
        unless it need not be on the disk.

        :param made_in: a missing folder is made, and this set gets the folders that have a new name then, to
            be synced. None if a missing folder is an error.
        :param changed: gets the folder, which the caller syncs. None if it is synced here.
        :raises KeyNotFound: the folder is missing, and may not be made.
        :raises StorageUnavailable: the lock was not free in time, or the system failed.
        """
        descriptor = self._acquire(key, folder, made_in)
        held = Held()
        with closing(OpenFolders()) as own:
            try:
                yield held
                if held.is_changed and self.disk.needs(folder):
                    with self.writing(key):
                        (own if changed is None else changed).add(descriptor)
            finally:
                unlock(descriptor)
            with self.writing(key):
                own.sync()

    def _acquire(self, key: str, folder: str, made_in: set[str] | None) -> int:
        deadline = time.monotonic() + self._lock_timeout_s
        pause_s = _FIRST_PAUSE_S
        while True:
            with self.writing(key):
                acquired = self._try_acquire(key, folder, made_in)
            if acquired is not None:
                return acquired
            if time.monotonic() >= deadline:
                raise StorageUnavailable(
                    key, f"the lock of its folder was not free within {self._lock_timeout_s:g} s"
                )
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _try_acquire(self, key: str, folder: str, made_in: set[str] | None) -> int | None:
        try:
            descriptor = self._open_or_make(folder, made_in)
        except FileNotFoundError:
            if made_in is not None:
                return None  # another process removed it again
            raise KeyNotFound(key) from None
        except NotADirectoryError:
            if made_in is not None:
                raise
            raise KeyNotFound(key) from None
        try:
            status = os.fstat(descriptor)
            # Before the lock was ours, another process may have replaced the folder.
            if try_lock(descriptor) and _is_at(folder, status):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def _open_or_make(self, folder: str, made_in: set[str] | None) -> int:
        try:
            return open_folder(folder)
        except FileNotFoundError:
            if made_in is None:
                raise
            made_in |= self.make(folder, was_missing=True)
            return open_folder(folder)

    # -- moving

    def move(self, key: str, source: str, target: str) -> bool:
        """Rename ``source`` to ``target``, both locked; return False if others wrote into ``target``
        meanwhile.

        :raises KeyConflict: ``target`` holds files that are not keys.
        :raises OSError: the system cannot do it.
        """
        self._clear(key, target)
        # A symbolic link stands for the folder behind it.
        real_source, real_target = os.path.realpath(source), os.path.realpath(target)
        try:
            try:
                os.rename(real_source, real_target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self._move_across_disks(key, real_source, real_target)
        except OSError as error:
            if error.errno in NOT_EMPTY:
                return False
            raise
        if os.path.islink(source):
            os.unlink(source)
        return True

    def _move_across_disks(self, key: str, source: str, target: str) -> None:
        """Copy ``source`` beside ``target``, rename the copy, then remove ``source``. OSError."""
        parent = os.path.dirname(target)
        sweep(parent)  # copies of killed processes may be large
        copy = os.path.join(parent, temporary_name(os.path.basename(target)))
        os.mkdir(copy, self.folder_mode(target))
        descriptor = open_folder(copy)
        try:
            try_lock(descriptor)  # so that no sweeper removes it
            copy_tree(source, copy)
            self.disk.sync_copy(copy, target)
            os.rename(copy, target)
        finally:
            remove_tree(copy)
            unlock(descriptor)
        self.sync(key, parent)
        self.discard(key, source)

    def _clear(self, key: str, folder: str) -> None:
        """Remove unfinished files and empty folders from a locked folder without keys. OSError.

        A writer that loses its unfinished file copies it to a new one.
        """
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if TEMPORARY.fullmatch(name):
                remove_tree(path)
                continue
            if os.path.islink(path) or not os.path.isdir(path):
                raise KeyConflict(key, "the folder holds files that are not keys")
            with suppress(KeyNotFound), self.locked(key, path):
                self._clear(key, path)
                with suppress(OSError):  # not empty: others wrote there, so the rename will fail
                    os.rmdir(path)

    # -- removing

    def prune(self, folder: str) -> None:
        """Remove ``folder`` and those above it as far as they are empty and not locked."""
        while folder != self.root and self._remove_if_empty(folder):
            folder = os.path.dirname(folder)

    def _remove_if_empty(self, folder: str) -> bool:
        """Return whether the folder is gone. The holder of its lock prunes it afterwards."""
        try:
            while is_empty(folder):
                descriptor = open_folder(folder)
                try:
                    if not try_lock(descriptor):
                        return False
                    if _is_at(folder, os.fstat(descriptor)):
                        os.rmdir(folder)
                        return True
                except OSError as error:
                    if error.errno not in NOT_EMPTY:
                        raise
                finally:
                    unlock(descriptor)
        except FileNotFoundError:
            return True
        except OSError:
            return False  # an empty folder does no harm
        return False

    def discard(self, key: str, folder: str) -> None:
        """Make the locked ``folder`` vanish at once, then remove it.

        :raises OSError: the system cannot do it.
        """
        parent = os.path.dirname(folder)
        trash = os.path.join(self.root, temporary_name("trash"))
        try:
            os.rename(folder, trash)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            trash = os.path.join(parent, temporary_name("trash"))  # the folder is on another disk
            os.rename(folder, trash)
        if self.disk.needs(folder):
            self.sync_all(key, {self.root, parent})
        remove_tree(trash)

    def empty(self, key: str, folder: str) -> None:
        """Remove the entries of the locked ``folder``, but not the folder, nor files that others are writing.

        :raises OSError: the system cannot do it.
        """
        for name in os.listdir(folder):
            if not is_reserved(name):
                remove_tree(os.path.join(folder, name))
        sweep(folder)
        self.sync(key, folder)

    def sweep_before_write(self, folder: str, *, always: bool) -> None:
        """Sweep a folder before a write: always, or only before the first write of this process.

        The cost grows with the entries of the folder. Small writes leave little behind, so they sweep once.
        """
        if always or folder not in self._swept:
            if len(self._swept) >= _MOST_SWEPT:
                self._swept.clear()
            self._swept.add(folder)
            sweep(folder)


def failure(key: str, error: OSError) -> StorageUnavailable:
    """Return the error of the protocol for an error of the system, to be raised ``from`` it."""
    kind = StorageFull if error.errno in NO_SPACE else StorageUnavailable
    return kind(key, error.strerror or str(error))


def _is_at(path: str, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), status)
    except FileNotFoundError:
        return False


def _may_be_folder(path: str) -> bool:
    """Tell whether a path is a folder, or nothing any more.

    It is looked at once: others remove an empty folder and make it again meanwhile.
    """
    try:
        return modes.S_ISDIR(os.stat(path).st_mode)
    except FileNotFoundError:
        # nothing, or a link to nothing
        return not os.path.islink(path)
