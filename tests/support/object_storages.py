"""Storages in object stores and in folders, for tests that expect a storage in memory."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
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
from v1registry.storage import FileStorage, Storage, memory
from v1registry.storage.base import ANY, Stat
from v1registry.storage.objects import Groups, ObjectStorage
from v1registry.storage.objects.probes import Conditions
from v1registry.storage.objects.urls import ObjectPlace

#: Values of the environment variable TEST_STORAGE: which storage is in the place of memory.
IN_FOLDERS: Final = "folder"
IN_MEMORY: Final = "objects"
REAL_STORES: Final = ("ceph", "swift", "azurite", "google")

#: How long a call of a real store may take: on a busy machine, Azurite stands still for seconds.
_TIMEOUT_S: Final = "60"


class MemoryObjectStorage(ObjectStorage):
    """An ObjectStorage over the store in memory of obstore, with the groups of the registry.

    It has what tests use of MemoryStorage. With the environment variable ``TEST_STORAGE=objects``, tests get
    it instead of that (see conftest.py). With the name of a real store there, it is in a bucket of that.
    """

    shared_by_processes = False

    #: the real store, and a bucket of it
    real: tuple[ObjectStore, str] | None = None

    #: what the real store does with conditional writes, so that not each storage finds it out again
    real_conditions: Conditions | None = None

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        is_single_writer = False
        self.store: Any = MemoryStore()
        if self.real is not None:
            place = ObjectPlace.from_url(self._new_url(*self.real))
            self.store, is_single_writer = place.open_store(), place.is_single_writer
        super().__init__(self.store, groups=Groups(KEY_GROUPS), single_writer=is_single_writer, clock=clock)
        if self.real_conditions is not None:
            self._access._conditions = self.real_conditions

    def _new_url(self, real: ObjectStore, bucket: str) -> str:
        """Return the URL of a place that nothing else uses."""
        if real.scheme != "az":
            return real.url(bucket, uuid.uuid4().hex, timeout=_TIMEOUT_S)
        # Azurite looks at all blobs that it has for each listing, so those of former tests are removed
        container = real.new_bucket()
        weakref.finalize(self, _unused_containers.append, container)
        return real.url(container, timeout=_TIMEOUT_S)

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


#: Containers of Azure whose storages are gone.
_unused_containers: list[str] = []


def remove_unused_containers() -> None:
    """Remove what storages that are gone left in Azurite, which may not answer on a busy machine."""
    while _unused_containers and MemoryObjectStorage.real is not None:
        store, _bucket = MemoryObjectStorage.real
        with suppress(OSError):
            store.remove_container(_unused_containers.pop())


class TemporaryFileStorage(FileStorage):
    """A FileStorage in a folder of its own, which is removed with it.

    It has what tests use of MemoryStorage. With ``TEST_STORAGE=folder`` in the environment, tests get it
    instead of that (see conftest.py). A clock that is not the system's gives values its times. Each is a
    nanosecond later than the one before, because the etag of a file has its time.
    """

    shared_by_processes = False

    #: where the folders of all are; None for the usual place of temporary files
    root: Path | None = None

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        folder = tempfile.mkdtemp(dir=self.root)
        super().__init__(Path(folder, "data"), durable=False)
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._clock = clock
        self._ticks = count()

    @classmethod
    def from_url(cls, _url: str, *, clock: Clock = SYSTEM_CLOCK) -> TemporaryFileStorage:
        """Return a new, empty storage."""
        return cls(clock=clock)

    def write(
        self, key: str, data: bytes | Iterable[bytes], *, expect: str = ANY, modified_ns: int | None = None
    ) -> Stat:
        """Store a value with the time of the clock when all of it has come."""
        if self._clock is SYSTEM_CLOCK or modified_ns is not None:
            return super().write(key, data, expect=expect, modified_ns=modified_ns)
        whole = data if isinstance(data, bytes) else b"".join(data)
        return super().write(key, whole, expect=expect, modified_ns=self._time_ns())

    def write_many(self, values: Mapping[str, bytes]) -> None:
        """Store values with the time of the clock."""
        if self._clock is SYSTEM_CLOCK:
            super().write_many(values)
        else:
            self.write_many_dated({key: (value, self._time_ns()) for key, value in values.items()})

    def _time_ns(self) -> int:
        return round(self._clock.time_s() * 1_000_000) * 1000 + next(self._ticks)

    def clear(self) -> None:
        """Remove every file."""
        shutil.rmtree(self.path, ignore_errors=True)

    def copy(self) -> TemporaryFileStorage:
        """Return a storage with the files of now."""
        copied = TemporaryFileStorage()
        if os.path.isdir(self.path):
            shutil.copytree(self.path, copied.path, symlinks=True)
        return copied


@contextmanager
def folders_in_place_of_memory() -> Iterator[None]:
    """Keep all that is in a TemporaryFileStorage in one folder, which is removed in the end."""
    with tempfile.TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        patch.setattr(TemporaryFileStorage, "root", Path(root))
        yield


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
        if not store.single_writer:
            patch.setattr(MemoryObjectStorage, "real_conditions", MemoryObjectStorage().conditions())
        yield
    if not has_users(kind, root):
        shutil.rmtree(root, ignore_errors=True)


def replace_memory_storage(kind: str) -> None:
    """Let what is imported as MemoryStorage from now on be a different storage.

    :param kind: IN_FOLDERS, IN_MEMORY or one of REAL_STORES.
    :raises ValueError: it is none of them.
    """
    if kind not in (IN_FOLDERS, IN_MEMORY, *REAL_STORES):
        known = ", ".join((IN_FOLDERS, IN_MEMORY, *REAL_STORES))
        raise ValueError(f"TEST_STORAGE must be one of {known}, not {kind!r}")
    storage = TemporaryFileStorage if kind == IN_FOLDERS else MemoryObjectStorage
    for module in (memory, v1registry.storage, v1registry):
        module.MemoryStorage = storage  # type: ignore[attr-defined]


def storage_of_kind(kind: str, folder: Path) -> Storage:
    """Return a new storage.

    :param kind: ``memory``, ``objects``, or anything else for one in a folder.
    """
    if kind == "memory":
        return v1registry.MemoryStorage()
    if kind == "objects":
        return MemoryObjectStorage()
    return v1registry.FileStorage(folder, durable=False)
