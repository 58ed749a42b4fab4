"""Independent calls of a distant storage: how many run at once, their order, and their end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore

from v1registry import FileStorage, MemoryStorage, Storage
from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.storage.at_once import NotWanted, at_once, check_wanted, do_at_once
from v1registry.storage.base import StorageUnavailable
from v1registry.storage.objects import Groups, ObjectStorage
from v1registry.storage.objects.parallel import THREADS


class Gauge:
    """Counts how many calls run at once.

    :param least: calls for items from ``first`` on wait until so many run.
    """

    def __init__(self, least: int = 1, first: int = 0):
        self._least, self._first = least, first
        self._are_enough = threading.Event()
        self._lock = threading.Lock()
        self.running = self.most = self.begun = 0

    def call(self, item: int) -> int:
        with self._lock:
            self.running += 1
            self.begun += 1
            self.most = max(self.most, self.running)
            if self.running >= self._least:
                self._are_enough.set()
        if item >= self._first:
            assert self._are_enough.wait(30)
        with self._lock:
            self.running -= 1
        return item


@pytest.fixture
def storage() -> ObjectStorage:
    return ObjectStorage(MemoryStore())


def test_results_come_in_the_order_of_the_items(storage: ObjectStorage) -> None:
    order, second_is_done = [], threading.Event()

    def call(number: int) -> int:
        if number == 1:
            assert second_is_done.wait(30)
        order.append(number)
        if number == 2:
            second_is_done.set()
        return number

    assert list(at_once(storage, call, range(50))) == [*range(50)]
    assert order.index(2) < order.index(1)


def test_as_many_calls_as_allowed_run_at_once(storage: ObjectStorage) -> None:
    # their number grows with the results that were taken; one of the threads may wait for a result
    gauge = Gauge(THREADS - 1, first=3 * THREADS)
    assert list(at_once(storage, gauge.call, range(20 * THREADS))) == [*range(20 * THREADS)]
    assert THREADS - 1 <= gauge.most <= THREADS


def nested(storage: Storage, gauge: Gauge, depth: int) -> Callable[[int], int]:
    """Return a call that makes others, which make others."""

    def call(item: int) -> int:
        if not depth:
            return gauge.call(item)
        return sum(at_once(storage, nested(storage, gauge, depth - 1), range(6)))

    return call


def test_calls_that_make_others_are_bounded_together(storage: ObjectStorage) -> None:
    gauge = Gauge()
    assert list(at_once(storage, nested(storage, gauge, 3), range(5))) == [6 * 6 * 15] * 5
    assert gauge.begun == 5 * 6**3
    assert 1 <= gauge.most <= THREADS


def test_iterators_of_one_thread_are_bounded_together(storage: ObjectStorage) -> None:
    gauge = Gauge()
    numbers: Iterable[int] = range(200)
    for _ in range(4):
        numbers = at_once(storage, gauge.call, numbers)
    assert list(numbers) == [*range(200)]
    assert gauge.most <= THREADS


def test_idle_threads_help_the_last_call(storage: ObjectStorage) -> None:
    gauge = Gauge(2, first=1)

    def call(item: int) -> int:
        return item if item < 20 else sum(at_once(storage, gauge.call, range(21)))

    assert list(at_once(storage, call, range(21))) == [*range(20), sum(range(21))]
    assert gauge.most >= 2


def test_failing_call_ends_the_iterator_in_its_turn(storage: ObjectStorage) -> None:
    def call(number: int) -> int:
        if number >= 30:
            raise StorageUnavailable(f"key-{number}", "the store is down")
        return number

    results, found = at_once(storage, call, range(1000)), list[int]()
    with pytest.raises(StorageUnavailable, match="key-30"):
        while True:
            found.append(next(results))
    assert found == [*range(30)]


def test_no_call_runs_after_an_early_end(storage: ObjectStorage) -> None:
    running, gone_on = threading.Semaphore(0), threading.Event()
    ended: list[int] = []

    def call(number: int) -> int:
        if number > 1:
            running.release()
            gone_on.wait(30)
            ended.append(number)
        return number

    results = at_once(storage, call, range(1000))
    assert [next(results), next(results)] == [0, 1]
    assert running.acquire(timeout=30)
    threading.Timer(0, gone_on.set).start()
    results.close()
    count = len(ended)
    assert 1 <= count <= 2
    gone_on.set()
    assert len(ended) == count


def test_long_call_ends_when_its_result_is_not_wanted(storage: ObjectStorage) -> None:
    began, seen = threading.Event(), list[type[BaseException]]()

    def inner(number: int) -> int:
        began.set()
        try:
            while True:
                check_wanted()
        except NotWanted as error:
            seen.append(type(error))
            raise

    def call(number: int) -> int:
        return number if number < 2 else sum(at_once(storage, inner, [number]))

    results = at_once(storage, call, range(1000))
    next(results)
    next(results)
    assert began.wait(30)
    results.close()
    assert seen
    assert set(seen) == {NotWanted}


def test_interrupted_consumer_waits_for_running_calls(storage: ObjectStorage) -> None:
    gauge = Gauge()
    with pytest.raises(KeyboardInterrupt), closing(at_once(storage, gauge.call, range(1000))) as results:
        for _ in results:
            raise KeyboardInterrupt
    assert gauge.running == 0
    assert gauge.begun < 10


def test_changes_are_made_for_all_items(storage: ObjectStorage) -> None:
    do_at_once(storage, lambda number: storage.write(f"a/{number}", b"x"), range(40))
    assert len(list(storage.list("a/"))) == 40
    with pytest.raises(ZeroDivisionError):
        do_at_once(storage, lambda number: 1 // number, range(40))


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_storages_that_answer_at_once_need_no_thread(kind: str, tmp_path: Path) -> None:
    storage: Any = MemoryStorage() if kind == "memory" else FileStorage(tmp_path)
    threads = set(at_once(storage, lambda _: threading.current_thread(), range(40)))
    assert threads == {threading.current_thread()}


def test_state_of_a_moment_ends_with_each_result(storage: ObjectStorage) -> None:
    other = ObjectStorage(storage._access.store)
    storage.write("a/key", b"old")
    with storage.moment():
        assert storage.read("a/key")[0] == b"old"
        for number in at_once(storage, lambda number: number, range(3)):
            value = str(number).encode()
            other.write("a/key", value)
            # what was read before is older than the result
            with closing(at_once(storage, lambda number: number, [0])) as results:
                next(results)
                assert storage.read("a/key")[0] == value


def test_calls_are_made_although_no_thread_can_be_started(
    storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert list(at_once(storage, lambda number: 2 * number, range(40))) == [*range(0, 80, 2)]


def test_nothing_is_removed_after_a_failed_removal(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = ObjectStorage(MemoryStore(), groups=Groups(KEY_GROUPS))
    folder = "repositories/team/app"
    for number in range(8):
        storage.write(f"{folder}/_v2/blobs/{number:02}{'a' * 62}", b"{}")
    put, is_slow, has_failed, running = storage._access.put, threading.Event(), threading.Event(), set[str]()

    def slow_put(name: str, *args: Any) -> Any:
        running.add(name)
        if "blobs/03" in name:
            is_slow.set()
            # it would end long after the failure
            has_failed.wait(30)
        if "blobs/02" in name:
            assert is_slow.wait(30)
            threading.Timer(0.2, has_failed.set).start()
            raise StorageUnavailable(name, "a fault of the test")
        try:
            return put(name, *args)
        finally:
            running.discard(name)

    monkeypatch.setattr(storage._access, "put", slow_put)
    with pytest.raises(StorageUnavailable, match="a fault of the test"):
        storage.delete_tree(folder)
    assert {name for name in running if "blobs/02" not in name} == set()
