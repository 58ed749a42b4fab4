"""Contract tests of a storage with several writers: conditions and races. Helpers of all contract tests."""

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
    """Tests of conditional writes, of ``update``, and of writes beside deletions."""

    # -- conditions

    def test_write_that_expects_absence_creates(self, storage: Storage) -> None:
        storage.write("a/b", b"first", expect=ABSENT)
        assert storage.read("a/b")[0] == b"first"

    def test_write_that_expects_absence_never_overwrites(self, storage: Storage) -> None:
        storage.write("a/b", b"first")
        with pytest.raises(KeyConflict):
            storage.write("a/b", b"second", expect=ABSENT)
        assert storage.read("a/b")[0] == b"first"

    def test_write_that_expects_the_stored_etag_replaces(self, storage: Storage) -> None:
        etag = storage.write("a/b", b"first").etag
        storage.write("a/b", b"second", expect=etag)
        assert storage.read("a/b")[0] == b"second"

    def test_write_that_expects_an_earlier_etag_is_a_conflict(self, storage: Storage) -> None:
        etag = storage.write("a/b", b"first").etag
        storage.write("a/b", b"second")
        with pytest.raises(KeyConflict):
            storage.write("a/b", b"third", expect=etag)
        assert storage.read("a/b")[0] == b"second"

    def test_write_that_expects_an_etag_creates_nothing(self, storage: Storage) -> None:
        etag = storage.write("a/b", b"first").etag
        storage.delete("a/b")
        with pytest.raises(KeyConflict):
            storage.write("a/b", b"second", expect=etag)
        assert listed(storage) == []

    def test_expectation_is_compared_at_the_end_of_the_stream(self, storage: Storage) -> None:
        def overtaken() -> Iterator[bytes]:
            yield b"slow"
            storage.write("a/b", b"fast")

        with pytest.raises(KeyConflict):
            storage.write("a/b", overtaken(), expect=ABSENT)
        assert storage.read("a/b")[0] == b"fast"

    def test_one_of_eight_writers_that_expect_absence_succeeds(self, storage: Storage) -> None:
        def write(number: int) -> bytes | None:
            try:
                storage.write("a/b", [str(number).encode()], expect=ABSENT)
            except KeyConflict:
                return None
            return str(number).encode()

        winners = [value for value in at_once(write) if value is not None]
        assert winners == [storage.read("a/b")[0]]

    def test_no_update_of_eight_threads_is_lost(self, storage: Storage) -> None:
        def count(_number: int) -> None:
            for _ in range(5):
                update(storage, "a/b", lambda old: str(int(old or b"0") + 1).encode())

        at_once(count)
        assert storage.read("a/b")[0] == b"40"

    def test_update_changes_nothing_if_the_value_stays(self, storage: Storage) -> None:
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

    def test_write_is_whole_or_absent_while_trees_are_deleted(self, storage: Storage) -> None:
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


def assert_not_found(storage: Storage, key: str) -> None:
    """Check that no operation finds ``key``."""
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
    """Return the keys that begin with ``prefix``."""
    return [stat.key for stat in storage.list(prefix)]


def at_once(work: Callable[[int], _T], *, threads: int = 8) -> list[_T]:
    """Call ``work(number)`` in threads that start together; return the results or raise an exception."""
    start = threading.Barrier(threads, timeout=60)

    def begin(number: int) -> _T:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begin, range(threads)))
