"""The folders of all repositories of a storage."""

from __future__ import annotations

from collections.abc import Iterator

from ..registry import layout
from ..storage.at_once import at_once
from ..storage.base import Storage


def repository_folders(storage: Storage) -> Iterator[tuple[str, str]]:
    """Yield the folders of namespace and name of each repository, in the order of the folders."""

    def names_in(namespace: str) -> list[tuple[str, str]]:
        return [(namespace, name) for name in storage.list_folders(f"{layout.REPOSITORIES}/{namespace}")]

    for found in at_once(storage, names_in, storage.list_folders(layout.REPOSITORIES)):
        yield from found
