"""FileStorage beside others: killed writers, locks, other processes, full disks. Nothing acknowledged is lost."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.folder import STALE, files_below, keys_of

from v1registry.storage import (
    ABSENT,
    FileStorage,
    InvalidKey,
    KeyNotFound,
    StorageFull,
    StorageUnavailable,
    folders,
    update,
)
from v1registry.storage.base import CHUNK_BYTES

# -- leftovers of the killed


def test_a_streamed_write_sweeps_what_nobody_has_locked(storage, root):
    storage.write("a/json", b"{}")
    (root / "a" / STALE).write_bytes(b"half a layer")
    storage.write("a/json", b"{ }")
    assert STALE in os.listdir(root / "a")
    storage.write("a/layer", [b"layer"])
    assert files_below(root) == {"a/json", "a/layer"}


def test_the_first_small_write_of_a_process_sweeps_what_nobody_has_locked(storage, root):
    storage.write("a/json", b"{}")
    (root / "a" / STALE).write_bytes(b"half a tag")
    FileStorage(root).write("a/tag", b"tag")
    assert files_below(root) == {"a/json", "a/tag"}


def test_the_folders_that_are_remembered_as_swept_are_bounded(storage, root, monkeypatch):
    monkeypatch.setattr(folders, "_MOST_SWEPT", 2)
    for folder in ("a", "b", "c"):
        storage.write(f"{folder}/json", b"{}")
    (root / "a" / STALE).write_bytes(b"half a tag")
    storage.write("a/tag", b"tag")
    assert files_below(root) == {"a/json", "a/tag", "b/json", "c/json"}


def test_a_streamed_write_leaves_what_somebody_is_writing(storage, impatient, root):
    def overtaken() -> Iterator[bytes]:
        yield b"slow"
        impatient.write("a/layer", [b"fast"])
        storage.write("a/other", [b"fast"])

    storage.write("a/layer", overtaken())
    assert storage.read("a/layer")[0] == b"slow"
    assert files_below(root) == {"a/layer", "a/other"}


def test_temporary_files_of_other_programs_are_hidden_but_not_removed(storage, root):
    storage.write("a/json", b"{}")
    (root / "a/.editor.tmp").write_bytes(b"")
    storage.write("a/layer", [b"layer"])
    assert files_below(root) == {"a/.editor.tmp", "a/json", "a/layer"}
    assert keys_of(storage) == ["a/json", "a/layer"]


def test_a_folder_with_nothing_but_leftovers_may_become_a_key(storage, root):
    (root / "a").mkdir(parents=True)
    (root / "a" / STALE).write_bytes(b"half a layer")
    storage.write("a", b"value", expect=ABSENT)
    assert files_below(root) == {"a"}


def test_a_deleted_tree_takes_leftovers_along(storage, root):
    storage.write("a/json", b"{}")
    (root / "a" / STALE).write_bytes(b"half a layer")
    (root / ".trash.0123456789abcdef.tmp/b").mkdir(parents=True)
    (root / ".trash.0123456789abcdef.tmp/b/json").write_bytes(b"half a deletion")
    assert keys_of(storage) == ["a/json"]
    storage.delete_tree("a")
    assert os.listdir(root) == []


def test_a_tree_on_another_disk_vanishes_there(storage, root, monkeypatch):
    storage.write("images/a/json", b"{}")
    storage.write("images/b/json", b"{}")
    rename = os.rename

    def rename_within_a_disk(source: str, target: str) -> None:
        if os.path.dirname(source) != os.path.dirname(target):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        rename(source, target)

    monkeypatch.setattr(os, "rename", rename_within_a_disk)
    storage.delete_tree("images/a")
    assert files_below(root) == {"images/b/json"}
    assert os.listdir(root / "images") == ["b"]


@pytest.mark.parametrize("deleter", ["storage", "impatient"])
def test_a_value_survives_when_its_folder_is_deleted_before_it_is_in_place(storage, impatient, root, deleter):
    def interrupted() -> Iterator[bytes]:
        yield b"x" * 2 * CHUNK_BYTES
        {"storage": storage, "impatient": impatient}[deleter].delete_tree("a")
        yield b"y"

    storage.write("a/b/json", b"{}")
    stat = storage.write("a/b/layer", interrupted(), expect=ABSENT)
    assert storage.read("a/b/layer") == (b"x" * 2 * CHUNK_BYTES + b"y", stat)
    assert files_below(root) == {"a/b/layer"}


@pytest.mark.parametrize("key", ["a/b", "a/b/c"])
def test_a_folder_that_becomes_a_key_while_a_value_comes_is_told(storage, root, key):
    def overtaken() -> Iterator[bytes]:
        yield b"x"
        storage.delete_tree("a")
        storage.write("a", b"value")

    with pytest.raises(InvalidKey):
        storage.write(key, overtaken())
    assert files_below(root) == {"a"}


def test_a_value_is_copied_once_however_often_its_folder_is_deleted(root, monkeypatch):
    storage = FileStorage(root)
    copied_bytes: list[int] = []
    synced: list[str] = []
    rename, pread, fsync = os.rename, os.pread, os.fsync
    deletions = iter(range(3))

    def late_rename(source: str, target: str) -> None:
        if next(deletions, None) is not None:
            shutil.rmtree(root / "a")
        synced.clear()
        rename(source, target)

    def note_pread(descriptor: int, size: int, offset: int) -> bytes:
        copied_bytes.append(size)
        return pread(descriptor, size, offset)

    def note_fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", late_rename)
        patched.setattr(os, "pread", note_pread)
        patched.setattr(os, "fsync", note_fsync)
        storage.write("a/b/c", b"x" * 3 * CHUNK_BYTES)
    assert storage.read("a/b/c")[0] == b"x" * 3 * CHUNK_BYTES
    assert copied_bytes == [CHUNK_BYTES] * 3
    assert set(synced) == {str(root), str(root / "a"), str(root / "a/b")}


def test_a_tree_that_is_deleted_by_the_holder_of_its_lock_leaves_what_others_are_writing(
    storage, impatient, root
):
    def watching() -> Iterator[bytes]:
        yield b"x"
        before = os.listdir(root / "a")
        with impatient.lock("a"):
            impatient.delete_tree("a")
        assert os.listdir(root / "a") == before

    storage.write("a/b", watching())
    assert storage.read("a/b")[0] == b"x"


# -- locks


def test_a_lock_keeps_out_another_process(storage, impatient):
    storage.write("a/b", b"value")
    with storage.lock("a"):
        with pytest.raises(StorageUnavailable, match="not free within 0 s"), impatient.lock("a"):
            pytest.fail("a lock was given twice")
        with impatient.lock("b"), impatient.lock("a/b-c"):
            pass
        assert impatient.read("a/b")[0] == b"value"
    with impatient.lock("a"):
        pass


def test_a_lock_keeps_out_writers_and_deleters_of_its_folder(storage, impatient):
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


def test_a_lock_is_waited_for_until_the_time_is_over(storage, root):
    patient = FileStorage(root, durable=False, lock_timeout_s=0.05)
    with storage.lock("a"), pytest.raises(StorageUnavailable, match=r"within 0\.05 s"), patient.lock("a"):
        pytest.fail("a lock was given twice")


def test_a_waiting_thread_gets_the_lock(storage):
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
def test_a_lock_outlives_what_is_in_its_folder(storage, impatient, root, operation):
    storage.write("a/b", b"value")
    with storage.lock("a"):
        getattr(storage, operation)("a/b" if operation == "delete" else "a")
        assert keys_of(storage) == []
        with pytest.raises(StorageUnavailable), impatient.lock("a"):
            pytest.fail("a lock was given twice")
    assert os.listdir(root) == []


def test_the_lock_of_a_deleted_folder_is_that_of_the_new_one(storage, impatient):
    with storage.lock("a/b"):
        impatient.delete_tree("a")  # whoever deletes above a lock ends it
        etag = storage.write("a/b/c", b"value", expect=ABSENT).etag
        with impatient.lock("a/b"), pytest.raises(StorageUnavailable):
            FileStorage(storage.path, lock_timeout_s=0).write("a/b/c", b"other", expect=etag)
        storage.write("a/b/c", b"other", expect=etag)
    assert storage.read("a/b/c")[0] == b"other"


def test_an_empty_folder_stays_while_another_process_holds_its_lock(storage, impatient, root):
    storage.write("a/b/c", b"value")
    with impatient.lock("a"):
        storage.delete("a/b/c")
        assert os.listdir(root / "a") == []
        with pytest.raises(StorageUnavailable), FileStorage(root, lock_timeout_s=0).lock("a"):
            pytest.fail("a lock was given twice")
    assert os.listdir(root) == []


def before_the_next_lock(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen after a folder was opened and before its lock is asked for."""
    try_lock = folders.try_lock

    def late_try_lock(descriptor: int) -> bool:
        monkeypatch.setattr(folders, "try_lock", try_lock)
        happens()
        return try_lock(descriptor)

    monkeypatch.setattr(folders, "try_lock", late_try_lock)


