"""Old data: repositories without incarnation, and tags that an old server sets beside this one
(storage-layout.md 1).

Data that was written without accounts has no marks. There a repository holds what its tags reach. A
repository is adopted when a request or a token names it: its tags are walked, marks are written, and the tags
seen are recorded. If an image has no mark for a repository, tags that are not in its record are walked again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from ..names import RepositoryName
from ..registry import layout
from ..registry.contents import Contents
from ..registry.repositories import Repositories
from ..rights import Content
from ..storage.base import KeyNotFound, Storage


class Adoption:
    """Walks the tags of repositories. Safe for threads and processes.

    :param adopt: marks the first content of an image as held by a repository with an incarnation.
    :param is_decided: tells whether a mark says what a repository with an incarnation holds of an image, or
        what it held before it was deleted or damaged.
    """

    def __init__(
        self,
        storage: Storage,
        contents: Contents,
        repositories: Repositories,
        adopt: Callable[[RepositoryName, str, str], None],
        is_decided: Callable[[RepositoryName, str, str], bool],
    ):
        self._storage = storage
        self._contents = contents
        self._repositories = repositories
        self._adopt = adopt
        self._is_decided = is_decided

    def walk(self, repository: RepositoryName, incarnation: str) -> bool:
        """Mark what the tags reach that are not in the record, then record them; tell whether there were any.

        The marks are conditional writes and the record comes last, so an interrupted walk is simply repeated.
        """
        tags = self._tags(repository)
        if not tags:
            return False
        record = self._record(repository)
        new = {tag: found for tag, found in tags.items() if record.get(tag) != found[0]}
        if not new:
            return False
        for image_id, set_at in new.values():
            unmarked = []
            for reached in self._contents.known_ancestry(Content(image_id)):
                if self._is_decided(repository, reached, incarnation):
                    # what it builds on was decided when it got its mark: no push reaches further by a tag
                    break
                unmarked.append(reached)
            for reached in reversed(unmarked):
                if self._means_first(reached, set_at):
                    self._adopt(repository, reached, incarnation)
        seen = json.dumps({tag: image_id for tag, (image_id, _) in tags.items()}, sort_keys=True)
        folder = self._repositories.folder_to_write(repository)
        self._storage.write(f"{folder}/{layout.ADOPTED}", seen.encode("ascii"))
        return True

    def reached(self, repository: RepositoryName, image_id: str) -> Content | None:
        """Return the first content of an image if a tag reaches it: for storages that cannot be written."""
        for tagged, set_at in self._tags(repository).values():
            if image_id in self._contents.known_ancestry(Content(tagged)) and self._means_first(
                image_id, set_at
            ):
                return Content(image_id)
        return None

    def count_left(self, most: int) -> int:
        """Return how many repositories are not adopted yet, of the first ``most``."""
        count = 0
        for number, repository in enumerate(self._repositories.candidates()):
            if number >= most:
                break
            count += not self.is_adopted(repository)
        return count

    def is_adopted(self, repository: RepositoryName) -> bool:
        """Tell whether the repository has an incarnation."""
        for folder in layout.repository_folders(repository):
            with suppress(KeyNotFound):
                self._storage.stat(f"{folder}/{layout.INCARNATION}")
                return True
        return False

    def _tags(self, repository: RepositoryName) -> dict[str, tuple[str, datetime]]:
        return self._repositories.tags_with_times_or_none(repository)

    def _means_first(self, image_id: str, set_at: datetime) -> bool:
        """Tell whether a tag can mean the first content of an image, which has to be complete.

        A tag that was set before this server published the content means something else: an image that was
        never completed, or was removed.
        """
        if self._contents.first(image_id) is None:
            return False
        for stat in self._storage.list(f"{layout.image_key(image_id, layout.HELD)}/"):
            with suppress(KeyNotFound):
                parsed = layout.parse_stored(self._storage.read(stat.key)[0])
                if isinstance(parsed, dict) and parsed.get("is_published") is True:
                    return stat.modified <= set_at
        return True

    def _record(self, repository: RepositoryName) -> dict[str, object]:
        for folder in layout.repository_folders(repository):
            with suppress(KeyNotFound):
                parsed = layout.parse_stored(self._storage.read(f"{folder}/{layout.ADOPTED}")[0])
                return parsed if isinstance(parsed, dict) else {}
        return {}
