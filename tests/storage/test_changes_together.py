"""Independent changes of one request: at once in a distant storage, else one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from obstore.store import MemoryStore
from support.slow_objects import MOST_S, open_slowly

from v1registry import MemoryStorage
from v1registry.storage import StorageUnavailable, patience
from v1registry.storage.at_once import together
from v1registry.storage.base import StorageFull
from v1registry.storage.objects import ObjectStorage
from v1registry.storage.objects.parallel import THREADS


@pytest.fixture
def storage() -> ObjectStorage:
    return ObjectStorage(MemoryStore())


def failing(error: Exception) -> Callable[[], None]:
    def change() -> None:
        raise error

    return change


def test_changes_of_a_distant_storage_overlap(storage: ObjectStorage) -> None:
    both = threading.Barrier(2)
    together(storage, lambda: both.wait(30), lambda: both.wait(30))


def test_changes_of_memory_are_made_in_order_by_this_thread() -> None:
    made = list[tuple[int, int]]()
    changes = [lambda number=number: made.append((number, threading.get_ident())) for number in range(3)]
    together(MemoryStorage(), *changes)
    assert made == [(number, threading.get_ident()) for number in range(3)]


def test_first_failure_is_raised_after_the_end_of_all(storage: ObjectStorage) -> None:
    has_begun, has_ended = threading.Event(), threading.Event()
    mine = StorageFull("mine", "it is full")

    def first() -> None:
        assert has_begun.wait(30)
        raise mine

    def second() -> None:
        has_begun.set()
        storage.write("b/key", b"")
        has_ended.set()
        raise StorageFull("other", "it is full")

    with pytest.raises(StorageFull) as raised:
        together(storage, first, second)
    assert raised.value is mine
    assert has_ended.is_set()


def test_failure_in_another_thread_is_raised(storage: ObjectStorage) -> None:
    with pytest.raises(StorageFull):
        together(storage, lambda: storage.write("a/key", b""), failing(StorageFull("b", "it is full")))
    assert storage.read("a/key")[0] == b""


def test_changes_need_no_free_thread(storage: ObjectStorage) -> None:
    are_all_busy, may_end = threading.Barrier(THREADS + 1), threading.Event()

    def hold() -> None:
        are_all_busy.wait(30)
        assert may_end.wait(30)

    requests = [
        threading.Thread(target=together, args=(storage, lambda: may_end.wait(30), hold))
        for _ in range(THREADS)
    ]
    for request in requests:
        request.start()
    are_all_busy.wait(30)
    made = list[int]()
    together(storage, *(lambda: made.append(threading.get_ident()) for _ in range(2)))
    may_end.set()
    for request in requests:
        request.join()
    assert made == 2 * [threading.get_ident()]


def test_change_is_made_although_no_thread_can_be_started(
    storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, has_begun, made = threading.Event(), threading.Event(), list[tuple[str, int]]()

    def hold() -> None:
        has_begun.set()
        assert may_end.wait(30)

    request = threading.Thread(target=together, args=(storage, lambda: None, hold))
    request.start()
    # the pool has one thread, which is busy, and could make the change later
    assert has_begun.wait(30)

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        changes = [lambda name=name: made.append((name, threading.get_ident())) for name in ("a", "b")]
        together(storage, *changes)
    may_end.set()
    request.join()
    together(storage, lambda: None, lambda: None)
    assert made == [("a", threading.get_ident()), ("b", threading.get_ident())]


def test_state_from_before_is_not_used_afterwards() -> None:
    store = MemoryStore()
    storage, other = ObjectStorage(store), ObjectStorage(store)
    storage.write("a/key", b"old")
    with storage.moment():
        assert storage.read("a/key")[0] == b"old"
        together(storage, lambda: None, lambda: other.write("a/key", b"new"))
        assert storage.read("a/key")[0] == b"new"


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> ObjectStorage:
    storage, slow = open_slowly(monkeypatch)
    storage.write("a/key", b"")
    slow.takes_s = 9.0
    return storage


def test_waits_of_other_threads_are_bounded(slow: ObjectStorage) -> None:
    failures, both = list[str](), threading.Barrier(2)

    def read() -> None:
        both.wait(30)
        try:
            for _ in range(int(MOST_S)):
                slow.folder_version("b")
                slow.read("a/key")
        except StorageUnavailable as error:
            failures.append(error.reason)
            raise

    with patience.request(), slow.moment(), pytest.raises(StorageUnavailable, match="waited too long"):
        together(slow, read, read)
    assert len(failures) == 2


def test_other_threads_have_no_more_time_to_clean_up(slow: ObjectStorage) -> None:
    reads, both = list[int](), threading.Barrier(2)

    def clean_up() -> None:
        both.wait(30)
        with patience.cleanup():
            for number in range(int(MOST_S)):
                slow.folder_version("b")
                slow.read("a/key")
                reads.append(number)

    with patience.request(), slow.moment(), pytest.raises(StorageUnavailable, match="waited too long"):
        together(slow, clean_up, clean_up)
    # 10 s for calls of 9 s: the second one of each thread begins only if the other thread has waited for none
    assert len(reads) <= 1