def test_a_folder_that_is_replaced_before_it_is_locked_is_opened_again(storage, impatient, root, monkeypatch):
    storage.write("a/b", b"value")

    def replace() -> None:
        (root / "a").rename(root / "elsewhere")
        (root / "a").mkdir()

    before_the_next_lock(monkeypatch, replace)
    with storage.lock("a"), pytest.raises(StorageUnavailable), impatient.lock("a"):
        pytest.fail("a lock was given twice")


def test_a_folder_that_is_replaced_before_it_is_removed_stays(storage, impatient, root, monkeypatch):
    with contextlib.ExitStack() as locks:

        def replace() -> None:
            (root / "a").rename(root / "elsewhere")
            locks.enter_context(impatient.lock("a"))

        with storage.lock("a"):
            before_the_next_lock(monkeypatch, replace)
        assert (root / "a").is_dir()
        with pytest.raises(StorageUnavailable), FileStorage(root, lock_timeout_s=0).lock("a"):
            pytest.fail("a lock was given twice")


def test_a_folder_that_is_full_for_a_moment_is_removed_all_the_same(storage, root, monkeypatch):
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


def test_a_lock_is_free_although_a_forked_child_has_its_descriptor(storage, impatient, root):
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


def test_a_key_is_no_folder_to_be_locked(storage):
    storage.write("a", b"value")
    with pytest.raises(InvalidKey), storage.lock("a"):
        pytest.fail("a lock was given")


