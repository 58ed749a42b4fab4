"""The ancestors of images, as they are stored."""

from __future__ import annotations

from typing import Final

from ..registry import layout
from ..registry.wholeness import stored_ancestry
from ..rights import Content
from ..storage.base import KeyNotFound, Storage

#: Chains of parents that are longer than this are followed no further, if no ancestry is stored.
_MOST_PARENTS: Final = 10_000


class Ancestries:
    """The ancestries in one storage. Nothing is written."""

    def __init__(self, storage: Storage):
        self._storage = storage

    def of(self, content: Content) -> list[str]:
        """Return the ids of an image and its ancestors as far as they are known, the image first."""
        stored = stored_ancestry(self._storage, content)
        if stored is not None:
            return stored
        found, current = [content.image_id], content
        while len(found) < _MOST_PARENTS:
            try:
                document = self._storage.read(layout.content_key(current, layout.JSON))[0]
            except KeyNotFound:
                break
            parent = layout.parent_in(document)
            if parent is None or parent in found:
                break
            found.append(parent)
            current = Content(parent)
        return found
