"""An image as people see it: the chain of layers that it is made of, and what each of them tells."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ... import errors
from ...registry.images import Images
from ...rights import ImageState
from .image_json import Description

#: How many layers of a chain are shown, those nearest to the image.
MOST_SHOWN: Final = 500

#: How much JSON of one layer is read, and of all layers together, in bytes: engines write some kilobytes each, but anybody may
#: push some megabytes, and they would be parsed again for every view. A layer with more is shown without its description.
LARGEST_JSON_BYTES: Final = 1 << 20
MOST_JSON_BYTES: Final = 4 << 20


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
    is_described: bool = True  #: False where there is too much JSON to be read


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


def chain_of(images: Images, image_id: str, state_of: Callable[[str], ImageState]) -> Chain:
    """Return the chain of an image that the visitor may read. ImageNotFound, ImageInProgress.

    :param state_of: returns what an image is to the visitor.
    """
    chain = _Reader(images)
    # what is wrong with the image itself is raised here
    description, size_bytes = chain.read(image_id)
    try:
        ancestry, is_broken = images.ancestry(image_id), False
    except errors.ImageNotFound:
        ancestry, is_broken = [image_id], True
    layers = [_described(image_id, len(ancestry), description, size_bytes)]
    for distance, ancestor in enumerate(ancestry[1:MOST_SHOWN], 1):
        layers.append(_layer(chain, ancestor, len(ancestry) - distance, state_of))
    return Chain(layers, len(ancestry), is_broken)


class _Reader:
    """Reads what the images of one chain tell, as long as it is not too much."""

    def __init__(self, images: Images):
        self._images = images
        self._left_bytes = MOST_JSON_BYTES

    def read(self, image_id: str) -> tuple[Description | None, int | None]:
        """Return what an image tells, None where it is too long, and the size of its layer. ImageNotFound, ImageInProgress."""
        limit_bytes = min(LARGEST_JSON_BYTES, self._left_bytes)
        document, size_bytes = self._images.json_and_size(image_id, limit_bytes)
        if document is None:
            return None, size_bytes
        self._left_bytes -= len(document)
        return Description.of(document), size_bytes


def _layer(chain: _Reader, image_id: str, number: int, state_of: Callable[[str], ImageState]) -> Layer:
    state = state_of(image_id)
    if state is not ImageState.READABLE:
        is_pushing = state is ImageState.PUSHING
        return Layer(image_id, number, State.UNFINISHED if is_pushing else State.HIDDEN)
    try:
        description, size_bytes = chain.read(image_id)
    except errors.ImageInProgress:
        return Layer(image_id, number, State.UNFINISHED)
    except errors.ImageNotFound:
        return Layer(image_id, number, State.MISSING)
    return _described(image_id, number, description, size_bytes)


def _described(image_id: str, number: int, description: Description | None, size_bytes: int | None) -> Layer:
    is_described = description is not None
    return Layer(image_id, number, State.SHOWN, description or Description(), size_bytes, is_described)
