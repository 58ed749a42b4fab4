"""MemoryStorage: the contract, URLs, copies, and clear()."""

from __future__ import annotations

import pytest
from v1registry_fakes.contracts import StorageContract

from v1registry.storage import KeyConflict, KeyNotFound, MemoryStorage


class TestContract(StorageContract):
    @pytest.fixture
    def storage(self):
        return MemoryStorage()


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


def test_memory_is_not_shared_by_processes(storage):
    assert storage.shared_by_processes is False


@pytest.mark.parametrize("url", ["memory:", "memory://"])
def test_url_gives_an_empty_storage(url):
    assert list(MemoryStorage.from_url(url).list("")) == []


@pytest.mark.parametrize("url", ["memory", "memory:x", "memory:///x", "file:///x", ""])
def test_invalid_url_is_rejected_with_what_is_expected(url):
    with pytest.raises(ValueError, match="must be memory:") as caught:
        MemoryStorage.from_url(url)
    assert repr(url) in str(caught.value)


def test_two_storages_share_nothing(storage):
    storage.write("a", b"value")
    assert list(MemoryStorage().list("")) == []


def test_two_storages_have_different_etags(storage):
    assert storage.write("a", b"one").etag != MemoryStorage().write("a", b"two").etag


def test_value_is_kept_and_returned_without_copies(storage):
    value = b"x" * 1_000_000
    storage.write("a", value)
    assert storage.read("a")[0] is value
    with storage.open("a") as blob:
        assert blob.read() is value


def test_buffer_changed_after_the_write_changes_nothing(storage):
    buffer = bytearray(b"value")
    storage.write("a", buffer)
    buffer[:] = b"other"
    assert storage.read("a")[0] == b"value"


def test_clear_removes_all_values(storage):
    etag = storage.write("a/b", b"value").etag
    with storage.open("a/b") as blob:
        storage.clear()
        assert blob.read() == b"value"
    assert list(storage.list("")) == []
    assert list(storage.list_folders("")) == []
    with pytest.raises(KeyNotFound):
        storage.read("a/b")[0]
    with pytest.raises(KeyConflict):
        storage.write("a/b", b"value", expect=etag)
    storage.write("a", b"value")
    assert [stat.key for stat in storage.list("")] == ["a"]


def test_listing_keeps_its_order_while_keys_change(storage):
    keys = [f"{number:04}" for number in range(1000)]
    for key in keys[::2]:
        storage.write(key, b"")
    listing = storage.list("")
    assert next(listing).key == "0000"
    for key in keys[1::2]:
        storage.write(key, b"")
    for key in keys[::5]:
        storage.delete(key)
    seen = [stat.key for stat in listing]
    assert seen == sorted(seen)
    assert [stat.key for stat in storage.list("")] == [key for key in keys if key not in keys[::5]]
