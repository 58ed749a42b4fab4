"""One pass over a stored layer of v1: its digests, whether it is a tar, and its bytes in a form that today's
engines read (engine-formats.md 7.2).
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from ..archives.convert import EMPTY_TAR, EMPTY_TAR_DIFF_ID
from ..layers.checksums import PayloadChecksum
from ..layers.compression import CHUNK_BYTES, Compression, Readable, UnreadableLayer, open_decompressed
from ..layers.tar_headers import BLOCK_BYTES, Header

#: Compressions that today's engines do not read. Layers are encoded as gzip instead.
RECODED: Final[tuple[Compression, ...]] = ("bzip2", "xz")

#: Compressions of the layers that engines get.
_GIVEN: Final[tuple[Compression, ...]] = ("plain", "gzip", "zstd")

_DIGEST: Final = re.compile(r"sha256:[a-f0-9]{64}")

#: The level of zlib. The bytes depend on it, so it must never change.
_LEVEL: Final = 6


@dataclass(frozen=True)
class ReadLayer:
    """What one pass found out, and what is kept of it."""

    payload: str  #: the payload sum of the image: ``sha256:`` and 64 hex digits
    sha256: str  #: hex digits, of the bytes that engines get
    size: int  #: bytes that engines get
    diff_id: str
    compression: Compression  #: of the bytes that engines get
    is_recoded: bool = False  #: whether these are not the stored bytes

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> ReadLayer | None:
        """Return what was kept; None if it is damaged."""
        with suppress(TypeError):
            found = cls(**fields)
            texts = (found.payload, found.diff_id, f"sha256:{found.sha256}")
            is_text = all(isinstance(text, str) and _DIGEST.fullmatch(text) for text in texts)
            if is_text and type(found.size) is int and found.compression in _GIVEN:
                return found
        return None


class LayerReading:
    """A pass over one layer.

    :param layer: read from its current position to its end; not closed.
    :param document: the JSON of the image.
    :param limit_bytes: how many bytes the layer may expand to.
    :param check: called for each piece of data. What it raises ends the pass.
    :raises UnsupportedCompression: the module for the compression is missing.
    """

    def __init__(
        self, layer: Readable, document: bytes, *, limit_bytes: int, check: Callable[[], None]
    ) -> None:
        self._payload = PayloadChecksum(document)
        self._stored = _Counted()
        self._expanded = _Counted()
        self._given = self._stored
        self._check = check
        self._layer = open_decompressed(
            _Hashed(layer, self._payload, self._stored), limit_bytes=limit_bytes, check=check
        )

    @property
    def is_recoded(self) -> bool:
        """Whether engines get different bytes than the stored ones."""
        return self._layer.compression in RECODED

    def recode(self) -> Iterator[bytes]:
        """Read the layer, and yield it as gzip. Equal layers give equal bytes.

        :raises UnreadableLayer: the layer is damaged, not a tar, or beyond a limit.
        """
        self._given = _Counted()
        # without a time and a name in the head
        encoder = zlib.compressobj(_LEVEL, zlib.DEFLATED, wbits=31)
        for chunk in self._pieces():
            yield self._encoded(encoder.compress(chunk))
        yield self._encoded(encoder.flush())

    def read(self) -> ReadLayer:
        """Read what is left of the layer; return what the pass found out.

        :raises UnreadableLayer: the layer is damaged, not a tar, or beyond a limit.
        """
        for _ in self._pieces():
            pass
        if not self._expanded.size:
            return _empty_layer(self._payload.text())
        return ReadLayer(
            payload=self._payload.text(),
            sha256=self._given.hexdigest(),
            size=self._given.size,
            diff_id=f"sha256:{self._expanded.hexdigest()}",
            compression="gzip" if self.is_recoded else self._layer.compression,
            is_recoded=self.is_recoded,
        )

    def _pieces(self) -> Iterator[bytes]:
        head: bytes | None = b""
        while chunk := self._layer.read(CHUNK_BYTES):
            self._check()
            self._expanded.update(chunk)
            if head is not None:
                head += chunk
                if len(head) >= 2 * BLOCK_BYTES:
                    _check_tar(head)
                    head = None
            yield chunk
        if head:
            _check_tar(head)

    def _encoded(self, data: bytes) -> bytes:
        self._given.update(data)
        return data


class _Counted:
    """A SHA-256 digest that counts its bytes."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.size = 0  #: bytes

    def update(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self.size += len(chunk)

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


class _Hashed:
    """A stream whose bytes are added to digests as they are read."""

    def __init__(self, stream: Readable, *digests: _Counted | PayloadChecksum) -> None:
        self._stream = stream
        self._digests = digests

    def read(self, size: int, /) -> bytes:
        chunk = self._stream.read(size)
        for digest in self._digests:
            digest.update(chunk)
        return chunk


def _empty_layer(payload: str) -> ReadLayer:
    """Return what engines get for a layer of zero bytes, which is no tar: the empty tar."""
    digits = EMPTY_TAR_DIFF_ID.partition(":")[2]
    return ReadLayer(payload, digits, len(EMPTY_TAR), EMPTY_TAR_DIFF_ID, "plain")


def _check_tar(head: bytes) -> None:
    """Check that a layer begins as a tar does: with a header, or with the two blocks of zeros at its end.

    The rest is not checked, because engines accept more than one reader does.

    :param head: the first bytes of the expanded layer.
    :raises UnreadableLayer: it is not a tar.
    """
    first, second = head[:BLOCK_BYTES], head[BLOCK_BYTES : 2 * BLOCK_BYTES]
    if len(first) < BLOCK_BYTES:
        raise UnreadableLayer("the layer is not a tar archive: it has less than 512 bytes")
    if first.strip(b"\0"):
        Header().unpack(first)
    elif second.strip(b"\0"):
        raise UnreadableLayer("the layer is not a tar archive: it begins with zeros")
