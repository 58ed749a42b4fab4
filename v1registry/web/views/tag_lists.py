"""The tags of a repository as people see them: how large each is, and what it shares with the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ... import errors
from ...names import RepositoryName
from ...registry.images import Images
from ...registry.repositories import Repositories

#: How many layers of all tags together are compared, each image counted as so many at least. In a repository with more
#: nothing is told of what tags share.
MOST_COMPARED: Final = 100_000
_LEAST_PER_IMAGE: Final = 20

#: How many other tags of the same image are named.
_NAMED: Final = 3

#: How many layers of one tag are looked at.
MOST_MEASURED: Final = 500


@dataclass(frozen=True)
class Tag:
    """A tag, and when it was set."""

    name: str
    image_id: str
    set_at: datetime


@dataclass(frozen=True)
class TagFacts:
    """What there is to tell about the image of a tag."""

    tag: Tag
    is_readable: bool  #: whether there is an image that the visitor may look at
    layer_count: int = 0
    size_bytes: int = 0  #: of all layers, as far as it is known
    is_whole: bool = False  #: whether all of it is known
    shared_count: int | None = (
        0  #: layers that other tags have too; None where that would take too long to find out
    )
    shared_bytes: int = 0
    same_as: Sequence[str] = ()  #: other tags of the very same image, the first few
    same_count: int = 0  #: how many these are in all


class TagList:
    """The tags of one repository. RepositoryNotFound.

    :param can_read: tells of an image whether the visitor may look at it; asked once about each.
    """

    def __init__(
        self,
        repositories: Repositories,
        images: Images,
        name: RepositoryName,
        can_read: Callable[[str], bool],
    ):
        self._images = images
        self._can_read = can_read
        found = repositories.tags_with_times(name)
        self.tags = [Tag(tag, image_id, set_at) for tag, (image_id, set_at) in found.items()]
        self._sizes: dict[str, int | None] = {}
        self._ancestries: dict[str, list[str]] = {}

    def sorted(self, *, by_name: bool) -> list[Tag]:
        """Return all tags: ``latest`` first, then the newest, or by name."""
        named = sorted(self.tags, key=lambda tag: tag.name)
        if by_name:
            return sorted(named, key=lambda tag: tag.name != "latest")
        return sorted(named, key=lambda tag: (tag.name != "latest", -tag.set_at.timestamp()))

    def facts(self, tags: Iterable[Tag]) -> list[TagFacts]:
        """Return what there is to tell about some of the tags, of which each is compared with all."""
        users = self._count_users()
        names: dict[str, list[str]] = {}
        for tag in self.sorted(by_name=True):
            names.setdefault(tag.image_id, []).append(tag.name)
        return [self._facts_of(tag, users, names[tag.image_id]) for tag in tags]

    def _facts_of(self, tag: Tag, users: Counter[str] | None, same: Sequence[str]) -> TagFacts:
        if self._size(tag.image_id) is None and not self._is_shown(tag.image_id):
            return TagFacts(tag, is_readable=False)
        ancestry = self._ancestry(tag.image_id)
        measured = ancestry[:MOST_MEASURED]
        shared = [] if users is None else [layer for layer in measured if users[layer] > 1]
        return TagFacts(
            tag,
            is_readable=True,
            layer_count=len(ancestry),
            size_bytes=sum(self._size(layer) or 0 for layer in measured),
            is_whole=len(measured) == len(ancestry) and None not in map(self._size, measured),
            shared_count=None if users is None else len(shared),
            shared_bytes=sum(self._size(layer) or 0 for layer in shared),
            same_as=[name for name in same[: _NAMED + 1] if name != tag.name][:_NAMED],
            same_count=len(same) - 1,
        )

    def _count_users(self) -> Counter[str] | None:
        """Return layer -> how many tags have it; None where there are too many to look at."""
        tags_of = Counter(tag.image_id for tag in self.tags)
        left = MOST_COMPARED - _LEAST_PER_IMAGE * len(tags_of)
        users: Counter[str] = Counter()
        for image_id, tag_count in tags_of.items():
            if left < 0:
                return None
            ancestry = self._ancestry(image_id)
            left -= max(0, len(ancestry) - _LEAST_PER_IMAGE)
            for layer in ancestry:
                users[layer] += tag_count
        return users if left >= 0 else None

    def _ancestry(self, image_id: str) -> list[str]:
        if image_id not in self._ancestries:
            try:
                self._ancestries[image_id] = self._images.ancestry(image_id)
            except (errors.ImageNotFound, errors.ImageInProgress):
                self._ancestries[image_id] = [image_id]
        return self._ancestries[image_id]

    def _is_shown(self, image_id: str) -> bool:
        return self._can_read(image_id) and self._images.is_complete(image_id)

    def _size(self, image_id: str) -> int | None:
        """Return the bytes of a layer; None where it is not known, or not for this visitor to know."""
        if image_id not in self._sizes:
            try:
                readable = self._can_read(image_id)
                self._sizes[image_id] = self._images.layer_size(image_id) if readable else None
            except (errors.ImageNotFound, errors.ImageInProgress):
                self._sizes[image_id] = None
        return self._sizes[image_id]
