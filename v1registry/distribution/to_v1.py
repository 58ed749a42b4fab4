"""The v1 view of images that were pushed through the distribution API (distribution.md 2.2).

An image becomes the chain of images that engines of 1.10 to 17.05 push for it. Layers are linked, not copied.
The images are completed root first, so that the tag, which is written last, never shows a part of a chain.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, cast

from .. import errors
from ..archives.convert import EMPTY_TAR, Unconvertible, V1Document, chain_from_config
from ..layers.compression import (
    CHUNK_BYTES,
    open_decompressed,
)
from ..log import get_logger
from ..names import RepositoryName
from ..registry import layout as registry_layout
from ..registry.contents import Contents, Staged
from ..registry.expiry import push_folder
from ..registry.holding import Holding
from ..registry.looks import Looks
from ..rights import Content, Rights
from ..storage.base import KeyNotFound, Storage
from . import layout
from .blobs import Blobs
from .places import Place
from .view_facts import FactsOfLayers, NoView, ViewFacts

log = get_logger(__name__)

#: The media types of images; those of lists of images; those of the configs of images.
IMAGES: Final = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
    }
)
INDEXES: Final = frozenset(
    {
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.index.v1+json",
    }
)
_CONFIGS: Final = frozenset(
    {"application/vnd.docker.container.image.v1+json", "application/vnd.oci.image.config.v1+json"}
)


@dataclass(frozen=True)
class View:
    """The v1 image of a manifest."""

    image_id: str
    ancestry: tuple[str, ...]  #: the ids from the image itself to its root


class ToV1:
    """Makes v1 images of manifests. Safe for threads and processes.

    :param platform: ``OS/ARCHITECTURE`` of the entry of an index that v1 shows.
    :param most_config_bytes: the largest config.
    :param most_layer_bytes: layers larger than this get no view.
    :param most_in_chain: how many layers an image may have.
    """

    def __init__(
        self,
        storage: Storage,
        blobs: Blobs,
        contents: Contents,
        holding: Holding,
        looks: Looks,
        *,
        platform: str = "linux/amd64",
        most_config_bytes: int = 16 << 20,
        most_layer_bytes: int = 4 << 30,
        most_in_chain: int = 400,
    ):
        self._storage = storage
        self._blobs = blobs
        self._contents = contents
        self._holding = holding
        self._facts = FactsOfLayers(storage, blobs, looks, most_layer_bytes=most_layer_bytes)
        self._platform = platform
        self._most_config_bytes = most_config_bytes
        self._most_in_chain = most_in_chain

    def view_of(self, rights: Rights, place: Place, document: bytes, media_type: str) -> View | None:
        """Make the v1 images of a manifest, and let the repository hold them.

        :param document: the manifest, whose blobs the repository contains.
        :return: None if v1 cannot show it; the log says why.
        :raises LayerBusy: other looks into layers take too long.
        :raises StorageUnavailable: the storage failed, or is full.
        """
        try:
            image = self._image_in(document, media_type)
            chain = self._chain(image)
            return self._make(rights, place, chain, image)
        except NoView as reason:
            log.info("no v1 view of a manifest in %s: %s", place.repository, reason)
            return None

    # -- the manifest

    def _image_in(self, document: bytes, media_type: str) -> dict[str, Any]:
        """Return the parsed manifest of the image that v1 shows.

        :raises NoView: there is none.
        """
        parsed = registry_layout.parse_stored(document)
        if media_type in IMAGES and isinstance(parsed, dict):
            return parsed
        if media_type not in INDEXES or not isinstance(parsed, dict):
            raise NoView(f"{media_type} is neither an image nor an index")
        entry = self._entry_of(parsed.get("manifests") or [])
        digest = str(entry.get("digest", ""))
        sha256 = digest.removeprefix("sha256:")
        try:
            found = registry_layout.parse_stored(self._blobs.read(sha256))
        except KeyNotFound:
            raise NoView(f"the manifest {digest} of the index is missing") from None
        if not isinstance(found, dict):
            raise NoView(f"the manifest {digest} of the index is no image")
        return found

    def _entry_of(self, entries: Iterable[Any]) -> dict[str, Any]:
        """Return the entry of an index that v1 shows: that of the platform, else the first one for Linux.

        :raises NoView: there is none.
        """
        images = [entry for entry in entries if isinstance(entry, dict) and entry.get("mediaType") in IMAGES]
        for wanted in (self._platform, "linux/"):
            for entry in images:
                if f"{_platform_of(entry)}/".startswith(f"{wanted.rstrip('/')}/"):
                    return entry
        raise NoView(f"the index has neither an image for {self._platform} nor one for Linux")

    def _chain(self, image: Mapping[str, Any]) -> tuple[V1Document, ...]:
        """Return the v1 images of an image, root first.

        :raises NoView: v1 cannot express it.
        """
        config, layers = image.get("config"), image.get("layers")
        if not isinstance(config, dict) or config.get("mediaType") not in _CONFIGS:
            raise NoView("its config is not that of an image")
        digest, size = str(config.get("digest", "")), config.get("size")
        if not isinstance(size, int) or size > self._most_config_bytes:
            raise NoView(f"its config has {size} bytes; at most {self._most_config_bytes} are read")
        if not digest.startswith("sha256:"):
            raise NoView("the digest of its config is not a SHA-256")
        try:
            chain = chain_from_config(self._blobs.read(digest.removeprefix("sha256:")))
        except (Unconvertible, KeyNotFound) as error:
            raise NoView(f"its config cannot be converted: {error}") from None
        count = len(layers) if isinstance(layers, list) else 0
        if count != len(chain) and not (count == 0 and len(chain) == 1):
            raise NoView(f"it has {count} layers, and its config lists {len(chain)}")
        if len(chain) > self._most_in_chain:
            raise NoView(f"it has {count} layers; v1 shows at most {self._most_in_chain} (max_chain_images)")
        return chain

    # -- the images

    def _make(
        self, rights: Rights, place: Place, chain: Sequence[V1Document], image: Mapping[str, Any]
    ) -> View:
        descriptors: list[Any] = image.get("layers") or [None]
        ancestry: tuple[str, ...] = ()
        for document, descriptor in zip(chain, descriptors, strict=True):
            ancestry = (document.image_id, *ancestry)
            layer = self._blob_of(descriptor)
            facts = self._checked_facts(layer, document)
            self._complete(rights, place.repository, document, ancestry, layer, facts)
        return View(chain[-1].image_id, ancestry)

    def _blob_of(self, descriptor: Any) -> str:
        """Return the SHA-256 digits of a layer.

        :raises NoView: the layer is elsewhere, or encrypted.
        """
        if descriptor is None:
            return self._blobs.put(EMPTY_TAR).hex
        media_type, digest = str(descriptor.get("mediaType")), str(descriptor.get("digest"))
        if descriptor.get("urls") or "nondistributable" in media_type or "foreign" in media_type:
            raise NoView(f"the layer {digest} is elsewhere")
        if "encrypted" in media_type:
            raise NoView(f"the layer {digest} is encrypted")
        if not digest.startswith("sha256:"):
            raise NoView(f"the digest of the layer {digest} is not a SHA-256")
        return digest.removeprefix("sha256:")

    def _checked_facts(self, sha256: str, document: V1Document) -> ViewFacts:
        """Return what is known of a layer, which is read unless that was remembered.

        :raises NoView: it has a different diff id than the config says, or cannot be read within the bounds.
        """
        facts = self._facts.of(sha256, document.json)
        if facts.diff_id != document.diff_id:
            raise NoView(
                f"the layer sha256:{sha256} has the diff id {facts.diff_id}, "
                f"and the config says {document.diff_id}"
            )
        return facts

    def _complete(
        self,
        rights: Rights,
        repository: RepositoryName,
        document: V1Document,
        ancestry: tuple[str, ...],
        layer: str,
        facts: ViewFacts,
    ) -> None:
        """Let the repository hold one image.

        :raises NoView: it holds a different content under the id, or on an open server another one is there.
        """
        payload = facts.payload_with(document.json)
        held = rights.content_in(repository, document.image_id)
        if held is not None and self._is_equal(held, document, ancestry, payload):
            return
        folder = push_folder(document.image_id, rights.push_key().owner, secrets.token_hex(16))
        staged = f"{folder}/view"
        try:
            if facts.is_zstd:
                payload = self._write_gzip(staged, layer, document.json)
                self._facts.remember(layer, facts, document.json, payload)
            else:
                self._storage.link(layout.blob_key(layer), f"{staged}/{registry_layout.LAYER}")
            assert payload is not None
            for name, value in (
                (registry_layout.JSON, document.json),
                (registry_layout.ANCESTRY, json.dumps(list(ancestry)).encode("ascii")),
                (registry_layout.CHECKSUM, json.dumps([f"sha256:{payload}"]).encode("ascii")),
            ):
                self._storage.write(f"{staged}/{name}", value)
            is_held = self._holding.complete(
                rights, [repository], document.image_id, Staged(staged, payload, ancestry)
            )
        except KeyNotFound:
            raise NoView(f"the layer sha256:{layer} is missing") from None
        finally:
            with suppress(KeyNotFound):
                self._storage.delete_tree(folder)
        if not is_held:
            raise NoView(f"the v1 id {document.image_id} has a different content")

    def _is_equal(
        self, held: Content, document: V1Document, ancestry: tuple[str, ...], payload: str | None
    ) -> bool:
        whole = self._contents.whole(held)
        if whole is None:
            return False
        try:
            is_same_json = self._contents.document(whole) == document.json
            sums = self._contents.payload_sums(whole)
        except errors.ImageNotFound:
            return False
        is_same_layer = payload is not None and f"sha256:{payload}" in sums
        return is_same_json and is_same_layer and tuple(self._contents.known_ancestry(whole)) == ancestry

    def _write_gzip(self, staged: str, layer: str, document: bytes) -> str:
        """Write a layer for engines that cannot read its compression; return its payload sum.

        The bytes depend on the content alone, so a later view of the same layer is equal.
        """
        payload = hashlib.sha256(document + b"\n")

        def chunks() -> Iterator[bytes]:
            with self._blobs.open(layer) as blob:
                stream = open_decompressed(blob)
                for chunk in _gzipped(iter(lambda: stream.read(CHUNK_BYTES), b"")):
                    payload.update(chunk)
                    yield chunk

        self._storage.write(f"{staged}/{registry_layout.LAYER}", chunks())
        return payload.hexdigest()


class _Sink:
    """A file that keeps what is written until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: nothing is behind it."""

    def take(self) -> bytes:
        """Return what was written since the last call."""
        taken, self._parts = b"".join(self._parts), []
        return taken


def _gzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the gzip form of chunks. Equal content gives equal bytes."""
    sink = _Sink()
    with gzip.GzipFile(
        fileobj=cast(BinaryIO, sink), mode="wb", mtime=0, compresslevel=6, filename=""
    ) as file:
        for chunk in chunks:
            file.write(chunk)
            if taken := sink.take():
                yield taken
    yield sink.take()


def _platform_of(entry: Mapping[str, Any]) -> str:
    platform = entry.get("platform")
    if not isinstance(platform, dict):
        return ""
    return f"{platform.get('os')}/{platform.get('architecture')}"
