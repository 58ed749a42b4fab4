"""How long threads wait for an object store that does not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from obstore.store import MemoryStore
from v1registry_fakes.contracts.storage_sharing import at_once

from v1registry.storage import StorageFull, StorageUnavailable
from v1registry.storage.objects import ObjectStorage
from v1registry.storage.objects import store as store_module
from v1registry.storage.objects.failures import StoreFailed
from v1registry.storage.objects.store import ObjectAccess, Version
from v1registry.storage.objects.turns import Turn

THREADS = 6


class Outage:
    """A store that fails when all threads but one are waiting, and counts its calls."""

    def __init__(self, error: StorageUnavailable) -> None:
        self._error = error
        self.calls = 0
        self.come = 0
        self.all_came = threading.Condition()

    def arrive(self) -> None:
        """Note that a thread goes to a lock."""
        with self.all_came:
            self.come += 1
            self.all_came.notify_all()

    def fail(self, *_args: object) -> Version:
        self.calls += 1
        with self.all_came:
            assert self.all_came.wait_for(lambda: self.come >= THREADS, 60)
        raise self._error


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch) -> Outage:
    """Return an outage whose threads are counted when they have begun to wait."""
    return watched(monkeypatch, Outage(StoreFailed("a/b", "timed out")))


def watched(monkeypatch: pytest.MonkeyPatch, outage: Outage) -> Outage:
    class Lock:
        """Counts a thread after it has looked at the failures before."""

        def __init__(self) -> None:
            self._lock = threading.RLock()

        def acquire(self, timeout: float) -> bool:
            outage.arrive()
            return self._lock.acquire(timeout=timeout)

        def release(self) -> None:
            self._lock.release()

    monkeypatch.setattr("v1registry.storage.objects.turns.RLock", Lock)
    return outage


def failures_of(write: Callable[[int], object]) -> list[str]:
    def failure(number: int) -> str:
        with pytest.raises(StorageUnavailable) as caught:
            write(number)
        return caught.value.reason

    return at_once(failure, threads=THREADS)


def test_writers_of_one_group_share_the_failure_of_the_first(outage, monkeypatch):
    storage = ObjectStorage(MemoryStore())
    storage.write("a/b", b"value")
    outage.come = 0
    monkeypatch.setattr(ObjectAccess, "put", outage.fail)
    monkeypatch.setattr(ObjectAccess, "get", outage.fail)
    assert failures_of(lambda number: storage.write(f"a/{number}", b"value")) == ["timed out"] * THREADS
    # the write of the first one, and its look whether that happened
    assert outage.calls == 2


def test_writers_share_the_failure_of_the_first_probe(outage, monkeypatch):
    access = ObjectAccess(MemoryStore())
    monkeypatch.setattr(store_module, "probe", outage.fail)
    assert failures_of(lambda _: access.conditions()) == ["timed out"] * THREADS
    assert outage.calls == 1


def test_probe_is_repeated_after_a_failure(monkeypatch):
    access = ObjectAccess(MemoryStore())
    outage = Outage(StoreFailed("probes", "timed out"))
    outage.come = THREADS
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "probe", outage.fail)
        for _ in range(2):
            with pytest.raises(StoreFailed):
                access.conditions()
    assert outage.calls == 2
    assert access.conditions()


def test_change_ends_with_the_first_probe_that_fails(monkeypatch):
    storage = ObjectStorage(MemoryStore())
    outage = Outage(StoreFailed("probes", "timed out"))
    outage.come = THREADS
    monkeypatch.setattr(store_module, "probe", outage.fail)
    with pytest.raises(StoreFailed, match="timed out"):
        storage.write("a/b", b"value")
    assert outage.calls == 1


@pytest.mark.parametrize("error", [StorageFull("a/b", "full"), StorageUnavailable("a/b", "not a document")])
def test_failure_of_one_document_is_not_shared(monkeypatch, error):
    outage = watched(monkeypatch, Outage(error))
    turn = Turn()

    def hold(_number: int) -> None:
        with turn.taken("a/b"):
            outage.fail()

    assert failures_of(hold) == [error.reason] * THREADS
    assert outage.calls == THREADS


def test_wait_for_other_threads_is_part_of_the_time_of_a_change():
    storage = ObjectStorage(MemoryStore(), deadline_s=0)

    def write(_number: int) -> None:
        with pytest.raises(StorageUnavailable, match="wait for the object store too long"):
            storage.write("a/b", b"value")

    with storage._committer.locked("a/b", storage._group("a/b")):
        at_once(write, threads=1)
    storage.write("a/b", b"value")


def test_change_whose_time_is_over_raises_the_failure_of_the_store(monkeypatch):
    storage = ObjectStorage(MemoryStore(), deadline_s=0)
    storage.write("a/b", b"value")
    outage = Outage(StoreFailed("a/b", "timed out"))
    outage.come = THREADS
    monkeypatch.setattr(ObjectAccess, "put", outage.fail)
    with pytest.raises(StoreFailed, match="timed out"):
        storage.write("a/b", b"other")
    assert outage.calls == 1
