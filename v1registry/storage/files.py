"""The files of a FileStorage: values that are being written, and values that are being read."""

from __future__ import annotations

import errno
import io
import os
import stat as modes
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, Final, NoReturn, cast

from .base import ABSENT, ANY, CHUNK_BYTES, Blob, KeyConflict, KeyNotFound, Stat, StorageUnavailable
from .disk import WRITEBACK_BYTES, start_writeback
from .folders import NOWHERE, Folders, failure
from .trees import temporary_name, try_lock, unlock

#: How long a folder has to be unchanged before its times tell it from a later one, in nanoseconds. Clocks of
#: file systems advance in steps of at most 10 ms.
QUIET_NS: Final = 1_000_000_000

#: How often a folder is made again if others remove it before it holds a file.
_ATTEMPTS: Final = 1000

_Block = bytes | bytearray | memoryview


class Temporary:
    """A value that is being written, in a locked file beside its place. Readers do not see it.

    ``close`` removes it unless it was put in its place.

    :param key: named in errors.
    :param place: the path where the value shall be.
    :param is_small: the value is here already. Then the names of folders that are made for it are synced
        together with it, and otherwise at once: a value that is streamed may take long, and other writers
        rely on the folders meanwhile.
    :param modified_ns: the time of the value, in nanoseconds since 1970; None for that of :meth:`set_time`.
    :raises InvalidKey: the place cannot be that of a file.
    :raises StorageFull: no room is left.
    :raises StorageUnavailable: the system failed.
    """

    def __init__(
        self, folders: Folders, key: str, place: str, *, is_small: bool, modified_ns: int | None = None
    ) -> None:
        self._folders = folders
        self._is_small = is_small
        self._made_in: set[str] = set()  # folders with new names, to be synced
        self._key = key
        self._place = place
        self._modified_ns = modified_ns
        self._is_in_place = False
        self._written_bytes = 0
        self._begun_bytes = 0  # up to there the system writes to the disk already
        self._descriptor, self._path = self._create(os.path.dirname(place))

    def _create(self, folder: str) -> tuple[int, str]:
        name = os.path.basename(self._place)
        with self._folders.writing(self._key):
            for _ in range(_ATTEMPTS):
                path = os.path.join(folder, temporary_name(name))
                try:
                    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                    descriptor = os.open(path, flags, self._folders.file_mode(path))
                except FileNotFoundError:
                    if self._is_small:
                        self._made_in |= self._folders.make(folder, was_missing=True)
                    else:
                        self._folders.make_durably(self._key, folder)
                    continue
                if _claim(descriptor, path):
                    return descriptor, path
        raise StorageUnavailable(
            self._key, "its folder cannot be made, or other processes delete it again and again"
        )

    def write(self, data: bytes | Iterable[bytes]) -> None:
        """Append ``data``. An exception of an iterable passes through.

        :raises StorageFull: no room is left.
        :raises StorageUnavailable: the system failed.
        """
        for block in _blocks(data):
            with self._folders.writing(self._key):
                self._write_block(block)

    def _write_block(self, block: _Block) -> None:
        rest = memoryview(block).cast("B")
        while rest:
            count = os.write(self._descriptor, rest)
            self._written_bytes += count
            rest = rest[count:]
        waiting_bytes = self._written_bytes - self._begun_bytes
        if waiting_bytes >= WRITEBACK_BYTES and self._folders.disk.is_durable:
            start_writeback(self._descriptor, self._begun_bytes, waiting_bytes)
            self._begun_bytes = self._written_bytes

    def finish(self) -> None:
        """Set the time of the value, and bring it to the disk if it has to be there.

        :raises StorageFull: no room is left.
        :raises StorageUnavailable: the system failed.
        """
        self.set_time()
        if self.needs_sync:
            self.sync()

    def set_time(self) -> None:
        """Set the time of the value.

        :raises StorageUnavailable: the system failed.
        """
        with self._folders.writing(self._key):
            # The kernel's own time advances in steps of milliseconds, which is too coarse for etags.
            time_ns = time.time_ns() if self._modified_ns is None else self._modified_ns
            os.utime(self._descriptor, ns=(time_ns, time_ns))

    @property
    def needs_sync(self) -> bool:
        """Whether the value has to be on the disk before it is in its place."""
        return self._folders.disk.needs(self._place)

    def sync(self) -> None:
        """Bring the value to the disk, with the names of the folders that were made for it.

        :raises StorageFull: no room is left.
        :raises StorageUnavailable: the system failed.
        """
        with self._folders.writing(self._key):
            self._folders.disk.sync_all(self._made_in, self._descriptor)

    def rename(self) -> Stat | None:
        """Put the value in its place; return None if the folder or the file was deleted.

        :raises OSError: the system cannot do it.
        """
        try:
            os.rename(self._path, self._place)
        except FileNotFoundError:
            return None
        self._is_in_place = True
        return stat_of(self._key, os.fstat(self._descriptor))

    def recover(self) -> None:
        """Make a new file if others deleted this one together with its folder.

        The value is copied from the open file to a place outside that folder, so this happens at most once.

        :raises StorageFull: no room is left.
        :raises StorageUnavailable: the system failed.
        """
        if os.path.lexists(self._path):
            return
        with self._folders.writing(self._key):
            status = os.fstat(self._descriptor)
            is_on_the_disk_of_the_root = status.st_dev == os.stat(self._folders.root).st_dev
        created = self._create(
            self._folders.root if is_on_the_disk_of_the_root else os.path.dirname(self._place)
        )
        old, (self._descriptor, self._path) = self._descriptor, created
        self._written_bytes = self._begun_bytes = 0
        try:
            self.write(pieces(old, self._key, 0, status.st_size, CHUNK_BYTES))
        finally:
            os.close(old)
        self.finish()

    def close(self) -> None:
        """Release the file. If it is not in its place, remove it and the folders that were made for it."""
        if not self._is_in_place:
            with suppress(OSError):
                os.unlink(self._path)
        unlock(self._descriptor)
        if not self._is_in_place:
            self._folders.prune(os.path.dirname(self._place))


