"""The part of the storage contract that is about several writers: conditions, races and locks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import pytest

from v1registry.storage.base import ABSENT, KeyConflict, KeyNotFound, Storage, StorageError, update

_T = TypeVar("_T")


class SharingRules:
    """What a storage has to do when several write. The fixture ``storage`` comes from the class that uses this one."""

    # -- conditions

    def test_expecting_absence_writes_where_nothing_is(self, storage: Storage) -> None:
        storage.write("a/b", b"first", expect=ABSENT)
        assert storage.read("a/b")[0] == b"first"

    def test_expecting_absence_never_overwrites(self, storage: Storage) -> None:
        storage.write("a/b", b"first")
        with pytest.raises(KeyConflict):
            storage.write("a/b", b"second", expect=ABSENT)
        assert storage.read("a/b")[0] == b"first"

    def test_expecting_the_stored_etag_replaces(self, storage: Storage) -> None:
        etag = storage.write("a/b", b"first").etag
        storage.write("a/b", b"second", expect=etag)
        assert storage.read("a/b")[0] == b"second"

    def test_expecting_an_earlier_etag_is_a_conflict(self, storage: Storage) -> None:
        etag = storage.write("a/b", b"first").etag
        storage.write("a/b", b"second")
        with pytest.raises(KeyConflict):
            storage.write("a/b", b"third", expect=etag)
        assert storage.read("a/b")[0] == b"second"

    def test_expecting_an_etag_where_nothing_is_is_a_conflict(self, storage: Storage) -> None:
        etag = storage.write("a/b", b"first").etag
        storage.delete("a/b")
        with pytest.raises(KeyConflict):
            storage.write("a/b", b"second", expect=etag)
        assert listed(storage) == []

    def test_a_condition_is_judged_when_the_stream_has_ended(self, storage: Storage) -> None:
        def overtaken() -> Iterator[bytes]:
            yield b"slow"
            storage.write("a/b", b"fast")

        with pytest.raises(KeyConflict):
            storage.write("a/b", overtaken(), expect=ABSENT)
        assert storage.read("a/b")[0] == b"fast"

    def test_of_eight_writers_that_expect_absence_one_wins(self, storage: Storage) -> None:
        def write(number: int) -> bytes | None:
            try:
                storage.write("a/b", [str(number).encode()], expect=ABSENT)
            except KeyConflict:
                return None
            return str(number).encode()

        winners = [value for value in at_once(write) if value is not None]
        assert winners == [storage.read("a/b")[0]]

    def test_updates_by_eight_threads_are_all_kept(self, storage: Storage) -> None:
        def count(_number: int) -> None:
            for _ in range(5):
                update(storage, "a/b", lambda old: str(int(old or b"0") + 1).encode())

        at_once(count)
        assert storage.read("a/b")[0] == b"40"

    def test_update_leaves_things_as_they_are_when_asked_to(self, storage: Storage) -> None:
        written = storage.write("a/b", b"old")
        assert update(storage, "a/b", lambda old: None) == (b"old", b"old")
        assert update(storage, "a/b", lambda old: old) == (b"old", b"old")
        assert update(storage, "a/c", lambda old: None) == (None, None)
        assert storage.stat("a/b") == written
        assert listed(storage) == ["a/b"]

    # -- deleting beside writers

    def test_no_write_is_lost_while_others_delete_beside_it(self, storage: Storage) -> None:
        def write_and_delete(number: int) -> None:
            for round_ in range(5):
                key = f"a/b/{number}"
                storage.write(key, [str(round_).encode()])
                assert storage.read(key)[0] == str(round_).encode()
                storage.delete(key)

        at_once(write_and_delete)
        assert listed(storage) == []
        assert list(storage.list_folders("")) == []

    def test_a_write_is_whole_or_not_at_all_while_trees_are_deleted(self, storage: Storage) -> None:
        def work(number: int) -> None:
            for round_ in range(4):
                if number % 2:
                    storage.delete_tree("a")
                else:
                    storage.write(f"a/b/{number}", [b"x" * 100, b"y" * 100])
                with suppress(KeyNotFound):
                    assert storage.read(f"a/b/{round_}")[0] == b"x" * 100 + b"y" * 100

        at_once(work)
        storage.delete_tree("a")
        assert listed(storage) == []

    # -- locks

    def test_a_lock_keeps_out_other_threads(self, storage: Storage) -> None:
        storage.write("a/counter", b"0")
        inside: list[int] = []

        def count(number: int) -> None:
            for _ in range(4):
                with storage.lock("a"):
                    inside.append(number)
                    assert inside == [number]
                    value = int(storage.read("a/counter")[0])
                    storage.write("a/counter", str(value + 1).encode())
                    inside.remove(number)

        at_once(count)
        assert storage.read("a/counter")[0] == b"32"

    def test_a_lock_may_be_taken_again_by_its_holder(self, storage: Storage) -> None:
        with storage.lock("a/b"), storage.lock("a/b"):
            storage.write("a/b/c", b"value", expect=ABSENT)
        with storage.lock("a/b"), storage.lock("a"), storage.lock("a/b"):
            assert storage.read("a/b/c")[0] == b"value"

    def test_the_holder_of_a_lock_does_everything_in_its_folder(self, storage: Storage) -> None:
        def locking() -> Iterator[bytes]:
            yield b"first"
            with storage.lock("a/b"):
                etag = storage.write("a/b/d", b"0", expect=ABSENT).etag
                storage.write("a/b/d", b"1", expect=etag)
            yield b"second"

        with storage.lock("a/b"):
            storage.write("a/b/c", locking(), expect=ABSENT)
            assert update(storage, "a/b/d", lambda old: (old or b"") + b"2") == (b"1", b"12")
            assert listed(storage, "a/b/") == ["a/b/c", "a/b/d"]
            storage.delete("a/b/d")
            storage.delete("a/b/c")
            storage.write("a/b/e", b"value")
        assert listed(storage) == ["a/b/e"]

    def test_a_lock_may_be_taken_within_a_stream_and_outlive_it(self, storage: Storage) -> None:
        held: list[str] = []

        def locking() -> Iterator[bytes]:
            yield b"value"
            lock.__enter__()
            held.append("a")

        lock = storage.lock("a")
        storage.write("a/b", locking())
        storage.write("a/c", b"value", expect=ABSENT)
        lock.__exit__(None, None, None)
        assert held == ["a"]
        assert listed(storage) == ["a/b", "a/c"]

    def test_a_lock_leaves_no_trace(self, storage: Storage) -> None:
        with storage.lock("a/b"):
            assert listed(storage) == []
            assert list(storage.list_folders("")) == []
        assert list(storage.list_folders("")) == []
        storage.write("a", b"value")
        assert storage.read("a")[0] == b"value"

    def test_a_lock_is_free_after_an_error(self, storage: Storage) -> None:
        with pytest.raises(OSError, match="of the caller"), storage.lock("a"):
            raise OSError("of the caller")

        def take(_number: int) -> None:
            with storage.lock("a"):
                pass

        at_once(take, threads=2)

    def test_a_lock_holds_although_its_folder_is_deleted_meanwhile(self, storage: Storage) -> None:
        storage.write("counter", b"0")

        def count(number: int) -> None:
            for round_ in range(4):
                with storage.lock("a/b"):
                    value = int(storage.read("counter")[0])
                    if (number + round_) % 2:
                        storage.delete_tree("a/b")
                    else:
                        storage.write("a/b/c", b"value")
                        storage.delete("a/b/c")
                    storage.write("counter", str(value + 1).encode())

        at_once(count)
        assert storage.read("counter")[0] == b"32"
        assert list(storage.list_folders("")) == []

    def test_two_locks_do_not_disturb_each_other(self, storage: Storage) -> None:
        both_inside = threading.Barrier(2, timeout=60)

        def take(number: int) -> None:
            with storage.lock(f"a/{number}"):
                both_inside.wait()

        at_once(take, threads=2)


def assert_not_found(storage: Storage, key: str) -> None:
    operations: list[Callable[[str], object]] = [
        storage.stat,
        storage.read,
        storage.open,
    ]
    for operation in operations:
        with pytest.raises(StorageError) as caught:
            operation(key)
        assert caught.type is KeyNotFound


def listed(storage: Storage, prefix: str = "") -> list[str]:
    return [stat.key for stat in storage.list(prefix)]


def at_once(work: Callable[[int], _T], *, threads: int = 8) -> list[_T]:
    """Call ``work(number)`` in that many threads that begin together; return what they return, raise what they raise."""
    start = threading.Barrier(threads, timeout=60)

    def begin(number: int) -> _T:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begin, range(threads)))
