"""FileStorage: the contract, and what is its own: the folder on the disk, other processes, kills and full disks."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from v1registry_fakes.contracts import StorageContract

from v1registry.storage import (
    ABSENT,
    Conflict,
    FileStorage,
    InvalidKey,
    NotFound,
    StorageFull,
    StorageUnavailable,
    update,
)
from v1registry.storage.base import CHUNK_BYTES

STALE = ".layer.0123456789abcdef.tmp"


class TestContract(StorageContract):
    @pytest.fixture
    def storage(self, tmp_path):
        return FileStorage(tmp_path / "root")


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def storage(root) -> FileStorage:
    return FileStorage(root, durable=False)


@pytest.fixture
def impatient(root) -> FileStorage:
    """The same folder through another object, which is kept out by ``storage`` as another process is."""
    return FileStorage(root, durable=False, lock_timeout_s=0)


def files_below(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def keys_of(storage: FileStorage, prefix: str = "") -> list[str]:
    return [stat.key for stat in storage.list(prefix)]


# -- construction


def test_it_is_shared_by_processes(storage):
    assert storage.shared_by_processes is True


def test_nothing_is_opened_or_made_before_the_first_write(root):
    before = os.listdir("/proc/self/fd")
    storage = FileStorage(root)
    assert list(storage.list("")) == []
    assert list(storage.list_folders("")) == []
    storage.delete_tree("a")
    for missing in (storage.stat, storage.read, storage.open, storage.delete):
        with pytest.raises(NotFound):
            missing("a/b")
    assert not root.exists()
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_relative_path_is_taken_from_the_folder_of_the_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    storage = FileStorage("here", durable=False)
    monkeypatch.chdir("/")
    storage.write("a", b"value")
    assert (tmp_path / "here" / "a").read_bytes() == b"value"
    assert str(tmp_path / "here") in repr(storage)


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_what_is_no_path_is_refused_at_once(path):
    with pytest.raises(ValueError, match="expected the path of a folder"):
        FileStorage(path)


def test_a_negative_time_to_wait_is_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match="0 s or more"):
        FileStorage(tmp_path, lock_timeout_s=-1)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///srv/registry", "/srv/registry"),
        ("file:///srv/registry/", "/srv/registry"),
        ("file:/srv/registry", "/srv/registry"),
        ("file://localhost/srv/registry", "/srv/registry"),
        ("file:///srv/my%20registry%3F%23%25", "/srv/my registry?#%"),
        ("file:///srv/b%C3%BCro", "/srv/büro"),
    ],
)
def test_a_url_names_a_folder(url, path):
    assert FileStorage.from_url(url).path == path


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:srv/registry", "not absolute"),
        ("file:", "not absolute"),
        ("file://", "not absolute"),
        ("file://srv/registry", "'srv' stands where a host would"),
        ("file://localhost", "not absolute"),
        ("file:///", "names no folder"),
        ("file:///srv/a%00b", "names no folder"),
        ("file:///srv/registry?durable=no", "no query"),
        ("file:///srv/registry#x", "no query and no fragment"),
        ("/srv/registry", "does not begin with file:"),
        ("memory:", "does not begin with file:"),
        ("file://[/srv", "IPv6"),
    ],
)
def test_an_odd_url_is_refused_with_what_was_expected(url, reason):
    with pytest.raises(ValueError, match="expected file:///absolute/path") as caught:
        FileStorage.from_url(url)
    assert reason in str(caught.value)
    assert repr(url) in str(caught.value)


# -- what is in the folder


def test_a_key_is_a_file_and_nothing_else_remains(storage, root):
    storage.write("images/abc/json", b"{}")
    storage.write("images/abc/layer", [b"layer"])
    storage.write("images/abc/json", b"{ }")
    assert files_below(root) == {"images/abc/json", "images/abc/layer"}
    assert (root / "images/abc/json").read_bytes() == b"{ }"


def test_files_of_others_are_keys(storage, root):
    (root / "images").mkdir(parents=True)
    (root / "images/json").write_bytes(b"{}")
    assert storage.read("images/json") == b"{}"
    assert keys_of(storage) == ["images/json"]


def test_rights_are_those_of_the_umask(storage, root):
    old = os.umask(0o027)
    try:
        storage.write("a/b", b"value")
    finally:
        os.umask(old)
    assert (root / "a/b").stat().st_mode & 0o777 == 0o640
    assert (root / "a").stat().st_mode & 0o777 == 0o750


def test_folders_vanish_with_their_last_key_but_not_the_root(storage, root):
    storage.write("a/b/c/d", b"value")
    storage.write("a/e", b"value")
    storage.delete("a/b/c/d")
    assert os.listdir(root / "a") == ["e"]
    storage.delete("a/e")
    assert os.listdir(root) == []


def test_a_failed_write_leaves_no_folders(storage, root):
    storage.write("a", b"value")
    with pytest.raises(Conflict):
        storage.write("b/c/d", b"value", expect="some etag")
    assert os.listdir(root) == ["a"]


def test_a_lock_leaves_no_folders(storage, root):
    with storage.lock("a/b/c"):
        assert (root / "a/b/c").is_dir()
    assert os.listdir(root) == []


@pytest.mark.parametrize("name", ["layer", "n" * 200, "n" * 255])
def test_an_unfinished_value_lies_beside_its_place_and_is_no_key(storage, root, name):
    def watching() -> Iterator[bytes]:
        yield b"x"
        (temporary,) = os.listdir(root / "a")
        assert temporary.startswith(f".{name[:200]}")
        assert temporary.endswith(".tmp")
        assert len(temporary) <= 255
        assert keys_of(storage) == []
        assert list(storage.list_folders("")) == []
        with pytest.raises(InvalidKey):
            storage.read(f"a/{temporary}")

    storage.write(f"a/{name}", watching())
    assert os.listdir(root / "a") == [name]


def test_names_that_cannot_be_keys_are_not_listed(storage, root):
    storage.write("a/b", b"value")
    for name in ("ä", "a\\b", "a\nb", ".x.tmp", STALE):
        (root / "a" / name).write_bytes(b"")
        (root / name).mkdir()
        (root / name / "c").write_bytes(b"")
    Path(os.fsdecode(os.fsencode(root / "a") + b"/\xff")).write_bytes(b"")
    assert keys_of(storage) == ["a/b"]
    assert list(storage.list_folders("")) == ["a"]


def test_paths_that_are_too_long_for_keys_are_not_listed(storage, root):
    storage.write("a", b"value")
    deep = root / "b".ljust(250, "b") / "c".ljust(250, "c") / "d".ljust(250, "d") / "e".ljust(250, "e")
    deep.mkdir(parents=True)
    longest, too_long = "f" * 20, "f" * 21
    (deep / longest).write_bytes(b"")
    (deep / too_long).write_bytes(b"")
    assert [key for key in keys_of(storage) if len(key) > 1] == [str((deep / longest).relative_to(root))]


def test_what_is_neither_file_nor_folder_is_not_there(storage, root):
    storage.write("a/b", b"value")
    os.mkfifo(root / "a/pipe")
    for operation in (storage.stat, storage.read, storage.open):
        with pytest.raises(NotFound):
            operation("a/pipe")
    assert keys_of(storage) == ["a/b"]


def test_a_root_that_is_a_file_is_told(root):
    root.write_bytes(b"")
    storage = FileStorage(root)
    with pytest.raises(StorageUnavailable, match="Not a directory"):
        storage.write("a/b", b"value")
    with pytest.raises(NotFound):
        storage.read("a/b")


# -- etags


def test_a_value_that_comes_back_has_another_etag(storage):
    etags = [storage.write("a", value).etag for value in [b"A", b"B"] * 200]
    assert len(set(etags)) == len(etags)


def test_the_etag_of_a_value_that_came_back_is_a_conflict(storage):
    first = storage.write("a", b"A").etag
    storage.write("a", b"B")
    storage.write("a", b"A")
    with pytest.raises(Conflict):
        storage.write("a", b"C", expect=first)


def test_a_change_by_an_old_server_in_place_changes_the_etag(storage, root):
    first = storage.write("a", b"A").etag
    (root / "a").write_bytes(b"B")
    assert storage.stat("a").etag != first


# -- reading


def test_a_file_that_is_cut_while_it_is_read_is_told(storage, root):
    storage.write("a", b"x" * 3 * CHUNK_BYTES)
    with storage.open("a") as blob:
        pieces = iter(blob)
        next(pieces)
        os.truncate(root / "a", CHUNK_BYTES + 10)
        with pytest.raises(StorageUnavailable, match="ended at"):
            list(pieces)


def test_a_file_that_grows_while_it_is_read_gives_what_was_announced(storage, root):
    storage.write("a", b"x" * 100)
    with storage.open("a") as blob:
        with (root / "a").open("ab") as file:
            file.write(b"y" * 100)
        assert (blob.stat.size, blob.read()) == (100, b"x" * 100)


def test_nothing_stays_open(storage):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        storage.write("a/b", b"value")
        storage.write("a/b", [b"value"], expect=storage.stat("a/b").etag)
        with pytest.raises(Conflict):
            storage.write("a/b", b"value", expect=ABSENT)
        with pytest.raises(ValueError, match="range"):
            storage.open("a/b", -1)
        storage.open("a/b").close()
        for reader in (storage.read, storage.open):
            with pytest.raises(NotFound):
                reader("a")
        with storage.lock("a"), storage.lock("a"):
            pass
        next(storage.list(""))
        next(storage.list_folders(""))
        storage.delete("a/b")
        storage.write("a/b", b"value")
        storage.delete_tree("a")
    assert len(os.listdir("/proc/self/fd")) == before


# -- symbolic links


def test_links_of_the_operator_are_followed(storage, root, tmp_path):
    other_disk = tmp_path / "other disk"
    (other_disk / "abc").mkdir(parents=True)
    (other_disk / "layer").write_bytes(b"layer")
    root.mkdir()
    (root / "images").symlink_to(other_disk)
    (other_disk / "abc/layer").symlink_to(other_disk / "layer")
    storage.write("images/abc/json", b"{}")
    assert keys_of(storage) == ["images/abc/json", "images/abc/layer", "images/layer"]
    assert list(storage.list_folders("images")) == ["abc"]
    assert storage.read("images/abc/layer") == b"layer"
    assert (other_disk / "abc/json").read_bytes() == b"{}"


def test_a_link_is_replaced_or_deleted_itself(storage, root, tmp_path):
    target = tmp_path / "target"
    target.write_bytes(b"target")
    storage.write("a/b", b"value")
    for key in ("a/c", "a/d"):
        (root / key).symlink_to(target)
    storage.write("a/c", b"new")
    storage.delete("a/d")
    assert keys_of(storage) == ["a/b", "a/c"]
    assert target.read_bytes() == b"target"


def test_a_linked_folder_is_not_replaced_or_deleted_as_a_key(storage, root, tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target/b").write_bytes(b"target")
    root.mkdir()
    (root / "a").symlink_to(tmp_path / "target")
    with pytest.raises(InvalidKey):
        storage.write("a", b"value")
    with pytest.raises(NotFound):
        storage.delete("a")
    assert keys_of(storage) == ["a/b"]


def test_deleting_a_tree_does_not_follow_links_out_of_it(storage, root, tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target/x").write_bytes(b"target")
    storage.write("a/b", b"value")
    (root / "a/c").symlink_to(tmp_path / "target")
    storage.delete_tree("a")
    assert os.listdir(root) == []
    assert (tmp_path / "target/x").read_bytes() == b"target"


def test_deleting_the_tree_behind_a_link_empties_it(storage, root, tmp_path):
    (tmp_path / "target/c").mkdir(parents=True)
    root.mkdir()
    (root / "a").symlink_to(tmp_path / "target")
    storage.write("a/b", b"value")
    storage.write("a/c/d", b"value")
    storage.delete_tree("a")
    assert keys_of(storage) == []
    assert os.listdir(tmp_path / "target") == []


def test_links_that_lead_nowhere_or_back_are_not_listed(storage, root):
    storage.write("a/b/c", b"value")
    (root / "a/gone").symlink_to(root / "nothing")
    (root / "a/self").symlink_to(root / "a/self")
    (root / "a/b/back").symlink_to(root / "a")
    (root / "a/b/top").symlink_to(root)
    assert keys_of(storage) == ["a/b/c"]
    assert list(storage.list_folders("a")) == ["b"]
    for key in ("a/gone", "a/self"):
        with pytest.raises(NotFound):
            storage.read(key)


# -- listing


def test_a_listing_looks_only_into_the_folders_that_it_needs(storage, monkeypatch):
    for number in range(20):
        storage.write(f"a/{number:02}/x", b"value")
    looked_into: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: looked_into.append(os.fspath(path)) or scandir(path))
    assert [stat.key for stat in itertools.islice(storage.list("a/", after="a/17/x"), 1)] == ["a/18/x"]
    # the folder itself, 17 as it may hold more after x, and 18
    assert len(looked_into) == 3
    looked_into.clear()
    assert list(itertools.islice(storage.list_folders("a"), 2)) == ["00", "01"]
    assert len(looked_into) == 3


def test_what_vanishes_while_a_listing_runs_is_left_out(storage):
    for key in ("a/1", "a/2", "b/1", "c/1"):
        storage.write(key, b"value")
    listing = storage.list("")
    folders = storage.list_folders("")
    assert (next(listing).key, next(folders)) == ("a/1", "a")
    storage.delete("a/2")
    storage.delete_tree("b")
    assert [stat.key for stat in listing] == ["c/1"]
    assert list(folders) == ["c"]


# -- leftovers of the killed


def test_a_streamed_write_sweeps_what_nobody_has_locked(storage, root):
    storage.write("a/json", b"{}")
    (root / "a" / STALE).write_bytes(b"half a layer")
    storage.write("a/json", b"{ }")
    assert STALE in os.listdir(root / "a")
    storage.write("a/layer", [b"layer"])
    assert files_below(root) == {"a/json", "a/layer"}


def test_a_streamed_write_leaves_what_somebody_is_writing(storage, impatient, root):
    def overtaken() -> Iterator[bytes]:
        yield b"slow"
        impatient.write("a/layer", [b"fast"])
        storage.write("a/other", [b"fast"])

    storage.write("a/layer", overtaken())
    assert storage.read("a/layer") == b"slow"
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
    assert storage.read_with_stat("a/b/layer") == (b"x" * 2 * CHUNK_BYTES + b"y", stat)
    assert files_below(root) == {"a/b/layer"}


def test_a_folder_that_becomes_a_key_while_a_value_comes_is_told(storage, root):
    def overtaken() -> Iterator[bytes]:
        yield b"x"
        storage.delete_tree("a")
        storage.write("a", b"value")

    with pytest.raises(InvalidKey):
        storage.write("a/b/c", overtaken())
    assert files_below(root) == {"a"}


# -- locks


def test_a_lock_keeps_out_another_process(storage, impatient):
    storage.write("a/b", b"value")
    with storage.lock("a"):
        with pytest.raises(StorageUnavailable, match="not free within 0 s"), impatient.lock("a"):
            pytest.fail("a lock was given twice")
        with impatient.lock("b"), impatient.lock("a/b-c"):
            pass
        assert impatient.read("a/b") == b"value"
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
    assert storage.read("a/b/c") == b"other"


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
    assert storage.read_with_stat("a/b") == (b"old", old)
    assert files_below(root) == {"a/b"}


def test_a_disk_that_takes_little_at_a_time_gets_all(storage, monkeypatch):
    write = os.write
    value = os.urandom(300_000)
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:4096]))
    storage.write("a/b", [value[:200_000], value[200_000:]])
    assert storage.read("a/b") == value


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
    with pytest.raises(NotFound):
        storage.read("images/a/layer")
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
        assert all(len(set(storage.read(key))) == 1 for key in sizes)


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
        storage.write("b/counter", str(int(storage.read("b/counter")) + 1).encode())
"""
    storage.write("b/counter", b"0")
    with Process(program, root) as one, Process(program, root) as other:
        one.end()
        other.end()
    assert (storage.read("a/counter"), storage.read("b/counter")) == (b"200", b"200")
    assert files_below(root) == {"a/counter", "b/counter"}


def test_STO_018_processes_that_write_and_delete_in_one_folder_lose_nothing(storage, root):
    program = """
import os
for number in range(100):
    key = f"a/b/{os.getpid()}-{number}"
    storage.write(key, [b"value"])
    assert storage.read(key) == b"value"
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
for number in range(100):
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
    assert storage.read("a/b") == b"old"
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

    assert update(storage, "a/b", change) == b"new"
