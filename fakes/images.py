"""The images of a fake as a test sees them, including those whose push has not ended."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from v1registry.layers.checksums import parse_checksums
from v1registry.names import is_image_id
from v1registry.registry import layout
from v1registry.registry.images import Images
from v1registry.storage.base import KeyNotFound, Storage

from .layers import files_in
from .lookup import NotThere, not_there


class FakeImage:
    """One image of a fake. Properties read from the storage at each access."""

    def __init__(self, storage: Storage, image_id: str):
        self._storage = storage
        self.id = image_id

    @property
    def document(self) -> bytes:
        """The image's JSON as it was pushed, byte for byte.

        :raises NotThere: there is no such image.
        """
        return self._read(layout.JSON, "JSON")

    @property
    def json(self) -> dict[str, Any]:
        """The parsed JSON of the image.

        :raises NotThere: there is no such image.
        """
        parsed: dict[str, Any] = json.loads(self.document)
        return parsed

    @property
    def layer(self) -> bytes:
        """The layer as it was pushed, byte for byte.

        :raises NotThere: no layer was pushed yet.
        """
        return self._read(layout.LAYER, "layer")

    @property
    def files(self) -> dict[str, bytes | None]:
        """The files in the layer: name -> content, None for a file that the layer deletes.

        See :func:`v1registry_fakes.layers.files_in`.

        :raises NotThere: no layer was pushed yet.
        :raises ValueError: the layer is not an archive.
        """
        return files_in(self.layer)

    @property
    def checksum(self) -> str:
        """The payload sum, ``sha256:`` and 64 hex digits, as in ``X-Docker-Checksum-Payload``.

        :raises NotThere: no checksum was pushed yet.
        """
        return parse_checksums(self._read(layout.CHECKSUM, "checksum"))[0]

    @property
    def ancestry(self) -> list[str]:
        """The ids from the image itself to its root."""
        return Images(self._storage).reachable(self.id)

    @property
    def is_complete(self) -> bool:
        """Whether the push has ended with the right checksum. Clients see complete images only."""
        return self._has(layout.JSON) and not self._has(layout.IN_PROGRESS)

    def _has(self, name: str) -> bool:
        try:
            self._storage.stat(layout.image_key(self.id, name))
        except KeyNotFound:
            return False
        return True

    def _read(self, name: str, what: str) -> bytes:
        try:
            return self._storage.read(layout.image_key(self.id, name))[0]
        except KeyNotFound:
            state = "its push has not ended" if self._has(layout.JSON) else "there is no such image"
            raise NotThere(f"image {self.id} has no {what}: {state}") from None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FakeImage):
            return NotImplemented
        return (self.id, self._storage) == (other.id, other._storage)

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        state = "complete" if self.is_complete else "in progress" if self._has(layout.JSON) else "absent"
        return f"<FakeImage {self.id} {state}>"


class FakeImages(Mapping[str, FakeImage]):
    """Every image of a fake by its id, in the order of the ids.

    A missing id raises NotThere, which lists the ids.
    """

    def __init__(self, storage: Storage):
        self._storage = storage

    def __getitem__(self, image_id: str) -> FakeImage:
        if not (is_image_id(image_id) and Images(self._storage).is_announced(image_id)):
            raise not_there(f"no image {image_id!r}", self)
        return FakeImage(self._storage, image_id)

    def __iter__(self) -> Iterator[str]:
        images = Images(self._storage)
        for name in self._storage.list_folders(layout.IMAGES):
            if is_image_id(name) and images.is_announced(name):
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<images: {', '.join(self) or 'none'}>"
