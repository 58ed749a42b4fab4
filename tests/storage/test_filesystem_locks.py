"""FileStorage: its locks of folders, beside other processes and replaced folders."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.folder import keys_of

from v1registry.storage import FileStorage, InvalidKey, StorageUnavailable, folders
from v1registry.storage.disk import Disk


@contextlib.contextmanager
def lock_of(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder as another process does during a write."""
    others = folders.Folders(Disk(str(folder.parent), is_durable=False), lock_timeout_s=0)
    try:
        with others.locked(folder.name, str(folder), made_in=set()):
            yield
    finally:
        others.prune(str(folder))


def assert_locked(folder: Path) -> None:
    with pytest.raises(StorageUnavailable, match="not free within 0 s"), lock_of(folder):
        pytest.fail("a lock was given twice")


def test_lock_keeps_out_others(root):
    root.mkdir()
    with lock_of(root / "a"):
        assert_locked(root / "a")
        with lock_of(root / "b"):
            pass
    with lock_of(root / "a"):
        pass
    assert os.listdir(root) == []


def test_lock_keeps_out_writers_and_deleters_of_its_folder(storage, impatient, root):
    storage.write("a/b", b"value")
    storage.write("c/d", b"value")
    with lock_of(root / "a"):
        for operation in (
            lambda: impatient.write("a/c", b"value"),
            lambda: impatient.write("a/b", b"other", expect=storage.stat("a/b").etag),
            lambda: impatient.delete("a/b"),
            lambda: impatient.delete_tree("a"),
            lambda: impatient.publish("a", "e"),
        ):
            with pytest.raises(StorageUnavailable):
                operation()
        assert keys_of(storage) == ["a/b", "c/d"]
        assert storage.read("a/b")[0] == b"value"
        impatient.write("a/e/f", b"value")
    impatient.write("a/c", b"value")


def test_lock_is_awaited_until_the_timeout(root):
    patient = FileStorage(root, durable=False, lock_timeout_s=0.05)
    root.mkdir()
    with lock_of(root / "a"), pytest.raises(StorageUnavailable, match=r"within 0\.05 s"):
        patient.write("a/b", b"value")


def test_waiting_writer_gets_the_lock(storage, root):
    storage.write("a/b", b"value")
    waiting = threading.Thread(target=storage.write, args=("a/b", b"other"))
    with lock_of(root / "a"):
        waiting.start()
        assert storage.read("a/b")[0] == b"value"
    waiting.join()
    assert storage.read("a/b")[0] == b"other"


def test_lock_of_a_deleted_folder_does_not_lock_the_new_one(storage, root):
    storage.write("a/b/c", b"value")
    with lock_of(root / "a/b"):
        storage.delete_tree("a")  # a deletion above the lock ends it
        storage.write("a/b/c", b"other")
        with lock_of(root / "a/b"):
            pass
    assert storage.read("a/b/c")[0] == b"other"


def test_empty_folder_stays_while_its_lock_is_held(storage, root):
    storage.write("a/b/c", b"value")
    with lock_of(root / "a"):
        storage.delete("a/b/c")
        assert os.listdir(root / "a") == []
        assert_locked(root / "a")
    assert os.listdir(root) == []


def before_the_next_lock(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Call ``happens`` after a folder is opened and before its lock is requested."""
    try_lock = folders.try_lock

    def late_try_lock(descriptor: int) -> bool:
        monkeypatch.setattr(folders, "try_lock", try_lock)
        happens()
        return try_lock(descriptor)

    monkeypatch.setattr(folders, "try_lock", late_try_lock)


def test_folder_replaced_before_it_is_locked_is_opened_again(storage, root, monkeypatch):
    storage.write("a/b", b"value")

    def replace() -> None:
        (root / "a").rename(root / "elsewhere")
        (root / "a").mkdir()

    before_the_next_lock(monkeypatch, replace)
    storage.write("a/c", b"value")
    assert keys_of(storage) == ["a/c", "elsewhere/b"]


def test_folder_replaced_before_it_is_removed_stays(storage, root, monkeypatch):
    with contextlib.ExitStack() as locks:

        def replace() -> None:
            (root / "a").rename(root / "elsewhere")
            locks.enter_context(lock_of(root / "a"))

        root.mkdir()
        with lock_of(root / "a"):
            before_the_next_lock(monkeypatch, replace)
        assert (root / "a").is_dir()
        assert_locked(root / "a")


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


def test_lock_is_free_although_a_forked_child_has_its_descriptor(root):
    root.mkdir()
    with lock_of(root / "a"):
        (descriptor,) = [
            int(name)
            for name in os.listdir("/proc/self/fd")
            if os.path.realpath(f"/proc/self/fd/{name}") == str(root / "a")
        ]
        descriptor_of_the_child = os.dup(descriptor)
    try:
        with lock_of(root / "a"):
            pass
    finally:
        os.close(descriptor_of_the_child)


def test_key_cannot_be_locked(storage, root):
    storage.write("a", b"value")
    with pytest.raises(InvalidKey), lock_of(root / "a"):
        pytest.fail("a lock was given")
