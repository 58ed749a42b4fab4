"""Calls that wait for the disk are made at the same time, by a bounded number of threads of each process."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import support

from v1registry.storage import FileStorage, StorageFull, StorageUnavailable, together
from v1registry.storage.base import KeyNotFound
from v1registry.storage.together import MOST_THREADS, run_together

#: How long a thread waits for others before the test fails.
PATIENCE_S = 30


def failing(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def own_thread() -> threading.Thread:
    return threading.current_thread()


def helpers_with_an_idle_one() -> together._Helpers:
    helpers = together._Helpers()
    assert helpers._make()
    helpers._idle.append(None)
    return helpers


def test_results_are_in_the_order_of_the_calls() -> None:
    assert run_together([partial(pow, 2, number) for number in range(100)]) == [2**n for n in range(100)]


@pytest.mark.parametrize("number", [0, 1])
def test_no_other_thread_makes_a_single_call(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "_helpers", None)
    assert run_together([own_thread] * number) == [threading.current_thread()] * number


def test_calls_are_made_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # threads of earlier calls may not wait again yet
    monkeypatch.setattr(together, "_helpers", together._Helpers())
    barrier = threading.Barrier(4, timeout=PATIENCE_S)
    assert sorted(run_together([barrier.wait] * 4)) == [0, 1, 2, 3]


def test_error_of_each_call_is_raised_after_the_end_of_all() -> None:
    ended: list[int] = []
    for number in range(4):
        calls: list[Callable[[], None]] = [partial(ended.append, other) for other in range(4)]
        calls[number] = failing(OSError(errno.EIO, f"call {number}"))
        with pytest.raises(OSError, match=f"call {number}"):
            run_together(calls)
    assert len(ended) == 12


def test_first_of_several_errors_in_the_order_of_the_calls_is_raised() -> None:
    second_failed = threading.Event()

    def fail_late() -> None:
        assert second_failed.wait(PATIENCE_S)
        raise OSError(errno.EIO, "first")

    def fail_early() -> None:
        second_failed.set()
        raise OSError(errno.ENOSPC, "second")

    with pytest.raises(OSError, match="first"):
        run_together([fail_late, fail_early])


def test_threads_are_bounded_while_many_callers_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "_helpers", together._Helpers())
    earlier = threading.enumerate()
    go_on = threading.Event()
    entered = threading.Semaphore(0)

    def wait() -> None:
        entered.release()
        assert go_on.wait(PATIENCE_S)

    callers = [threading.Thread(target=run_together, args=([wait] * 8,)) for _ in range(8)]
    for caller in callers:
        caller.start()
    for _ in range(MOST_THREADS + len(callers)):
        assert entered.acquire(timeout=PATIENCE_S)
    made = [thread for thread in threading.enumerate() if thread not in earlier]
    helpers = [thread for thread in made if thread.name.startswith("v1registry-sync")]
    go_on.set()
    for caller in callers:
        caller.join(PATIENCE_S)
    assert len(helpers) == MOST_THREADS
    assert all(thread.daemon for thread in helpers)


def test_caller_makes_all_calls_if_the_system_has_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "_helpers", together._Helpers())
    monkeypatch.setattr(
        threading.Thread, "start", lambda thread: failing(RuntimeError("can't start new thread"))()
    )
    assert run_together([own_thread] * 5) == [threading.current_thread()] * 5


def test_no_thread_is_made_for_folders_and_single_values(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "_helpers", together._Helpers())
    storage = FileStorage(root)
    storage.write("a/b/c", b"value")
    storage.write_many({"a/b/c": b"other"})
    storage.delete_tree("a/b")
    assert together._helpers._number == 0


@pytest.mark.parametrize(
    ("module", "question", "patched"),
    [
        ("gevent.monkey", "is_module_patched", "threading"),
        ("gevent.monkey", "is_module_patched", "queue"),
        ("eventlet.patcher", "is_monkey_patched", "thread"),
    ],
)
def test_caller_makes_all_calls_if_threads_are_greenlets(
    monkeypatch: pytest.MonkeyPatch, module: str, question: str, patched: str
) -> None:
    monkeypatch.setitem(sys.modules, module, SimpleNamespace(**{question: lambda name: name == patched}))
    monkeypatch.setattr(together, "_helpers", None)
    assert run_together([own_thread] * 5) == [threading.current_thread()] * 5


IN_A_CHILD = """
import sys, threading
from support.killed_children import run_in_child
from v1registry.storage import FileStorage

def helpers():
    return sum(thread.name.startswith("v1registry-sync") for thread in threading.enumerate())

