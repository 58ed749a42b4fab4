"""The marks of repositories at images, as they are read and written."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Final

from ..names import RepositoryName
from ..rights import Content
from ..storage.base import ABSENT, InvalidKey, KeyConflict, KeyNotFound, Stat, Storage, StorageUnavailable
from .marks import Mark, mark_key, mark_values

#: How often a mark is written again because other requests changed it.
_ATTEMPTS: Final = 100


class StoredMarks:
    """The marks in one storage. Safe for threads and processes."""

    def __init__(self, storage: Storage):
        self._storage = storage
        self._values = mark_values(storage)

    def find(self, repository: RepositoryName, image_id: str) -> tuple[Mark, Stat] | None:
        """Return a mark, whether or not it counts; None if there is none."""
        try:
            return self._values.read(mark_key(repository, image_id))
        except (KeyNotFound, InvalidKey):
            return None

    def live(self, repository: RepositoryName, image_id: str, incarnation: str) -> Mark | None:
        """Return a mark if it counts for a repository with an incarnation."""
        found = self.find(repository, image_id)
        return found[0] if found is not None and found[0].counts(incarnation) else None

    def remove(self, stat: Stat) -> None:
        """Remove a mark, unless it was written again."""
        with suppress(KeyNotFound, KeyConflict):
            self._storage.delete(stat.key, expect=stat.etag)

    def write(
        self,
        repository: RepositoryName,
        content: Content,
        incarnation: str,
        *,
        damaged: Mark | None = None,
    ) -> Mark:
        """Let a repository hold a content, unless it holds one of the id; return the mark that counts.

        :param damaged: a mark whose content is damaged, so that it is replaced.
        """
        mark = Mark(content.variant, incarnation)
        for _ in range(_ATTEMPTS):
            found = self.find(repository, content.image_id)
            if found is not None and found[0].counts(incarnation) and found[0] != damaged:
                return found[0]
            if found is not None and found[0].is_published:
                # it stops older tags from reaching the first content
                mark = replace(mark, is_published=True)
            if found is not None and found[0] == mark:
                return mark
            try:
                self._storage.write(
                    mark_key(repository, content.image_id),
                    mark.dump(),
                    expect=ABSENT if found is None else found[1].etag,
                )
            except KeyConflict:
                continue
            return mark
        raise StorageUnavailable(mark_key(repository, content.image_id), "it is changed again and again")
