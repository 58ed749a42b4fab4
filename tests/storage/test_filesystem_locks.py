"""FileStorage: locks of folders, beside other processes and replaced folders."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator

import pytest
from support.folder import keys_of

from v1registry.storage import (
    ABSENT,
    FileStorage,
    InvalidKey,
    StorageUnavailable,
    folders,
)


def test_lock_keeps_out_another_process(storage, impatient):
    storage.write("a/b", b"value")
    with storage.lock("a"):
        with pytest.raises(StorageUnavailable, match="not free within 0 s"), impatient.lock("a"):
            pytest.fail("a lock was given twice")
        with impatient.lock("b"), impatient.lock("a/b-c"):
            pass
        assert impatient.read("a/b")[0] == b"value"
    with impatient.lock("a"):
        pass


def test_lock_keeps_out_writers_and_deleters_of_its_folder(storage, impatient):
    storage.write("a/b", b"value")
    with storage.lock("a"):
        for operation in (
            lambda: impatient.write("a/c", b"value"),
            lambda: impatient.write("a/b", b"other", expect=storage.stat("a/b").etag),
            lambda: impatient.delete("a/b"),
            lambda: impatient.delete_tree("a"),
        ):
            with pytest.raises(StorageUnavailable):
                operation()
        assert keys_of(storage) == ["a/b"]
    impatient.write("a/c", b"value")


def test_lock_is_awaited_until_the_timeout(storage, root):
    patient = FileStorage(root, durable=False, lock_timeout_s=0.05)
    with storage.lock("a"), pytest.raises(StorageUnavailable, match=r"within 0\.05 s"), patient.lock("a"):
        pytest.fail("a lock was given twice")


def test_waiting_thread_gets_the_lock(storage):
    got: list[str] = []

    def wait() -> None:
        with storage.lock("a"):
            got.append("lock")

    waiting = threading.Thread(target=wait)
    with storage.lock("a"):
        waiting.start()
        assert got == []
    waiting.join()
    assert got == ["lock"]


@pytest.mark.parametrize("operation", ["delete", "delete_tree"])
def test_lock_outlives_the_keys_of_its_folder(storage, impatient, root, operation):
    storage.write("a/b", b"value")
    with storage.lock("a"):
        getattr(storage, operation)("a/b" if operation == "delete" else "a")
        assert keys_of(storage) == []
        with pytest.raises(StorageUnavailable), impatient.lock("a"):
            pytest.fail("a lock was given twice")
    assert os.listdir(root) == []


def test_lock_of_a_deleted_folder_does_not_lock_the_new_one(storage, impatient):
    with storage.lock("a/b"):
        impatient.delete_tree("a")  # a deletion above the lock ends it
        etag = storage.write("a/b/c", b"value", expect=ABSENT).etag
        with impatient.lock("a/b"), pytest.raises(StorageUnavailable):
            FileStorage(storage.path, lock_timeout_s=0).write("a/b/c", b"other", expect=etag)
        storage.write("a/b/c", b"other", expect=etag)
    assert storage.read("a/b/c")[0] == b"other"


def test_empty_folder_stays_while_its_lock_is_held(storage, impatient, root):
    storage.write("a/b/c", b"value")
    with impatient.lock("a"):
        storage.delete("a/b/c")
        assert os.listdir(root / "a") == []
        with pytest.raises(StorageUnavailable), FileStorage(root, lock_timeout_s=0).lock("a"):
            pytest.fail("a lock was given twice")
    assert os.listdir(root) == []


def before_the_next_lock(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Call ``happens`` after a folder is opened and before its lock is requested."""
    try_lock = folders.try_lock

    def late_try_lock(descriptor: int) -> bool:
        monkeypatch.setattr(folders, "try_lock", try_lock)
        happens()
        return try_lock(descriptor)

    monkeypatch.setattr(folders, "try_lock", late_try_lock)


def test_folder_replaced_before_it_is_locked_is_opened_again(storage, impatient, root, monkeypatch):
    storage.write("a/b", b"value")

    def replace() -> None:
        (root / "a").rename(root / "elsewhere")
        (root / "a").mkdir()

    before_the_next_lock(monkeypatch, replace)
    with storage.lock("a"), pytest.raises(StorageUnavailable), impatient.lock("a"):
        pytest.fail("a lock was given twice")


def test_folder_replaced_before_it_is_removed_stays(storage, impatient, root, monkeypatch):
    with contextlib.ExitStack() as locks:

        def replace() -> None:
            (root / "a").rename(root / "elsewhere")
            locks.enter_context(impatient.lock("a"))

        with storage.lock("a"):
            before_the_next_lock(monkeypatch, replace)
        assert (root / "a").is_dir()
        with pytest.raises(StorageUnavailable), FileStorage(root, lock_timeout_s=0).lock("a"):
            pytest.fail("a lock was given twice")


def test_folder_with_a_short_lived_file_is_removed(storage, root, monkeypatch):
    rmdir = os.rmdir

    def late_rmdir(path: str) -> None:
        monkeypatch.setattr(os, "rmdir", rmdir)
        (root / "a/b").write_bytes(b"")
        try:
            rmdir(path)
        finally:
            (root / "a/b").unlink()

    storage.write("a/c", b"value")
    monkeypatch.setattr(os, "rmdir", late_rmdir)
    storage.delete("a/c")
    assert os.listdir(root) == []


def test_lock_is_free_although_a_forked_child_has_its_descriptor(storage, impatient, root):
    with storage.lock("a"):
        (descriptor,) = [
            int(name)
            for name in os.listdir("/proc/self/fd")
            if os.path.realpath(f"/proc/self/fd/{name}") == str(root / "a")
        ]
        descriptor_of_the_child = os.dup(descriptor)
    try:
        with impatient.lock("a"):
            pass
    finally:
        os.close(descriptor_of_the_child)


def test_key_cannot_be_locked(storage):
    storage.write("a", b"value")
    with pytest.raises(InvalidKey), storage.lock("a"):
        pytest.fail("a lock was given")


def test_tree_deleted_by_its_lock_holder_keeps_unfinished_values(storage, impatient, root):
    def watching() -> Iterator[bytes]:
        yield b"x"
        before = os.listdir(root / "a")
        with impatient.lock("a"):
            impatient.delete_tree("a")
        assert os.listdir(root / "a") == before

    storage.write("a/b", watching())
    assert storage.read("a/b")[0] == b"x"
