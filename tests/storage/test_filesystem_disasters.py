"""FileStorage: leftovers of killed writers, deleted folders, durability, and errors of the disk."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.folder import STALE, files_below, keys_of

from v1registry.storage import (
    ABSENT,
    FileStorage,
    InvalidKey,
    StorageFull,
    StorageUnavailable,
    disk,
    files,
    folders,
)
from v1registry.storage.base import CHUNK_BYTES
from v1registry.storage.disk import start_writeback

# -- leftovers of killed writers


def test_streamed_write_sweeps_unlocked_leftovers(storage, root):
    storage.write("a/json", b"{}")
    (root / "a" / STALE).write_bytes(b"half a layer")
    storage.write("a/json", b"{ }")
    assert STALE in os.listdir(root / "a")
    storage.write("a/layer", [b"layer"])
    assert files_below(root) == {"a/json", "a/layer"}


def test_first_small_write_of_a_process_sweeps_leftovers(storage, root):
    storage.write("a/json", b"{}")
    (root / "a" / STALE).write_bytes(b"half a tag")
    FileStorage(root).write("a/tag", b"tag")
    assert files_below(root) == {"a/json", "a/tag"}


def test_number_of_folders_remembered_as_swept_is_bounded(storage, root, monkeypatch):
    monkeypatch.setattr(folders, "_MOST_SWEPT", 2)
    for folder in ("a", "b", "c"):
        storage.write(f"{folder}/json", b"{}")
    (root / "a" / STALE).write_bytes(b"half a tag")
    storage.write("a/tag", b"tag")
    assert files_below(root) == {"a/json", "a/tag", "b/json", "c/json"}


def test_streamed_write_leaves_values_being_written(storage, impatient, root):
    def overtaken() -> Iterator[bytes]:
        yield b"slow"
        impatient.write("a/layer", [b"fast"])
        storage.write("a/other", [b"fast"])

    storage.write("a/layer", overtaken())
    assert storage.read("a/layer")[0] == b"slow"
    assert files_below(root) == {"a/layer", "a/other"}


def test_foreign_temporary_files_are_hidden_but_kept(storage, root):
    storage.write("a/json", b"{}")
    (root / "a/.editor.tmp").write_bytes(b"")
    storage.write("a/layer", [b"layer"])
    assert files_below(root) == {"a/.editor.tmp", "a/json", "a/layer"}
    assert keys_of(storage) == ["a/json", "a/layer"]


def test_folder_of_leftovers_may_become_a_key(storage, root):
    (root / "a").mkdir(parents=True)
    (root / "a" / STALE).write_bytes(b"half a layer")
    storage.write("a", b"value", expect=ABSENT)
    assert files_below(root) == {"a"}


def test_deleted_tree_takes_leftovers_along(storage, root):
    storage.write("a/json", b"{}")
    (root / "a" / STALE).write_bytes(b"half a layer")
    (root / ".trash.0123456789abcdef.tmp/b").mkdir(parents=True)
    (root / ".trash.0123456789abcdef.tmp/b/json").write_bytes(b"half a deletion")
    assert keys_of(storage) == ["a/json"]
    storage.delete_tree("a")
    assert os.listdir(root) == []


def test_tree_on_another_disk_vanishes_there(storage, root, monkeypatch):
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
def test_value_survives_deletion_of_its_folder_during_the_write(storage, impatient, root, deleter):
    def interrupted() -> Iterator[bytes]:
        yield b"x" * 2 * CHUNK_BYTES
        {"storage": storage, "impatient": impatient}[deleter].delete_tree("a")
        yield b"y"

    storage.write("a/b/json", b"{}")
    stat = storage.write("a/b/layer", interrupted(), expect=ABSENT)
    assert storage.read("a/b/layer") == (b"x" * 2 * CHUNK_BYTES + b"y", stat)
    assert files_below(root) == {"a/b/layer"}


@pytest.mark.parametrize("key", ["a/b", "a/b/c"])
def test_folder_that_becomes_a_key_during_the_write_is_invalid(storage, root, key):
    def overtaken() -> Iterator[bytes]:
        yield b"x"
        storage.delete_tree("a")
        storage.write("a", b"value")

    with pytest.raises(InvalidKey):
        storage.write(key, overtaken())
    assert files_below(root) == {"a"}


def test_value_is_copied_once_if_its_folder_is_deleted_often(root, monkeypatch):
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


# -- durability, errors and full disks


def test_value_is_synced_before_its_rename_and_folders_after(root, monkeypatch):
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
    assert sorted(steps[:4]) == ["sync .", "sync root", "sync root/a", "sync value"]
    assert steps[4:] == ["rename", "sync root/a/b"]
    steps.clear()
    storage.write("a/c/d", [b"value"])
    assert steps == ["sync root/a", "sync value", "rename", "sync root/a/c"]
    storage.delete("a/c/d")
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


@pytest.mark.parametrize("made", ["a", "a/b", "a/b/c"])
def test_folders_that_another_process_just_made_are_synced(root, monkeypatch, made):
    storage = FileStorage(root)
    storage.write("x", b"")
    mkdir, fsync, synced = os.mkdir, os.fsync, []

    def is_made_by_another(path: str, mode: int) -> None:
        if path == str(root / made):
            monkeypatch.setattr(os, "mkdir", mkdir)
            os.makedirs(path)
        mkdir(path, mode)

    def note_fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "mkdir", is_made_by_another)
    monkeypatch.setattr(os, "fsync", note_fsync)
    storage.write("a/b/c/d", b"value")
    assert {str(root), str(root / "a"), str(root / "a/b"), str(root / "a/b/c")} <= set(synced)


def test_nothing_is_synced_without_durability(storage, monkeypatch):
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
def test_disk_error_leaves_the_old_value(root, monkeypatch, step, number, error):
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


def test_short_writes_are_continued(storage, monkeypatch):
    write = os.write
    value = os.urandom(300_000)
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:4096]))
    storage.write("a/b", [value[:200_000], value[200_000:]])
    assert storage.read("a/b")[0] == value


def test_large_value_is_written_to_the_disk_while_it_comes(root, monkeypatch):
    begun: list[tuple[int, int]] = []
    monkeypatch.setattr(files, "start_writeback", lambda descriptor, *part: begun.append(part))
    monkeypatch.setattr(files, "WRITEBACK_BYTES", 4 * CHUNK_BYTES)
    storage = FileStorage(root)
    storage.write("a", [b"x" * CHUNK_BYTES] * 10)
    assert begun == [(0, 4 * CHUNK_BYTES), (4 * CHUNK_BYTES, 4 * CHUNK_BYTES)]


def test_writing_to_the_disk_begins_without_a_wait(tmp_path):
    with (tmp_path / "file").open("wb") as file:
        file.write(b"value")
        file.flush()
        start_writeback(file.fileno(), 0, 0)
    assert (tmp_path / "file").read_bytes() == b"value"


def test_system_that_cannot_begin_to_write_early_is_not_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "_sync_file_range", lambda: None)
    FileStorage(tmp_path).write("a", [b"x" * CHUNK_BYTES] * 100)
    assert FileStorage(tmp_path).stat("a").size == 100 * CHUNK_BYTES


def test_many_small_pieces_become_few_writes(storage, monkeypatch):
    sizes: list[int] = []
    write = os.write
    monkeypatch.setattr(
        os, "write", lambda descriptor, data: sizes.append(len(data)) or write(descriptor, data)
    )
    storage.write("a", [b"x" * 1000] * 1000)
    assert len(sizes) <= 1_000_000 // CHUNK_BYTES + 1
    assert storage.stat("a").size == 1_000_000
