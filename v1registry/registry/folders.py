"""The folders of repositories: where a repository is stored, and whether it exists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime

from .. import errors
from ..clock import SYSTEM_CLOCK, Clock
from ..log import audit
from ..names import RepositoryName
from ..storage.base import InvalidKey, KeyConflict, KeyNotFound, Stat, Storage, date_of
from . import layout
from .expiry import REPOSITORY_BYTES, repository_digest
from .known_tags import KnownTags, TagList
from .observers import Observed, changes_repository


class RepositoryFolders(Observed):
    """Where the repositories of one storage are."""

    def __init__(self, storage: Storage, *, clock: Clock = SYSTEM_CLOCK):
        super().__init__()
        self._storage = storage
        self._known_tags = KnownTags(storage, clock=clock)

    def exists(self, name: RepositoryName) -> bool:
        """Tell whether the repository was announced, has a tag, or is marked private (storage-layout.md
        3.5).
        """
        return self._existing_folder(name) is not None

    def are_in(self, namespace: str) -> bool:
        """Tell whether anything is stored below a namespace."""
        folder = f"{layout.REPOSITORIES}/{layout.store_part(namespace)}"
        return next(iter(self._storage.list_folders(folder)), None) is not None

    def all(self) -> Iterator[RepositoryName]:
        """Yield every repository that exists, by namespace and stored name."""
        for candidate in self.candidates():
            if self.exists(candidate):
                yield candidate

    def candidates(self) -> Iterator[RepositoryName]:
        """Yield the name of every repository's folder.

        Some may turn out not to exist. Much cheaper than :meth:`all`.
        """
        for namespace in self._storage.list_folders(layout.REPOSITORIES):
            for folder in self._storage.list_folders(f"{layout.REPOSITORIES}/{namespace}"):
                yield layout.repository_from_folders(namespace, folder)

    def candidates_after(self, last: str) -> Iterator[RepositoryName]:
        """Yield the name of every repository's folder that sorts after a name, sorted by the whole name.

        Folders sort differently than the names that are stored in them, so those of a namespace are sorted
        here. Some may turn out not to exist.
        """
        folders = self._storage.list_folders(layout.REPOSITORIES)
        for namespace in sorted(f"{layout.unstore_part(folder)}/" for folder in folders):
            # all names of an earlier namespace sort before its end
            if f"{namespace}\U0010ffff" <= last:
                continue
            names = {str(name): name for name in self.in_namespace(namespace[:-1])}
            for text in sorted(names):
                if text > last:
                    yield names[text]

    def in_namespace(self, namespace: str) -> Iterator[RepositoryName]:
        """Yield the name of every repository's folder in a namespace. Some may turn out not to exist."""
        stored = layout.store_part(namespace)
        for folder in self._storage.list_folders(f"{layout.REPOSITORIES}/{stored}"):
            yield layout.repository_from_folders(stored, folder)

    @changes_repository()
    def mark_deleted(self, name: RepositoryName) -> None:
        """Hide a repository that a registry still has to remove: the first of two steps (hub.md 3.2).

        :raises RepositoryNotFound: it does not exist.
        """
        self._storage.write(f"{self._require_folder(name)}/{layout.DELETED}", b"")
        audit("marked repository %r as deleted", str(name))

    def is_marked_deleted(self, name: RepositoryName) -> bool:
        """Tell whether the first step of a deletion was done."""
        return any(self._has(f"{folder}/{layout.DELETED}") for folder in layout.repository_folders(name))

    def tag_stats(self, name: RepositoryName) -> list[Stat]:
        """Return the Stats of the tags. No tag is read, so there may be keys that are no tags."""
        for folder in self._folders(name):
            stats = list(self._list(f"{folder}/{layout.TAG_PREFIX}"))
            if stats or self._has(f"{folder}/{layout.IMAGE_LIST}") or self._has(f"{folder}/{layout.PRIVATE}"):
                return stats
        return []

    def read_tags(self, stats: Iterable[Stat], most: int | None = None) -> dict[str, tuple[str, datetime]]:
        """Return tag -> image id, and when the tag was set.

        :param stats: as :meth:`tag_stats` returned them.
        :param most: how many tags are returned; None for all.
        """
        return with_times(self._known_tags.read(stats, most), most)

    def end_uploads(self, name: RepositoryName) -> None:
        """Count the unfinished uploads of blobs to the repository no more.

        On an open server they make no blobs from then on (see distribution/uploads.py).
        """
        self._storage.delete_tree(f"{REPOSITORY_BYTES}/{repository_digest(name)}")

    @changes_repository()
    def remove(self, name: RepositoryName) -> None:
        """Remove all that is stored of a repository, whether it exists, is marked as deleted, or is
        missing.
        """
        for folder in layout.repository_folders(name):
            with suppress(InvalidKey):  # the quoted form of an old name may be too long for a key
                self._storage.delete_tree(folder)

    @changes_repository()
    def remove_marked_deleted(self, name: RepositoryName) -> None:
        """Remove what is stored of a repository that is marked as deleted; nothing if the mark is gone.

        Each key is removed as it was listed, and the mark last. A repository that another request creates
        meanwhile stays.
        """
        # the distribution API writes into the last one, also if old data is in the first one, and so the mark
        for folder in reversed(layout.repository_folders(name)):
            mark, inside = f"{folder}/{layout.DELETED}", f"{folder}/{layout.V2}/"
            stats = list(self._list(f"{folder}/"))
            if not self.is_marked_deleted(name):
                return
            if not self._has(mark):
                stats = [stat for stat in stats if stat.key.startswith(inside)]
            for stat in sorted(stats, key=lambda stat: stat.key == mark):
                with suppress(KeyNotFound, KeyConflict):
                    self._storage.delete(stat.key, expect=stat.etag)

    def folder_to_write(self, name: RepositoryName) -> str:
        """Return the folder in which the repository is, or will be.

        :raises InvalidRepositoryName: the name may not be written.
        """
        name.checked()
        existing = self._existing_folder(name)
        if existing is not None:
            return existing
        if self.is_marked_deleted(name):
            # what is written now begins an empty repository (decisions.md 14)
            self.remove_marked_deleted(name)
        folder = layout.repository_folders(name)[-1]
        if max(map(len, folder.split("/"))) > 255:
            raise errors.InvalidRepositoryName(repository=str(name)[:300])
        return folder

    # -- inside

    def _folders(self, name: RepositoryName, *, even_deleted: bool = False) -> Iterator[str]:
        """Yield the folders that the repository may have, except those that are marked as deleted."""
        for folder in layout.repository_folders(name):
            if even_deleted or not self._has(f"{folder}/{layout.DELETED}"):
                yield folder

    def _existing_folder(self, name: RepositoryName, *, even_deleted: bool = False) -> str | None:
        for folder in self._folders(name, even_deleted=even_deleted):
            if (
                self._has(f"{folder}/{layout.IMAGE_LIST}")
                or self._known_tags.of(folder, most=0).image_ids
                or self._has(f"{folder}/{layout.PRIVATE}")
            ):
                return folder
        return None

    def _require_folder(self, name: RepositoryName) -> str:
        folder = self._existing_folder(name)
        if folder is None:
            raise errors.RepositoryNotFound(repository=str(name))
        return folder

    def _read_json(self, name: RepositoryName, key: str) -> dict[str, object]:
        """Return the first object under a key of the repository's folders, else an empty one."""
        for folder in layout.repository_folders(name):
            data = self._read_optional(f"{folder}/{key}")
            if data is not None:
                parsed = layout.parse_stored(data)
                return parsed if isinstance(parsed, dict) else {}
        return {}

    def _read_optional(self, key: str) -> bytes | None:
        """Return what is stored, None if nothing is or can be: names from requests may make impossible
        keys.
        """
        found = self._read_with_stat(key)
        return None if found is None else found[0]

    def _read_with_stat(self, key: str) -> tuple[bytes, Stat] | None:
        try:
            return self._storage.read(key)
        except (KeyNotFound, InvalidKey):
            return None

    def _has(self, key: str) -> bool:
        try:
            self._storage.stat(key)
        except (KeyNotFound, InvalidKey):
            return False
        return True

    def _list(self, prefix: str) -> Iterator[Stat]:
        try:
            yield from self._storage.list(prefix)
        except InvalidKey:
            return

    def _delete(self, key: str) -> bool:
        """Remove a key; tell whether it was stored."""
        try:
            self._storage.delete(key)
        except KeyNotFound:
            return False
        return True


def with_times(tags: TagList, most: int | None) -> dict[str, tuple[str, datetime]]:
    """Return tag -> image id, and when the tag was set.

    :param most: how many tags are returned; None for all.
    """
    return {tag: (tags.image_ids[tag], date_of(tags.times_ns[tag])) for tag in tags.first(most)}
