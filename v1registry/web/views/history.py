"""The history of an image: the layers that it is made of, and what the JSON of each of them says."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ... import errors
from ...registry.images import Images
from ...rights import Content, ImageState
from .image_json import ImageFacts

#: How many layers are shown: those nearest to the image.
MOST_SHOWN: Final = 500

#: How much JSON of one layer is read, and of all layers together, in bytes. Engines write some kilobytes
#: each, but a client may push megabytes, which each view would parse again. A layer with more is shown
#: without facts.
LARGEST_JSON_BYTES: Final = 1 << 20
MOST_JSON_BYTES: Final = 4 << 20


class State(enum.Enum):
    """Whether a layer can be shown."""

    SHOWN = "shown"
    HIDDEN = "hidden"  #: this visitor may not see it
    UNFINISHED = "unfinished"  #: its push has not ended
    MISSING = "missing"


@dataclass(frozen=True)
class Layer:
    """One image of a history, and what it adds. Of a layer that is not shown only the id is known."""

    image_id: str
    number: int  #: the root is 1
    state: State = State.SHOWN
    facts: ImageFacts = field(default_factory=ImageFacts)
    size_bytes: int | None = None  #: None if it is unknown
    is_described: bool = True  #: False if the JSON is too large to be read


@dataclass(frozen=True)
class History:
    """The layers of an image, the image itself first."""

    layers: Sequence[Layer]
    length: int  #: how many layers there are, including those that are not shown
    is_broken: bool = False  #: whether the ancestors are unknown

    @property
    def size_bytes(self) -> int:
        """The sum of the known sizes of the shown layers."""
        return sum(layer.size_bytes or 0 for layer in self.layers)

    @property
    def largest_bytes(self) -> int:
        """The size of the largest layer."""
        return max((layer.size_bytes or 0 for layer in self.layers), default=0)

    @property
    def is_whole(self) -> bool:
        """Whether :attr:`size_bytes` is the size of the whole image."""
        return (
            not self.is_broken
            and len(self.layers) == self.length
            and all(layer.size_bytes is not None for layer in self.layers)
        )


def history_of(
    images: Images, content: Content, state_of: Callable[[str], ImageState], *, is_open: bool
) -> History:
    """Return the history of an image that the visitor may read.

    :param state_of: returns what an ancestor is to the visitor.
    :param is_open: nothing is hidden, so an absent ancestor is missing.
    :raises ImageNotFound: the image does not exist.
    """
    reader = _Reader(images)
    # the errors of the image itself are raised here
    facts, size_bytes = reader.read(content)
    try:
        ancestry, is_broken = images.ancestry(content), False
    except errors.ImageNotFound:
        ancestry, is_broken = [content.image_id], True
    layers = [_described(content.image_id, len(ancestry), facts, size_bytes)]
    for distance, ancestor in enumerate(ancestry[1:MOST_SHOWN], 1):
        layers.append(_layer(reader, ancestor, len(ancestry) - distance, state_of(ancestor), is_open))
    return History(layers, len(ancestry), is_broken)


class _Reader:
    """Reads the JSON of the images of one history, up to MOST_JSON_BYTES."""

    def __init__(self, images: Images):
        self._images = images
        self._left_bytes = MOST_JSON_BYTES

    def read(self, content: Content) -> tuple[ImageFacts | None, int | None]:
        """Return the facts of an image, None if its JSON is too long, and the size of its layer.

        :raises ImageNotFound: the image does not exist.
        """
        limit_bytes = min(LARGEST_JSON_BYTES, self._left_bytes)
        document, size_bytes = self._images.json_and_size(content, limit_bytes)
        if document is None:
            return None, size_bytes
        self._left_bytes -= len(document)
        return ImageFacts.of(document), size_bytes


def _layer(reader: _Reader, image_id: str, number: int, state: ImageState, is_open: bool) -> Layer:
    if state.content is None:
        unseen = State.MISSING if is_open else State.HIDDEN
        return Layer(image_id, number, State.UNFINISHED if state.is_pushing else unseen)
    try:
        facts, size_bytes = reader.read(state.content)
    except errors.ImageNotFound:
        return Layer(image_id, number, State.MISSING)
    return _described(image_id, number, facts, size_bytes)


def _described(image_id: str, number: int, facts: ImageFacts | None, size_bytes: int | None) -> Layer:
    is_described = facts is not None
    return Layer(image_id, number, State.SHOWN, facts or ImageFacts(), size_bytes, is_described)
