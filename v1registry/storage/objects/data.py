"""Data objects: large values, each in an object of its own that is written once and never changed."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

from ..base import CHUNK_BYTES, Blob, DataMissing, Stat, StorageUnavailable
from .documents import Entry, data_entry, inline_entry
from .store import PART_BYTES, ObjectAccess, Writer

#: The folder of the data objects in a store.
DATA_OBJECTS: Final = "data"

#: How often a stream is opened again that breaks off without having given anything.
_ATTEMPTS: Final = 3


def new_data_name() -> str:
    """Return a name that no data object has had."""
    digits = secrets.token_hex(16)
    return f"{DATA_OBJECTS}/{digits[:2]}/{digits}"


def missing(key: str, name: str) -> DataMissing:
    """Return the failure of a key whose data object the store does not have."""
    return DataMissing(key, f"its data is missing in the object store, which has no object {name}")


def store_value(access: ObjectAccess, data: bytes | Iterable[bytes], now_ns: int, most_inline: int) -> Entry:
    """Return the entry of a value, after its data object was stored if it needs one.

    :param data: if an iterable raises, nothing is stored.
    :param most_inline: how many bytes a value may have without a data object.
    :raises StorageUnavailable: the store failed.
    """
    pieces: Iterator[bytes] = iter(())
    is_whole = isinstance(data, (bytes, bytearray, memoryview))
    if isinstance(data, (bytes, bytearray, memoryview)):
        value = bytes(data)
    else:
        pieces, value = _begin(data, most_inline)
    if len(value) <= most_inline:
        return inline_entry(value, now_ns)
    name = new_data_name()
    if is_whole and len(value) <= PART_BYTES:
        access.replace(name, value)
        return data_entry(name, len(value), now_ns)
    return data_entry(name, _send(access.open_writer(name), value, pieces), now_ns)


def _begin(data: Iterable[bytes], most_inline: int) -> tuple[Iterator[bytes], bytes]:
    """Return the rest of some chunks, and the first ones: all of them if they fit into a document."""
    pieces = iter(data)
    value = bytearray()
    for piece in pieces:
        value += piece
        if len(value) > most_inline:
            break
    return pieces, bytes(value)


def _send(writer: Writer, first: bytes, pieces: Iterator[bytes]) -> int:
    """Send a value; return its size in bytes."""
    size = 0
    try:
        for start in range(0, len(first), PART_BYTES):
            writer.write(first[start : start + PART_BYTES])
        size += len(first)
        for piece in pieces:
            # the caller may fill its buffer again
            writer.write(bytes(piece))
            size += len(piece)
        writer.finish()
    except BaseException as error:
        writer.abort(error)
        raise
    return size


class DataBlob:
    """A stream over a range of a data object. If the connection breaks, it goes on with a new one.

    :raises FileNotFoundError: there is no such object.
    :raises StorageUnavailable: the store failed.
    """

    file: BinaryIO | None = None

    def __init__(self, access: ObjectAccess, name: str, stat: Stat, start: int, stop: int):
        self.stat = stat
        self.start = start
        self.stop = stop
        self._access = access
        self._name = name
        self._received = start  #: offset of the first byte that has not come yet
        self._chunk = b""
        self._at = 0  #: of the next byte of the chunk to be read
        self._is_closed = False
        self._stream = self._open() if start < stop else iter(())

    def read(self, size: int = -1, /) -> bytes:
        """Return at most ``size`` bytes, or the rest if ``size`` is negative; ``b""`` at the end."""
        if self._is_closed:
            raise ValueError("read of a closed blob")
        if size < 0:
            return b"".join(iter(lambda: self.read(CHUNK_BYTES), b""))
        if self._at >= len(self._chunk):
            if size == 0 or self._received >= self.stop:
                return b""
            self._receive()
        piece = self._chunk[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def _open(self) -> Iterator[bytes]:
        return self._access.stream(self._name, self._received, self.stop, CHUNK_BYTES)

    def _receive(self) -> None:
        """Get the next chunk."""
        for left in reversed(range(_ATTEMPTS)):
            try:
                self._chunk = next(self._stream, b"")
                if self._chunk:
                    break
                raise StorageUnavailable(self.stat.key, "the object store sent less than the object has")
            except FileNotFoundError:
                raise missing(self.stat.key, self._name) from None
            except StorageUnavailable:
                if not left:
                    raise
                self._stream = self._open()
        self._received += len(self._chunk)
        self._at = 0

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read(CHUNK_BYTES):
            yield piece

    def close(self) -> None:
        """Drop the connection."""
        self._is_closed = True
        self._chunk = b""
        self._stream = iter(())

    def __enter__(self) -> Blob:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