def publish(name):
    storage.write(f"{name}/new/key", b"value")
    for value in ("json", "layer", "ancestry"):
        storage.write(f"uploads/{name}/{value}", value.encode())
    assert helpers() == made, helpers()
    storage.publish(f"uploads/{name}", f"images/{name}")

def publish_in_child():
    global made
    made = 0
    publish("child")
    assert helpers() > 0

storage = FileStorage(sys.argv[1])
made = 0
publish("parent")
made = helpers()
assert made > 0
assert run_in_child(publish_in_child, is_beside_threads=True) == 0
publish("parent again")
print(*sorted(storage.list_folders("images")))
"""


def test_forked_child_makes_its_own_threads_and_all_end_with_the_processes(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", IN_A_CHILD, str(tmp_path)],
        cwd=Path(support.__file__).parents[1], capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.stdout, ended.stderr) == ("child parent parent again\n", "")


# -- what a FileStorage does at the same time

NAMES = ("_checksum", "ancestry", "json", "layer")


class Disk:
    """Lets all syncs of a step begin before one of them ends, and fails those of some paths."""

    def __init__(self, root: Path) -> None:
        self.barrier: threading.Barrier | None = None
        self.broken = ""
        self.error = errno.EIO
        self._root = root
        self._fsync = os.fsync

    def fsync(self, descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}")).relative_to(self._root)
        if self.barrier is not None:
            self.barrier.wait()
        if str(path) == self.broken:
            raise OSError(self.error, os.strerror(self.error))
        self._fsync(descriptor)


@pytest.fixture
def durable(root: Path) -> FileStorage:
    """Return a storage with four staged values."""
    storage = FileStorage(root)
    storage.write("images/y", b"")
    for name in NAMES:
        storage.write(f"uploads/x/1/{name}", name.encode())
    return storage


@pytest.fixture
def disk(durable: FileStorage, root: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    found = Disk(root)
    monkeypatch.setattr(os, "fsync", found.fsync)
    # threads of earlier calls may not wait again yet
    monkeypatch.setattr(together, "_helpers", together._Helpers())
    return found


def test_files_of_a_publication_are_synced_at_the_same_time(durable: FileStorage, disk: Disk) -> None:
    disk.barrier = threading.Barrier(4, action=lambda: setattr(disk, "barrier", None), timeout=PATIENCE_S)
    durable.publish("uploads/x/1", "images/x")
    assert disk.barrier is None
    assert durable.read("images/x/json")[0] == b"json"


def test_folders_of_a_deletion_are_synced_at_the_same_time(
    durable: FileStorage, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    durable.publish("uploads/x/1", "images/x")
    monkeypatch.setattr(together, "_helpers", helpers_with_an_idle_one())
    disk.barrier = threading.Barrier(2, action=lambda: setattr(disk, "barrier", None), timeout=PATIENCE_S)
    durable.delete_tree("images/x")
    assert disk.barrier is None
    assert list(durable.list("images/x")) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("number", "error"), [(errno.EIO, StorageUnavailable), (errno.ENOSPC, StorageFull)])
def test_fault_of_one_sync_fails_the_publication(
    durable: FileStorage, disk: Disk, name: str, number: int, error: type[Exception]
) -> None:
    disk.broken, disk.error = f"uploads/x/1/{name}", number
    with pytest.raises(error) as caught:
        durable.publish("uploads/x/1", "images/x")
    assert type(caught.value) is error
    with pytest.raises(KeyNotFound):
        durable.stat("images/x/json")
    disk.broken = ""
    durable.publish("uploads/x/1", "images/x")
    assert [stat.key for stat in durable.list("images/x")] == [f"images/x/{name}" for name in NAMES]


@pytest.mark.parametrize("folder", ["images", "images/x"])
def test_fault_of_a_sync_of_a_folder_fails_the_publication(
    durable: FileStorage, disk: Disk, folder: str
) -> None:
    disk.broken = folder
    with pytest.raises(StorageUnavailable):
        durable.publish("uploads/x/1", "images/x")


def test_value_is_linked_only_after_its_sync(durable: FileStorage, disk: Disk) -> None:
    disk.broken = "uploads/x/1/layer"
    for target in ("blobs/x/data", "images/data"):
        with pytest.raises(StorageUnavailable):
            durable.link("uploads/x/1/layer", target)
        with pytest.raises(KeyNotFound):
            durable.stat(target)


def test_link_in_an_existing_folder_syncs_that_folder_alone(
    durable: FileStorage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    durable.write("blobs/x/other", b"")
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    )
    durable.link("uploads/x/1/layer", "blobs/x/data")
    assert synced == [str(root / "uploads/x/1/layer"), str(root / "blobs/x")]
