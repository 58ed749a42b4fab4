"""Complete images as they are read: JSON, layer, ancestry, sums, and what is in the layer.

What an id names is decided before, by the rights of the caller: everything here works on one content of an
id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .. import errors
from ..clock import SYSTEM_CLOCK, Clock
from ..names import is_image_id
from ..rights import Content
from ..storage.base import Blob, KeyNotFound, Stat, Storage, StorageUnavailable
from . import layout
from .chains import Chains
from .contents import Contents
from .kept_lists import Document
from .listings import BOUNDS_ALONE, Limits, Listings, Row
from .looks import Looks

T = TypeVar("T")


@dataclass(frozen=True)
class ImageFacts:
    """What is known of a complete image besides its bytes."""

    image_id: str
    json: bytes  #: as pushed, byte for byte
    layer_size: int | None  #: bytes as stored; None if a mirror has not fetched the layer
    checksums: tuple[str, ...]  #: ``sha256:…`` and perhaps ``tarsum…``; empty for old mirrored images

    @property
    def payload_checksum(self) -> str | None:
        """The payload sum; None if it is not known."""
        return next((sum_ for sum_ in self.checksums if sum_.startswith("sha256:")), None)

    @property
    def tarsum(self) -> str | None:
        """The TarSum; None if none was accepted."""
        return next((sum_ for sum_ in self.checksums if sum_.startswith("tarsum")), None)


class Images:
    """The complete images of one storage. Safe for threads.

    :param looks: the turn for looks into layers, with their bounds. The default is one of its own.
    """

    def __init__(self, storage: Storage, looks: Looks | None = None, *, clock: Clock = SYSTEM_CLOCK):
        self._storage = storage
        self.contents = Contents(storage, clock=clock)
        self.chains = Chains(self.contents, clock=clock)
        self._listings = Listings(storage, looks or Looks())

    def facts(self, content: Content) -> ImageFacts:
        """Return JSON, size and sums of an image.

        :raises ImageNotFound: its JSON is not stored.
        """
        document = self.contents.document(content)
        size = self.layer_size(content)
        return ImageFacts(content.image_id, document, size, self.contents.checksums(content))

    def layer_size(self, content: Content) -> int | None:
        """Return the bytes of the layer; None if a mirror has not fetched it."""
        stat = self.contents.layer(content)
        return None if stat is None else stat.size

    def layer(self, content: Content) -> tuple[Stat, tuple[str, ...]]:
        """Return the Stat of the layer and the image's sums.

        :raises ImageNotFound: a mirror has not fetched the layer.
        """
        stat = self.contents.layer(content)
        if stat is None:
            raise errors.ImageNotFound(image_id=content.image_id)
        return stat, self.contents.checksums(content)

    def open_layer(self, content: Content, start: int = 0, stop: int | None = None) -> Blob:
        """Open bytes ``[start, stop)`` of the layer.

        :raises ImageNotFound: a mirror has not fetched the layer.
        :raises StorageUnavailable: the layer is not the one that was looked at.
        """
        key = layout.content_key(content, layout.LAYER)
        try:
            blob = self._storage.open(key, start, stop)
        except KeyNotFound:
            self.contents.forget(content)
            raise errors.ImageNotFound(image_id=content.image_id) from None
        known = None if content.parts is None else content.parts.layer
        if known is not None and known.size != blob.stat.size:
            blob.close()
            self.contents.forget(content)
            raise StorageUnavailable(key, f"it has {blob.stat.size} bytes, and had {known.size} just before")
        return blob

    def ancestry(self, content: Content) -> list[str]:
        """Return the ids from the image itself to the root.

        :raises ImageNotFound: the ancestry of old data is broken.
        """
        return self.contents.ancestry(content)

    def json_and_size(self, content: Content, limit_bytes: int) -> tuple[bytes | None, int | None]:
        """Return the JSON, and the bytes of the layer, which is None if a mirror has not fetched it.

        :param limit_bytes: longer JSON is not read; None is returned in its place.
        :raises ImageNotFound: the JSON is not stored.
        """
        try:
            with self._storage.open(layout.content_key(content, layout.JSON)) as blob:
                document = blob.read() if blob.stat.size <= limit_bytes else None
        except KeyNotFound:
            raise errors.ImageNotFound(image_id=content.image_id) from None
        return document, self.layer_size(content)

    def files(self, content: Content, limits: Limits = BOUNDS_ALONE) -> Document:
        """Return the list of the layer's members as JSON, computed once and kept (registry.md 4.8).

        :param limits: how far to look, if less far than the bounds of all looks.
        :raises ImageNotFound: a mirror has not fetched the layer.
        :raises LayerNotSupported: the layer is not an archive.
        :raises LayerTooLarge: the list is beyond the limits.
        :raises LayerBusy: other requests look into layers.
        """
        return self._listings.files(content, limits)

    def inspect(
        self, content: Content, use: Callable[[Iterator[Row]], T], limits: Limits = BOUNDS_ALONE
    ) -> T:
        """Return what ``use`` makes of the rows of the layer's members. No other look runs meanwhile.

        Raises what :meth:`files` does besides.

        :param use: called again with other rows if the kept ones are malformed.
        :param limits: as for :meth:`files`.
        """
        return self._listings.inspect(content, use, limits)

    def diff(self, chain: Sequence[Content], limits: Limits = BOUNDS_ALONE) -> Document:
        """Return what the layer changes against the ancestors as JSON (registry.md 4.9).

        Raises what :meth:`files` does besides.

        :param limits: as for :meth:`files`.
        :param chain: the contents of the image and of its ancestors, the image first.
        """
        return self._listings.diff(chain, limits)

    def listing_version(self, content: Content, name: str) -> str:
        """Return a text that changes with the list that is kept of an image.

        :param name: ``layout.FILES`` or ``layout.DIFF``.
        """
        return self._listings.version(content, name)


def checked_parent(image_id: str, parsed: object) -> str | None:
    """Return the parent that an image's JSON names, None for a root.

    :param parsed: the JSON of a request; None if it could not be parsed.
    :raises InvalidJson: it is not an object, or its parent is not an image id.
    :raises BadRequest: its id is missing or different.
    """
    if not isinstance(parsed, dict) or not parsed:
        raise errors.InvalidJson(image_id=image_id)
    if "id" not in parsed:
        raise errors.BadRequest("Missing key `id' in JSON", image_id=image_id)
    if parsed["id"] != image_id:
        raise errors.BadRequest("JSON data contains invalid id", image_id=image_id)
    parent = parsed.get("parent")
    if parent is None or parent == "":
        return None
    if not is_image_id(parent) or parent == image_id:
        raise errors.InvalidJson(image_id=image_id)
    assert isinstance(parent, str)
    return parent


def layer_etag(image_id: str, stat: Stat, checksums: Iterable[str]) -> str:
    """Return the entity tag of a layer: the hex digits of its payload sum; if there is none, made of the
    storage's tag.
    """
    for sum_ in checksums:
        if sum_.startswith("sha256:"):
            return f'"{sum_.removeprefix("sha256:")}"'
    return f'"{hashlib.sha256(f"{image_id} {stat.etag} {stat.size}".encode()).hexdigest()}"'
