"""Contract tests of a storage: the calls for one request, and many deletions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from v1registry.storage.base import ABSENT, InvalidKey, KeyConflict, KeyNotFound, Storage

from .storage_sharing import listed


class MomentRules:
    """Tests of ``moment`` and ``delete_many``."""

    def test_many_keys_are_deleted_and_no_others(self, storage: Storage) -> None:
        for key in ("a/1", "a/2", "a/2x", "b/1", "c"):
            storage.write(key, b"value")
        storage.delete_many(["a/2", "c", "b/1"])
        assert listed(storage) == ["a/1", "a/2x"]

    def test_missing_ones_of_many_keys_are_no_error(self, storage: Storage) -> None:
        storage.write("a/1", b"value")
        storage.delete_many(iter(["a/2", "a/1", "b", "a/1"]))
        storage.delete_many(["a/1"])
        storage.delete_many([])
        assert listed(storage) == []

    def test_invalid_one_of_many_keys_to_delete_is_rejected(self, storage: Storage) -> None:
        with pytest.raises(InvalidKey):
            storage.delete_many(["a/../b"])

    def test_value_written_within_a_moment_is_read(self, storage: Storage) -> None:
        storage.write("f/a", b"old")
        with storage.moment():
            assert storage.read("f/a")[0] == b"old"
            storage.write("f/a", b"new")
            assert storage.read("f/a")[0] == b"new"
            storage.delete("f/a")
            assert list(storage.read_many(["f/a"])) == [("f/a", None)]
        assert listed(storage) == []

    def test_value_of_another_thread_is_read_within_a_moment(self, storage: Storage) -> None:
        storage.write("f/a", b"old")
        with storage.moment(), ThreadPoolExecutor(1) as other:
            assert storage.read("f/a")[0] == b"old"
            other.submit(storage.write, "f/a", b"new").result()
            assert storage.read("f/a")[0] == b"new"
            other.submit(storage.delete, "f/a").result()
            assert listed(storage) == []

    def test_version_of_a_folder_changes_within_a_moment(self, storage: Storage) -> None:
        storage.write("f/a", b"value")
        with storage.moment():
            before = storage.folder_version("f")
            storage.write("f/b", b"value")
            assert before is None or storage.folder_version("f") != before

    def test_conditional_write_within_a_moment_is_compared(self, storage: Storage) -> None:
        with storage.moment():
            etag = storage.write("f/a", b"first").etag
            with ThreadPoolExecutor(1) as other:
                other.submit(storage.write, "f/a", b"second").result()
            with pytest.raises(KeyConflict):
                storage.write("f/a", b"third", expect=etag)
            with pytest.raises(KeyConflict):
                storage.write("f/a", b"third", expect=ABSENT)
        assert storage.read("f/a")[0] == b"second"

    def test_inner_moment_leaves_the_outer_one(self, storage: Storage) -> None:
        with storage.moment():
            with storage.moment():
                storage.write("f/a", b"value")
            assert storage.read("f/a")[0] == b"value"
            storage.delete("f/a")
            with pytest.raises(KeyNotFound):
                storage.read("f/a")
