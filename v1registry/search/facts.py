"""What an index keeps of a repository, read from the storage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from ..names import RepositoryName
from ..registry import layout
from ..registry.repositories import Repositories
from ..storage.base import InvalidKey, Storage
from ..storage.filesystem import FileStorage
from ..storage.memory import MemoryStorage
from .words import searched_text

#: How many repositories are read at the same time from a storage that is far away.
_THREADS: Final = 8

T = TypeVar("T")


@dataclass(frozen=True)
class Facts:
    """What an index keeps of a repository that exists."""

    text: str  #: in which words are looked for: ``searched_text``
    has_description: bool
    stars: int
    is_private: bool
    collaborators: frozenset[tuple[str, str]]  #: name and id of the account; empty if only the name counts


def may_be_kept(name: RepositoryName) -> bool:
    r"""Tell whether every database can keep the name. Names in old folders may be any text.

    >>> may_be_kept(RepositoryName("old", "Ä pp")), may_be_kept(RepositoryName("old", "a\0"))
    (True, False)
    """
    text = str(name)
    return "\0" not in text and text.encode("utf-8", "replace").decode() == text


class FactsReader:
    """Reads the facts of the repositories of one storage."""

    def __init__(self, storage: Storage, repositories: Repositories):
        self._storage = storage
        self._repositories = repositories
        #: whether each call of the storage takes long, and may cost money
        self.is_far = not isinstance(storage, (FileStorage, MemoryStorage))

    def read_all(self, names: Iterable[RepositoryName]) -> list[tuple[RepositoryName, str, Facts | None]]:
        """Return each repository with its version and its facts: see :meth:`read`."""

        def read(name: RepositoryName) -> tuple[RepositoryName, str, Facts | None]:
            # the version first: a change between the two is seen by the next look
            version = self.version(name)
            return name, version, self.read(name)

        return self._each(read, list(names))

    def versions(self, names: Sequence[RepositoryName]) -> list[str]:
        """Return the versions of repositories: see :meth:`version`."""
        return self._each(self.version, names)

    def read(self, name: RepositoryName) -> Facts | None:
        """Return the facts of a repository, None if it does not exist."""
        folders = layout.repository_folders(name)
        keys = self._own_keys(folders[0]) if len(folders) == 1 else None
        if keys is not None and (
            layout.DELETED in keys
            or (not keys & {layout.IMAGE_LIST, layout.PRIVATE} and not self._repositories.exists(name))
        ):
            return None
        if keys is None and not self._repositories.exists(name):
            return None
        description, stars, collaborators = "", 0, frozenset[tuple[str, str]]()
        if keys is None or layout.DESCRIPTION in keys:
            description = self._repositories.description(name)
        if keys is None or layout.STARS in keys:
            stars = self._repositories.stars(name)
        if keys is None or layout.COLLABORATORS in keys:
            collaborators = frozenset(
                (username, account_id)
                for username, (_, account_id) in self._repositories.grants(name).items()
            )
        is_private = self._repositories.is_private(name) if keys is None else layout.PRIVATE in keys
        return Facts(searched_text(name, description), bool(description), stars, is_private, collaborators)

    def version(self, name: RepositoryName) -> str:
        """Return a text that changes if the facts do; empty if the storage cannot tell."""
        versions = []
        with suppress(InvalidKey):
            for folder in layout.repository_folders(name):
                version = self._storage.folder_version(folder)
                if version is None:
                    return ""
                versions.append(version)
        return " ".join(versions)

    def _each(self, read: Callable[[RepositoryName], T], names: Sequence[RepositoryName]) -> list[T]:
        if not self.is_far or len(names) < 2:
            return list(map(read, names))
        # storages in memory and in a folder need no threads
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(_THREADS, thread_name_prefix="v1registry-search") as pool:
            return list(pool.map(read, names))

    def _own_keys(self, folder: str) -> set[str]:
        """Return the names of the keys directly in a folder that begin with ``_``, by one listing."""
        found = set[str]()
        start = len(folder) + 1
        with suppress(InvalidKey):
            for stat in self._storage.list(f"{folder}/_"):
                name = stat.key[start:]
                if name.startswith(f"{layout.V2}/"):
                    break  # sorts after all others, and is large
                found.add(name)
        return found
