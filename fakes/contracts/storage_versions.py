"""Contract tests of a storage: many values at once, and the versions of folders."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from v1registry.storage.base import InvalidKey, Storage

#: What changes a folder ``f`` that has the keys ``f/a`` and ``f/b``.
_CHANGES: dict[str, Callable[[Storage], object]] = {
    "new key": lambda storage: storage.write("f/c", b"value"),
    "other value": lambda storage: storage.write("f/a", b"other"),
    "equal value": lambda storage: storage.write("f/a", b"value"),
    "deleted key": lambda storage: storage.delete("f/a"),
    "linked key": lambda storage: storage.link("f/a", "f/c"),
    "deleted tree": lambda storage: storage.delete_tree("f"),
}


class VersionRules:
    """Tests of ``read_many``, ``write_many`` and ``folder_version``."""

    # -- many values

    def test_many_values_are_read_in_the_order_of_the_keys(self, storage: Storage) -> None:
        written = {key: storage.write(key, key.encode()) for key in ("a/1", "a/2", "b")}
        found = list(storage.read_many(["b", "a/2", "a/3", "a/1", "b"]))
        assert [key for key, _ in found] == ["b", "a/2", "a/3", "a/1", "b"]
        assert found[2] == ("a/3", None)
        assert all(value == (key.encode(), written[key]) for key, value in found if value is not None)

    def test_no_value_is_read_for_no_key(self, storage: Storage) -> None:
        assert list(storage.read_many([])) == []

    def test_reading_of_endless_keys_can_be_stopped(self, storage: Storage) -> None:
        storage.write("a", b"value")
        found = storage.read_many("a" for _ in itertools.count())
        assert [key for key, _ in itertools.islice(found, 100)] == ["a"] * 100

    def test_invalid_one_of_many_keys_is_rejected(self, storage: Storage) -> None:
        with pytest.raises(InvalidKey):
            list(storage.read_many(["a", "a/../b"]))

    def test_many_values_are_written(self, storage: Storage) -> None:
        storage.write("a/1", b"old")
        storage.write_many({"b/1": b"one", "a/1": b"", "a/2": b"two", "c": b"three"})
        keys = ["a/1", "a/2", "b/1", "c"]
        assert [stat.key for stat in storage.list("")] == keys
        assert [storage.read(key)[0] for key in keys] == [b"", b"two", b"one", b"three"]

    def test_no_value_is_written_for_no_key(self, storage: Storage) -> None:
        storage.write_many({})
        assert list(storage.list("")) == []

    def test_each_of_many_written_values_has_its_own_etag(self, storage: Storage) -> None:
        old = storage.write("a/1", b"value").etag
        storage.write_many({"a/1": b"value", "a/2": b"value", "b/1": b"value"})
        assert len({old, *(stat.etag for stat in storage.list(""))}) == 4

    @pytest.mark.parametrize("key", ["a/../b", "a", "a/1/b"])
    def test_values_before_an_invalid_one_are_all_that_is_written(self, storage: Storage, key: str) -> None:
        storage.write("a/1", b"old")
        with pytest.raises(InvalidKey):
            storage.write_many({"b": b"value", key: b"value", "c": b"value"})
        assert {stat.key for stat in storage.list("")} in ({"a/1"}, {"a/1", "b"})

    # -- versions of folders

    @pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES)
    def test_changed_folder_has_a_different_version(
        self, storage: Storage, change: Callable[[Storage], object]
    ) -> None:
        storage.write("f/a", b"value")
        storage.write("f/b", b"value")
        before = storage.folder_version("f")
        change(storage)
        assert before is None or storage.folder_version("f") != before

    def test_published_folder_has_a_different_version(self, storage: Storage) -> None:
        storage.write("staged/a", b"value")
        before = storage.folder_version("f")
        storage.publish("staged", "f")
        assert before is None or storage.folder_version("f") != before

    def test_folder_that_is_made_again_has_a_different_version(self, storage: Storage) -> None:
        storage.write("f/a", b"value")
        before = storage.folder_version("f")
        storage.delete("f/a")
        storage.write("f/a", b"value")
        assert before is None or storage.folder_version("f") != before

    def test_unchanged_folder_keeps_its_version(self, storage: Storage) -> None:
        storage.write("f/a", b"value")
        before = storage.folder_version("f")
        storage.write("g/a", b"value")
        storage.read("f/a")
        list(storage.list("f/"))
        # a storage may begin to tell later
        assert before is None or storage.folder_version("f") == before

    def test_missing_folder_has_an_empty_version_or_none(self, storage: Storage) -> None:
        storage.write("f/a", b"value")
        assert storage.folder_version("g") in ("", None)

    def test_version_of_an_invalid_folder_is_rejected(self, storage: Storage) -> None:
        with pytest.raises(InvalidKey):
            storage.folder_version("a/../b")