class FileBlob:
    """A blob of bytes ``[start, stop)`` of an open file, which it closes."""

    def __init__(self, descriptor: int, stat: Stat, start: int, stop: int) -> None:
        self.stat = stat
        self.start = start
        self.stop = stop
        self._file = io.FileIO(descriptor)
        self._file.seek(start)
        self._position = start
        self.file: BinaryIO | None = cast(BinaryIO, self._file)

    def read(self, size: int = -1, /) -> bytes:
        left = self.stop - self._position
        end = self._position + (left if size < 0 else min(size, left))
        value = read_range(self._file.fileno(), self.stat.key, self._position, end)
        self._position = end
        return value

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read(CHUNK_BYTES):
            yield piece

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Blob:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def read_range(descriptor: int, key: str, start: int, stop: int) -> bytes:
    """Return bytes ``[start, stop)`` of a file.

    :raises StorageUnavailable: the file is shorter, or the system failed.
    """
    try:
        value = os.pread(descriptor, stop - start, start)
    except OSError as error:
        raise_unread(key, error)
    if len(value) == stop - start:
        return value
    return value + b"".join(pieces(descriptor, key, start + len(value), stop, CHUNK_BYTES))


def pieces(descriptor: int, key: str, start: int, stop: int, size_bytes: int) -> Iterator[bytes]:
    """Yield bytes ``[start, stop)`` of a file in pieces of at most ``size_bytes``.

    :raises StorageUnavailable: the file is shorter, or the system failed.
    """
    while start < stop:
        with reading(key):
            piece = os.pread(descriptor, min(size_bytes, stop - start), start)
        if not piece:
            raise StorageUnavailable(
                key, f"its file ends at {start} bytes, before {stop}: another program cut it"
            )
        start += len(piece)
        yield piece


