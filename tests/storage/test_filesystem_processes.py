"""FileStorage beside other processes: killed writers, updates at the same time, full disks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.folder import files_below, keys_of

from v1registry.storage import (
    FileStorage,
    KeyNotFound,
    StorageUnavailable,
    update,
)

PRELUDE = "import sys\nfrom v1registry.storage import *\nstorage = FileStorage(sys.argv[1])\n"


class Process:
    """A Python program over the same folder. It is killed at the end of the context."""

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


def test_killed_writer_leaves_nothing_visible(storage, root):
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


def test_STO_012_killed_writer_leaves_no_half_of_a_value(root):
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


def test_lock_of_a_killed_process_is_free(impatient, root):
    program = """
from v1registry.storage.disk import Disk
from v1registry.storage.folders import Folders
folders = Folders(Disk(storage.path, is_durable=False), lock_timeout_s=0)
with folders.locked("a", storage.path + "/a", made_in=set()):
    print("locked", flush=True)
    sys.stdin.readline()
"""
    with Process(program, root) as holder:
        assert holder.line() == "locked"
        with pytest.raises(StorageUnavailable):
            impatient.write("a/b", b"value")
        holder.kill()
    impatient.write("a/b", b"value")
    assert files_below(root) == {"a/b"}


def test_STO_018_no_update_of_two_processes_is_lost(storage, root):
    program = """
for _ in range(100):
    update(storage, "a/counter", lambda old: str(int(old or b"0") + 1).encode())
"""
    with Process(program, root) as one, Process(program, root) as other:
        one.end()
        other.end()
    assert storage.read("a/counter")[0] == b"200"
    assert files_below(root) == {"a/counter"}


def test_STO_018_processes_in_one_folder_lose_nothing(storage, root):
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


def test_STO_018_no_write_fails_while_its_tree_is_deleted(storage, root):
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


def test_full_disk_leaves_the_old_value_and_no_leftovers(storage, root):
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


def test_update_of_a_key_in_a_deleted_folder_starts_again(storage):
    storage.write("a/b", b"old")

    def change(old: bytes | None) -> bytes:
        if old is not None:
            storage.delete_tree("a")
        return (old or b"") + b"new"

    assert update(storage, "a/b", change) == (None, b"new")
