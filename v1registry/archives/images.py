"""One image of a save archive: its id, its JSON byte for byte, and a way to read its layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from ..layers.compression import Readable
from ..names import is_image_id
from . import rawjson


class UnreadableImage(Exception):
    """The JSON of an image is invalid or contradictory, or an ancestor is missing."""


#: Opens the layer at its first byte, in any compression of layers/compression.py; may be called again.
LayerOpener = Callable[[], AbstractContextManager[Readable]]


@dataclass(frozen=True)
class ChainImage:
    """One image of a chain."""

    image_id: str
    json: bytes
    open_layer: LayerOpener = field(repr=False, compare=False)
    layer_size_bytes: int | None = None  #: as ``open_layer`` returns it; None if unknown
    diff_id: str | None = None  #: of the uncompressed layer; None if the source does not name it
    has_content_id: bool = False  #: the id was made from the content, so that others can know it in advance

    @property
    def parent_id(self) -> str | None:
        """The id of the image below; None for a root.

        :raises UnreadableImage: the JSON is invalid.
        """
        return read_image_json(self.json, self.image_id)


def read_image_json(document: bytes, image_id: str) -> str | None:
    """Check that ``document`` is the JSON of ``image_id``, and return the id of its parent, None for a root.

    No ``parent``, ``null`` and ``""`` all mean a root (registry.md 4.5).

    :raises UnreadableImage: the document is not a JSON object, has a different id, or an invalid parent.
    """
    try:
        members = rawjson.split_object(document)
    except rawjson.InvalidDocument as exc:
        raise UnreadableImage(f"the JSON of image {image_id}: {exc}") from exc
    if rawjson.value_of(members.get("id")) != image_id:
        raise UnreadableImage(f"the JSON of image {image_id} has a different id")
    parent = rawjson.value_of(members.get("parent"))
    if parent is None or parent == "":
        return None
    if not is_image_id(parent) or parent == image_id:
        raise UnreadableImage(f"the JSON of image {image_id} names an invalid parent")
    assert isinstance(parent, str)
    return parent


def ids_from_root(top_id: str, parents: Mapping[str, str | None]) -> tuple[str, ...]:
    """Return the ids from the root to ``top_id``.

    :param parents: the id of the parent for each id, None for a root.
    :raises UnreadableImage: an ancestor is missing, or is its own ancestor.
    """
    chain = [top_id]
    seen = {top_id}
    while True:
        if chain[-1] not in parents:
            child = f", the parent of {chain[-2]}" if len(chain) > 1 else ""
            raise UnreadableImage(f"image {chain[-1]}{child}, is missing")
        parent = parents[chain[-1]]
        if parent is None:
            return tuple(reversed(chain))
        if parent in seen:
            raise UnreadableImage(f"image {parent} is its own ancestor")
        chain.append(parent)
        seen.add(parent)


def tops_of(parents: Mapping[str, str | None]) -> list[str]:
    """Return the ids without children, in the order of ``parents``."""
    inner = set(parents.values())
    return [image_id for image_id in parents if image_id not in inner]
