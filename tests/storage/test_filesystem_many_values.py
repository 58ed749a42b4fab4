"""FileStorage.write_many: order, syncs, faults of the disk, killed writers, and deletions meanwhile."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import support
from support.folder import STALE, files_below, keys_of

from v1registry.storage import FileStorage, InvalidKey, StorageFull, StorageUnavailable, together, writer

VALUES = {"a/1": b"one", "a/2": b"two", "b/c/1": b"three", "a/3": b"four"}


class Steps:
    """What was brought to the disk and renamed, in order; faults on the way."""

    def __init__(self, root: Path) -> None:
        self.steps: list[str] = []
        self.broken = ""
        self.barrier: threading.Barrier | None = None
        self._root = root
        self._fsync, self._rename = os.fsync, os.rename

    def _name(self, path: str) -> str:
        found = Path(path).relative_to(self._root)
        # a temporary file is named by its place
        return str(found.parent / found.name[1:-21] if found.suffix == ".tmp" else found)

    def fsync(self, descriptor: int) -> None:
        name = self._name(os.readlink(f"/proc/self/fd/{descriptor}"))
        if self.barrier is not None:
            self.barrier.wait()
        if name == self.broken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.steps.append(f"sync {name}")
        self._fsync(descriptor)

    def rename(self, source: str, target: str) -> None:
        self.steps.append(f"rename {self._name(target)}")
        self._rename(source, target)


@pytest.fixture
def durable(root: Path) -> FileStorage:
    """Return a storage with the folder ``a``."""
    storage = FileStorage(root)
    storage.write("a/1", b"old")
    return storage


@pytest.fixture
def steps(durable: FileStorage, root: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    found = Steps(root)
    monkeypatch.setattr(os, "fsync", found.fsync)
    monkeypatch.setattr(os, "rename", found.rename)
    return found


def test_values_are_synced_then_renamed_in_order_then_each_folder_once(
    durable: FileStorage, steps: Steps
) -> None:
    durable.write_many(VALUES)
    before, renames, after = steps.steps[:6], steps.steps[6:10], steps.steps[10:]
    # besides the values, the names of the two new folders
    assert sorted(before) == sorted(["sync .", "sync b", *(f"sync {key}" for key in VALUES)])
    assert renames == [f"rename {key}" for key in VALUES]
    assert sorted(after) == ["sync a", "sync b/c"]


def test_values_are_synced_at_the_same_time(
    durable: FileStorage, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    # threads of earlier calls may not wait again yet
    monkeypatch.setattr(together, "_helpers", together._Helpers())
    steps.barrier = threading.Barrier(3, action=lambda: setattr(steps, "barrier", None), timeout=30)
    durable.write_many({f"a/{number}": b"value" for number in range(3)})
    assert steps.barrier is None


def test_unfinished_values_are_written_by_one_thread_without_syncs(
    durable: FileStorage, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("v1registry.storage.together._helpers", None)
    durable.write_many({"uploads/x/1": b"one", "uploads/x/2": b"two"})
    assert steps.steps == ["rename uploads/x/1", "rename uploads/x/2"]


@pytest.mark.parametrize("broken", VALUES)
def test_value_that_cannot_be_synced_leaves_all_old_values(
    durable: FileStorage, steps: Steps, root: Path, broken: str
) -> None:
    steps.broken = broken
    with pytest.raises(StorageFull) as caught:
        durable.write_many(VALUES)
    assert caught.value.key == broken
    assert durable.read("a/1")[0] == b"old"
    assert files_below(root) == {"a/1"}


@pytest.mark.parametrize("broken", ["a", "b/c"])
def test_folder_that_cannot_be_synced_is_an_error(durable: FileStorage, steps: Steps, broken: str) -> None:
    steps.broken = broken
    with pytest.raises(StorageFull):
        durable.write_many(VALUES)


def test_values_before_one_that_cannot_be_placed_stay(
    durable: FileStorage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def fail_third(source: str, target: str) -> None:
        if target.endswith("b/c/1"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_third)
    with pytest.raises(StorageUnavailable):
        durable.write_many(VALUES)
    assert files_below(root) == {"a/1", "a/2"}


def test_no_more_files_are_open_than_the_bound(storage: FileStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    most = 0
    temporary = writer.Temporary

    def counted(*arguments: object, **options: object) -> object:
        nonlocal most
        most = max(most, len(os.listdir("/proc/self/fd")))
        return temporary(*arguments, **options)  # type: ignore[arg-type]

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(writer, "Temporary", counted)
    storage.write_many({f"a/{number:04}": b"" for number in range(200)})
    assert len(keys_of(storage)) == 200
    assert most <= before + writer._MOST_AT_ONCE + 1
    assert len(os.listdir("/proc/self/fd")) <= before


def test_leftovers_are_swept_by_the_first_write_of_a_process(root: Path, storage: FileStorage) -> None:
    storage.write("a/1", b"")
    (root / "a" / STALE).write_bytes(b"half a tag")
    FileStorage(root, durable=False).write_many({"a/2": b"", "a/3": b""})
    assert files_below(root) == {"a/1", "a/2", "a/3"}


def test_key_below_another_one_is_invalid(storage: FileStorage, root: Path) -> None:
    with pytest.raises(InvalidKey):
        storage.write_many({"a": b"value", "a/b": b"value"})
    assert files_below(root) <= {"a"}


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_folder_that_is_deleted_meanwhile_is_made_again(
    durable: FileStorage, root: Path, steps: Steps, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    rename, late = steps.rename, list(VALUES)[number]

    def delete_first(source: str, target: str) -> None:
        nonlocal late
        if late and target.endswith(late):
            late = ""
            FileStorage(root, durable=False, lock_timeout_s=0).delete_tree("b")
            steps.steps.clear()
        rename(source, target)

    monkeypatch.setattr(os, "rename", delete_first)
    durable.write_many(VALUES)
    assert {key: durable.read(key)[0] for key in keys_of(durable) if key != "b/c/1"} == {
        key: value for key, value in VALUES.items() if key != "b/c/1"
    }
    # a value that was in its place already is deleted with its folder, as after a single write
    assert ("b/c/1" in keys_of(durable)) == (number < 3)
    if number < 3:
        assert {"sync .", "sync b", "sync b/c"} <= set(steps.steps)


KILLED_AT_EACH_STEP = """
import itertools, os, sys
from support.killed_children import killed_at, run_in_child
from v1registry.storage import FileStorage

values = {"a/1": b"one", "a/2": b"two", "b/c/1": b"three", "a/3": b"four"}
calls = ("rename", "mkdir", "fsync", "open", "write", "utime")

for step in itertools.count(1):
    root = f"{sys.argv[1]}/{step}"
    storage = FileStorage(root)
    storage.write("a/0", b"")
    status = run_in_child(killed_at(step, calls, lambda: storage.write_many(values)))
    found = [key for key in values if any(stat.key == key for stat in storage.list(key))]
    assert found == list(values)[:len(found)], (step, found)
    assert all(storage.read(key)[0] == values[key] for key in found), step
    if status == 0:
        assert found == list(values), found
        break
    assert os.WIFSIGNALED(status), (step, status)
    assert run_in_child(lambda: FileStorage(root).write_many(values)) == 0, step
    left = [name for path, _, names in os.walk(root) for name in names if name.endswith(".tmp")]
    assert left == [], (step, left)
print(step)
"""


def test_killed_writer_leaves_the_first_values_whole(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", KILLED_AT_EACH_STEP, str(tmp_path)],
        cwd=Path(support.__file__).parents[1], capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    assert int(ended.stdout) > 20
