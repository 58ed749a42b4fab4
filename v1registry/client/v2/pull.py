"""Pull a tag or a digest by the distribution API into a save archive or a layout."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...archives import convert
from ...archives.documents import Descriptor, ImageIndex, ImageManifest
from ...archives.history import with_history
from ...archives.images import ChainImage, UnreadableImage
from ...archives.oci_layout import DEPTH_LIMIT, MANIFESTS_LIMIT
from ...archives.platforms import Platform, platform_of
from ...archives.save import WrittenArchive, write_save_archive
from ...layers.compression import UnreadableLayer
from ...names import Digest
from ..connection import DOCUMENT_LIMIT_BYTES
from ..download import Download, Wanted
from ..errors import NotFoundInRegistry, ProtocolError, TransferFailed
from ..metered import metered_opener
from ..output import Output
from ..parallel import Workers
from ..progress import Meter
from ..pull import PullResult
from ..spool import LayerSpool, Spool
from ..transfer import Transfer
from .repository import V2Repository


@dataclass(frozen=True)
class Found:
    """A manifest or an index of the registry."""

    descriptor: Descriptor
    data: bytes
    document: ImageManifest | ImageIndex


class V2Pull:
    """One pull.

    :param platform: which image of an index is pulled; None for this machine.
    :raises ApiNotOffered: the registry does not have the API.
    :raises ClientError: the registry cannot be reached, or refuses the credentials.
    """

    def __init__(self, transfer: Transfer, *, platform: Platform | None):
        self._transfer = transfer
        self._reference = transfer.reference
        self._platform = platform
        self._repository = V2Repository(transfer, actions="pull")
        self._lock = threading.Lock()
        self.fetched_bytes = 0  #: over the network
        self.kept_bytes = 0  #: from an earlier pull
        self.blobs: list[Digest] = []  #: that the repository has

    # -- manifests

    def find_image(self) -> tuple[Found, ImageManifest]:
        """Return the manifest of the reference, or that for the platform in its index.

        :raises NotFoundInRegistry: the registry does not have the tag, the digest or the platform.
        :raises ClientError: the registry refuses it, or its answer is invalid.
        """
        found = self.find_top()
        for _ in range(DEPTH_LIMIT):
            if isinstance(found.document, ImageManifest):
                return found, found.document
            found = self._find(self._choose(found.document))
        raise ProtocolError(f"{self._reference} has indexes that are nested more than {DEPTH_LIMIT} deep")

    def find_top(self) -> Found:
        """Return the manifest or index of the reference. A digest is checked.

        :raises ClientError: see :meth:`find_image`.
        """
        return Found(*self._repository.manifest(self._reference.place))

    def _find(self, entry: Descriptor) -> Found:
        descriptor, data, document = self._repository.manifest(entry.digest)
        if entry.size_bytes != len(data):
            raise ProtocolError(
                f"{self._reference.host} answered {len(data)} bytes for {entry.digest}, but its index names "
                f"{entry.size_bytes}"
            )
        named = Descriptor(document.media_type, descriptor.digest, len(data), {}, entry.platform)
        return Found(named, data, document)

    def _choose(self, index: ImageIndex) -> Descriptor:
        platform = self._platform or Platform.here()
        chosen = index.choose(platform)
        if chosen is None and self._platform is None and len(index.manifests) == 1:
            chosen = index.manifests[0]
        if chosen is None:
            known = ", ".join(index.platforms[:20]) or "none"
            raise NotFoundInRegistry(
                f"{self._reference} is not for {platform}, but for: {known}; choose one of these with "
                "--platform"
            )
        return chosen

    def find_all(self, top: Found) -> Iterator[Found]:
        """Yield a manifest or index and everything that it lists, each once, children first.

        :raises ClientError: something is missing, invalid, or beyond a limit.
        """
        seen: set[Digest] = set()

        def below(found: Found, depth: int) -> Iterator[Found]:
            if depth > DEPTH_LIMIT or len(seen) > MANIFESTS_LIMIT:
                raise ProtocolError(
                    f"{self._reference} has indexes that are nested more than {DEPTH_LIMIT} deep, or list "
                    f"more than {MANIFESTS_LIMIT} manifests"
                )
            if isinstance(found.document, ImageIndex):
                for entry in found.document.manifests:
                    if entry.digest not in seen:
                        seen.add(entry.digest)
                        yield from below(self._find(entry), depth + 1)
            yield found

        seen.add(top.descriptor.digest)
        yield from below(top, 1)

    # -- blobs

    def fetch(self, blobs: Sequence[Descriptor], spool: LayerSpool) -> None:
        """Download blobs into the spool, several at once.

        :raises ClientError: one could not be fetched; what was fetched stays in the spool of a file.
        """
        with Workers(self._transfer.parallel) as workers:
            workers.map(lambda blob: self._fetch(blob, spool, workers), blobs)

    def _fetch(self, blob: Descriptor, spool: LayerSpool, workers: Workers) -> None:
        limit_bytes = self._transfer.layer_limit_bytes
        if blob.size_bytes > limit_bytes:
            raise TransferFailed(f"the blob {blob.digest} is larger than the limit of {limit_bytes} bytes")
        with Meter(self._transfer.progress, f"pull {blob.digest.hex[:12]}", blob.size_bytes) as meter:
            download = Download(
                Wanted(
                    blob.digest.hex,
                    f"the blob {blob.digest}",
                    blob.size_bytes,
                    frozenset((str(blob.digest),)),
                    algorithm=blob.digest.algorithm,
                    limit_bytes=blob.size_bytes,
                ),
                self._repository.blob_url(blob.digest),
                transfer=self._transfer,
                repository=self._repository,
                spool=spool,
                meter=meter,
                workers=workers,
            )
            download.run()
        with self._lock:
            self.fetched_bytes += download.fetched_bytes
            self.kept_bytes += download.kept_bytes
            self.blobs.append(blob.digest)

    # -- a save archive

    def run(self, output: Output) -> PullResult:
        """Pull the image into a save archive.

        :raises ClientError: the pull failed; fetched layers stay in the spool of a file.
        :raises OSError: the output cannot be written.
        """
        found, manifest = self.find_image()
        config, documents = self.find_config(found, manifest)
        documents = with_history(documents, config)
        with output.spool() as spool:
            blobs = list({layer.digest: layer for layer in manifest.layers}.values())
            self.fetch(blobs, spool)
            written = self._write(spool, output, documents, manifest, config)
            output.deliver(spool)
        return PullResult(
            self._reference,
            documents[-1].image_id,
            tuple(document.image_id for document in documents),
            str(manifest.config.digest),
            output.path,
            written.size_bytes,
            self.fetched_bytes,
            self.kept_bytes,
            str(found.descriptor.digest),
        )

    def find_config(
        self, found: Found, manifest: ImageManifest
    ) -> tuple[bytes, tuple[convert.V1Document, ...]]:
        """Return the config of an image, and the images of v1 that are made of it.

        :raises ClientError: the registry refuses it, or it is not the config of such an image.
        """
        config = self._config_of(found, manifest)
        try:
            count = len(convert.read_diff_ids(config))
            documents = convert.chain_from_config(config)
        except ValueError as exc:
            raise ProtocolError(f"{self._reference} has an invalid config: {exc}") from exc
        if count != len(manifest.layers):
            raise ProtocolError(
                f"{self._reference} has {len(manifest.layers)} layers, but its config lists {count}"
            )
        return config, documents

    def _config_of(self, found: Found, manifest: ImageManifest) -> bytes:
        if not manifest.is_image:
            raise ProtocolError(
                f"{self._reference} is not an image, but has the type {manifest.config.media_type}; "
                "pull it into a layout (-o layout:FOLDER)"
            )
        config = self._repository.small_blob(manifest.config, DOCUMENT_LIMIT_BYTES)
        found_platform = platform_of(config)
        if self._platform and found_platform and not found_platform.is_like(self._platform):
            raise NotFoundInRegistry(
                f"{self._reference} is not for {self._platform}, but for {found_platform}"
            )
        return config

    def _write(
        self,
        spool: Spool,
        output: Output,
        documents: Sequence[convert.V1Document],
        manifest: ImageManifest,
        config: bytes,
    ) -> WrittenArchive:
        total_bytes = sum(layer.size_bytes for layer in manifest.layers)
        with (
            open(spool.archive, "wb") as file,
            Meter(self._transfer.progress, f"write {output.name}", total_bytes) as meter,
        ):
            images = [
                ChainImage(document.image_id, document.json, metered_opener(spool, name, meter))
                for document, name in zip(documents, self._layer_names(spool, manifest), strict=True)
            ]
            try:
                written = write_save_archive(
                    file,
                    images,
                    {name: images[-1].image_id} if (name := self._reference.archive_name) else {},
                    layer_limit_bytes=self._transfer.layer_limit_bytes,
                    config=config,
                )
            except (UnreadableLayer, UnreadableImage, convert.Unconvertible) as exc:
                raise ProtocolError(f"{self._reference} is damaged in the registry: {exc}") from exc
            output.sync(file)
        return written

    def _layer_names(self, spool: Spool, manifest: ImageManifest) -> list[str]:
        """Return the names of the layers in the spool."""
        if manifest.layers:
            return [layer.digest.hex for layer in manifest.layers]
        spool.layer("empty").write_bytes(b"")  # it becomes an empty tar
        return ["empty"]
