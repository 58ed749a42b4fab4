"""FileStorage.publish: what is on the disk, beside killed processes and racing ones, and across disks."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import support
from support.folder import STALE, files_below, keys_of

from v1registry.storage import ABSENT, FileStorage, InvalidKey, KeyConflict, KeyNotFound, folders

NAMES = ("json", "layer", "marks/a/b")
PUBLISHED = [f"images/x/{name}" for name in NAMES]


def stage(storage: FileStorage, staged: str = "uploads/x/1") -> None:
    for name in NAMES:
        storage.write(f"{staged}/{name}", [name.encode()])


@pytest.fixture
def two_disks(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let renames from or to ``images`` fail, as if it were on another disk."""
    rename = os.rename

    def rename_on_one_disk(source: str, target: str) -> None:
        if len({path.startswith(str(root / "images")) for path in (source, target)}) > 1:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        rename(source, target)

    monkeypatch.setattr(os, "rename", rename_on_one_disk)


# -- the place of the folder


def test_empty_folder_in_the_place_is_replaced(storage, root):
    stage(storage)
    (root / "images/x").mkdir(parents=True)
    storage.publish("uploads/x/1", "images/x")
    assert keys_of(storage) == PUBLISHED
    assert os.listdir(root) == ["images"]


def test_leftovers_in_the_place_are_removed(storage, root):
    stage(storage)
    (root / "images/x/marks/old").mkdir(parents=True)
    (root / "images/x/marks" / STALE).write_bytes(b"half a mark")
    (root / "images/x" / STALE).write_bytes(b"half a layer")
    storage.publish("uploads/x/1", "images/x")
    assert files_below(root) == set(PUBLISHED)


def test_leftovers_of_killed_writers_are_not_published(storage, root):
    stage(storage)
    (root / "uploads/x/1" / STALE).write_bytes(b"half a layer")
    storage.publish("uploads/x/1", "images/x")
    assert files_below(root) == set(PUBLISHED)


@pytest.mark.parametrize("name", ["ä", ".editor.tmp"])
def test_foreign_file_in_the_place_is_a_conflict(storage, root, name):
    stage(storage)
    (root / "images/x/deep").mkdir(parents=True)
    (root / "images/x/deep" / name).write_bytes(b"foreign")
    with pytest.raises(KeyConflict):
        storage.publish("uploads/x/1", "images/x")
    assert files_below(root) == {f"uploads/x/1/{name}" for name in NAMES} | {f"images/x/deep/{name}"}


def test_folder_of_leftovers_alone_is_not_published(storage, root):
    (root / "uploads/x/1").mkdir(parents=True)
    (root / "uploads/x/1" / STALE).write_bytes(b"half a layer")
    with pytest.raises(KeyNotFound):
        storage.publish("uploads/x/1", "images/x")
    assert not (root / "images").exists()


@pytest.mark.parametrize("key", ["images", "images/x"])
def test_refused_publication_makes_no_folder(storage, root, key):
    stage(storage)
    storage.write(key, b"in the way")
    with pytest.raises(InvalidKey):
        storage.publish("uploads/x/1", "images/x")
    assert files_below(root) == {key} | {f"uploads/x/1/{name}" for name in NAMES}


def test_writer_in_the_place_finishes_after_publication(storage, impatient, root):
    def overtaken() -> Iterator[bytes]:
        yield b"slow"
        impatient.publish("uploads/x/1", "images/x")

    stage(storage)
    storage.write("images/x/late", overtaken(), expect=ABSENT)
    assert keys_of(storage) == sorted([*PUBLISHED, "images/x/late"])
    assert storage.read("images/x/late")[0] == b"slow"
    assert files_below(root) == set(keys_of(storage))


def test_write_that_expects_absence_keeps_a_published_value(storage, impatient):
    def overtaken() -> Iterator[bytes]:
        yield b"slow"
        impatient.publish("uploads/x/1", "images/x")

    stage(storage)
    with pytest.raises(KeyConflict):
        storage.write("images/x/json", overtaken(), expect=ABSENT)
    assert storage.read("images/x/json")[0] == b"json"


def test_writer_in_the_staged_folder_writes_it_again(storage, impatient, root):
    def overtaken() -> Iterator[bytes]:
        yield b"slow"
        impatient.publish("uploads/x/1", "images/x")

    stage(storage)
    storage.write("uploads/x/1/late", overtaken())
    assert keys_of(storage) == [*PUBLISHED, "uploads/x/1/late"]


def test_etags_and_times_stay(storage):
    stage(storage)
    staged = [(stat.etag, stat.modified) for stat in storage.list("uploads/")]
    storage.publish("uploads/x/1", "images/x")
    assert [(stat.etag, stat.modified) for stat in storage.list("images/")] == staged


# -- the disk


def test_published_folders_reach_the_disk(root, monkeypatch):
    storage = FileStorage(root)
    stage(storage)
    storage.write("uploads/y", b"")
    storage.write("images/y", b"")
    synced: set[str] = set()
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        synced.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    storage.publish("uploads/x/1", "images/x")
    wanted = {"images", "images/x", "images/x/marks", "images/x/marks/a"}
    assert synced >= {str(root / folder) for folder in wanted}


