"""FileStorage: the contract, and what is in its folder: names, modes, etags and listings."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from support.folder import STALE, files_below, keys_of
from v1registry_fakes.contracts import StorageContract

from v1registry.storage import ABSENT, FileStorage, InvalidKey, KeyConflict, KeyNotFound, StorageUnavailable
from v1registry.storage.base import CHUNK_BYTES


class TestContract(StorageContract):
    @pytest.fixture
    def storage(self, tmp_path):
        return FileStorage(tmp_path / "root")


# -- construction


def test_folder_is_shared_by_processes(storage):
    assert storage.shared_by_processes is True


def test_nothing_is_opened_or_made_before_the_first_write(root):
    before = os.listdir("/proc/self/fd")
    storage = FileStorage(root)
    assert list(storage.list("")) == []
    assert list(storage.list_folders("")) == []
    storage.delete_tree("a")
    for missing in (storage.stat, storage.read, storage.open, storage.delete):
        with pytest.raises(KeyNotFound):
            missing("a/b")
    assert not root.exists()
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_relative_path_is_resolved_at_construction(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    storage = FileStorage("here", durable=False)
    monkeypatch.chdir("/")
    storage.write("a", b"value")
    assert (tmp_path / "here" / "a").read_bytes() == b"value"
    assert str(tmp_path / "here") in repr(storage)


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_invalid_path_is_rejected_at_construction(path):
    with pytest.raises(ValueError, match="must be the path of a folder"):
        FileStorage(path)


def test_negative_timeout_is_rejected_at_construction(tmp_path):
    with pytest.raises(ValueError, match="0 or more"):
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
def test_url_names_a_folder(url, path):
    assert FileStorage.from_url(url).path == path


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:srv/registry", "not absolute"),
        ("file:", "not absolute"),
        ("file://", "not absolute"),
        ("file://srv/registry", "'srv' is in the place of a host"),
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
def test_invalid_url_is_rejected_with_what_is_expected(url, reason):
    with pytest.raises(ValueError, match="expected file:///absolute/path") as caught:
        FileStorage.from_url(url)
    assert reason in str(caught.value)
    assert repr(url) in str(caught.value)


# -- what is in the folder


def test_key_is_a_file_and_nothing_else_remains(storage, root):
    storage.write("images/abc/json", b"{}")
    storage.write("images/abc/layer", [b"layer"])
    storage.write("images/abc/json", b"{ }")
    assert files_below(root) == {"images/abc/json", "images/abc/layer"}
    assert (root / "images/abc/json").read_bytes() == b"{ }"


def test_files_of_other_programs_are_keys(storage, root):
    (root / "images").mkdir(parents=True)
    (root / "images/json").write_bytes(b"{}")
    assert storage.read("images/json")[0] == b"{}"
    assert keys_of(storage) == ["images/json"]


def test_modes_follow_the_umask(storage, root):
    old = os.umask(0o027)
    try:
        storage.write("a/b", b"value")
    finally:
        os.umask(old)
    assert (root / "a/b").stat().st_mode & 0o777 == 0o640
    assert (root / "a").stat().st_mode & 0o777 == 0o750


def test_folders_but_the_root_vanish_with_their_last_key(storage, root):
    storage.write("a/b/c/d", b"value")
    storage.write("a/e", b"value")
    storage.delete("a/b/c/d")
    assert os.listdir(root / "a") == ["e"]
    storage.delete("a/e")
    assert os.listdir(root) == []


def test_failed_write_leaves_no_folders(storage, root):
    storage.write("a", b"value")
    with pytest.raises(KeyConflict):
        storage.write("b/c/d", b"value", expect="some etag")
    assert os.listdir(root) == ["a"]


@pytest.mark.parametrize("name", ["layer", "n" * 200, "n" * 255])
def test_unfinished_value_is_beside_its_place_and_hidden(storage, root, name):
    def watching() -> Iterator[bytes]:
        yield b"x"
        (temporary,) = os.listdir(root / "a")
        assert temporary.startswith(f".{name[:200]}")
        assert temporary.endswith(".tmp")
        assert len(temporary) <= 255
        assert keys_of(storage) == []
        assert list(storage.list_folders("")) == []
        with pytest.raises(InvalidKey):
            storage.read(f"a/{temporary}")[0]

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


def test_paths_too_long_for_keys_are_not_listed(storage, root):
    storage.write("a", b"value")
    deep = root / "b".ljust(250, "b") / "c".ljust(250, "c") / "d".ljust(250, "d") / "e".ljust(250, "e")
    deep.mkdir(parents=True)
    longest, too_long = "f" * 20, "f" * 21
    (deep / longest).write_bytes(b"")
    (deep / too_long).write_bytes(b"")
    assert [key for key in keys_of(storage) if len(key) > 1] == [str((deep / longest).relative_to(root))]


def test_special_files_are_not_found(storage, root):
    storage.write("a/b", b"value")
    os.mkfifo(root / "a/pipe")
    for operation in (storage.stat, storage.read, storage.open):
        with pytest.raises(KeyNotFound):
            operation("a/pipe")
    assert keys_of(storage) == ["a/b"]


def test_root_that_is_a_file_is_unavailable(root):
    root.write_bytes(b"")
    storage = FileStorage(root)
    with pytest.raises(StorageUnavailable, match="Not a directory"):
        storage.write("a/b", b"value")
    with pytest.raises(KeyNotFound):
        storage.read("a/b")[0]


# -- etags


def test_value_written_again_has_a_different_etag(storage):
    etags = [storage.write("a", value).etag for value in [b"A", b"B"] * 200]
    assert len(set(etags)) == len(etags)


def test_time_of_a_value_is_finer_than_that_of_the_kernel(storage, root, monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_123_456_789)
    written = storage.write("a", b"A")
    assert written.modified == datetime(2023, 11, 14, 22, 13, 20, 123_456, tzinfo=timezone.utc)
    assert (root / "a").stat().st_mtime_ns == 1_700_000_000_123_456_789


def test_old_etag_of_a_value_written_again_is_a_conflict(storage):
    first = storage.write("a", b"A").etag
    storage.write("a", b"B")
    storage.write("a", b"A")
    with pytest.raises(KeyConflict):
        storage.write("a", b"C", expect=first)


def test_change_in_place_by_an_old_server_changes_the_etag(storage, root):
    first = storage.write("a", b"A").etag
    (root / "a").write_bytes(b"B")
    assert storage.stat("a").etag != first


# -- reading


def test_file_cut_while_it_is_read_is_unavailable(storage, root):
    storage.write("a", b"x" * 3 * CHUNK_BYTES)
    with storage.open("a") as blob:
        pieces = iter(blob)
        next(pieces)
        os.truncate(root / "a", CHUNK_BYTES + 10)
        with pytest.raises(StorageUnavailable, match="ends at"):
            list(pieces)


def test_file_that_grows_while_it_is_read_keeps_its_size(storage, root):
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
        with pytest.raises(KeyConflict):
            storage.write("a/b", b"value", expect=ABSENT)
        with pytest.raises(ValueError, match="range"):
            storage.open("a/b", -1)
        storage.open("a/b").close()
        for reader in (storage.read, storage.open):
            with pytest.raises(KeyNotFound):
                reader("a")
        next(storage.list(""))
        next(storage.list_folders(""))
        storage.delete("a/b")
        storage.write("a/b", b"value")
        storage.delete_tree("a")
    assert len(os.listdir("/proc/self/fd")) == before


# -- listing


def test_listing_reads_only_the_folders_that_it_needs(storage, monkeypatch):
    for number in range(20):
        storage.write(f"a/{number:02}/x", b"value")
    looked_into: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: looked_into.append(os.fspath(path)) or scandir(path))
    assert [stat.key for stat in itertools.islice(storage.list("a/", after="a/17/x"), 1)] == ["a/18/x"]
    # the folder itself, 17 because it may hold more after x, and 18
    assert len(looked_into) == 3
    looked_into.clear()
    assert list(itertools.islice(storage.list_folders("a"), 2)) == ["00", "01"]
    assert len(looked_into) == 3


def test_keys_deleted_during_a_listing_are_left_out(storage):
    for key in ("a/1", "a/2", "b/1", "c/1"):
        storage.write(key, b"value")
    listing = storage.list("")
    folders = storage.list_folders("")
    assert (next(listing).key, next(folders)) == ("a/1", "a")
    storage.delete("a/2")
    storage.delete_tree("b")
    assert [stat.key for stat in listing] == ["c/1"]
    assert list(folders) == ["c"]


def test_private_folders_and_files_have_owner_modes(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "store")
    before = os.umask(0)
    try:
        storage.write("accounts/users/alice", b"hash")
        storage.write("accounts/users/alice", b"another hash")
        storage.write("images/0/json", b"{}")
    finally:
        os.umask(before)

    def mode(key: str) -> int:
        return (tmp_path / "store" / key).stat().st_mode & 0o777

    assert [mode(key) for key in ("accounts", "accounts/users", "accounts/users/alice")] == [
        0o700,
        0o700,
        0o600,
    ]
    assert [mode(key) for key in ("images", "images/0/json")] == [0o777, 0o666]
