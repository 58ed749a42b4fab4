"""A copy of a storage in memory: the values of one moment."""

from __future__ import annotations

import pytest

from v1registry import MemoryStorage
from v1registry.storage.base import KeyNotFound


def test_a_copy_has_the_values_and_etags_of_now() -> None:
    storage = MemoryStorage()
    storage.write("a/b", b"old")
    storage.write("c", b"kept")

    copy = storage.copy()
    storage.write("a/b", b"new")
    storage.write("a/d", b"later")

    assert copy.read("a/b")[0] == b"old"
    assert copy.stat("c") == storage.stat("c")
    assert [stat.key for stat in copy.list("")] == ["a/b", "c"]
    assert list(copy.list_folders("")) == ["a"]


def test_changes_of_a_copy_stay_there() -> None:
    storage = MemoryStorage()
    storage.write("a/b", b"value")

    copy = storage.copy()
    copy.delete_tree("a")
    copy.write("c/d", b"own")

    assert storage.read("a/b")[0] == b"value"
    with pytest.raises(KeyNotFound):
        storage.stat("c/d")


def test_values_written_to_both_have_different_etags() -> None:
    storage = MemoryStorage()
    copy = storage.copy()
    assert storage.write("a", b"one").etag != copy.write("a", b"two").etag
