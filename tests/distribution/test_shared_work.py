"""Work in threads, once for all requests that need it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.programs import eventually

from v1registry import errors
from v1registry.distribution.shared_work import SharedWork


class Gate:
    """Work that waits until it is opened, and counts how often it was begun."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.begun = threading.Semaphore(0)
        self.count = 0
        self._counting = threading.Lock()

    def __call__(self) -> str:
        with self._counting:
            self.count += 1
        self.begun.release()
        assert self.opened.wait(30)
        return "done"


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


def one() -> int:
    return 1


def two() -> int:
    return 2


def fail() -> int:
    raise ValueError("broken")


def test_results_have_the_keys_of_the_work() -> None:
    work: dict[object, Callable[[], int]] = {"a": one, "b": two}
    assert SharedWork[int](2).run(work, 30) == {"a": 1, "b": 2}


def test_slow_work_is_busy_and_goes_on(gate: Gate) -> None:
    shared = SharedWork[str](1)
    with pytest.raises(errors.ImageBusy) as raised:
        shared.run({"a": gate}, 0.01)
    assert (raised.value.status, raised.value.headers) == (503, {"Retry-After": "10"})
    with pytest.raises(errors.ImageBusy):
        shared.run({"a": gate}, 0)
    gate.opened.set()
    shared.run({"b": lambda: "later"}, 30)
    assert gate.count == 1


def test_requests_for_the_same_work_share_it(gate: Gate) -> None:
    shared = SharedWork[str](4)
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(shared.run, {"a": gate}, 30) for _ in range(8)]
        # a request that comes after the end begins the work again
        eventually(lambda: shared.waiting("") == 8, "all requests wait")
        gate.opened.set()
        assert [future.result(30) for future in futures] == [{"a": "done"}] * 8
    assert gate.count == 1


def test_failure_reaches_the_request_and_is_not_kept() -> None:
    shared = SharedWork[int](1)
    with pytest.raises(ValueError, match="broken"):
        shared.run({"a": fail, "b": one}, 30)
    assert shared.run({"a": one}, 30) == {"a": 1}


