"""What a FileStorage wrote reaches the disk: what has to, when, and how it gets there without long waits.

Paths are absolute. Nothing here knows keys, so errors of the system pass through.
"""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import cache, partial
from typing import Final

from .together import run_together
from .trees import TEMPORARY, open_folder, sync_folder

#: The system begins to write a stream to the disk whenever so many bytes have come.
WRITEBACK_BYTES: Final = 8 * 1024 * 1024

#: Of sync_file_range(2): begin to write, and do not wait.
_SYNC_FILE_RANGE_WRITE: Final = 2

#: How many files are open at once while they are synced together.
_MOST_OPEN: Final = 32

_READ_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

#: A file as it was synced: number of the inode, time and size.
Synced = tuple[int, int, int]


class Disk:
    """Tells what of a folder has to be on the disk, and brings it there.

    :param root: the folder.
    :param is_durable: False if the system may decide about everything.
    :param unfinished: folders whose values need not be on the disk before they are published or linked to a
        place outside of them.
    :param finished: folders inside those that are like all others.
    """

    def __init__(
        self,
        root: str,
        *,
        is_durable: bool,
        unfinished: Iterable[str] = (),
        finished: Iterable[str] = (),
    ) -> None:
        self.root = root
        self.is_durable = is_durable
        self._unfinished = tuple(unfinished)
        self._finished = tuple(finished)

    def needs(self, path: str) -> bool:
        """Tell whether what is at a path has to be on the disk when the operation ends."""
        if not self.is_durable:
            return False
        return not _is_below(path, self._unfinished) or _is_below(path, self._finished)

    def sync(self, folder: str) -> None:
        """Bring the names in ``folder`` to the disk if they have to be there. A missing folder needs no sync.

        :raises OSError: the disk failed.
        """
        self.sync_all([folder])

    def sync_all(self, folders: Iterable[str], value: int | None = None) -> None:
        """Bring the names in several folders to the disk at the same time, as :meth:`sync` does.

        :param value: an open file that is brought to the disk at the same time, whatever its folder is.
        :raises OSError: the disk failed.
        """
        calls = [partial(_sync_folder, folder) for folder in folders if self.needs(folder)]
        if value is not None:
            calls.insert(0, partial(os.fsync, value))
        run_together(calls, makes_threads=False)

    def sync_staged(self, source: str, target: str) -> frozenset[Synced] | None:
        """Bring the files of a folder to the disk before it is moved to ``target``; return what was synced.

        None if no file needs that: those of other folders were synced when they were written.

        :raises OSError: the disk failed.
        """
        if self.needs(source) or not self.needs(target):
            return None
        return frozenset(_sync_files([path for path, _ in _files_below(source)]))

    def sync_tree(self, folder: str, synced: frozenset[Synced] | None, others: Iterable[str] = ()) -> None:
        """Bring the names in ``folder``, in all folders below it and in ``others`` to the disk, if they have
        to be there.

        :param synced: files that need no sync. All others are synced too; None if no file needs that.
        :raises OSError: the disk failed.
        """
        folders = list(others)
        if self.needs(folder):
            if synced is not None:
                _sync_files([path for path, file in _files_below(folder) if file not in synced])
            folders += [path for path, _, _ in os.walk(folder)]
        self.sync_all(folders)

    def sync_copy(self, copy: str, target: str) -> None:
        """Bring everything in a folder to the disk before it is moved to ``target``.

        :raises OSError: the disk failed.
        """
        if self.needs(target):
            _sync_files([path for path, _ in _files_below(copy)])
            run_together([partial(_sync_folder, path) for path, _, _ in os.walk(copy)], makes_threads=False)


class OpenFolders:
    """Folders that stay open until they are synced, so that others may move them meanwhile."""

    def __init__(self) -> None:
        self._descriptors: dict[tuple[int, int], int] = {}

    def add(self, descriptor: int) -> None:
        """Add an open folder, which the caller may close then.

        :raises OSError: the system has no more open files.
        """
        status = os.fstat(descriptor)
        place = status.st_dev, status.st_ino
        if place not in self._descriptors:
            self._descriptors[place] = os.dup(descriptor)

    def sync(self) -> None:
        """Bring the names in all folders to the disk, at the same time.

        :raises OSError: the disk failed.
        """
        calls = [partial(sync_folder, descriptor) for descriptor in self._descriptors.values()]
        run_together(calls, makes_threads=False)

    def close(self) -> None:
        """Close the folders."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])


def start_writeback(descriptor: int, start: int, length: int) -> None:
    """Let the system begin to write a part of a file to the disk, so that a later sync waits for little.

    Nothing is promised. Some systems cannot do it.

    :param start: in bytes.
    :param length: in bytes; 0 means up to the end.
    """
    function = _sync_file_range()
    if function is not None:
        function(descriptor, start, length, _SYNC_FILE_RANGE_WRITE)


@cache
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    """Return the function of the C library; None if it has none. Python has no other way to it."""
    try:
        import ctypes

        function = ctypes.CDLL(None).sync_file_range
    except (ImportError, OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return function


def _is_below(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def _files_below(folder: str) -> Iterator[tuple[str, Synced]]:
    """Yield path and state of each file below a folder, without those that are being written."""
    for path, _, names in os.walk(folder):
        for name in names:
            file = os.path.join(path, name)
            if not TEMPORARY.fullmatch(name):
                with suppress(FileNotFoundError):
                    status = os.lstat(file)
                    if modes.S_ISREG(status.st_mode):
                        yield file, _as_synced(status)


def _sync_folder(folder: str) -> None:
    """Bring the names in a folder to the disk. A missing folder needs no sync.

    :raises OSError: the disk failed.
    """
    with suppress(FileNotFoundError):
        descriptor = open_folder(folder)
        try:
            sync_folder(descriptor)
        finally:
            os.close(descriptor)


def _sync_files(paths: Sequence[str]) -> set[Synced]:
    """Bring files to the disk, and return what was synced. Missing ones need no sync.

    :raises OSError: the disk failed.
    """
    synced = set[Synced]()
    for start in range(0, len(paths), _MOST_OPEN):
        with ExitStack() as opened:
            descriptors = []
            for path in paths[start : start + _MOST_OPEN]:
                with suppress(FileNotFoundError):
                    descriptors.append(os.open(path, _READ_FLAGS))
                    opened.callback(os.close, descriptors[-1])
            # all have their places on the disk then, so that one write of the journal is enough for them
            for descriptor in descriptors:
                start_writeback(descriptor, 0, 0)
            synced.update(_as_synced(os.fstat(descriptor)) for descriptor in descriptors)
            run_together([partial(os.fsync, descriptor) for descriptor in descriptors])
    return synced


def _as_synced(status: os.stat_result) -> Synced:
    return status.st_ino, status.st_mtime_ns, status.st_size