# -- durability, errors and full disks


def test_a_value_is_on_the_disk_before_it_is_in_place_and_its_folders_after(root, monkeypatch):
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def note_fsync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        steps.append("sync value" if path.suffix == ".tmp" else f"sync {path.relative_to(root.parent)}")
        fsync(descriptor)

    def note_rename(source: str, target: str) -> None:
        steps.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "rename", note_rename)
    storage = FileStorage(root)
    storage.write("a/b/c", b"value")
    assert set(steps[:3]) == {"sync .", "sync root", "sync root/a"}
    assert steps[3:] == ["sync value", "rename", "sync root/a/b"]
    steps.clear()
    storage.write("a/b/d", [b"value"])
    assert steps == ["sync value", "rename", "sync root/a/b"]
    steps.clear()
    storage.delete("a/b/d")
    assert steps == ["sync root/a/b"]
    steps.clear()
    storage.delete_tree("a/b")
    assert steps[0] == "rename"
    assert set(steps[1:]) == {"sync root", "sync root/a"}


def test_without_durability_nothing_waits_for_the_disk(storage, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: pytest.fail("fsync was called"))
    storage.write("a/b", [b"value"])
    storage.delete("a/b")
    storage.write("a/b", b"value")
    storage.delete_tree("a")


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EFBIG, StorageFull),
        (errno.EIO, StorageUnavailable),
        (errno.EROFS, StorageUnavailable),
    ],
)
@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
def test_an_error_of_the_disk_leaves_the_old_value(root, monkeypatch, step, number, error):
    storage = FileStorage(root)
    old = storage.write("a/b", b"old")

    def fail(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched, pytest.raises(StorageUnavailable) as caught:
        patched.setattr(os, step, fail)
        storage.write("a/b", [b"new"])
    assert caught.type is error
    assert caught.value.key == "a/b"
    assert isinstance(caught.value.__cause__, OSError)
    assert storage.read("a/b") == (b"old", old)
    assert files_below(root) == {"a/b"}


def test_a_disk_that_takes_little_at_a_time_gets_all(storage, monkeypatch):
    write = os.write
    value = os.urandom(300_000)
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:4096]))
    storage.write("a/b", [value[:200_000], value[200_000:]])
    assert storage.read("a/b")[0] == value


