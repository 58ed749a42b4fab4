"""The body of a layer's upload."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from ..archives.images import ChainImage
from ..archives.load import UnreadableArchive
from ..layers.checksums import PayloadChecksum
from ..layers.compression import (
    CHUNK_BYTES,
    Readable,
    UnreadableLayer,
    compression_of,
    open_decompressed,
)
from .errors import BadArchive
from .parallel import Workers
from .progress import Meter

#: Compressions that engines with the Registry API v1 read. zstd came after them (engine-formats.md 1).
_SENT_UNCHANGED = ("gzip", "bzip2", "xz")


class LayerBody:
    """A layer of an archive in the form that is sent: compressed. It can be sent any number of times.

    Plain layers, and those of zstd, are sent as gzip. Others are sent as they are.

    :param document: the JSON of the image in the registry, which the checksum includes.
    :param gzip_level: 1 (fast) to 9 (small).
    :param limit_bytes: the largest expanded layer.
    """

    def __init__(
        self,
        image: ChainImage,
        *,
        document: bytes,
        gzip_level: int,
        limit_bytes: int,
        meter: Meter,
        workers: Workers,
    ):
        self._image = image
        self._document = document
        self._gzip_level = gzip_level
        self._limit_bytes = limit_bytes
        self._meter = meter
        self._workers = workers
        self.checksum = ""  #: the payload checksum, once ``chunks`` was read to its end
        self.sent_bytes = 0  #: in all iterations

    def chunks(self) -> Iterator[bytes]:
        """Yield the layer in pieces.

        :raises BadArchive: the layer cannot be read, or differs from its diff id.
        """
        self._workers.check()
        self._meter.set(0)
        payload = PayloadChecksum(self._document)
        for chunk in self._compressed():
            payload.update(chunk)
            self.sent_bytes += len(chunk)
            yield chunk
        self.checksum = payload.text()

    def _compressed(self) -> Iterator[bytes]:
        try:
            with self._image.open_layer() as stream:
                compression = compression_of(stream.read(16))
            with self._image.open_layer() as stream:
                archived = _Metered(stream, self._meter, self._workers)
                if compression in _SENT_UNCHANGED:
                    yield from _pieces(archived)
                    return
                packer = gzip_packer(self._gzip_level)
                for chunk in _pieces(open_decompressed(archived, limit_bytes=self._limit_bytes)):
                    if packed := packer.compress(chunk):
                        yield packed
                yield packer.flush()
        except (UnreadableArchive, UnreadableLayer, OSError) as exc:
            raise BadArchive(f"the archive cannot be read: {exc}") from exc


def gzip_packer(level: int) -> zlib._Compress:
    """Return a compressor that makes equal bytes of equal layers: without a name, and with time 0.

    :param level: 1 (fast) to 9 (small).
    """
    return zlib.compressobj(level, zlib.DEFLATED, 31)


def _pieces(stream: Readable) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


class _Metered:
    """A layer of the archive that advances a meter."""

    def __init__(self, stream: Readable, meter: Meter, workers: Workers):
        self._stream = stream
        self._meter = meter
        self._workers = workers

    def read(self, size: int, /) -> bytes:
        self._workers.check()  # the archive may be closed by now
        chunk = self._stream.read(size)
        self._meter.advance(len(chunk))
        return chunk
