"""The tags of a repository with their sizes, and with what they share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ...layers.remembered import Remembered
from ...names import RepositoryName
from ...registry.images import Images
from ...registry.repositories import Repositories
from ...rights import Content
from .texts import natural_key

#: How many layers of all tags together are compared. An image counts as 20 layers at least.
#: If a repository has more, the page does not show what tags share.
MOST_COMPARED: Final = 100_000
_LEAST_PER_IMAGE: Final = 20

#: How many other tags of the same image are named. More are only counted.
_NAMED: Final = 3

#: How many sizes of images are remembered.
_KNOWN_SIZES: Final = 20_000

#: How many layers of one tag are measured.
MOST_MEASURED: Final = 500


@dataclass(frozen=True)
class Tag:
    """A tag, and the time when it was set."""

    name: str
    image_id: str
    set_at: datetime


@dataclass(frozen=True)
class TagFacts:
    """What a page shows of the image of a tag."""

    tag: Tag
    is_readable: bool  #: whether the image exists and the visitor may see it
    layer_count: int = 0
    size_bytes: int = 0  #: the sum of the known sizes of the layers
    is_whole: bool = False  #: whether all sizes are known
    shared_count: int | None = 0  #: how many layers other tags have too; None if that was not computed
    shared_bytes: int = 0
    own_bytes: int | None = None  #: of the layers that no other tag has; None if that was not computed
    same_as: Sequence[str] = ()  #: the other tags of the same image; empty if there are many
    same_count: int = 0  #: how many other tags have the same image


class KnownSizes:
    """The sizes of tagged images, which are remembered because images never change. Safe for threads."""

    def __init__(self) -> None:
        self._memory = Remembered[int](_KNOWN_SIZES, lambda size_bytes: 1)

    def of(self, listed: TagList, tag: Tag) -> tuple[int, bool] | None:
        """Return what :meth:`TagList.size` returns. The rights of the visitor are checked each time."""
        content = listed.content(tag)
        if content is None:
            return None
        key = listed.name, tag, content
        known = self._memory.find(key)
        if known is not None:
            return known, True
        size = listed.size(tag)
        if size is not None and size[1]:
            self._memory.keep(key, size[0])
        return size


class TagList:
    """The tags of one repository.

    :param content_of: returns what the repository holds of an image; None if it holds nothing.
    :param most_tags: how many tags are read; None for all.
    :raises RepositoryNotFound: the repository does not exist.
    """

    def __init__(
        self,
        repositories: Repositories,
        images: Images,
        name: RepositoryName,
        content_of: Callable[[str], Content | None],
        *,
        most_tags: int | None = None,
    ):
        self.name = name
        self._images = images
        self._content_of = content_of
        found = repositories.tags_with_times(name, most=most_tags)
        self.tags = [Tag(tag, image_id, set_at) for tag, (image_id, set_at) in found.items()]
        self._sizes: dict[str, int | None] = {}
        self._ancestries: dict[str, list[str]] = {}

    def sorted(self, *, by_name: bool) -> list[Tag]:
        """Return all tags: ``latest`` first, then the newest first, or sorted by name.

        Numbers in names are sorted as numbers.
        """
        named = sorted(self.tags, key=lambda tag: (natural_key(tag.name), tag.name))
        if by_name:
            return sorted(named, key=lambda tag: tag.name != "latest")
        return sorted(named, key=lambda tag: (tag.name != "latest", -tag.set_at.timestamp()))

    def facts(self, tags: Iterable[Tag]) -> list[TagFacts]:
        """Return the facts of some of the tags. Each is compared with all tags."""
        users = self._count_users()
        names: dict[str, list[str]] = {}
        for tag in self.sorted(by_name=True):
            names.setdefault(tag.image_id, []).append(tag.name)
        return [self._facts_of(tag, users, names[tag.image_id]) for tag in tags]

    def content(self, tag: Tag) -> Content | None:
        """Return what the repository holds of the image of a tag; None if the visitor may not see it."""
        return self._content_of(tag.image_id)

    def size(self, tag: Tag) -> tuple[int, bool] | None:
        """Return the sum of the known sizes of the layers of a tag in bytes, and whether all are known.

        None if the image does not exist, or if the visitor may not see it.
        """
        if self.content(tag) is None:
            return None
        ancestry = self._ancestry(tag.image_id)
        sizes = [self._size(layer) for layer in ancestry[:MOST_MEASURED]]
        is_whole = len(sizes) == len(ancestry) and None not in sizes
        return sum(size or 0 for size in sizes), is_whole

    def _facts_of(self, tag: Tag, users: Counter[str] | None, same: Sequence[str]) -> TagFacts:
        measured = self.size(tag)
        if measured is None:
            return TagFacts(tag, is_readable=False)
        size_bytes, is_whole = measured
        ancestry = self._ancestry(tag.image_id)
        sizes = {layer: self._size(layer) for layer in ancestry[:MOST_MEASURED]}
        shared = [] if users is None else [layer for layer in sizes if users[layer] > 1]
        shared_bytes = sum(sizes[layer] or 0 for layer in shared)
        others = [name for name in same if name != tag.name] if len(same) <= _NAMED + 1 else []
        return TagFacts(
            tag,
            is_readable=True,
            layer_count=len(ancestry),
            size_bytes=size_bytes,
            is_whole=is_whole,
            shared_count=None if users is None else len(shared),
            shared_bytes=shared_bytes,
            own_bytes=None if users is None else size_bytes - shared_bytes,
            same_as=others,
            same_count=len(same) - 1,
        )

    def _count_users(self) -> Counter[str] | None:
        """Return layer -> how many tags have it; None if there are more than MOST_COMPARED."""
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
            content = self._content_of(image_id)
            known = [image_id] if content is None else self._images.contents.known_ancestry(content)
            self._ancestries[image_id] = known
        return self._ancestries[image_id]

    def _size(self, image_id: str) -> int | None:
        """Return the bytes of a layer; None if they are unknown, or if the visitor may not see the layer."""
        if image_id not in self._sizes:
            content = self._content_of(image_id)
            self._sizes[image_id] = None if content is None else self._images.layer_size(content)
        return self._sizes[image_id]
