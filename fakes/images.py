"""The images of a fake as a test sees them, including those whose push has not ended."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from v1registry.layers.checksums import parse_checksums
from v1registry.names import is_image_id
from v1registry.registry import layout
from v1registry.registry.contents import Contents
from v1registry.registry.sent import Unfinished
from v1registry.registry.staging import Staging
from v1registry.rights import Content
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
        content, unfinished = self._content, self._unfinished
        if content is not None:
            return Contents(self._storage).known_ancestry(content)
        return [self.id] if unfinished is None else list(unfinished.ancestry)

    @property
    def is_complete(self) -> bool:
        """Whether the push has ended with the right checksum. Clients see complete images only."""
        return self._content is not None

    @property
    def _content(self) -> Content | None:
        return Contents(self._storage).open_content(self.id)

    @property
    def _unfinished(self) -> Unfinished | None:
        return Staging(self._storage).unfinished(self.id)

    def _read(self, name: str, what: str) -> bytes:
        content, unfinished = self._content, self._unfinished
        try:
            if content is not None:
                return self._storage.read(layout.content_key(content, name))[0]
            if unfinished is not None and name == layout.JSON:
                return unfinished.document
            if unfinished is not None and unfinished.layer_folder is not None:
                return self._storage.read(f"{unfinished.layer_folder}/{name}")[0]
        except KeyNotFound:
            pass
        state = "there is no such image" if unfinished is None else "its push has not ended"
        raise NotThere(f"image {self.id} has no {what}: {state}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FakeImage):
            return NotImplemented
        return (self.id, self._storage) == (other.id, other._storage)

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        unfinished = "absent" if self._unfinished is None else "in progress"
        state = "complete" if self.is_complete else unfinished
        return f"<FakeImage {self.id} {state}>"


class FakeImages(Mapping[str, FakeImage]):
    """Every image of a fake by its id, in the order of the ids.

    A missing id raises NotThere, which lists the ids.
    """

    def __init__(self, storage: Storage):
        self._storage = storage

    def __getitem__(self, image_id: str) -> FakeImage:
        if not (is_image_id(image_id) and self._is_known(image_id)):
            raise not_there(f"no image {image_id!r}", self)
        return FakeImage(self._storage, image_id)

    def __iter__(self) -> Iterator[str]:
        folders = (layout.IMAGES, layout.UPLOADS)
        names = {name for folder in folders for name in self._storage.list_folders(folder)}
        for name in sorted(names):
            if is_image_id(name) and self._is_known(name):
                yield name

    def _is_known(self, image_id: str) -> bool:
        image = FakeImage(self._storage, image_id)
        return image.is_complete or Staging(self._storage).unfinished(image_id) is not None

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<images: {', '.join(self) or 'none'}>"
