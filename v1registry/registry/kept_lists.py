"""Lists and diffs of layers as they are kept: JSON beside the image, which can be computed again."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import Final, Protocol, TypeAlias

from .. import errors
from ..layers.compression import Readable
from ..layers.remembered import Remembered
from ..log import get_logger
from ..rights import Content
from ..storage.base import CHUNK_BYTES, KeyNotFound, Stat, Storage, StorageUnavailable
from . import layout

log = get_logger(__name__)

#: How much memory a list takes while it is made; the rest is in a temporary file.
_SPOOL_BYTES: Final = 4 << 20

#: Up to this size a kept document is read at once.
_SMALL_BYTES: Final = CHUNK_BYTES

#: How many bytes of documents that the storage did not take are kept in memory.
_UNSTORED_BYTES: Final = 16 << 20

#: The text for clients if a list is too long.
TOO_MANY: Final = "The layer has more files than are listed here"

#: A document while it is made.
Spool: TypeAlias = "SpooledTemporaryFile[bytes]"


class Stream(Readable, Protocol):
    """An open document."""

    def close(self) -> None:
        """Free what it needs."""


@dataclass(frozen=True)
class Document:
    """JSON about a layer, which is read in pieces."""

    size: int  #: bytes
    etag: str  #: for HTTP, with quotes
    open: Callable[[], Stream]  #: the caller closes the result

    @classmethod
    def of_bytes(cls, data: bytes) -> Document:
        """Return a document that is in memory."""
        return cls(len(data), f'"{hashlib.sha256(data).hexdigest()}"', lambda: io.BytesIO(data))


class KeptLists:
    """The documents about the layers of one storage. Safe for threads and processes.

    One that the storage does not take, because it is full or read-only, is kept in memory for a while.
    """

    def __init__(self, storage: Storage):
        self._storage = storage
        self._unstored = Remembered[bytes](_UNSTORED_BYTES, len)

    def find(self, content: Content, name: str, limit_bytes: int | None = None) -> Document | None:
        """Return what is kept under a name, None if nothing is or if it is not whole.

        A crash of an old server leaves a part of a value.

        :param limit_bytes: a longer document is not read.
        :raises LayerTooLarge: the document is longer than ``limit_bytes``.
        """
        key = layout.content_key(content, name)
        try:
            with self._storage.open(key) as blob:
                stat = blob.stat
                check_size(stat.size, limit_bytes, content)
                head = blob.read(_SMALL_BYTES)
        except KeyNotFound:
            data = self._unstored.find(self._place(content, name))
            return None if data is None else Document.of_bytes(data)
        is_small = len(head) == stat.size
        brackets = head[:1] + (head[-1:] if is_small else self._last_byte(key, stat))
        if brackets != (b"{}" if name.startswith(layout.DIFF) else b"[]"):
            return None
        if is_small:
            return Document.of_bytes(head)
        return Document(stat.size, _etag_of(stat), lambda: self._storage.open(key))

    def keep(self, content: Content, name: str, spool: Spool) -> Document:
        """Store a document, and return it. If that is impossible, only a warning is logged."""
        key = layout.content_key(content, name)
        spool.seek(0)
        try:
            stat = self._storage.write(key, _chunks(spool))
        except StorageUnavailable as error:
            log.warning("%s is not kept: %s", key, error.reason)
            spool.seek(0)
            data = spool.read()
            self._unstored.keep(self._place(content, name), data)
            return Document.of_bytes(data)
        if stat.size > _SMALL_BYTES:
            return Document(stat.size, _etag_of(stat), lambda: self._storage.open(key))
        spool.seek(0)
        return Document.of_bytes(spool.read())

    def etag(self, content: Content, name: str) -> str:
        """Return the storage's tag of a part of a content; empty if it is not stored."""
        try:
            return self._storage.stat(layout.content_key(content, name)).etag
        except KeyNotFound:
            return ""

    def _place(self, content: Content, name: str) -> tuple[str, str]:
        return layout.content_key(content, name), self.etag(content, layout.LAYER)

    def _last_byte(self, key: str, stat: Stat) -> bytes:
        with suppress(KeyNotFound), self._storage.open(key, stat.size - 1) as blob:
            return blob.read(1)
        return b""


def check_size(size_bytes: int, limit_bytes: int | None, content: Content) -> None:
    """Check the size of a list.

    :raises LayerTooLarge: it is larger than ``limit_bytes``.
    """
    if limit_bytes is not None and size_bytes > limit_bytes:
        raise errors.LayerTooLarge(TOO_MANY, image_id=content.image_id)


@contextmanager
def new_spool() -> Iterator[Spool]:
    """Give a place for a document that is made, and remove it afterwards.

    :raises OutOfSpace: the disk for temporary files is full, or cannot be written.
    """
    try:
        with SpooledTemporaryFile(_SPOOL_BYTES) as spool:
            yield spool
    except OSError as error:
        log.error("a list of files cannot be made: %s", error)
        raise errors.OutOfSpace from error


def _chunks(spool: Spool) -> Iterator[bytes]:
    while chunk := spool.read(CHUNK_BYTES):
        yield chunk


def _etag_of(stat: Stat) -> str:
    return f'"{hashlib.sha256(f"{stat.key} {stat.etag} {stat.size}".encode()).hexdigest()}"'
