"""Contract tests of the conditional steps of a storage: deletion of one value, publication of a folder."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from v1registry.storage.base import ABSENT, InvalidKey, KeyConflict, KeyNotFound, Storage

from .storage_sharing import assert_not_found, at_once, listed

#: The keys of a folder, and one of a folder in it, as they may be staged and published.
_NAMES = ("json", "layer", "marks/a/b")


class ConditionalDeletionRules:
    """Tests of ``delete(key, expect=etag)``."""

    def test_expected_value_is_deleted(self, storage: Storage) -> None:
        etag = storage.write("a/b", b"value").etag
        storage.delete("a/b", expect=etag)
        assert_not_found(storage, "a/b")
        assert list(storage.list_folders("")) == []

    def test_changed_value_is_not_deleted(self, storage: Storage) -> None:
        etag = storage.write("a/b", b"first").etag
        storage.write("a/b", b"other")
        with pytest.raises(KeyConflict) as caught:
            storage.delete("a/b", expect=etag)
        assert caught.value.key == "a/b"
        assert storage.read("a/b")[0] == b"other"

    def test_existing_value_is_not_deleted_as_absent(self, storage: Storage) -> None:
        storage.write("a/b", b"value")
        with pytest.raises(KeyConflict):
            storage.delete("a/b", expect=ABSENT)
        assert storage.read("a/b")[0] == b"value"

    def test_missing_key_is_not_found_whatever_is_expected(self, storage: Storage) -> None:
        etag = storage.write("a/b", b"value").etag
        storage.delete("a/b")
        for expect in (etag, ABSENT):
            with pytest.raises(KeyNotFound):
                storage.delete("a/b", expect=expect)

    def test_one_of_many_deleters_succeeds(self, storage: Storage) -> None:
        etag = storage.write("a/b", b"value").etag

        def remove(_number: int) -> bool:
            try:
                storage.delete("a/b", expect=etag)
            except KeyNotFound:
                return False
            return True

        assert sorted(at_once(remove)) == [False] * 7 + [True]

    def test_value_is_replaced_or_deleted_but_not_both(self, storage: Storage) -> None:
        for _ in range(5):
            etag = storage.write("a/b", b"old").etag

            def work(number: int, etag: str = etag) -> str:
                try:
                    if number % 2:
                        return storage.write("a/b", b"new", expect=etag).etag
                    storage.delete("a/b", expect=etag)
                except (KeyConflict, KeyNotFound):
                    return ""
                return "deleted"

            (winner,) = filter(None, at_once(work))
            if winner == "deleted":
                assert_not_found(storage, "a/b")
            else:
                assert storage.stat("a/b").etag == winner


class PublicationRules:
    """Tests of ``publish(staged, folder)``."""

    def test_published_folder_has_the_keys_and_the_staged_one_none(self, storage: Storage) -> None:
        staged = [storage.write(f"uploads/x/1/{name}", name.encode()) for name in _NAMES]
        storage.publish("uploads/x/1", "images/x")
        assert listed(storage) == [f"images/x/{name}" for name in _NAMES]
        for stat, name in zip(staged, _NAMES, strict=True):
            value, published = storage.read(f"images/x/{name}")
            assert value == name.encode()
            assert (published.key, published.size) == (f"images/x/{name}", stat.size)
            assert (published.etag, published.modified) == (stat.etag, stat.modified)
        assert list(storage.list_folders("")) == ["images"]

    def test_publication_leaves_neighbours_alone(self, storage: Storage) -> None:
        for key in ("uploads/x/1/a", "uploads/x/2/a", "uploads/x/1-/a", "images/x-/a", "images/w/a"):
            storage.write(key, b"value")
        storage.publish("uploads/x/1", "images/x")
        expected = ["images/w/a", "images/x-/a", "images/x/a", "uploads/x/1-/a", "uploads/x/2/a"]
        assert listed(storage) == expected

    def test_published_values_are_changed_like_others(self, storage: Storage) -> None:
        storage.write("uploads/x/1/a", b"value")
        storage.publish("uploads/x/1", "images/x")
        etag = storage.stat("images/x/a").etag
        assert storage.write("images/x/a", b"other", expect=etag).etag != etag
        storage.write("images/x/b/c", b"value")
        storage.delete("images/x/a")
        storage.delete_tree("images")
        assert listed(storage) == []

    def test_folder_is_published_back_and_forth(self, storage: Storage) -> None:
        storage.write("images/x/a", b"old")
        storage.publish("images/x", "uploads/x/1")
        storage.write("uploads/x/2/a", b"new")
        storage.publish("uploads/x/2", "images/x")
        assert storage.read("images/x/a")[0] == b"new"
        assert storage.read("uploads/x/1/a")[0] == b"old"

    def test_folder_with_keys_is_a_conflict(self, storage: Storage) -> None:
        for key in ("uploads/x/1/a", "images/x/b/c"):
            storage.write(key, b"value")
        with pytest.raises(KeyConflict):
            storage.publish("uploads/x/1", "images/x")
        assert listed(storage) == ["images/x/b/c", "uploads/x/1/a"]

    def test_folder_whose_keys_were_deleted_is_free(self, storage: Storage) -> None:
        for key in ("uploads/x/1/a", "images/x/b/c"):
            storage.write(key, b"value")
        storage.delete("images/x/b/c")
        storage.publish("uploads/x/1", "images/x")
        assert listed(storage) == ["images/x/a"]

    @pytest.mark.parametrize("staged", ["uploads/x/1", "uploads/x", "uploads/x/2/a", "none"])
    def test_nothing_staged_is_not_found(self, storage: Storage, staged: str) -> None:
        storage.write("uploads/x/2/a" if staged.endswith("a") else "uploads/y/2", b"value")
        before = listed(storage)
        with pytest.raises(KeyNotFound):
            storage.publish(staged, "images/x")
        assert listed(storage) == before
        assert list(storage.list_folders("")) == ["uploads"]

    @pytest.mark.parametrize("folder", ["images", "images/x", "images/x/y"])
    def test_key_in_the_way_is_invalid(self, storage: Storage, folder: str) -> None:
        storage.write("uploads/x/1/a", b"value")
        storage.write("images", b"value")
        with pytest.raises(InvalidKey):
            storage.publish("uploads/x/1", folder)
        assert listed(storage) == ["images", "uploads/x/1/a"]

    @pytest.mark.parametrize(
        ("staged", "folder"), [("a/b", "a/b"), ("a/b", "a"), ("a/b", "a/b/c"), ("", "b"), ("a/b", "../b")]
    )
    def test_impossible_pair_of_folders_is_invalid(self, storage: Storage, staged: str, folder: str) -> None:
        storage.write("a/b/d", b"value")
        with pytest.raises(InvalidKey):
            storage.publish(staged, folder)
        assert listed(storage) == ["a/b/d"]

    def test_open_blob_survives_publication(self, storage: Storage) -> None:
        storage.write("uploads/x/1/a", b"0123456789")
        with storage.open("uploads/x/1/a") as blob:
            begin = blob.read(4)
            storage.publish("uploads/x/1", "images/x")
            assert begin + b"".join(blob) == b"0123456789"

    def test_one_of_many_publishers_succeeds(self, storage: Storage) -> None:
        for number in range(8):
            for name in _NAMES:
                storage.write(f"uploads/x/{number}/{name}", f"{number}".encode())

        def publish(number: int) -> bool:
            try:
                storage.publish(f"uploads/x/{number}", "images/x")
            except KeyConflict:
                return False
            return True

        outcomes = at_once(publish)
        assert sorted(outcomes) == [False] * 7 + [True]
        winner = outcomes.index(True)
        assert {storage.read(f"images/x/{name}")[0] for name in _NAMES} == {f"{winner}".encode()}
        losers = sorted({str(number) for number in range(8)} - {str(winner)})
        assert list(storage.list_folders("uploads/x")) == losers

    def test_folder_is_published_once(self, storage: Storage) -> None:
        for name in _NAMES:
            storage.write(f"uploads/x/1/{name}", b"value")

        def publish(number: int) -> bool:
            try:
                storage.publish("uploads/x/1", f"images/{number}")
            except KeyNotFound:
                return False
            return True

        winner = at_once(publish).index(True)
        assert listed(storage) == [f"images/{winner}/{name}" for name in _NAMES]

    def test_folders_that_change_places_do_not_wait_for_each_other(self, storage: Storage) -> None:
        storage.write("a/x", b"value")

        def swap(number: int) -> None:
            for _ in range(20):
                with suppress(KeyNotFound, KeyConflict):
                    storage.publish(*(("a", "b") if number % 2 else ("b", "a")))

        at_once(swap, threads=4)
        assert listed(storage) in (["a/x"], ["b/x"])

    def test_readers_see_all_of_a_folder_or_nothing(self, storage: Storage) -> None:
        for name in _NAMES:
            storage.write(f"uploads/x/{name}", b"value")
        is_done = threading.Event()

        def work(number: int) -> None:
            if number:
                while not is_done.is_set():
                    # What is listed first was published first, if at all, and must have company.
                    if listed(storage, "images/x/json"):
                        assert listed(storage, "images/x/") == [f"images/x/{name}" for name in _NAMES]
                return
            try:
                storage.publish("uploads/x", "images/x")
            finally:
                is_done.set()

        at_once(work, threads=3)
        assert listed(storage) == [f"images/x/{name}" for name in _NAMES]

    def test_writes_during_publication_are_not_lost(self, storage: Storage) -> None:
        storage.write("uploads/x/first", b"value")

        def work(number: int) -> None:
            if number == 0:
                storage.publish("uploads/x", "images/x")
            else:
                storage.write(f"uploads/x/deep/{number}", b"value")

        at_once(work)
        names = {stat.key.rpartition("/")[2] for stat in storage.list("")}
        assert names == {"first", *map(str, range(1, 8))}


class LinkRules:
    """Tests of ``link(source, target)``."""

    def test_linked_value_is_under_both_keys(self, storage: Storage) -> None:
        storage.write("a/b", b"value")
        stat = storage.link("a/b", "c/d/e")
        assert (stat.key, stat.size) == ("c/d/e", 5)
        assert storage.stat("c/d/e") == stat
        assert [storage.read(key)[0] for key in ("a/b", "c/d/e")] == [b"value", b"value"]

    def test_keys_with_one_etag_share_their_bytes(self, storage: Storage) -> None:
        storage.write("a/b", b"value")
        storage.write("a/c", b"value")
        linked = [storage.link("a/b", f"c/{number}").etag for number in range(2)]
        stored = {storage.stat(key).etag for key in ("a/b", "c/0", "c/1")}
        assert storage.stat("a/c").etag not in {*linked, *stored}
        # one for all if the bytes are stored once, else one for each key
        assert len(stored) in (1, 3)

    @pytest.mark.parametrize(("changed", "kept"), [("a/b", "c/d"), ("c/d", "a/b")])
    def test_change_of_one_key_leaves_the_linked_one(self, storage: Storage, changed: str, kept: str) -> None:
        storage.write("a/b", b"value")
        storage.link("a/b", "c/d")
        storage.write(changed, b"other")
        assert storage.read(kept)[0] == b"value"
        storage.delete(changed)
        assert storage.read(kept)[0] == b"value"

    def test_link_does_not_replace_a_value(self, storage: Storage) -> None:
        storage.write("a/b", b"value")
        storage.write("c/d", b"other")
        with pytest.raises(KeyConflict):
            storage.link("a/b", "c/d")
        assert storage.read("c/d")[0] == b"other"

    def test_link_to_a_missing_value_is_not_found(self, storage: Storage) -> None:
        with pytest.raises(KeyNotFound):
            storage.link("a/b", "c/d")
        assert_not_found(storage, "c/d")
        assert list(storage.list_folders("")) == []

    def test_link_to_a_folder_of_keys_is_an_invalid_key(self, storage: Storage) -> None:
        storage.write("a/b", b"value")
        storage.write("c/d/e", b"other")
        for target in ("c/d", "a/b/c"):
            with pytest.raises(InvalidKey):
                storage.link("a/b", target)

    def test_one_of_many_linkers_succeeds(self, storage: Storage) -> None:
        for number in range(8):
            storage.write(f"a/{number}", str(number).encode("ascii"))

        def link(number: int) -> bool:
            try:
                storage.link(f"a/{number}", "c/d")
            except KeyConflict:
                return False
            return True

        assert sorted(at_once(link)) == [False] * 7 + [True]

    def test_linked_folder_is_published(self, storage: Storage) -> None:
        storage.write("blobs/a", b"value")
        storage.link("blobs/a", "staged/layer")
        storage.publish("staged", "images/x")
        assert storage.read("images/x/layer")[0] == b"value"
        assert storage.read("blobs/a")[0] == b"value"
