"""Values that are written with a time: copies of a different storage."""

from __future__ import annotations

from pathlib import Path

import pytest
from obstore.store import MemoryStore

from v1registry import FileStorage, MemoryStorage, Storage
from v1registry.storage.dated import DatedStorage
from v1registry.storage.objects import ObjectStorage

TIME_NS = 1_430_000_000_123_456_789


@pytest.fixture(params=["folder", "memory", "objects"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "objects":
        return ObjectStorage(MemoryStore())
    return FileStorage(tmp_path / "data") if request.param == "folder" else MemoryStorage()


def test_value_has_the_given_time(storage: Storage) -> None:
    assert isinstance(storage, DatedStorage)

    written = storage.write_dated("a/b", b"value", TIME_NS)

    assert storage.read("a/b") == (b"value", written)
    assert written.modified_ns == TIME_NS


def test_value_that_is_replaced_has_a_different_etag(storage: Storage) -> None:
    assert isinstance(storage, DatedStorage)
    first = storage.write_dated("a", b"one", TIME_NS)

    second = storage.write_dated("a", iter([b"t", b"wo"]), TIME_NS)

    assert second.etag != first.etag
    assert storage.read("a")[0] == b"two"
    assert storage.write("a", b"six").modified_ns > TIME_NS


def test_iterable_that_raises_leaves_the_value(storage: Storage) -> None:
    assert isinstance(storage, DatedStorage)
    storage.write_dated("a", b"one", TIME_NS)

    with pytest.raises(ZeroDivisionError):
        storage.write_dated("a", (bytes([1 // number]) for number in (1, 0)), TIME_NS)

    assert storage.read("a")[0] == b"one"


def test_values_written_together_have_their_times(storage: Storage) -> None:
    assert isinstance(storage, DatedStorage)
    storage.write_dated("a/2", b"old", TIME_NS)

    storage.write_many_dated({f"a/{number}": (b"%d" % number, TIME_NS + number) for number in range(40)})

    found = {key: found for key, found in storage.read_many(f"a/{number}" for number in range(40)) if found}
    assert {key: value for key, (value, _) in found.items()} == {f"a/{n}": b"%d" % n for n in range(40)}
    assert [stat.modified_ns - TIME_NS for _, stat in found.values()] == list(range(40))


def test_values_written_together_without_times_are_of_now(storage: Storage) -> None:
    assert isinstance(storage, DatedStorage)
    storage.write_many_dated({"a/1": (b"one", TIME_NS)})

    storage.write_many({"a/1": b"two", "b": b"three"})

    assert storage.read("a/1")[0] == b"two"
    assert min(storage.stat("a/1").modified_ns, storage.stat("b").modified_ns) > TIME_NS