def check_expected(key: str, path: str, expect: str) -> None:
    """Compare the stored value with the expected one.

    :raises KeyConflict: they differ.
    :raises IsADirectoryError: a folder is at the path.
    :raises OSError: the system failed.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        etag = ABSENT
    else:
        if modes.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        etag = _etag_of(status)
    if expect not in (ANY, etag):
        raise KeyConflict(key, "the stored value is not the expected one")


def stat_at(key: str, path: str) -> Stat:
    """Return the Stat of the file at a path.

    :raises KeyNotFound: no file is there.
    :raises StorageUnavailable: the system failed.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise KeyNotFound(key) from None
    except OSError as error:
        raise_unread(key, error)
    if not modes.S_ISREG(status.st_mode):
        raise KeyNotFound(key)
    return stat_of(key, status)


def stat_of(key: str, status: os.stat_result) -> Stat:
    """Return the Stat of a file."""
    return Stat(key, status.st_size, _etag_of(status), status.st_mtime_ns)


def open_at(key: str, path: str) -> tuple[int, Stat]:
    """Open the file at a path; return its descriptor, which the caller closes, and its Stat.

    :raises KeyNotFound: no file is there.
    :raises StorageUnavailable: the system failed.
    """
    try:
        # O_NONBLOCK: without it, opening a named pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise KeyNotFound(key) from None
    except OSError as error:
        raise_unread(key, error)
    try:
        status = os.fstat(descriptor)
        if not modes.S_ISREG(status.st_mode):
            raise KeyNotFound(key)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, OSError):
            raise_unread(key, error)
        raise
    return descriptor, stat_of(key, status)


def version_at(folder: str, path: str) -> str | None:
    """Return a text for the folder at a path, empty if there is none; None if it changed lately.

    :raises StorageUnavailable: the system failed.
    """
    # before the look: a change after it is then later than the one that the look shows
    now_ns = time.time_ns()
    try:
        status = os.stat(path)
    except OSError as error:
        if error.errno in NOWHERE:
            return ""
        raise failure(folder, error) from error
    if not modes.S_ISDIR(status.st_mode):
        return ""
    if now_ns - max(status.st_mtime_ns, status.st_ctime_ns) < QUIET_NS:
        return None
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}"


@contextmanager
def reading(key: str) -> Iterator[None]:
    """Turn an error of the system during a read into an error of the protocol; see :func:`raise_unread`."""
    try:
        yield
    except OSError as error:
        raise_unread(key, error)


def raise_unread(key: str, error: OSError) -> NoReturn:
    """Raise the error of the protocol for an error of the system during a read.

    :raises KeyNotFound: the path leads nowhere.
    :raises StorageUnavailable: any other error.
    """
    if error.errno in NOWHERE:
        raise KeyNotFound(key) from None
    raise failure(key, error) from error


def _etag_of(status: os.stat_result) -> str:
    # Old and new value are two files, so their inodes differ. Inodes are used again later, so the time is
    # needed too.
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"


def _blocks(data: bytes | Iterable[bytes]) -> Iterator[_Block]:
    """Yield ``data`` in pieces of at least CHUNK_BYTES, except for the last one."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        yield data
        return
    gathered = bytearray()
    for piece in data:
        if not gathered and len(piece) >= CHUNK_BYTES:
            yield piece
            continue
        gathered += piece
        if len(gathered) >= CHUNK_BYTES:
            yield gathered
            gathered = bytearray()
    yield gathered


def _claim(descriptor: int, path: str) -> bool:
    """Lock a new temporary file. Return False, and close it, if a sweeper was faster."""
    try:
        if try_lock(descriptor) and os.fstat(descriptor).st_nlink:
            return True
    except BaseException:
        os.close(descriptor)
        os.unlink(path)
        raise
    os.close(descriptor)
    return False
