"""How much the documents of an object store are written for small values."""

from __future__ import annotations

from typing import Any

import pytest
from obstore.store import MemoryStore

from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.storage.objects import Groups, ObjectStorage
from v1registry.storage.objects.documents import INLINE_BYTES, INLINE_BYTES_OF_LONG, LONG_DOCUMENT_BYTES
from v1registry.storage.objects.store import ObjectAccess, Version

PUSH = f"uploads/{'a' * 32}/u-n"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many bytes each document had that was written."""
    sizes: list[int] = []
    put = ObjectAccess.put

    def measured(access: ObjectAccess, name: str, data: bytes, expected: Version | None) -> Version:
        sizes.append(len(data))
        return put(access, name, data, expected)

    monkeypatch.setattr(ObjectAccess, "put", measured)
    return sizes


@pytest.fixture
def storage() -> ObjectStorage:
    return ObjectStorage(MemoryStore(), groups=Groups(KEY_GROUPS))


def write_in_pieces(storage: ObjectStorage, key: str, value: bytes) -> Any:
    return storage.write(key, iter([value]))


def write_at_once(storage: ObjectStorage, key: str, value: bytes) -> Any:
    return storage.write(key, value)


def write_many(storage: ObjectStorage, key: str, value: bytes) -> Any:
    return storage.write_many({key: value})


@pytest.mark.parametrize("write", [write_in_pieces, write_at_once, write_many])
def test_document_with_many_small_values_does_not_grow_by_them(storage, written, write):
    value = b"\xff" * INLINE_BYTES
    for number in range(100):
        write(storage, f"{PUSH}/piece-{number:05}", value)
    assert max(written) < LONG_DOCUMENT_BYTES + 2 * INLINE_BYTES + 100 * 200
    stats = list(storage.list(f"{PUSH}/"))
    assert len(stats) == 100
    assert {storage.read(stat.key)[0] for stat in stats} == {value}


def test_tiny_values_stay_in_a_long_document(storage, written):
    for number in range(20):
        storage.write(f"{PUSH}/piece-{number:05}", b"\xff" * INLINE_BYTES)
    assert storage._find(f"{PUSH}/piece-00019").inline() is None
    storage.write(f"{PUSH}/info", b"x" * INLINE_BYTES_OF_LONG)
    assert storage._find(f"{PUSH}/info").inline() is not None
