"""Lists of tags and of repositories, part by part (distribution.md 1: end-8 and _catalog)."""

from __future__ import annotations

from collections.abc import Iterator

from ..names import RepositoryName, is_v2_name, is_v2_tag
from ..registry import layout as registry_layout
from ..registry.repositories import Repositories
from ..rights import Rights
from ..search.base import SearchIndex
from ..storage.base import KeyNotFound, Storage
from .places import Place
from .tags import TagPointers, Target


class TagLists:
    """The tags of the repositories of one storage, for lists."""

    def __init__(self, storage: Storage, repositories: Repositories, tags: TagPointers):
        self._storage = storage
        self._repositories = repositories
        self._tags = tags

    def page(self, rights: Rights, place: Place, last: str, most: int) -> tuple[list[str], bool]:
        """Return tags of a repository, sorted, and whether there are more.

        :param last: only tags that sort after this one.
        :param most: how many at most.
        """
        found: list[str] = []
        if most == 0:
            return found, False
        for tag in self._tags_after(rights, place, last):
            if len(found) == most:
                return found, True
            found.append(tag)
        return found, False

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

    def _tags_after(self, rights: Rights, place: Place, last: str) -> Iterator[str]:
        files = self._repositories.tags_or_none(place.repository)
        known: dict[str, bool] = {}
        sides = set(self._tags.names(place, after=last))
        for tag in sorted({tag for tag in files if tag > last and is_v2_tag(tag)} | sides):
            image_id = files.get(tag)
            if image_id is None:
                if self._tags.only_here(place, tag) is not None:
                    yield tag
                continue
            if image_id not in known:
                known[image_id] = self._has_json(rights, place.repository, image_id)
            if known[image_id]:
                yield tag

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
