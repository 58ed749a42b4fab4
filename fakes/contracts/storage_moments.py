"""Contract tests of a storage: the calls for one request."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from v1registry.storage.base import ABSENT, KeyConflict, KeyNotFound, Storage

from .storage_sharing import listed


class MomentRules:
    """Tests of ``moment``."""

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
