"""The digests of a layer, found in one pass: of its bytes as they are stored, and of the tar inside."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from .compression import CHUNK_BYTES, Compression, Readable, go_on, open_decompressed


class Hash(Protocol):
    """What takes the bytes of a layer, as the objects of hashlib do."""

    def update(self, data: bytes, /) -> object: ...


@dataclass(frozen=True)
class LayerDigests:
    """What one pass over a layer found."""

    sha256: str  #: hex digits, of the bytes as they are stored
    size: int  #: of the bytes as they are stored
    diff_id: str  #: ``sha256:`` and hex digits, of the expanded bytes
    expanded_bytes: int
    compression: Compression


class _Watched:
    """A stream whose bytes are given to hashes while they are read."""

    def __init__(self, stream: Readable, hashes: Sequence[Hash]):
        self._stream = stream
        self._hashes = hashes
        self.size = 0

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self.size += len(data)
        for each in self._hashes:
            each.update(data)
        return data


def digests_of_layer(
    stream: Readable,
    *,
    also: Sequence[Hash] = (),
    limit_bytes: int | None = None,
    check: Callable[[], None] = go_on,
) -> LayerDigests:
    """Read a layer to its end and return its digests.

    :param stream: from its start; not closed.
    :param also: these get the bytes as they are stored, too.
    :param limit_bytes: the most expanded bytes; None for no limit.
    :param check: called often; what it raises ends the pass.
    :raises UnreadableLayer: the compressed data is invalid or cut.
    :raises ExpansionLimitExceeded: it expands to more than ``limit_bytes``.
    :raises UnsupportedCompression: the module for the compression is missing.

    >>> import io
    >>> digests_of_layer(io.BytesIO(b"plain")).diff_id == f"sha256:{hashlib.sha256(b'plain').hexdigest()}"
    True
    """
    stored, inside, expanded = hashlib.sha256(), hashlib.sha256(), 0
    watched = _Watched(stream, (stored, *also))
    layer = open_decompressed(watched, limit_bytes=limit_bytes, check=check)
    while chunk := layer.read(CHUNK_BYTES):
        check()
        inside.update(chunk)
        expanded += len(chunk)
    while watched.read(CHUNK_BYTES):
        check()
    return LayerDigests(
        stored.hexdigest(), watched.size, f"sha256:{inside.hexdigest()}", expanded, layer.compression
    )
