"""Lists of tags and of repositories, part by part (distribution.md 1: end-8 and _catalog)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ..clock import SYSTEM_CLOCK, Clock
from ..layers.remembered import Remembered
from ..names import RepositoryName, is_v2_name, is_v2_tag
from ..registry import layout as registry_layout
from ..registry.known_tags import TagList
from ..registry.repositories import Repositories
from ..rights import Rights
from ..search.base import SearchIndex
from ..storage.base import KeyNotFound, Storage
from . import layout
from .places import Place
from .tags import TagPointers, Target

#: How long it is remembered that the images of all tags of a repository have JSON, in seconds.
LOOKED_EVERY_S: Final = 10.0

#: What the lists of one process may take, in bytes, and what a tag takes, about.
KEPT_BYTES: Final = 8 << 20
_TAG_BYTES: Final = 120


@dataclass(frozen=True)
class _Shown:
    """The tags that a repository shows, and what tells that they did not change."""

    state: tuple[int, str, str]  #: the files of v1, the sides, and the records of manifests
    looked_s: float
    tags: tuple[str, ...]  #: sorted


class TagLists:
    """The tags of the repositories of one storage, for lists. Safe for threads and processes.

    They are remembered as long as neither the files, nor the sides, nor the records of manifests change (see
    ``docs/internals.md``).
    """

    def __init__(
        self,
        storage: Storage,
        repositories: Repositories,
        tags: TagPointers,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ):
        self._storage = storage
        self._repositories = repositories
        self._tags = tags
        self._clock = clock
        self._shown = Remembered[_Shown](KEPT_BYTES, lambda shown: 500 + _TAG_BYTES * len(shown.tags))

    def page(self, rights: Rights, place: Place, last: str, most: int) -> tuple[list[str], bool]:
        """Return tags of a repository, sorted, and whether there are more.

        :param last: only tags that sort after this one.
        :param most: how many at most.
        """
        if most == 0:
            return [], False
        files = self._repositories.tag_list_or_none(place.repository)
        state = self._state(place, files)
        if state is not None:
            shown = self._remembered(rights, place, files, state)
            first = bisect_right(shown, last)
            return list(shown[first : first + most]), len(shown) > first + most
        found: list[str] = []
        for tag in self._tags_after(rights, place, files, last):
            if tag is None:
                continue
            if len(found) == most:
                return found, True
            found.append(tag)
        return found, False

    def _state(self, place: Place, files: TagList) -> tuple[int, str, str] | None:
        """Return what tells one state of all tags from another; None if that is not known."""
        if not files.serial:
            return None
        folders = (
            layout.repository_folder(place.repository, kind) for kind in (layout.TAGS, layout.MANIFESTS)
        )
        sides, records = map(self._storage.folder_version, folders)
        return None if sides is None or records is None else (files.serial, sides, records)

    def _remembered(
        self, rights: Rights, place: Place, files: TagList, state: tuple[int, str, str]
    ) -> tuple[str, ...]:
        """Return all tags of a repository, sorted. They are remembered if the images of all have JSON."""
        now_s = self._clock.monotonic_s()
        known = self._shown.find(place)
        if known is not None and known.state == state and now_s - known.looked_s < LOOKED_EVERY_S:
            return known.tags
        found = list(self._tags_after(rights, place, files, ""))
        tags = tuple(tag for tag in found if tag is not None)
        if len(tags) == len(found):
            self._shown.keep(place, _Shown(state, now_s, tags))
        return tags

    def target(self, place: Place, tag: str) -> Target | None:
        """Return what a tag points to, None if it is not set."""
        return self._tags.target(place, tag)

    def names_only_here(self, place: Place) -> Iterator[tuple[str, str]]:
        """Yield the tags that v1 does not show, sorted, each with the SHA-256 digits of its manifest."""
        files = self._repositories.tags_or_none(place.repository)
        for tag in self._tags.names(place):
            target = None if tag in files else self._tags.only_here(place, tag)
            if target is not None and target.sha256 is not None:
                yield tag, target.sha256

    def of_manifest(self, place: Place, sha256: str) -> Iterator[tuple[str, Target]]:
        """Yield the tags that were pushed with a manifest and still point to it, sorted.

        :param sha256: hex digits.
        """
        for tag in self._tags.names(place):
            target = self._tags.target(place, tag)
            if target is not None and target.sha256 == sha256:
                yield tag, target

    def _tags_after(self, rights: Rights, place: Place, files: TagList, last: str) -> Iterator[str | None]:
        """Yield the tags that sort after one, sorted; None for each that is not shown without JSON."""
        image_ids = files.image_ids
        known: dict[str, bool] = {}
        sides = set(self._tags.names(place, after=last))
        for tag in sorted({tag for tag in image_ids if tag > last and is_v2_tag(tag)} | sides):
            image_id = image_ids.get(tag)
            if image_id is None:
                if self._tags.only_here(place, tag) is not None:
                    yield tag
                continue
            if image_id not in known:
                known[image_id] = self._has_json(rights, place.repository, image_id)
            yield tag if known[image_id] else None

    def _has_json(self, rights: Rights, repository: RepositoryName, image_id: str) -> bool:
        """Tell whether an image has JSON; tags of other images are left out (engine-formats.md 7.3)."""
        try:
            self._storage.stat(registry_layout.image_key(image_id, registry_layout.JSON))
        except KeyNotFound:
            return rights.content_in(repository, image_id) is not None
        return True


class Catalog:
    """The names of the repositories of one storage, for lists."""

    def __init__(self, index: SearchIndex):
        self._index = index

    def page(self, rights: Rights, last: str, most: int) -> tuple[list[str], str | None]:
        """Return names of repositories that the caller may list, sorted, and where the next part begins.

        :param last: only names that sort after this one.
        :param most: how many at most.
        """
        return self._index.names_after(last, rights, most, is_v2_name) if most else ([], None)
