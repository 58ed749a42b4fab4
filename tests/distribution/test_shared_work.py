"""Work in threads, once for all requests that need it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from v1registry import errors
from v1registry.distribution.shared_work import SharedWork


class Gate:
    """Work that waits until it is opened, and counts how often it was begun."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.begun = threading.Semaphore(0)
        self.count = 0

    def __call__(self) -> str:
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
        assert gate.begun.acquire(timeout=30)
        gate.opened.set()
        results = [future.result(30)["a"] for future in futures]
    # a request that came after the end begins again
    assert set(results) == {"done"}
    assert gate.count <= 2


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
    with pytest.raises(errors.ImageBusy):
        shared.run(dict.fromkeys(range(10), gate), 0)
    running = [thread for thread in threading.enumerate() if thread.name == "v1registry conversion"]
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
