"""An image as people see it: the chain of layers that it is made of, and what each of them tells."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from .. import errors
from ..registry.images import Images
from .documents import Description

#: How many layers of a chain are shown, those nearest to the image.
MOST_SHOWN: Final = 500


class State(enum.Enum):
    """Whether there is something to tell about a layer of a chain."""

    SHOWN = "shown"
    HIDDEN = "hidden"  #: not for this visitor
    UNFINISHED = "unfinished"  #: its push has not ended
    MISSING = "missing"


@dataclass(frozen=True)
class Layer:
    """One image of a chain, and what it adds. Of a layer that is not shown only its id is known."""

    image_id: str
    number: int  #: the root is 1
    state: State = State.SHOWN
    description: Description = field(default_factory=Description)
    size_bytes: int | None = None  #: None where it is not known


@dataclass(frozen=True)
class Chain:
    """The layers of an image, itself first."""

    layers: Sequence[Layer]
    length: int  #: of the whole chain
    is_broken: bool = False  #: whether it is not known what the image builds on

    @property
    def size_bytes(self) -> int:
        """What is known of the sizes of all layers that are shown."""
        return sum(layer.size_bytes or 0 for layer in self.layers)

    @property
    def largest_bytes(self) -> int:
        return max((layer.size_bytes or 0 for layer in self.layers), default=0)

    @property
    def is_whole(self) -> bool:
        """Whether the size is that of all there is."""
        return (
            not self.is_broken
            and len(self.layers) == self.length
            and all(layer.size_bytes is not None for layer in self.layers)
        )


def chain_of(
    images: Images, image_id: str, can_read: Callable[[str], bool], can_see_push: Callable[[str], bool]
) -> Chain:
    """Return the chain of an image that the visitor may read. ImageNotFound, ImageInProgress.

    :param can_read: tells of the other images in it whether the visitor may, and ``can_see_push`` whether they may be told of one
        that is still being pushed.
    """
    # what is wrong with the image itself is raised here
    itself = images.facts(image_id)
    try:
        ancestry, is_broken = images.ancestry(image_id), False
    except errors.ImageNotFound:
        ancestry, is_broken = [image_id], True
    own = Layer(image_id, len(ancestry), State.SHOWN, Description.of(itself.json), itself.layer_size)
    layers = [own]
    for distance, ancestor in enumerate(ancestry[1:MOST_SHOWN], 1):
        layers.append(_layer(images, ancestor, len(ancestry) - distance, can_read, can_see_push))
    return Chain(layers, len(ancestry), is_broken)


def _layer(
    images: Images,
    image_id: str,
    number: int,
    can_read: Callable[[str], bool],
    can_see_push: Callable[[str], bool],
) -> Layer:
    is_pushing = can_see_push(image_id)
    if not can_read(image_id):
        return Layer(image_id, number, State.UNFINISHED if is_pushing else State.HIDDEN)
    try:
        facts = images.facts(image_id)
    except errors.ImageInProgress:
        return Layer(image_id, number, State.UNFINISHED)
    except errors.ImageNotFound:
        return Layer(image_id, number, State.MISSING)
    return Layer(image_id, number, State.SHOWN, Description.of(facts.json), facts.layer_size)
