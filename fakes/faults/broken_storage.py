"""Storages that fail, are full, or answer with old values, for one request and not for others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from v1registry import MemoryStorage, Storage
from v1registry.storage.base import ANY, Blob, Stat, StorageFull, StorageUnavailable
from v1registry.storage.many import delete_in_order, no_moment, write_in_order

#: The storages that are replaced in the current context, each with its substitute.
_REPLACED: ContextVar[tuple[tuple[BrokenStorage, Storage], ...]] = ContextVar(
    "v1registry_fakes.replaced_storages", default=()
)

#: Users, tokens and the secret are always those of now: old ones would not fit the credentials of a request.
_NEVER_STALE: Final = "accounts"


class PassingStorage:
    """Passes each call on to the storage that :meth:`_of` chooses for the key."""

    shared_by_processes = False

    def _of(self, key: str) -> Storage:
        raise NotImplementedError

    # the storage behind it may be replaced within a moment
    moment = staticmethod(no_moment)

    def stat(self, key: str) -> Stat:
        return self._of(key).stat(key)

    def read(self, key: str) -> tuple[bytes, Stat]:
        return self._of(key).read(key)

    def read_many(self, keys: Iterable[str]) -> Iterator[tuple[str, tuple[bytes, Stat] | None]]:
        for key in keys:
            yield from self._of(key).read_many([key])

    def folder_version(self, folder: str) -> str | None:
        return self._of(folder).folder_version(folder)

    def open(self, key: str, start: int = 0, stop: int | None = None) -> Blob:
        return self._of(key).open(key, start, stop)

    def write(self, key: str, data: bytes | Iterable[bytes], *, expect: str = ANY) -> Stat:
        return self._of(key).write(key, data, expect=expect)

    def write_many(self, values: Mapping[str, bytes]) -> None:
        write_in_order(self.write, values)

    def list(self, prefix: str, *, after: str = "") -> Iterator[Stat]:
        return self._of(prefix).list(prefix, after=after)

    def list_folders(self, folder: str, *, after: str = "") -> Iterator[str]:
        return self._of(folder).list_folders(folder, after=after)

    def delete(self, key: str, *, expect: str = ANY) -> None:
        self._of(key).delete(key, expect=expect)

    def delete_many(self, keys: Iterable[str]) -> None:
        delete_in_order(self.delete, keys)

    def publish(self, staged: str, folder: str) -> None:
        self._of(folder).publish(staged, folder)

    def link(self, source: str, target: str) -> Stat:
        return self._of(target).link(source, target)

    def delete_tree(self, folder: str) -> None:
        self._of(folder).delete_tree(folder)


class BrokenStorage(PassingStorage):
    """A storage in memory that has a substitute within :meth:`replaced_by`. Safe for threads.

    >>> storage = BrokenStorage(MemoryStorage())
    >>> with storage.replaced_by(UnavailableStorage()):
    ...     storage.stat("key")
    Traceback (most recent call last):
        ...
    v1registry.storage.base.StorageUnavailable: key: a fault of the test makes the storage unavailable
    """

    def __init__(self, storage: MemoryStorage):
        self.sound = storage  #: without faults

    @contextmanager
    def replaced_by(self, substitute: Storage) -> Iterator[None]:
        """Use a substitute within the block, only in the current thread or task (:mod:`contextvars`).

        The substitute of the outermost block is used.
        """
        token = _REPLACED.set((*_REPLACED.get(), (self, substitute)))
        try:
            yield
        finally:
            _REPLACED.reset(token)

    def _of(self, key: str) -> Storage:
        for replaced, substitute in _REPLACED.get():
            if replaced is self:
                return substitute
        return self.sound


class UnavailableStorage(PassingStorage):
    """A storage whose every call fails, as if its disk or server were gone."""

    def _of(self, key: str) -> Storage:
        raise StorageUnavailable(key, "a fault of the test makes the storage unavailable")


class FullStorage(PassingStorage):
    """A storage without room: values can be read and deleted, but not written."""

    def __init__(self, storage: MemoryStorage):
        self._storage = storage

    def _of(self, key: str) -> Storage:
        return self._storage

    def write(self, key: str, data: bytes | Iterable[bytes], *, expect: str = ANY) -> Stat:
        if not isinstance(data, (bytes, bytearray, memoryview)):
            for _ in data:
                pass  # a disk becomes full while the value arrives
        raise _full(key)

    def publish(self, staged: str, folder: str) -> None:
        raise _full(folder)

    def link(self, source: str, target: str) -> Stat:
        raise _full(target)


class StaleStorage(PassingStorage):
    """A storage as it was at one moment. Users, tokens and the secret are those of now."""

    def __init__(self, storage: MemoryStorage):
        self._live = storage
        self._copy = storage.copy()

    def _of(self, key: str) -> Storage:
        return self._live if f"{key}/".startswith(f"{_NEVER_STALE}/") else self._copy


def _full(key: str) -> StorageFull:
    return StorageFull(key, "a fault of the test makes the storage full")
