"""An image of an OCI layout as a chain of v1 images, as engines from 1.10 to 17.05 would push it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO

from ..layers.compression import UnreadableLayer, open_decompressed
from . import convert
from .documents import Descriptor, ImageIndex, ImageManifest
from .history import with_history
from .images import ChainImage
from .load import ArchivedChain
from .oci_layout import DEPTH_LIMIT, Layout, names_of
from .platforms import Platform
from .tarindex import ArchiveLimits, UnreadableArchive


def choose_manifest(
    layout: Layout, entry: Descriptor, platform: Platform
) -> tuple[Descriptor, ImageManifest]:
    """Return the image manifest of an entry: the entry itself, or that for the platform in its index.

    :raises UnreadableArchive: the layout does not have it, or it is malformed.
    """
    for _ in range(DEPTH_LIMIT):
        manifest = layout.manifest(entry)
        if isinstance(manifest, ImageManifest):
            return entry, manifest
        entry = _choose(manifest, platform)
    raise UnreadableArchive(f"its indexes are nested more than {DEPTH_LIMIT} deep")


def _choose(index: ImageIndex, platform: Platform) -> Descriptor:
    chosen = index.choose(platform)
    if chosen is None and len(index.manifests) == 1:
        chosen = index.manifests[0]
    if chosen is None:
        known = ", ".join(index.platforms[:20]) or "none"
        raise UnreadableArchive(
            f"its image is not for {platform}, but for: {known}; choose one of these with --platform"
        )
    return chosen


def chain_of(layout: Layout, entry: Descriptor, platform: Platform, limits: ArchiveLimits) -> ArchivedChain:
    """Return the v1 images of an entry.

    :raises UnreadableArchive: the entry is no image, or malformed.
    """
    entry_names = names_of(entry)
    entry, manifest = choose_manifest(layout, entry, platform)
    if not manifest.is_image:
        raise UnreadableArchive(
            f"its {entry.digest} is not an image, but has the type {manifest.config.media_type}"
        )
    config = layout.read(manifest.config, limits.document_bytes)
    try:
        count = len(convert.read_diff_ids(config))
        if count != len(manifest.layers):
            raise UnreadableArchive(
                f"its {entry.digest} has {len(manifest.layers)} layers, but its config lists {count}"
            )
        documents = with_history(convert.chain_from_config(config), config)
    except ValueError as exc:  # Unconvertible, or JSON with invalid values
        raise UnreadableArchive(str(exc)) from exc
    if not count:  # each image of v1 has a layer
        top, empty = documents[0], convert.EMPTY_TAR
        image = ChainImage(
            top.image_id, top.json, lambda: BytesIO(empty), len(empty), top.diff_id, has_content_id=True
        )
        return ArchivedChain((image,), entry_names, config)
    images = _images(_Layers(layout, limits.layer_bytes), documents, manifest)
    return ArchivedChain(tuple(images), entry_names, config)


def _images(
    layers: _Layers, documents: tuple[convert.V1Document, ...], manifest: ImageManifest
) -> Iterator[ChainImage]:
    for document, layer in zip(documents, manifest.layers, strict=True):
        yield ChainImage(
            document.image_id,
            document.json,
            lambda document=document, layer=layer: layers.open(layer, document.diff_id),  # type: ignore[misc]
            layer.size_bytes,
            document.diff_id,
            has_content_id=True,
        )


class _Layers:
    """The layers of a layout, each compared once with its digest and its diff id. Safe for threads."""

    def __init__(self, layout: Layout, limit_bytes: int):
        self._layout = layout
        self._limit_bytes = limit_bytes
        self._verified: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def open(self, layer: Descriptor, diff_id: str) -> BinaryIO:
        key = (str(layer.digest), diff_id)
        with self._lock:
            is_verified = key in self._verified
        if not is_verified:
            self._verify(layer, diff_id)
            with self._lock:
                self._verified.add(key)
        return self._layout.open(layer)  # type: ignore[return-value]  # IO[bytes] of a file

    def _verify(self, layer: Descriptor, diff_id: str) -> None:
        self._layout.verify(layer)
        try:
            with self._layout.open(layer) as file:
                plain = open_decompressed(file, limit_bytes=self._limit_bytes)
                found = convert.hash_layer(plain).diff_id
        except UnreadableLayer as exc:
            raise UnreadableArchive(f"its layer {layer.digest} cannot be read: {exc}") from exc
        if found != diff_id:
            raise UnreadableArchive(
                f"its layer {layer.digest} has the diff id {found}, but its config names {diff_id}"
            )
