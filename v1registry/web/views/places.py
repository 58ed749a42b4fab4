"""The repositories and tags that hold an image."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from ...access.holders import Holders
from ...names import RepositoryName
from ...registry.holding import Holding
from ...registry.repositories import Repositories
from ...rights import Content
from .texts import natural_key

#: How many repositories of an image are shown, and how many tags of each are named.
MOST_PLACES: Final = 10
TAGS_NAMED: Final = 5

#: How many tags of one repository are read.
_MOST_TAGS: Final = 1000

#: How many repositories of an open server are looked at, which records no holders, and how many tags of all.
MOST_SEARCHED: Final = 300
_MOST_TAGS_SEARCHED: Final = 5000


@dataclass(frozen=True)
class Place:
    """A repository that holds an image, and its tags of this very image."""

    name: RepositoryName
    tags: tuple[str, ...]  #: the first ones, sorted by name; empty if other images of it build on the image
    more_count: int = 0  #: how many tags are not named


@dataclass(frozen=True)
class Places:
    """Where an image is."""

    items: tuple[Place, ...]
    is_complete: bool  #: False if there may be more


class Finder:
    """Finds the repositories of images, as far as one visitor may see them.

    :param may_list: tells whether the visitor may see a repository.
    """

    def __init__(
        self, holding: Holding, repositories: Repositories, may_list: Callable[[RepositoryName], bool]
    ):
        self._holding = holding
        self._repositories = repositories
        self._may_list = may_list

    def places(
        self, content: Content, *, first: RepositoryName | None, near: Iterable[str] = (), seeker: str = ""
    ) -> Places:
        """Return where an image is. At most MOST_PLACES repositories are shown.

        :param first: a repository that holds the image, which comes first.
        :param near: see :meth:`Holders.of`.
        :param seeker: see :meth:`Holders.of`.
        """
        if isinstance(self._holding, Holders):
            return self._held(self._holding, content, first, near, seeker)
        return self._searched(content.image_id, first)

    def _held(
        self,
        holders: Holders,
        content: Content,
        first: RepositoryName | None,
        near: Iterable[str],
        seeker: str,
    ) -> Places:
        found = holders.of(content.image_id, self._may_list, near=near, seeker=seeker)
        names = [] if first is None else [first]
        names += [name for name, held in found if held == content and name != first]
        return Places(
            tuple(self._place(name, content.image_id) for name in names[:MOST_PLACES]),
            is_complete=len(names) <= MOST_PLACES,
        )

    def _searched(self, image_id: str, first: RepositoryName | None) -> Places:
        """Look for the tags of an image. An open server does not record which repositories hold an image."""
        items = [] if first is None else [self._place(first, image_id)]
        tags_left, candidates = _MOST_TAGS_SEARCHED, self._repositories.candidates()
        for name in islice(candidates, MOST_SEARCHED):
            if len(items) >= MOST_PLACES or tags_left <= 0:
                return Places(tuple(items), is_complete=False)
            if name == first or not self._may_list(name):
                continue
            tags = self._tags(name)
            tags_left -= len(tags)
            place = _place_of(name, tags, image_id)
            if place.tags:
                items.append(place)
        return Places(tuple(items), is_complete=next(candidates, None) is None)

    def _place(self, name: RepositoryName, image_id: str) -> Place:
        return _place_of(name, self._tags(name), image_id)

    def _tags(self, name: RepositoryName) -> dict[str, str]:
        return self._repositories.tags_or_none(name, most=_MOST_TAGS)


def _place_of(name: RepositoryName, tags: dict[str, str], image_id: str) -> Place:
    own = sorted((tag for tag in tags if tags[tag] == image_id), key=_tag_key)
    return Place(name, tuple(own[:TAGS_NAMED]), max(0, len(own) - TAGS_NAMED))


def _tag_key(tag: str) -> tuple[bool, list[tuple[int, int, str]], str]:
    return tag != "latest", natural_key(tag), tag