def test_a_large_value_reaches_the_disk_in_steps(root, monkeypatch):
    synced_bytes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced_bytes.append(os.fstat(descriptor).st_size))
    monkeypatch.setattr("v1registry.storage.files._SYNC_BYTES", 4 * CHUNK_BYTES)
    storage = FileStorage(root)
    storage.write("a", [b"x" * CHUNK_BYTES] * 10)
    assert [size for size in synced_bytes if size > 4096] == [count * CHUNK_BYTES for count in (4, 8, 10)]


def test_many_small_pieces_become_few_writes(storage, monkeypatch):
    sizes: list[int] = []
    write = os.write
    monkeypatch.setattr(
        os, "write", lambda descriptor, data: sizes.append(len(data)) or write(descriptor, data)
    )
    storage.write("a", [b"x" * 1000] * 1000)
    assert len(sizes) <= 1_000_000 // CHUNK_BYTES + 1
    assert storage.stat("a").size == 1_000_000


# -- other processes

PRELUDE = "import sys\nfrom v1registry.storage import *\nstorage = FileStorage(sys.argv[1])\n"


class Process:
    """A Python program that shares the folder; it is killed at the end. Its lines are read as they come."""

    def __init__(self, program: str, root: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + program, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> None:
        output, _ = self.process.communicate(timeout=60)
        assert (self.process.returncode, output) == (0, "")

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.kill()


def test_a_writer_that_is_killed_leaves_nothing_that_anybody_sees(storage, root):
    program = """
def pieces():
    yield b"x" * 1_000_000
    print("started", flush=True)
    sys.stdin.readline()
storage.write("images/a/layer", pieces())
"""
    storage.write("images/b/json", b"{}")
    with Process(program, root) as writer:
        assert writer.line() == "started"
        temporary = next(iter((root / "images/a").iterdir()))
        storage.write("images/a/layer", [b"by another"])
        assert temporary.exists()
        storage.delete("images/a/layer")
        writer.kill()
    assert temporary.stat().st_size >= 900_000
    assert keys_of(storage) == ["images/b/json"]
    assert list(storage.list_folders("images")) == ["b"]
    with pytest.raises(KeyNotFound):
        storage.read("images/a/layer")[0]
    storage.write("images/a/layer", [b"repeated"])
    assert files_below(root) == {"images/a/layer", "images/b/json"}


def test_STO_012_an_interrupted_write_leaves_no_half_of_a_value(root):
    program = """
import itertools
for number in itertools.count():
    letter = b"ab"[number % 2:][:1]
    storage.write("images/a/json", letter * 200_000)
    storage.write("images/a/_checksum", [letter * 70_000] * 3)
    storage.write("repositories/a/b/tag_latest", letter * 64)
    print("round", flush=True)
"""
    sizes = {"images/a/_checksum": 210_000, "images/a/json": 200_000, "repositories/a/b/tag_latest": 64}
    storage = FileStorage(root, durable=False)
    for rounds in range(1, 6):
        with Process(program, root) as writer:
            for _ in range(rounds):
                assert writer.line() == "round"
            writer.kill()
        assert {stat.key: stat.size for stat in storage.list("")} == sizes
        assert all(len(set(storage.read(key)[0])) == 1 for key in sizes)


def test_the_lock_of_a_killed_process_is_free(storage, impatient, root):
    program = """
with storage.lock("a"):
    print("locked", flush=True)
    sys.stdin.readline()
"""
    with Process(program, root) as holder:
        assert holder.line() == "locked"
        with pytest.raises(StorageUnavailable), impatient.lock("a"):
            pytest.fail("a lock was given twice")
        holder.kill()
    with impatient.lock("a"):
        pass
    assert os.listdir(root) == []


def test_STO_018_no_update_of_two_processes_is_lost(storage, root):
    program = """
for _ in range(100):
    update(storage, "a/counter", lambda old: str(int(old or b"0") + 1).encode())
    with storage.lock("b"):
        storage.write("b/counter", str(int(storage.read("b/counter")[0]) + 1).encode())
"""
    storage.write("b/counter", b"0")
    with Process(program, root) as one, Process(program, root) as other:
        one.end()
        other.end()
    assert (storage.read("a/counter")[0], storage.read("b/counter")[0]) == (b"200", b"200")
    assert files_below(root) == {"a/counter", "b/counter"}


def test_STO_018_processes_that_write_and_delete_in_one_folder_lose_nothing(storage, root):
    program = """
import os
for number in range(100):
    key = f"a/b/{os.getpid()}-{number}"
    storage.write(key, [b"value"])
    assert storage.read(key)[0] == b"value"
    storage.delete(key)
storage.write(f"a/c/{os.getpid()}", b"value")
"""
    with Process(program, root) as one, Process(program, root) as other:
        one.end()
        other.end()
    assert keys_of(storage) == sorted(f"a/c/{process.process.pid}" for process in (one, other))
    assert os.listdir(root / "a") == ["c"]


def test_STO_018_no_write_fails_while_another_process_deletes_the_tree(storage, root):
    writing = """
for number in range(40):
    storage.write("a/b/c", [str(number).encode()])
    storage.write(f"a/d/{number}", b"value", expect=ABSENT)
print("last", flush=True)
"""
    deleting = """
while True:
    storage.delete_tree("a")
    print("deleted", flush=True)
"""
    with Process(deleting, root) as deleter, Process(writing, root) as writer:
        while deleter.line() == "deleted" and writer.process.poll() is None:
            pass
        assert writer.line() == "last"
        deleter.kill()
        writer.end()
    storage.delete_tree("a")
    assert os.listdir(root) == []


def test_a_full_disk_leaves_the_old_value_and_no_rest(storage, root):
    program = """
import resource
storage.write("a/b", b"old")
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
for data in ([b"x" * 70_000] * 20, b"x" * 1_000_001, [b"x"] * 1_000_001):
    try:
        storage.write("a/b", data)
    except StorageFull as error:
        assert error.key == "a/b", error
    else:
        raise AssertionError("a file is larger than allowed")
    assert storage.read("a/b")[0] == b"old"
storage.write("a/c", [b"x" * 100_000] * 10)
"""
    with Process(program, root) as writer:
        writer.end()
    assert {stat.key: stat.size for stat in storage.list("")} == {"a/b": 3, "a/c": 1_000_000}
    assert files_below(root) == {"a/b", "a/c"}


def test_update_of_a_key_in_a_deleted_folder_begins_anew(storage):
    storage.write("a/b", b"old")

    def change(old: bytes | None) -> bytes:
        if old is not None:
            storage.delete_tree("a")
        return (old or b"") + b"new"

    assert update(storage, "a/b", change) == (None, b"new")
