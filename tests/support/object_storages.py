"""Storages in object stores, for tests that expect a storage in memory."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import obstore
import pytest
from obstore.store import MemoryStore

import v1registry
import v1registry.storage
from support.object_stores import ObjectStore, has_users, shared_store
from v1registry.clock import SYSTEM_CLOCK, Clock
from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.storage import Storage, memory
from v1registry.storage.objects import Groups, ObjectStorage
from v1registry.storage.objects.urls import ObjectPlace

#: Values of the environment variable TEST_STORAGE: which store is in the place of memory.
IN_MEMORY: Final = "objects"
REAL_STORES: Final = ("ceph", "swift", "azurite")


class MemoryObjectStorage(ObjectStorage):
    """An ObjectStorage over the store in memory of obstore, with the groups of the registry.

    It has what tests use of MemoryStorage. With the environment variable ``TEST_STORAGE=objects``, tests get
    it instead of that (see conftest.py). With the name of a real store there, it is in a bucket of that.
    """

    shared_by_processes = False

    #: the real store, and a bucket of it
    real: tuple[ObjectStore, str] | None = None

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        is_single_writer = False
        self.store: Any = MemoryStore()
        if self.real is not None:
            real, bucket = self.real
            place = ObjectPlace.from_url(real.url(bucket, uuid.uuid4().hex))
            self.store, is_single_writer = place.open_store(), place.is_single_writer
        super().__init__(self.store, groups=Groups(KEY_GROUPS), single_writer=is_single_writer, clock=clock)

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


@contextmanager
def real_store_in_place_of_memory(kind: str, run_id: str) -> Iterator[None]:
    """Keep all that is in a MemoryObjectStorage in a real store.

    :param kind: one of REAL_STORES.
    :param run_id: what the workers of one test run have in common.
    """
    root = Path(tempfile.gettempdir()) / f"v1registry-{run_id}"
    root.mkdir(exist_ok=True)
    with shared_store(kind, root) as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment.items():
            patch.setenv(name, value)
        patch.setattr(MemoryObjectStorage, "real", (store, store.new_bucket()))
        yield
    if not has_users(kind, root):
        shutil.rmtree(root, ignore_errors=True)


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
