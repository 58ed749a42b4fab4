"""Requests remove a few expired things of others each, so none of them waits for that."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import pytest
from obstore.store import MemoryStore
from support.clock import Clock
from support.counted_objects import CountedObjects, count_calls

from v1registry import MemoryStorage
from v1registry.registry.expiry import EXPIRY_S, Expiry
from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.storage import StorageUnavailable
from v1registry.storage.objects import Groups, ObjectStorage

#: How often a process looks, in seconds, and at how many kinds of things in turn.
EACH_S = 10
KINDS = 5


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time())


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> CountedObjects:
    return count_calls(monkeypatch)


def digits(number: int) -> str:
    return f"{number * 7919:032x}"


def keys_of_push(number: int) -> list[str]:
    """Return the keys of an unfinished push of an image: a value, and two counters."""
    image, owner, name = digits(number), digits(number % 3), digits(number + 1)
    return [
        f"uploads/{image}/{owner}-{name}/json",
        f"uploads/_bytes/{owner}/{image}.{name}/json.1",
        f"uploads/_repositories/{name}/{image}.{owner}/json.1",
    ]


def records_of(number: int) -> list[str]:
    return [f"uploads/_announced/{digits(number)}/{number}", f"uploads/_deleted/n{number}/r"]


def write_all(storage: MemoryStorage | ObjectStorage, numbers: range) -> None:
    for number in numbers:
        for key in (*keys_of_push(number), *records_of(number)):
            storage.write(key, b"x")


def tidy_often(expiry: Expiry, clock: Clock, times: int) -> None:
    for _ in range(times):
        expiry.tidy()
        clock.now_s += EACH_S


@pytest.mark.parametrize("is_expired", [False, True])
def test_request_makes_few_calls_of_an_object_store(counted: CountedObjects, clock: Clock, is_expired: bool):
    store, groups = MemoryStore(), Groups(KEY_GROUPS)
    write_all(ObjectStorage(store, groups=groups, clock=clock), range(60))
    # a process that has seen nothing of it
    expiry = Expiry(ObjectStorage(store, groups=groups, clock=clock), clock=clock)
    clock.now_s += EXPIRY_S + 60 if is_expired else 0
    most = []
    for _ in range(50):
        with counted.counting() as calls:
            expiry.tidy()
        most.append(len(calls))
        clock.now_s += EACH_S
    # a list, two calls for each of four folders, and what it reads ahead; to remove a push, some for each of
    # its three folders
    assert max(most) <= (36 if is_expired else 16)


def test_expired_things_are_gone_after_some_requests_in_a_row(clock: Clock):
    storage = MemoryStorage(clock=clock)
    write_all(storage, range(40))
    clock.now_s += EXPIRY_S + 60
    expiry = Expiry(storage, clock=clock)
    left = []
    for _ in range(60):
        expiry.tidy()
        left.append(len(list(storage.list("uploads/"))))
        # one that finds nothing waits
        clock.now_s += EACH_S if len(left) > 1 and left[-2] == left[-1] else 0
    assert left[-1] == 0
    # four pushes with their counters at most
    assert all(before - after <= 12 for before, after in itertools.pairwise(left))


def test_expired_push_is_found_among_many_that_go_on(clock: Clock):
    storage = MemoryStorage(clock=clock)
    write_all(storage, range(1))
    clock.now_s += EXPIRY_S + 60
    write_all(storage, range(1, 50))
    tidy_often(Expiry(storage, clock=clock), clock, KINDS * (50 // 4 + 2))
    left = {stat.key for stat in storage.list("uploads/")}
    assert not left & {*keys_of_push(0), *records_of(0)}
    assert len(left) == 49 * 5


def test_requests_within_ten_seconds_look_once(clock: Clock):
    looked: list[str] = []

    class Storage(MemoryStorage):
        def list_folders(self, folder: str, *, after: str = "") -> Iterator[str]:
            looked.append(folder)
            return super().list_folders(folder, after=after)

    expiry = Expiry(Storage(clock=clock), clock=clock)
    for _ in range(3):
        expiry.tidy()
    assert looked == ["uploads"]
    tidy_often(expiry, clock, KINDS + 1)
    # announcements and notes of deletions are records, which are listed
    assert looked == ["uploads", "uploads/_bytes", "uploads/_repositories", "uploads"]


def test_failing_storage_is_asked_again_after_ten_minutes(clock: Clock, caplog: pytest.LogCaptureFixture):
    class Storage(MemoryStorage):
        calls = 0

        def list_folders(self, folder: str, *, after: str = "") -> Iterator[str]:
            self.calls += 1
            raise StorageUnavailable(folder, "it is away")

    storage = Storage(clock=clock)
    expiry = Expiry(storage, clock=clock)
    tidy_often(expiry, clock, 60)
    assert storage.calls == 1
    assert "it is away" in caplog.text
    expiry.tidy()
    assert storage.calls == 2


def test_request_does_not_wait_for_one_that_removes(clock: Clock):
    entered, may_go_on = threading.Event(), threading.Event()

    class Storage(MemoryStorage):
        def list_folders(self, folder: str, *, after: str = "") -> Iterator[str]:
            entered.set()
            assert may_go_on.wait(60)
            return super().list_folders(folder, after=after)

    expiry = Expiry(Storage(clock=clock), clock=clock)
    other = threading.Thread(target=expiry.tidy)
    other.start()
    assert entered.wait(60)
    clock.now_s += EACH_S
    expiry.tidy()
    may_go_on.set()
    other.join(60)
    assert not other.is_alive()


def test_start_of_a_server_removes_what_has_expired_of_all_kinds(clock: Clock):
    storage = MemoryStorage(clock=clock)
    write_all(storage, range(40))
    clock.now_s += EXPIRY_S + 60
    write_all(storage, range(40, 42))
    Expiry(storage, clock=clock).tidy_at_start()
    assert len(list(storage.list("uploads/"))) == 10


def test_counters_that_stay_do_not_hide_one_that_is_removed(clock: Clock):
    storage = MemoryStorage(clock=clock)
    owner = digits(0)
    counters = [f"uploads/_bytes/{owner}/{digits(number)}.{digits(number + 1)}/json.1" for number in range(9)]
    for key in counters:
        storage.write(key, b"x")
    clock.now_s += EXPIRY_S + 60
    for number in range(8):
        # these pushes go on
        storage.write(f"uploads/{digits(number)}/{owner}-{digits(number + 1)}/json", b"x")
    tidy_often(Expiry(storage, clock=clock), clock, KINDS * 60)
    assert [stat.key for stat in storage.list("uploads/_bytes/")] == sorted(counters[:8])
