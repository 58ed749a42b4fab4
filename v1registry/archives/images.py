"""What an image is to the save archives: its id, its JSON byte for byte, and a way to its layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from ..layers.compression import Readable
from ..names import is_image_id
from . import rawjson


class UnreadableImage(Exception):
    """The JSON of an image is none, or contradicts itself, or its chain has a gap."""


#: Gives the layer from its first byte, in any of the compressions of registry/compression.py; may be called again.
LayerOpener = Callable[[], AbstractContextManager[Readable]]


@dataclass(frozen=True)
class ChainImage:
    """One image of a chain.

    ``diff_id`` is what the source says the uncompressed layer hashes to, where it says so.
    """

    image_id: str
    json: bytes
    open_layer: LayerOpener = field(repr=False, compare=False)
    layer_size_bytes: int | None = None  #: as ``open_layer`` gives it; None where unknown
    diff_id: str | None = None

    @property
    def parent_id(self) -> str | None:
        """The id of the image below; None for a root. UnreadableImage."""
        return read_image_json(self.json, self.image_id)


def read_image_json(document: bytes, image_id: str) -> str | None:
    """Check that ``document`` is the JSON of ``image_id``, and return its parent's id, None for a root.

    No ``parent``, ``null`` and ``""`` all mean a root (registry.md 4.5). UnreadableImage.
    """
    try:
        members = rawjson.split_object(document)
    except rawjson.InvalidDocument as exc:
        raise UnreadableImage(f"the JSON of image {image_id}: {exc}") from exc
    if rawjson.value_of(members.get("id")) != image_id:
        raise UnreadableImage(f"the JSON of image {image_id} belongs to another id")
    parent = rawjson.value_of(members.get("parent"))
    if parent is None or parent == "":
        return None
    if not is_image_id(parent) or parent == image_id:
        raise UnreadableImage(f"the JSON of image {image_id} names a parent that cannot be one")
    assert isinstance(parent, str)
    return parent


def chain_of(top_id: str, parents: Mapping[str, str | None]) -> tuple[str, ...]:
    """Return the ids from the root to ``top_id``. UnreadableImage when one is missing or they run in a circle."""
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
    """Return the ids that are nobody's parent, in the order of ``parents``."""
    inner = set(parents.values())
    return [image_id for image_id in parents if image_id not in inner]