@pytest.mark.parametrize("operation", ["write", "delete"])
def test_changed_folder_reaches_the_disk_if_it_is_moved_at_once(root, monkeypatch, operation):
    storage = FileStorage(root)
    storage.write("a/b", b"value")
    inode = (root / "a").stat().st_ino
    unlock, fsync = folders.unlock, os.fsync
    synced: list[int] = []

    def unlock_and_move(descriptor: int) -> None:
        unlock(descriptor)
        if (root / "a").exists():
            os.rename(root / "a", root / "moved")

    def watched(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(folders, "unlock", unlock_and_move)
    monkeypatch.setattr(os, "fsync", watched)
    if operation == "write":
        storage.write("a/c", b"value")
    else:
        storage.delete("a/b")
    assert (root / "moved").stat().st_ino == inode
    assert inode in synced


def test_folder_is_published_to_another_disk(storage, root, two_disks):
    stage(storage)
    (root / "images" / STALE).mkdir(parents=True)
    (root / "images" / STALE / "layer").write_bytes(b"half a copy")
    os.chmod(root / "uploads/x/1/json", 0o640)
    modified = [stat.modified for stat in storage.list("uploads/")]
    storage.publish("uploads/x/1", "images/x")
    assert keys_of(storage) == PUBLISHED
    assert [storage.read(key)[0] for key in PUBLISHED] == [name.encode() for name in NAMES]
    assert [stat.modified for stat in storage.list("")] == modified
    assert (root / "images/x/json").stat().st_mode & 0o777 == 0o640
    assert files_below(root) == set(PUBLISHED)
    assert os.listdir(root) == ["images"]


def test_folder_with_keys_on_another_disk_is_a_conflict(storage, root, two_disks):
    stage(storage)
    storage.write("images/x/json", b"other")
    with pytest.raises(KeyConflict):
        storage.publish("uploads/x/1", "images/x")
    assert files_below(root) == {"images/x/json"} | {f"uploads/x/1/{name}" for name in NAMES}


def test_full_other_disk_changes_nothing(storage, root, two_disks, monkeypatch):
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    stage(storage)
    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(folders.StorageFull):
        storage.publish("uploads/x/1", "images/x")
    assert files_below(root) == {f"uploads/x/1/{name}" for name in NAMES}
    assert os.listdir(root) == ["uploads"]


@pytest.mark.parametrize("link", ["images", "images/x", "uploads", "uploads/x/1"])
def test_linked_folder_is_published_where_it_is(storage, root, tmp_path, link):
    behind = tmp_path / "behind"
    behind.mkdir()
    (root / link).parent.mkdir(parents=True, exist_ok=True)
    (root / link).symlink_to(behind)
    stage(storage)
    storage.publish("uploads/x/1", "images/x")
    assert keys_of(storage) == PUBLISHED
    assert list(storage.list_folders("uploads/x")) == []
    assert behind.exists() == (link != "uploads/x/1")


# -- other processes

KILLED_AT_EACH_STEP = """
import errno, itertools, os, sys
from support.killed_children import killed_at, run_in_child
from v1registry.storage import FileStorage, KeyConflict

names = ("json", "layer", "marks/a/b")
published = [f"images/x/{name}" for name in names]
staged = [f"uploads/x/1/{name}" for name in names]
calls = ("rename", "mkdir", "rmdir", "unlink", "fsync", "listdir", "open")
rename = os.rename

def keys(storage):
    return [stat.key for stat in storage.list("")]

def rename_on_one_disk(source, target):
    if len({"/images" in path for path in (source, target)}) > 1:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    rename(source, target)

def publish():
    storage.publish("uploads/x/1", "images/x")

def publish_again():
    try:
        storage.publish("uploads/x/1", "images/x")
    except KeyConflict:
        assert found == published + staged, found
        storage.delete_tree("uploads/x/1")

if sys.argv[2] == "two disks":
    os.rename = rename_on_one_disk
for step in itertools.count(1):
    root = f"{sys.argv[1]}/{step}"
    storage = FileStorage(root)
    for key in staged:
        storage.write(key, key.encode())
    status = run_in_child(killed_at(step, calls, publish))
    found = keys(storage)
    assert found in (staged, published, published + staged), (step, found)
    if status == 0:
        assert found == published, found
        break
    assert os.WIFSIGNALED(status), (step, status)
    if found != published:
        assert run_in_child(publish_again) == 0, step
    assert keys(storage) == published, step
    assert [storage.read(key)[0] for key in published] == [key.encode() for key in staged], step
print(step)
"""


@pytest.mark.parametrize(("disks", "least_steps"), [("one disk", 10), ("two disks", 20)])
def test_publisher_killed_at_any_step_leaves_all_or_nothing(tmp_path, disks, least_steps):
    output = subprocess.run(
        [sys.executable, "-W", "error", "-c", KILLED_AT_EACH_STEP, str(tmp_path), disks],
        cwd=Path(support.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (output.returncode, output.stderr) == (0, "")
    assert int(output.stdout) >= least_steps


RACING = """
import sys
from v1registry.storage import FileStorage, KeyConflict
storage = FileStorage(sys.argv[1], durable=False)
me, won = sys.argv[2], 0
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    for name in ("json", "marks/a"):
        storage.write(f"uploads/{number}/{me}/{name}", me.encode())
    try:
        storage.publish(f"uploads/{number}/{me}", f"images/{number}")
        won += 1
    except KeyConflict:
        storage.delete_tree(f"uploads/{number}/{me}")
print(won)
"""


def test_one_of_two_processes_publishes(storage, root):
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACING, str(root), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    assert all(racer.stdout is not None and racer.stdout.readline() == "ready\n" for racer in racers)
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    wins = [int(racer.communicate(timeout=60)[0]) for racer in racers]
    assert sum(wins) == 40
    for number in range(40):
        values = {storage.read(f"images/{number}/{name}")[0] for name in ("json", "marks/a")}
        assert len(values) == 1
    assert os.listdir(root) == ["images"]
