"""The body of a layer's upload."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from ..archives.images import ChainImage
from ..archives.load import UnreadableArchive
from ..layers.checksums import PayloadChecksum
from ..layers.compression import CHUNK_BYTES, compression_of
from .errors import BadArchive
from .parallel import Workers
from .progress import Meter


class LayerBody:
    """A layer of an archive in the form that is sent: compressed. It can be sent any number of times.

    :param gzip_level: for layers that are plain in the archive; others are sent as they are.
    """

    def __init__(self, image: ChainImage, gzip_level: int, meter: Meter, workers: Workers):
        self._image = image
        self._gzip_level = gzip_level
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
        payload = PayloadChecksum(self._image.json)
        for chunk in self._compressed():
            payload.update(chunk)
            self.sent_bytes += len(chunk)
            yield chunk
        self.checksum = payload.text()

    def _compressed(self) -> Iterator[bytes]:
        # Without a name and with time 0 in the gzip header, equal layers make equal bytes.
        packer = zlib.compressobj(self._gzip_level, zlib.DEFLATED, 31)
        packs: bool | None = None
        for chunk in self._archived():
            if packs is None:
                packs = compression_of(chunk) == "plain"
            packed = packer.compress(chunk) if packs else chunk
            if packed:
                yield packed
        if packs is not False:
            yield packer.flush()

    def _archived(self) -> Iterator[bytes]:
        try:
            with self._image.open_layer() as stream:
                while chunk := stream.read(CHUNK_BYTES):
                    self._meter.advance(len(chunk))
                    yield chunk
                    # before the next read, because the archive may be closed by now
                    self._workers.check()
        except (UnreadableArchive, OSError) as exc:
            raise BadArchive(f"the archive cannot be read: {exc}") from exc
