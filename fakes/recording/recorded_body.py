"""The bodies of recorded requests: bounded, small ones in memory, large ones in one temporary file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import Any, Final
from weakref import finalize

#: The largest body in memory, in bytes.
MEMORY_BYTES: Final = 256 << 10

#: How much of a body is kept at most, in bytes.
LARGEST_BYTES: Final = 16 << 20

#: How much of all bodies of a log is in memory at most, in bytes. The rest goes to the file.
_ALL_MEMORY_BYTES: Final = 64 << 20

#: How large the file of a log becomes at most, in bytes.
_ALL_FILE_BYTES: Final = 1 << 30


class Spool:
    """The temporary file of one log, opened at first use. Safe for threads.

    Many bodies share it, so a log needs one file descriptor.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file: Any = None  # a raw file
        self._size = 0
        self._memory_bytes = 0
        self.is_closed = False

    def take_memory(self, size: int) -> bool:
        """Tell whether there is memory for so many bytes more, and count them.

        No lock is taken, because some bytes too many do no harm.
        """
        if self._memory_bytes + size > _ALL_MEMORY_BYTES:
            return False
        self._memory_bytes += size
        return True

    def give_memory(self, size: int) -> None:
        """Count bytes that have left the memory."""
        self._memory_bytes -= size

    def write(self, data: bytes) -> int | None:
        """Append bytes and return where they begin. None if they are not kept.

        They are not kept if the spool is closed, the file has its largest size, or the disk is full.
        """
        with self._lock:
            if self.is_closed or self._size + len(data) > _ALL_FILE_BYTES:
                return None
            try:
                if self._file is None:
                    self._file = TemporaryFile(prefix="v1registry-", buffering=0)  # noqa: SIM115
                    # a registry that is never closed leaves no open file
                    finalize(self, self._file.close)
                self._file.seek(self._size)
                if self._file.write(data) != len(data):
                    return None
            except OSError:
                return None
            begin = self._size
            self._size += len(data)
            return begin

    def read(self, parts: list[tuple[int, int]]) -> bytes:
        """Return the bytes of some parts, each a begin and a size.

        :raises ValueError: the spool is closed.
        """
        with self._lock:
            if self._file is None:
                raise ValueError(
                    "this body was in a temporary file, which is removed by requests.clear(), reset() and "
                    f"close(): read bodies of more than {MEMORY_BYTES >> 10} KiB before"
                )
            found = []
            for begin, size in parts:
                self._file.seek(begin)
                found.append(self._file.read(size))
            return b"".join(found)

    def close(self) -> None:
        """Remove the file. Closing twice has no effect."""
        with self._lock:
            self.is_closed = True
            file, self._file = self._file, None
        if file is not None:
            file.close()


class RecordedBody:
    """The bytes of one body that passed, as far as they are kept. One thread writes, others may read.

    :param spool: where large bodies go. If None, only small ones are kept.
    """

    __slots__ = ("_chunks", "_kept_bytes", "_parts", "_spool", "has_ended", "is_whole", "size")

    def __init__(self, spool: Spool | None = None):
        self._spool = spool or Spool()
        self._chunks: list[bytes] = []
        self._parts: list[tuple[int, int]] | None = None  # in the file; None if the body is in memory
        self._kept_bytes = 0
        self.size = 0  #: how many bytes passed
        self.is_whole = True  #: whether all of them are kept
        self.has_ended = False  #: whether the end of the body was seen

    def add(self, chunk: bytes) -> None:
        """Keep the next bytes, within the bounds."""
        size = len(chunk)
        self.size += size
        if not self.is_whole or not size:
            return
        if self._parts is None:
            if self._kept_bytes + size <= MEMORY_BYTES and self._spool.take_memory(size):
                self._chunks.append(chunk)
                self._kept_bytes += size
                return
            self._move_to_file()
        room = LARGEST_BYTES - self._kept_bytes
        if self.is_whole and room:
            self._write(chunk[:room])
        self.is_whole = self.is_whole and room >= size

    def _move_to_file(self) -> None:
        in_memory, kept_bytes = b"".join(self._chunks), self._kept_bytes
        begin = self._spool.write(in_memory)
        if begin is None:
            self.is_whole = False
            return
        self._parts = [(begin, kept_bytes)]
        self._chunks = []
        self._spool.give_memory(kept_bytes)

    def _write(self, data: bytes) -> None:
        assert self._parts is not None
        begin = self._spool.write(data)
        if begin is None:
            self.is_whole = False
            return
        self._kept_bytes += len(data)
        last_begin, last_size = self._parts[-1]
        if last_begin + last_size == begin:
            self._parts[-1] = (last_begin, last_size + len(data))
        else:
            self._parts.append((begin, len(data)))

    def read(self) -> bytes:
        """Return the kept bytes.

        :raises ValueError: they were in the file of a spool that is closed.
        """
        chunks, parts = self._chunks, self._parts
        return b"".join(chunks) if parts is None else self._spool.read(list(parts))


class WatchedInput:
    """The body of a request as the application reads it. What is read is recorded.

    :param file: ``wsgi.input`` of the server.
    """

    def __init__(self, file: Any, body: RecordedBody):
        self._file = file
        self._body = body

    def read(self, size: int | None = -1) -> bytes:
        """Return at most so many bytes, or all if the size is negative or None."""
        chunk: bytes = self._file.read(size)
        is_all = size is None or size < 0
        self._note(chunk, is_end=is_all or (not chunk and size != 0))
        return chunk

    def readline(self, *size: int) -> bytes:
        """Return the next line, or at most so many bytes of it."""
        line: bytes = self._file.readline(*size)
        self._note(line, is_end=not line and size != (0,))
        return line

    def readlines(self, *hint: int) -> list[bytes]:
        """Return all lines, or as many as have the size of the hint."""
        lines: list[bytes] = self._file.readlines(*hint)
        self._note(b"".join(lines), is_end=not lines or not hint)
        return lines

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    def _note(self, chunk: bytes, *, is_end: bool) -> None:
        self._body.add(chunk)
        if is_end:
            self._body.has_ended = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
