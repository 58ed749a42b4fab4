"""The folders of a FileStorage: made, locked, emptied and removed while others do the same."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from .base import InvalidKey, KeyConflict, KeyNotFound, StorageFull, StorageUnavailable, is_reserved

#: What ``temporary_name`` makes.
_TEMPORARY: Final = re.compile(r"\..*\.[0-9a-f]{16}\.tmp")

#: Pauses between two attempts to get a lock, in seconds: the first and the longest.
_FIRST_PAUSE_S: Final = 0.0002
_LONGEST_PAUSE_S: Final = 0.02

#: What the system says where a path leads nowhere.
NOWHERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})

#: How many folders are remembered as swept, each some hundred bytes.
_MOST_SWEPT: Final = 10_000

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NOT_EMPTY: Final = frozenset({errno.ENOTEMPTY, errno.EEXIST})

#: Device and inode of a folder.
_Identity = tuple[int, int]


class _OwnLocks(threading.local):
    """The folders whose locks the current thread holds."""

    def __init__(self) -> None:
        self.identities: set[_Identity] = set()


class Folders:
    """What a FileStorage does with folders. Paths are absolute; ``key`` is what errors speak of.

    :param root: the folder that is never removed.
    :param durable: whether to wait until the disk has what was made, moved or removed.
    :param lock_timeout_s: how long a lock is waited for.
    :param private: folders that nobody but the owner may look into.
    """

    def __init__(
        self, root: str, *, durable: bool, lock_timeout_s: float, private: Iterable[str] = ()
    ) -> None:
        self.root = root
        self._private = tuple(private)
        self.durable = durable
        self._lock_timeout_s = lock_timeout_s
        self._own_locks = _OwnLocks()
        self._swept: set[str] = set()

    @contextmanager
    def writing(self, key: str) -> Iterator[None]:
        """Turn what the system says while something is written into an error of the protocol."""
        try:
            yield
        except OSError as error:
            if error.errno == errno.ENOTDIR and os.path.isdir(self.root):
                raise InvalidKey(key, "a part of it before a / is a key, not a folder") from error
            if error.errno == errno.ENAMETOOLONG:
                raise InvalidKey(key, "the file system takes no name of this length") from error
            raise failure(key, error) from error

    def folder_mode(self, folder: str) -> int:
        """Return the mode in which to make a folder, before the umask."""
        return 0o700 if self._is_private(folder) else 0o777

    def file_mode(self, path: str) -> int:
        """Return the mode in which to make a file, before the umask."""
        return 0o600 if self._is_private(path) else 0o666

    def _is_private(self, path: str) -> bool:
        return any(path == private or path.startswith(private + "/") for private in self._private)

    def make(self, folder: str) -> set[str]:
        """Make ``folder`` and what is missing above it; return the folders that have a new name in them, to be synced.

        It may be gone again at once, as others remove empty ones. OSError.
        """
        parent = os.path.dirname(folder)
        made_in: set[str] = set()
        try:
            os.mkdir(folder, self.folder_mode(folder))
        except FileExistsError:
            if not os.path.isdir(folder) and os.path.lexists(folder):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder) from None
            return made_in
        except FileNotFoundError:
            made_in = self.make(parent)
            with suppress(FileExistsError, FileNotFoundError):
                os.mkdir(folder, self.folder_mode(folder))
        return made_in | {parent}

    def make_durably(self, key: str, folder: str) -> None:
        """Make ``folder`` and what is missing above it, and bring it to the disk. OSError."""
        for made_in in self.make(folder):
            self.sync(key, made_in)

    def sync(self, key: str, folder: str) -> None:
        """Bring the names in ``folder`` to the disk. A folder that is gone needs none."""
        if not self.durable:
            return
        with self.writing(key), suppress(FileNotFoundError):
            descriptor = _open_folder(folder)
            try:
                os.fsync(descriptor)
            except OSError as error:
                if error.errno != errno.EINVAL:  # a file system that cannot do it for folders
                    raise
            finally:
                os.close(descriptor)

    # -- locks

    @contextmanager
    def locked(self, key: str, folder: str, *, create: bool = True) -> Iterator[bool]:
        """Hold the lock of ``folder``; gives whether this thread held it before.

        A missing folder is made, or is KeyNotFound without ``create``. StorageUnavailable after too long a wait.
        """
        own = self._own_locks.identities
        descriptor, identity = self._acquire(key, folder, create)
        if identity in own:
            os.close(descriptor)
            yield True
            return
        own.add(identity)
        try:
            yield False
        finally:
            own.remove(identity)
            unlock(descriptor)

    def _acquire(self, key: str, folder: str, create: bool) -> tuple[int, _Identity]:
        deadline = time.monotonic() + self._lock_timeout_s
        pause_s = _FIRST_PAUSE_S
        while True:
            with self.writing(key):
                acquired = self._try_acquire(key, folder, create)
            if acquired is not None:
                return acquired
            if time.monotonic() >= deadline:
                raise StorageUnavailable(
                    key, f"the lock of its folder was not free within {self._lock_timeout_s:g} s"
                )
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _try_acquire(self, key: str, folder: str, create: bool) -> tuple[int, _Identity] | None:
        try:
            descriptor = self._open_or_make(key, folder) if create else _open_folder(folder)
        except FileNotFoundError:
            if create:
                return None  # made, and removed again by someone
            raise KeyNotFound(key) from None
        except NotADirectoryError:
            if create:
                raise
            raise KeyNotFound(key) from None
        try:
            status = os.fstat(descriptor)
            identity = status.st_dev, status.st_ino
            is_ours = identity in self._own_locks.identities or try_lock(descriptor)
            # Before we had the lock the folder may have been removed, and made anew by another.
            if is_ours and _is_at(folder, status):
                return descriptor, identity
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def _open_or_make(self, key: str, folder: str) -> int:
        try:
            return _open_folder(folder)
        except FileNotFoundError:
            self.make_durably(key, folder)
            return _open_folder(folder)

    # -- what is thrown away

    def prune(self, folder: str) -> None:
        """Remove ``folder`` and those above it as far as they are empty and nobody holds their locks."""
        while folder != self.root and self._remove_if_empty(folder):
            folder = os.path.dirname(folder)

    def _remove_if_empty(self, folder: str) -> bool:
        """Tell whether the folder is gone. Who finds it locked leaves it to the holder, who comes here afterwards."""
        try:
            while _is_empty(folder):
                descriptor = _open_folder(folder)
                try:
                    if not try_lock(descriptor):  # perhaps by this very thread
                        return False
                    if _is_at(folder, os.fstat(descriptor)):
                        os.rmdir(folder)
                        return True
                except OSError as error:
                    if error.errno not in _NOT_EMPTY:
                        raise
                finally:
                    unlock(descriptor)
        except FileNotFoundError:
            return True
        except OSError:
            return False  # it does no harm where it is
        return False

    def discard(self, key: str, folder: str) -> None:
        """Let ``folder``, whose lock is held, vanish at one instant, and remove it. OSError."""
        parent = os.path.dirname(folder)
        trash = os.path.join(self.root, temporary_name("trash"))
        try:
            os.rename(folder, trash)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            trash = os.path.join(parent, temporary_name("trash"))  # the folder lies on another disk
            os.rename(folder, trash)
        for place in {self.root, parent}:
            self.sync(key, place)
        _remove_tree(trash)

    def move(self, key: str, source: str, target: str) -> bool:
        """Rename ``source`` to ``target``; False if others wrote into ``target`` meanwhile. Both locks are held.

        :raises KeyConflict: ``target`` holds files that no key can have.
        :raises OSError: the system cannot do it.
        """
        self._clear(key, target)
        try:
            # Behind a symbolic link the folder itself is meant.
            os.rename(os.path.realpath(source), os.path.realpath(target))
        except OSError as error:
            if error.errno in _NOT_EMPTY:
                return False
            raise
        if os.path.islink(source):
            os.unlink(source)
        return True

    def _clear(self, key: str, folder: str) -> None:
        """Remove unfinished files and empty folders from a folder without keys, whose lock is held.

        A writer that loses its unfinished file makes a new one. OSError.
        """
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if _TEMPORARY.fullmatch(name):
                _remove_tree(path)
                continue
            if os.path.islink(path) or not os.path.isdir(path):
                raise KeyConflict(key, "the folder holds files that are not keys")
            with suppress(KeyNotFound), self.locked(key, path, create=False):
                self._clear(key, path)
                with suppress(OSError):  # if it is not empty, neither is the folder above: others wrote there
                    os.rmdir(path)

    def sync_tree(self, key: str, folder: str) -> None:
        """Bring the names in ``folder`` and in all folders below it to the disk."""
        if self.durable:
            for path, _, _ in os.walk(folder):
                self.sync(key, path)

    def empty(self, key: str, folder: str) -> None:
        """Remove what is in ``folder``, whose lock is held, but not the folder, nor what others are writing. OSError."""
        for name in os.listdir(folder):
            if not is_reserved(name):
                _remove_tree(os.path.join(folder, name))
        self.sweep(folder)
        self.sync(key, folder)

    def sweep_before_write(self, folder: str, *, always: bool) -> None:
        """Sweep a folder that is about to be written: each time, or as the first write of this process.

        A look at a folder costs more the more is in it, so small writes, which leave little behind, do not look each time.
        """
        if always or folder not in self._swept:
            if len(self._swept) >= _MOST_SWEPT:
                self._swept.clear()
            self._swept.add(folder)
            self.sweep(folder)

    def sweep(self, folder: str) -> None:
        """Remove what killed writers and deleters left in ``folder``: temporary names that nobody has locked."""
        try:
            with os.scandir(folder) as entries:
                names = [entry.name for entry in entries if _TEMPORARY.fullmatch(entry.name)]
        except OSError:
            return
        for name in names:
            path = os.path.join(folder, name)
            with suppress(OSError):
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    if try_lock(descriptor):
                        _remove_tree(path)
                finally:
                    unlock(descriptor)


def failure(key: str, error: OSError) -> StorageUnavailable:
    """Return the protocol's error for one of the system; it is to be raised ``from`` it."""
    kind = StorageFull if error.errno in _FULL else StorageUnavailable
    return kind(key, error.strerror or str(error))


def temporary_name(name: str) -> str:
    """Return a new name, at most 255 characters long, for something unfinished that shall be ``name``."""
    return f".{name[:233]}.{os.urandom(8).hex()}.tmp"


def try_lock(descriptor: int) -> bool:
    """Take ``flock`` on an open file or folder unless somebody has it. OSError."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(descriptor: int) -> None:
    """Give up the lock and close. Closing alone would leave the lock to a child that was forked meanwhile."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _open_folder(folder: str) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _is_at(path: str, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), status)
    except FileNotFoundError:
        return False


def _is_empty(folder: str) -> bool:
    with os.scandir(folder) as entries:
        return next(entries, None) is None


def _remove_tree(path: str) -> None:
    """Remove a file, a link, or a folder with all that is in it; none of it being there is no error. OSError."""
    for is_last_attempt in (False, False, True):
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
            return
        except OSError as error:
            if not os.path.lexists(path):
                return
            # others remove in it too, or a writer has just put its temporary file there
            if is_last_attempt or error.errno not in _NOT_EMPTY | {errno.ENOENT}:
                raise
