"""Old data: repositories without incarnation, and tags that an old server sets beside this one
(storage-layout.md 1).

Data that was written without accounts has no marks. There a repository holds what its tags reach. A
repository is adopted when a request or a token names it: its tags are walked, marks are written, and the tags
seen are recorded. If an image has no mark for a repository, tags that are not in its record are walked again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import islice
from threading import Lock
from typing import Final

from cachetools import LRUCache

from ..names import RepositoryName
from ..registry import layout
from ..registry.contents import Contents
from ..registry.repositories import Repositories
from ..rights import Content
from ..storage.base import KeyNotFound, Stat, Storage, StorageUnavailable

#: How many marks of an image are read to find out when it was published.
_MOST_MARKS: Final = 10_000

#: For how many repositories the last walk is remembered, and for how many images the publication.
_REMEMBERED: Final = 10_000

#: Later than any tag.
_NEVER: Final = datetime.max.replace(tzinfo=timezone.utc)


def _digest(stats: list[Stat]) -> str:
    """Return a text that changes if a tag is set or deleted; empty if there are none."""
    listed = json.dumps([[stat.key, stat.etag] for stat in stats])
    return hashlib.sha256(listed.encode("ascii")).hexdigest() if stats else ""


@dataclass(frozen=True)
class _Record:
    """The tags of a repository when they were walked the last time."""

    listing: str = ""  #: see _digest; empty in the records of earlier versions
    tags: Mapping[str, object] = field(default_factory=dict)  #: tag -> image id

    @classmethod
    def parse(cls, stored: bytes) -> _Record:
        """Return what a stored value says; nothing if it is damaged.

        Earlier versions stored the tags alone.
        """
        parsed = layout.parse_stored(stored)
        if not isinstance(parsed, dict):
            return cls()
        tags, listing = parsed.get("tags"), parsed.get("listing")
        # a tag may have these names, but its value is an image id
        if not isinstance(tags, dict) or not isinstance(listing, str):
            return cls(tags=parsed)
        return cls(listing, tags)


class Adoption:
    """Walks the tags of repositories. Safe for threads and processes.

    :param adopt: marks the first content of an image as held by a repository with an incarnation.
    :param is_decided: tells whether a mark says what a repository with an incarnation holds of an image, or
        what it held before it was deleted or damaged.
    :param may_be_old: tells whether a repository exists, and was not deleted lately.
    """

    def __init__(
        self,
        storage: Storage,
        contents: Contents,
        repositories: Repositories,
        adopt: Callable[[RepositoryName, str, str], None],
        is_decided: Callable[[RepositoryName, str, str], bool],
        may_be_old: Callable[[RepositoryName], bool],
    ):
        self._storage = storage
        self._contents = contents
        self._repositories = repositories
        self._adopt = adopt
        self._is_decided = is_decided
        self._may_be_old = may_be_old
        self._lock = Lock()  # cachetools is not safe for threads
        self._seen: LRUCache[tuple[RepositoryName, str], str] = LRUCache(_REMEMBERED)
        self._publications: LRUCache[tuple[str, str], datetime | None] = LRUCache(_REMEMBERED)

    def walk(self, repository: RepositoryName, incarnation: str) -> bool:
        """Mark what the tags reach that are not in the record, then record them; tell whether there were any.

        The marks are conditional writes and the record comes last, so an interrupted walk is simply repeated.
        """
        stats = self._repositories.tag_stats(repository)
        listing = _digest(stats)
        with self._lock:
            is_seen = self._seen.get((repository, incarnation)) == listing
        # the note of a deletion is read after the tags: a deletion writes it before it removes anything
        if is_seen or not listing or not self._may_be_old(repository):
            return False
        record = self._record(repository)
        is_new = record.listing != listing and self._walk_new(repository, incarnation, record, stats)
        with self._lock:
            self._seen[repository, incarnation] = listing
        return is_new

    def _walk_new(
        self, repository: RepositoryName, incarnation: str, record: _Record, stats: list[Stat]
    ) -> bool:
        """Walk the tags that are not in the record; tell whether there were any.

        :param stats: of the tags, as they were listed.
        """
        tags = self._repositories.read_tags(stats)
        new = {tag: found for tag, found in tags.items() if record.tags.get(tag) != found[0]}
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
        seen = {"listing": _digest(stats), "tags": {tag: image_id for tag, (image_id, _) in tags.items()}}
        key = f"{self._repositories.folder_to_write(repository)}/{layout.ADOPTED}"
        try:
            self._storage.write(key, json.dumps(seen, sort_keys=True).encode("ascii"))
        except StorageUnavailable:
            if new:
                raise
        return bool(new)

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
        first = self._contents.first(image_id)
        if first is None:
            return False
        published = self._published(first)
        return published is None or published <= set_at

    def _published(self, first: Content) -> datetime | None:
        """Return when this server published the first content of an image; None if an old server did.

        The marks are read once in the life of a process, because each user can add marks.
        """
        assert first.parts is not None
        place = first.image_id, "" if first.parts.layer is None else first.parts.layer.etag
        with self._lock:
            if place in self._publications:
                return self._publications[place]
        published = self._find_publication(first.image_id)
        with self._lock:
            self._publications[place] = published
        return published

    def _find_publication(self, image_id: str) -> datetime | None:
        marks = self._storage.list(f"{layout.image_key(image_id, layout.HELD)}/")
        for stat in islice(marks, _MOST_MARKS):
            with suppress(KeyNotFound):
                parsed = layout.parse_stored(self._storage.read(stat.key)[0])
                if isinstance(parsed, dict) and parsed.get("is_published") is True:
                    return stat.modified
        # an image with more marks is not adopted any more: a push gives it to a repository
        return None if next(marks, None) is None else _NEVER

    def _record(self, repository: RepositoryName) -> _Record:
        for folder in layout.repository_folders(repository):
            with suppress(KeyNotFound):
                return _Record.parse(self._storage.read(f"{folder}/{layout.ADOPTED}")[0])
        return _Record()
