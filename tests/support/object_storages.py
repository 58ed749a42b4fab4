"""Storages in object stores, for tests that expect a storage in memory."""

from __future__ import annotations

from pathlib import Path

import obstore
from obstore.store import MemoryStore

import v1registry
import v1registry.storage
from v1registry.clock import SYSTEM_CLOCK, Clock
from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.storage import Storage, memory
from v1registry.storage.objects import Groups, ObjectStorage


class MemoryObjectStorage(ObjectStorage):
    """An ObjectStorage over the store in memory of obstore, with the groups of the registry.

    It has what tests use of MemoryStorage. With the environment variable ``TEST_STORAGE=objects``, tests get
    it instead of that (see conftest.py).
    """

    shared_by_processes = False

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.store = MemoryStore()
        super().__init__(self.store, groups=Groups(KEY_GROUPS), clock=clock)

    @classmethod
    def from_url(cls, _url: str, *, clock: Clock = SYSTEM_CLOCK) -> MemoryObjectStorage:
        """Return a new, empty storage."""
        return cls(clock=clock)

    def clear(self) -> None:
        """Remove every object."""
        for page in obstore.list(self.store):
            obstore.delete(self.store, [meta["path"] for meta in page])

    def copy(self) -> MemoryObjectStorage:
        """Return a storage with the objects of now."""
        copied = MemoryObjectStorage()
        for page in obstore.list(self.store):
            for meta in page:
                path = meta["path"]
                obstore.put(copied.store, path, obstore.get(self.store, path).bytes())
        return copied


def replace_memory_storage() -> None:
    """Let what is imported as MemoryStorage from now on be a storage in an object store."""
    for module in (memory, v1registry.storage, v1registry):
        module.MemoryStorage = MemoryObjectStorage  # type: ignore[attr-defined]


def storage_of_kind(kind: str, folder: Path) -> Storage:
    """Return a new storage.

    :param kind: ``memory``, ``objects``, or anything else for one in a folder.
    """
    if kind == "memory":
        return v1registry.MemoryStorage()
    if kind == "objects":
        return MemoryObjectStorage()
    return v1registry.FileStorage(folder, durable=False)