def test_too_many_waiting_requests_are_busy_at_once(gate: Gate) -> None:
    shared = SharedWork[str](1, most_waiting=1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(shared.run, {"a": gate}, 30)
        assert gate.begun.acquire(timeout=30)
        with pytest.raises(errors.ImageBusy):
            shared.run({"a": gate}, 30)
        gate.opened.set()
        assert waiting.result(30) == {"a": "done"}


def test_too_much_queued_work_is_busy_at_once(gate: Gate) -> None:
    shared = SharedWork[str](1, most_queued=2)
    with pytest.raises(errors.ImageBusy):
        shared.run({"a": gate, "b": gate, "c": gate, "d": gate}, 0)
    assert gate.begun.acquire(timeout=30)
    with pytest.raises(errors.ImageBusy):
        shared.run({"e": gate}, 30)
    assert gate.count == 1


def test_threads_are_bounded_and_end_without_work(gate: Gate) -> None:
    shared = SharedWork[str](2)
    # threads of other tests may still be ending
    before = set(threading.enumerate())
    with pytest.raises(errors.ImageBusy):
        shared.run(dict.fromkeys(range(10), gate), 0)
    running = [thread for thread in threading.enumerate() if thread not in before]
    assert len(running) == 2
    assert all(thread.daemon for thread in running)
    gate.opened.set()
    for thread in running:
        thread.join(30)
        assert not thread.is_alive()
    assert gate.count == 10


def test_process_ends_although_work_is_running() -> None:
    code = """
    import threading
    from v1registry import errors
    from v1registry.distribution.shared_work import SharedWork

    begun = threading.Event()

    def work() -> None:
        begun.set()
        threading.Event().wait()

    try:
        SharedWork(1).run({"a": work}, 0)
    except errors.ImageBusy:
        begun.wait()
        print("busy")
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "busy\n", "")


# -- clients


def test_one_client_cannot_take_the_place_of_all_waiting_requests(gate: Gate) -> None:
    shared = SharedWork[str](1, most_waiting=4, most_waiting_of_client=2)
    with ThreadPoolExecutor(4) as pool:
        slow = [pool.submit(shared.run, {"a": gate}, 30, "slow") for _ in range(2)]
        eventually(lambda: shared.waiting("slow") == 2, "two requests wait")
        with pytest.raises(errors.ImageBusy):
            shared.run({"a": gate}, 30, "slow")
        other = pool.submit(shared.run, {"a": gate}, 30, "other")
        eventually(lambda: shared.waiting("other") == 1, "a third request waits")
        gate.opened.set()
        assert [future.result(30) for future in (*slow, other)] == [{"a": "done"}] * 3
    assert shared.waiting("slow") == shared.waiting("other") == 0


def test_unknown_clients_have_no_share(gate: Gate) -> None:
    shared = SharedWork[str](1, most_waiting=3, most_waiting_of_client=1)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(shared.run, {"a": gate}, 30) for _ in range(3)]
        eventually(lambda: shared.waiting("") == 3, "three requests wait")
        gate.opened.set()
        assert [future.result(30) for future in waiting] == [{"a": "done"}] * 3


def test_clients_take_turns_at_the_threads(gate: Gate) -> None:
    shared, order = SharedWork[str](1), list[str]()

    def noting(name: str) -> Callable[[], str]:
        def note() -> str:
            order.append(name)
            return name

        return note

    def begin(client: str, *names: str) -> None:
        with pytest.raises(errors.ImageBusy):
            shared.run({name: noting(name) for name in names}, 0, client)

    # the second client gets the thread that is one more, which ends with its work
    for client in ("first", "second"):
        with pytest.raises(errors.ImageBusy):
            shared.run({client: gate}, 0, client)
        assert gate.begun.acquire(timeout=30)
    begin("slow", "s1", "s2", "s3", "s4")
    begin("other", "o1", "o2")
    # what the first client has asked for too comes with the turn of the other one
    begin("third", "s4")
    with ThreadPoolExecutor(1) as pool:
        # while both threads are at work: an idle one would take what comes first
        last = pool.submit(shared.run, {"last": noting("last")}, 30, "slow")
        eventually(lambda: shared.waiting("slow") == 1, "the last request waits")
        gate.opened.set()
        assert last.result(30) == {"last": "last"}
    assert order == ["s1", "o1", "s4", "s2", "o2", "s3", "last"]


def test_one_more_thread_works_if_one_client_has_all_others(gate: Gate) -> None:
    shared = SharedWork[str](2)
    with pytest.raises(errors.ImageBusy):
        shared.run(dict.fromkeys(range(10), gate), 0, "slow")
    for _ in range(2):
        assert gate.begun.acquire(timeout=30)
    assert shared.run({"other": lambda: "quick"}, 30, "other") == {"other": "quick"}
    assert gate.count == 2

    second = Gate()
    with pytest.raises(errors.ImageBusy):
        shared.run({"second": second}, 0, "other")
    assert second.begun.acquire(timeout=30)
    with pytest.raises(errors.ImageBusy):
        shared.run({"third": lambda: "late"}, 0, "third")
    second.opened.set()
    gate.opened.set()
    assert shared.run({"third": lambda: "late"}, 30, "third") == {"third": "late"}


def test_queue_of_one_client_is_bounded(gate: Gate) -> None:
    shared = SharedWork[str](1, most_queued=6, most_queued_of_client=3)

    def begin(client: str, *keys: str) -> None:
        shared.run(dict.fromkeys(keys, gate), 0, client)

    with pytest.raises(errors.ImageBusy):
        begin("", "a")
    assert gate.begun.acquire(timeout=30)
    with pytest.raises(errors.ImageBusy):
        begin("slow", "b", "c", "d")
    # one more thread takes b, because the other one works for another client
    assert gate.begun.acquire(timeout=30)
    with pytest.raises(errors.ImageBusy):
        begin("slow", "e")
    assert shared.is_pending("e")
    with pytest.raises(errors.ImageBusy):
        begin("slow", "x")
    assert not shared.is_pending("x")
    with pytest.raises(errors.ImageBusy):
        begin("other", "f", "g", "h")
    assert shared.is_pending("h")
    with pytest.raises(errors.ImageBusy):
        begin("third", "i")
    assert not shared.is_pending("i")
