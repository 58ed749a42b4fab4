"""Trees of files: names of unfinished ones, copies, removal, and locks that tell whether a process is at
work.

Paths are absolute. Nothing here knows keys, so errors of the system pass through.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from contextlib import suppress
from typing import Final

from .base import CHUNK_BYTES

#: What ``temporary_name`` returns.
TEMPORARY: Final = re.compile(r"\..*\.[0-9a-f]{16}\.tmp")

#: Errors of ``rmdir`` and ``rename`` if the folder has entries.
NOT_EMPTY: Final = frozenset({errno.ENOTEMPTY, errno.EEXIST})

#: Errors that mean that a file cannot have a link there: another disk, too many links, no links at all.
NO_LINK: Final = frozenset({errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})


def temporary_name(name: str) -> str:
    """Return a new name, at most 255 characters long, for the unfinished form of ``name``."""
    return f".{name[:233]}.{os.urandom(8).hex()}.tmp"


def open_folder(folder: str) -> int:
    """Return a descriptor of a folder.

    :raises OSError: there is no such folder.
    """
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def try_lock(descriptor: int) -> bool:
    """Take ``flock`` on an open file or folder; return False if another process or thread has it.

    :raises OSError: the file system has no ``flock``.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(descriptor: int) -> None:
    """Release the lock and close. Closing alone would leave the lock to a child that was forked meanwhile."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def sync_folder(descriptor: int) -> None:
    """Bring the names in an open folder to the disk.

    :raises OSError: the disk failed.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # the file system cannot sync folders
            raise


def is_empty(folder: str) -> bool:
    """Return whether a folder has no entries.

    :raises OSError: there is no such folder.
    """
    with os.scandir(folder) as entries:
        return next(entries, None) is None


def sweep(folder: str) -> None:
    """Remove what killed writers and deleters left in ``folder``: temporary names without a lock."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if TEMPORARY.fullmatch(entry.name)]
    except OSError:
        return
    for name in names:
        path = os.path.join(folder, name)
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if try_lock(descriptor):
                    remove_tree(path)
            finally:
                unlock(descriptor)


def copy_tree(source: str, target: str) -> None:
    """Copy what is in the folder ``source`` into the empty folder ``target``, with modes and times.

    Symbolic links are copied as links. Unfinished files and special files are left out.

    :raises OSError: the system cannot do it; a part may be copied.
    """
    for name in os.listdir(source):
        path, copy = os.path.join(source, name), os.path.join(target, name)
        if TEMPORARY.fullmatch(name):
            continue
        if os.path.islink(path):
            os.symlink(os.readlink(path), copy)
        elif os.path.isdir(path):
            os.mkdir(copy)
            copy_tree(path, copy)
            shutil.copystat(path, copy)
        elif os.path.isfile(path):
            with open(path, "rb") as reader, open(copy, "xb") as writer:
                shutil.copyfileobj(reader, writer, CHUNK_BYTES)
                writer.flush()
                shutil.copystat(path, copy)


def remove_tree(path: str) -> None:
    """Remove a file, a link, or a folder with everything in it. A missing path is no error.

    :raises OSError: the system cannot do it; a part may be removed.
    """
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
            # Others may remove entries too, or a writer has just made its temporary file there.
            if is_last_attempt or error.errno not in NOT_EMPTY | {errno.ENOENT}:
                raise
