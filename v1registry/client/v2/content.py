"""What a push sends: the blobs and the manifests of a save archive, of v1 images, or of a layout."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from io import BytesIO
from typing import IO, Protocol

from ...archives import convert
from ...archives.documents import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    ImageManifest,
    write_manifest,
)
from ...archives.images import ChainImage
from ...archives.layout_chain import choose_manifest
from ...archives.load import ArchivedChain, UnreadableArchive
from ...archives.oci_layout import Layout
from ...archives.platforms import Platform
from ...layers.compression import (
    Readable,
    UnreadableLayer,
    compression_of,
    open_decompressed,
)
from ...names import Digest
from ..errors import BadArchive
from ..layer_body import gzip_packer
from .upload import PreparedBlob

#: Prepares a blob, which may take long, and passes it on while its bytes can be read.
BlobMaker = Callable[[Callable[[PreparedBlob], None]], None]


class Content(Protocol):
    """The content of one tag."""

    def layers(self) -> Sequence[BlobMaker]:
        """Return the makers of the blobs, which may run at once.

        :raises BadArchive: the content is malformed.
        """

    def documents(self) -> Sequence[PreparedBlob]:
        """Return small blobs that follow the layers. Called when all makers have run."""

    def manifests(self) -> Sequence[tuple[Descriptor, bytes]]:
        """Return the manifests, children before the index that has them. Called last."""


class LayoutContent:
    """An entry of a layout with everything that it lists.

    :param platform: choose this one in an index; None for the whole index.
    """

    def __init__(self, layout: Layout, entry: Descriptor, platform: Platform | None):
        self._layout = layout
        self._entry = entry
        self._platform = platform
        self._manifests: list[tuple[Descriptor, bytes]] = []

    def layers(self) -> Sequence[BlobMaker]:
        """Return the makers of all blobs.

        :raises BadArchive: the layout is malformed, or something is missing in it.
        """
        blobs: dict[Digest, Descriptor] = {}
        try:
            entry = self._entry
            if self._platform is not None:
                entry, _ = choose_manifest(self._layout, entry, self._platform)
            for descriptor, manifest in self._layout.walk(entry):
                self._manifests.append((descriptor, self._layout.read(descriptor)))
                if isinstance(manifest, ImageManifest):
                    wanted = (
                        blob for blob in manifest.blobs if not blob.is_foreign or self._layout.has(blob)
                    )
                    blobs.update((blob.digest, blob) for blob in wanted)
        except UnreadableArchive as exc:
            raise BadArchive(f"the layout cannot be pushed: {exc}") from exc
        return [self._maker(blob) for blob in blobs.values()]

    def _maker(self, blob: Descriptor) -> BlobMaker:
        def make(send: Callable[[PreparedBlob], None]) -> None:
            try:
                self._layout.verify(blob)
            except (UnreadableArchive, OSError) as exc:
                raise BadArchive(f"the layout cannot be pushed: {exc}") from exc
            send(PreparedBlob(blob, lambda: self._layout.open(blob)))

        return make

    def documents(self) -> Sequence[PreparedBlob]:
        """Return nothing, because configs are among the other blobs."""
        return ()

    def manifests(self) -> Sequence[tuple[Descriptor, bytes]]:
        """Return the manifests, children before the index that has them."""
        return self._manifests


class ChainContent:
    """A chain of a save archive, with the config that it has, or that engines make of v1 images.

    Layers are sent as gzip. Those that are gzip already are sent as they are.

    :param gzip_level: 1 (fast) to 9 (small).
    :param limit_bytes: the largest expanded layer.
    :param is_oci: the manifest is one of OCI, not of Docker's schema 2, which old engines read too.
    """

    def __init__(self, chain: ArchivedChain, *, gzip_level: int, limit_bytes: int, is_oci: bool = False):
        self._manifest_type = OCI_MANIFEST if is_oci else DOCKER_MANIFEST
        self._config_type = OCI_CONFIG if is_oci else DOCKER_CONFIG
        self._layer_type = OCI_LAYER if is_oci else DOCKER_LAYER
        self._chain = chain
        self._gzip_level = gzip_level
        self._limit_bytes = limit_bytes
        self._images: Sequence[ChainImage] = chain.images
        if chain.config is not None:
            # a config without layers has one v1 image all the same
            self._images = chain.images[: len(convert.read_diff_ids(chain.config))]
        self._layers: dict[str, tuple[Descriptor, str]] = {}  # with the diff id
        self._lock = threading.Lock()
        self._config = b""

    def layers(self) -> Sequence[BlobMaker]:
        """Return the makers of the layers."""
        return [self._maker(image) for image in self._images]

    def _maker(self, image: ChainImage) -> BlobMaker:
        def make(send: Callable[[PreparedBlob], None]) -> None:
            try:
                with self._prepared(image) as (blob, diff_id):
                    with self._lock:
                        self._layers[image.image_id] = (blob.descriptor, diff_id)
                    send(blob)
            except (UnreadableArchive, UnreadableLayer, OSError) as exc:
                raise BadArchive(f"the archive cannot be read: {exc}") from exc

        return make

    @contextmanager
    def _prepared(self, image: ChainImage) -> Iterator[tuple[PreparedBlob, str]]:
        """Yield the layer as a blob, and its diff id."""
        with image.open_layer() as stream:
            is_gzip = compression_of(stream.read(16)) == "gzip"
        if is_gzip:
            with image.open_layer() as stream:
                source = _Hashing(stream)
                layer = convert.hash_layer(open_decompressed(source, limit_bytes=self._limit_bytes))
            descriptor = Descriptor(self._layer_type, source.digest, source.size_bytes)
            blob = PreparedBlob(descriptor, image.open_layer)  # type: ignore[arg-type]  # files of an archive
            yield self._or_empty_tar(blob, layer.diff_id), layer.diff_id
            return
        with tempfile.TemporaryFile() as file:
            packer = _Packer(file, self._layer_type, self._gzip_level)
            with image.open_layer() as stream:
                plain = open_decompressed(stream, limit_bytes=self._limit_bytes)
                layer = convert.hash_layer(_Copying(plain, packer))
            yield self._or_empty_tar(packer.finish(), layer.diff_id), layer.diff_id

    def _or_empty_tar(self, blob: PreparedBlob, diff_id: str) -> PreparedBlob:
        """Return the blob, or an empty tar in place of zero bytes, which engines refuse."""
        if diff_id != convert.EMPTY_TAR_DIFF_ID:
            return blob
        packer = _Packer(BytesIO(), self._layer_type, self._gzip_level)
        packer.write(convert.EMPTY_TAR)
        return packer.finish()

    def documents(self) -> Sequence[PreparedBlob]:
        """Return the config."""
        documents = [image.json for image in self._images]
        try:
            self._config = self._chain.config or convert.config_from_chain(
                documents, [self._layers[image.image_id][1] for image in self._images]
            )
        except convert.Unconvertible as exc:
            raise BadArchive(f"the archive cannot be pushed: {exc}") from exc
        config = self._config
        return [PreparedBlob(Descriptor.of(config, self._config_type), lambda: nullcontext(BytesIO(config)))]

    def manifests(self) -> Sequence[tuple[Descriptor, bytes]]:
        """Return the manifest."""
        layers = [self._layers[image.image_id][0] for image in self._images]
        config = Descriptor.of(self._config, self._config_type)
        manifest = write_manifest(config, layers, self._manifest_type)
        return [(Descriptor.of(manifest, self._manifest_type), manifest)]


class _Hashing:
    """A stream that hashes and counts what is read from it."""

    def __init__(self, stream: Readable):
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def read(self, size: int, /) -> bytes:
        chunk = self._stream.read(size)
        self._hash.update(chunk)
        self.size_bytes += len(chunk)
        return chunk

    @property
    def digest(self) -> Digest:
        return Digest("sha256", self._hash.hexdigest())


class _Packer:
    """Compresses a layer into a file, and hashes the compressed bytes."""

    def __init__(self, file: IO[bytes], media_type: str, gzip_level: int):
        self._file = file
        self._media_type = media_type
        self._gzip = gzip_packer(gzip_level)
        self._hash = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        """Add bytes of the layer."""
        self._write(self._gzip.compress(chunk))

    def _write(self, packed: bytes) -> None:
        self._hash.update(packed)
        self._file.write(packed)

    def finish(self) -> PreparedBlob:
        """Return the compressed layer."""
        self._write(self._gzip.flush())
        file = self._file
        file.flush()

        @contextmanager
        def rewound() -> Iterator[IO[bytes]]:
            file.seek(0)
            yield file

        digest = Digest("sha256", self._hash.hexdigest())
        return PreparedBlob(Descriptor(self._media_type, digest, file.tell()), rewound)


class _Copying:
    """A stream that gives what is read from it to a packer too."""

    def __init__(self, source: Readable, packer: _Packer):
        self._source = source
        self._packer = packer

    def read(self, size: int, /) -> bytes:
        chunk = self._source.read(size)
        self._packer.write(chunk)
        return chunk
