"""Calls that wait for the disk, made at the same time.

File systems with a journal join syncs that come together to one write. So four of them take about as long as
one, while one after the other they take four times as long.

The threads are made when they are first needed, and end with the process. A forked child makes its own.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

#: How many threads a process has for such calls. The callers work too, so nothing waits for a free thread.
MOST_THREADS: Final = 16


def run_together(calls: Sequence[Callable[[], T]], *, makes_threads: bool = True) -> list[T]:
    """Make calls that wait for the disk, all at the same time; return their results in the same order.

    All of them have ended when it returns or raises. This thread makes the calls that no other thread has
    begun. With gevent or eventlet in place of threads it makes all of them: a greenlet would not wait for the
    disk alone.

    :param calls: they may run in any order, in other threads, and must not wait for each other.
    :param makes_threads: False if only threads help that were made before, so that a process that makes few
        changes and then forks has none.
    :raises Exception: what the first of the calls that failed has raised.
    """
    if len(calls) < 2:
        return [call() for call in calls]
    batch = _Batch(calls)
    if not _are_threads_greenlets():
        _helpers.help(batch, len(calls) - 1, makes_threads=makes_threads)
    batch.work()
    return batch.results()


class _Batch(Generic[T]):
    """Calls that several threads make."""

    def __init__(self, calls: Sequence[Callable[[], T]]) -> None:
        self._number = len(calls)
        self._waiting = deque(enumerate(calls))
        self._ended: SimpleQueue[tuple[int, T | None, BaseException | None]] = SimpleQueue()

    def work(self) -> None:
        """Make calls until no call waits. Other threads may still be at work then."""
        while True:
            try:
                number, call = self._waiting.popleft()
            except IndexError:
                return
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 (it is raised in the thread that waits)
                self._ended.put((number, None, error))
            else:
                self._ended.put((number, result, None))

    def results(self) -> list[Any]:
        """Wait for the end of all calls; return what they returned.

        :raises BaseException: what the first of the calls that failed has raised.
        """
        ended = sorted((self._ended.get() for _ in range(self._number)), key=lambda one: one[0])
        for _, _, error in ended:
            if error is not None:
                raise error
        return [result for _, result, _ in ended]


class _Helpers:
    """The threads of a process that help with batches."""

    def __init__(self) -> None:
        self._batches: SimpleQueue[_Batch[Any]] = SimpleQueue()
        self._idle: deque[None] = deque()  # one item for each thread that waits
        self._making = threading.Lock()  # guards the number
        self._number = 0

    def help(self, batch: _Batch[Any], most: int, *, makes_threads: bool) -> None:
        """Let up to ``most`` threads work on a batch.

        :param makes_threads: whether some are made if too few are idle.
        """
        for _ in range(min(most, MOST_THREADS)):
            try:
                self._idle.pop()
            except IndexError:
                if not makes_threads or not self._make():
                    return
            self._batches.put(batch)

    def _make(self) -> bool:
        """Start one more thread, unless there are as many as there may be."""
        with self._making:
            if self._number >= MOST_THREADS:
                return False
            thread = threading.Thread(target=self._run, name=f"v1registry-sync-{self._number}", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # the system has no more threads, or the process ends
                return False
            self._number += 1
            return True

    def _run(self) -> None:
        while True:
            self._batches.get().work()
            self._idle.append(None)


_helpers = _Helpers()


def _forget_helpers() -> None:
    """Begin without threads: those of the parent are not in a forked child."""
    global _helpers
    _helpers = _Helpers()


os.register_at_fork(after_in_child=_forget_helpers)


def _are_threads_greenlets() -> bool:
    """Tell whether gevent or eventlet has replaced the threads of this process, or what passes them work."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    return (gevent is not None and any(map(gevent.is_module_patched, ("threading", "queue")))) or (
        eventlet is not None and any(map(eventlet.is_monkey_patched, ("thread", "queue")))
    )
