"""Contract tests of the locks of a storage."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from v1registry.storage.base import ABSENT, Storage, update

from .storage_sharing import at_once, listed


class LockRules:
    """Tests of ``lock(folder)``."""

    def test_lock_keeps_out_other_threads(self, storage: Storage) -> None:
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

    def test_lock_may_be_taken_again_by_its_holder(self, storage: Storage) -> None:
        with storage.lock("a/b"), storage.lock("a/b"):
            storage.write("a/b/c", b"value", expect=ABSENT)
        with storage.lock("a/b"), storage.lock("a"), storage.lock("a/b"):
            assert storage.read("a/b/c")[0] == b"value"

    def test_holder_of_a_lock_may_use_its_folder(self, storage: Storage) -> None:
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

    def test_lock_taken_within_a_stream_may_outlive_it(self, storage: Storage) -> None:
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

    def test_lock_leaves_no_trace(self, storage: Storage) -> None:
        with storage.lock("a/b"):
            assert listed(storage) == []
            assert list(storage.list_folders("")) == []
        assert list(storage.list_folders("")) == []
        storage.write("a", b"value")
        assert storage.read("a")[0] == b"value"

    def test_lock_is_free_after_an_error(self, storage: Storage) -> None:
        with pytest.raises(OSError, match="of the caller"), storage.lock("a"):
            raise OSError("of the caller")

        def take(_number: int) -> None:
            with storage.lock("a"):
                pass

        at_once(take, threads=2)

    def test_lock_holds_while_its_folder_is_deleted(self, storage: Storage) -> None:
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

    def test_two_locks_are_independent(self, storage: Storage) -> None:
        both_inside = threading.Barrier(2, timeout=60)

        def take(number: int) -> None:
            with storage.lock(f"a/{number}"):
                both_inside.wait()

        at_once(take, threads=2)
