"""What an index keeps of a repository, read from the storage."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from ..names import RepositoryName
from ..registry import layout
from ..registry.repositories import Repositories
from ..storage.base import InvalidKey, Storage
from .words import searched_text


@dataclass(frozen=True)
class Facts:
    """What an index keeps of a repository that exists."""

    text: str  #: in which words are looked for: ``searched_text``
    has_description: bool
    stars: int
    is_private: bool
    collaborators: frozenset[tuple[str, str]]  #: name and id of the account; empty if only the name counts


class FactsReader:
    """Reads the facts of the repositories of one storage."""

    def __init__(self, storage: Storage, repositories: Repositories):
        self._storage = storage
        self._repositories = repositories

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
