"""Changes that storages far away make in one step, and others one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Protocol, runtime_checkable

from .base import ANY, CHUNK_BYTES, Stat, Storage, StorageUnavailable

#: Returns small values under neighbouring keys that belong to a value which has arrived.
Beside = Callable[[Stat], Mapping[str, bytes]]


@runtime_checkable
class Combining(Protocol):
    """What a storage has besides the protocol if several changes cost it as much as one."""

    #: how many bytes of a value are in memory before the first of them is sent
    held_bytes: int

    def write_with(
        self, key: str, data: bytes | Iterable[bytes], beside: Beside, *, expect: str = ANY
    ) -> Stat:
        """Store a value, and others with it. See :func:`write_with`."""

    def guessing(self) -> AbstractContextManager[None]:
        """Read what was seen last. See :func:`guessing`."""

    def exchange(self, values: Mapping[str, bytes], keys: Iterable[str]) -> None:
        """Store small values and remove keys. See :func:`exchange`."""

    def write_and_link(self, values: Mapping[str, bytes], links: Mapping[str, str]) -> None:
        """Store small values, and the values of other keys too. See :func:`write_and_link`."""

    def publish_left(self, staged: str, folder: str, *, is_own: bool) -> None:
        """Publish a folder that the caller removes next. See :func:`publish_left`.

        :raises KeyNotFound: no key is below ``staged``.
        :raises KeyConflict: a key is below ``folder``.
        :raises InvalidKey: see ``Storage.publish``.
        :raises StorageFull: no room is left.
        """

    def link_exactly(self, source: str, target: str, etag: str) -> Stat:
        """Store the value of ``source`` under ``target`` too, if it has this etag, durably.

        :raises KeyNotFound: nothing is stored under ``source``.
        :raises KeyConflict: the value has a different etag, or a value is stored under ``target``.
        :raises StorageFull: no room is left.
        """


def held_bytes(storage: Storage) -> int:
    """Return how many bytes of a value a storage has in memory before the first of them is stored."""
    return storage.held_bytes if isinstance(storage, Combining) else CHUNK_BYTES


def guessing(storage: Storage) -> AbstractContextManager[None]:
    """Return a context in which this thread may read what the process saw last of a storage far away.

    Other processes may have changed it. So the caller must find out later what is stored, for example when it
    has written a key of the same group, and must be able to go on then.
    """
    return storage.guessing() if isinstance(storage, Combining) else nullcontext()


def write_with(
    storage: Storage,
    key: str,
    data: bytes | Iterable[bytes],
    beside: Beside,
    *,
    expect: str = ANY,
    is_needed: bool = True,
) -> Stat:
    """Store ``data`` under ``key`` as ``Storage.write`` does, and then small values that follow from it.

    No reader sees one of these without the value, and the last of them is seen with all others. If this
    fails, some may be stored.

    :param beside: is called once, when all of ``data`` has arrived, before or after it is visible. The keys
        should lie beside ``key``; an object store writes those of another group later than the others.
    :param is_needed: whether it fails if ``data`` alone can be stored.
    :raises KeyConflict: the stored value is not the expected one. Nothing changed.
    :raises StorageFull: no room is left.
    """
    if isinstance(storage, Combining):
        return storage.write_with(key, data, beside, expect=expect)
    stat = storage.write(key, data, expect=expect)
    with nullcontext() if is_needed else suppress(StorageUnavailable):
        storage.write_many(beside(stat))
    return stat


def exchange(storage: Storage, values: Mapping[str, bytes], keys: Iterable[str]) -> None:
    """Store small values, and then remove keys. Missing ones are no error. A failure may leave a part.

    :raises StorageFull: no room is left.
    """
    if isinstance(storage, Combining):
        storage.exchange(values, keys)
        return
    storage.write_many(values)
    storage.delete_many(keys)


def write_and_link(storage: Storage, values: Mapping[str, bytes], links: Mapping[str, str]) -> None:
    """Store small values, and then link values of other keys as ``Storage.link`` does. A failure may leave a
    part.

    :param links: new key -> the key that has the value already.
    :raises KeyNotFound: nothing is stored under one of the other keys.
    :raises KeyConflict: a value is stored under a new key.
    :raises StorageFull: no room is left.
    """
    if isinstance(storage, Combining):
        storage.write_and_link(values, links)
        return
    storage.write_many(values)
    for target, source in links.items():
        storage.link(source, target)


def publish_left(storage: Storage, staged: str, folder: str, *, is_own: bool = False) -> None:
    """Publish a folder as ``Storage.publish`` does, for a caller who removes ``staged`` right after that.

    The keys may also stay below ``staged``, as after a publication that was killed.

    :param is_own: whether no other process knows the name of ``staged``, nor of a folder around it.
    :raises KeyNotFound: no key is below ``staged``. Nothing changed.
    :raises KeyConflict: a key is below ``folder`` already. Nothing changed.
    :raises InvalidKey: see ``Storage.publish``.
    :raises StorageFull: no room is left.
    """
    if isinstance(storage, Combining):
        storage.publish_left(staged, folder, is_own=is_own)
    else:
        storage.publish(staged, folder)


def taken(chunks: list[bytes]) -> Iterator[bytes]:
    """Yield chunks, and keep none that was yielded."""
    chunks.reverse()
    while chunks:
        yield chunks.pop()
