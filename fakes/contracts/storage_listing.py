"""Contract tests of a storage: listings, and the deletion of keys and trees."""

from __future__ import annotations

import itertools

import pytest

from v1registry.storage.base import KeyNotFound, Storage

from .storage_sharing import assert_not_found, listed


class ListingRules:
    """Tests of ``list``, ``list_folders``, ``delete`` and ``delete_tree``."""

    # -- listing

    def test_empty_storage_lists_nothing(self, storage: Storage) -> None:
        assert list(storage.list("")) == []
        assert list(storage.list("a/b")) == []
        assert list(storage.list_folders("")) == []
        assert list(storage.list_folders("a/b")) == []

    def test_listing_is_in_the_order_of_the_keys(self, storage: Storage) -> None:
        keys = ["a-b", "a.b/x", "a/b", "a/b-c/d", "a0", "A", "a/b.c", "b", "a/_b", "a/c/d/e", "a~"]
        for key in keys:
            storage.write(key, b"value")
        assert listed(storage) == sorted(keys)

    def test_listing_yields_what_stat_returns(self, storage: Storage) -> None:
        for number in range(3):
            storage.write(f"a/{number}", b"x" * number)
        assert list(storage.list("")) == [storage.stat(f"a/{number}") for number in range(3)]

    @pytest.mark.parametrize(
        "prefix",
        [
            "",
            "a",
            "a/",
            "a/b",
            "a/b/",
            "a/b/c",
            "a-",
            "a/b-",
            "a/bb",
            "b",
            "c",
            "/",
            "//",
            "a//",
            "a/c/",
            "é",
            ".",
        ],
    )
    def test_prefix_may_end_anywhere(self, storage: Storage, prefix: str) -> None:
        keys = ["a-b/c", "a/b-b", "a/b/c", "a/b/cc", "a/b/d", "a/bb", "ab", "b/a/b", ".a"]
        for key in keys:
            storage.write(key, b"value")
        assert listed(storage, prefix) == sorted(key for key in keys if key.startswith(prefix))

    @pytest.mark.parametrize("prefix", ["", "a/", "a/b", "b"])
    @pytest.mark.parametrize(
        "after",
        ["a", "a-b/c", "a-c", "a/", "a/b", "a/b-b", "a/b/", "a/b/c", "a/b/c~", "a/b0", "aa", "b", "b/z", "~"],
    )
    def test_listing_begins_after_a_key(self, storage: Storage, prefix: str, after: str) -> None:
        keys = ["a-b/c", "a/b-b", "a/b/c", "a/b/cc", "a/b/d", "a/bb", "ab", "b/a/b"]
        for key in keys:
            storage.write(key, b"value")
        expected = sorted(key for key in keys if key.startswith(prefix) and key > after)
        assert [stat.key for stat in storage.list(prefix, after=after)] == expected

    def test_listing_continues_page_by_page(self, storage: Storage) -> None:
        keys = [f"a/{number % 3}/{number}" for number in range(20)]
        for key in keys:
            storage.write(key, b"value")
        found: list[str] = []
        while page := list(itertools.islice(storage.list("a/", after=found[-1] if found else ""), 7)):
            found += [stat.key for stat in page]
        assert found == sorted(keys)

    def test_folders_are_the_segments_with_keys_below(self, storage: Storage) -> None:
        for key in ("a/x", "a-b/x", "b/c/d", "b/c/e", "b/f", "c", "b/c-d/e/f"):
            storage.write(key, b"value")
        assert list(storage.list_folders("")) == ["a", "a-b", "b"]
        assert list(storage.list_folders("b")) == ["c", "c-d"]
        assert list(storage.list_folders("b/c-d")) == ["e"]
        assert list(storage.list_folders("a")) == []
        assert list(storage.list_folders("c")) == []
        assert list(storage.list_folders("d")) == []

    @pytest.mark.parametrize(
        ("after", "expected"),
        [("", ["a", "a-b", "b"]), ("a", ["a-b", "b"]), ("a/", ["b"]), ("aa", ["b"]), ("b", []), ("~", [])],
    )
    def test_folders_begin_after_a_name(self, storage: Storage, after: str, expected: list[str]) -> None:
        for key in ("f/a/x", "f/a-b/x", "f/b/x", "f/c"):
            storage.write(key, b"value")
        # "a/" sorts after "a-b", as in keys
        assert list(storage.list_folders("f", after=after)) == expected

    def test_folder_without_keys_is_not_listed(self, storage: Storage) -> None:
        storage.write("f/a/x", b"value")
        storage.write("f/b/x", b"value")
        storage.delete("f/b/x")
        assert list(storage.list_folders("f")) == ["a"]

    # -- deleting

    def test_deleted_key_is_not_found(self, storage: Storage) -> None:
        storage.write("a/b", b"value")
        storage.write("a/c", b"value")
        storage.delete("a/b")
        assert_not_found(storage, "a/b")
        assert listed(storage) == ["a/c"]

    def test_folder_is_not_listed_after_its_last_key_is_deleted(self, storage: Storage) -> None:
        storage.write("a/b/c", b"value")
        storage.write("d/e", b"value")
        storage.delete("a/b/c")
        assert list(storage.list_folders("")) == ["d"]

    @pytest.mark.parametrize("key", ["a", "b", "a/b/c/d"])
    def test_missing_key_cannot_be_deleted(self, storage: Storage, key: str) -> None:
        storage.write("a/b/c", b"value")
        with pytest.raises(KeyNotFound):
            storage.delete(key)
        assert listed(storage) == ["a/b/c"]

    def test_deleted_tree_takes_its_keys_and_no_others(self, storage: Storage) -> None:
        for key in ("a/b/c", "a/b/d/e", "a/b-c", "a/bc/d", "b/c"):
            storage.write(key, b"value")
        storage.delete_tree("a/b")
        assert listed(storage) == ["a/b-c", "a/bc/d", "b/c"]
        storage.delete_tree("a")
        assert listed(storage) == ["b/c"]
        assert list(storage.list_folders("")) == ["b"]

    @pytest.mark.parametrize("folder", ["a", "a/b", "a/b/c", "x", "a/b/c/d", "a/x"])
    def test_deleting_a_tree_without_keys_is_no_error(self, storage: Storage, folder: str) -> None:
        storage.write("a/b/c", b"value")
        if folder in ("a", "a/b"):
            storage.delete_tree(folder)
        storage.delete_tree(folder)
        assert listed(storage) == ([] if folder in ("a", "a/b") else ["a/b/c"])

    def test_deleted_tree_can_be_written_again(self, storage: Storage) -> None:
        storage.write("a/b/c", b"value")
        storage.delete_tree("a")
        storage.write("a/b", b"other")
        assert listed(storage) == ["a/b"]
