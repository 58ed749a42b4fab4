"""Calls of a store, several at once.

A thread that asks for them has helpers, which serve all of its iterators. If a helper needs several calls
itself, the idle ones help it too. Each thread makes the calls that no helper has begun, so none of them waits
for a free one: what it waits for has begun.

Requests that make two or three changes at once share the threads of their storage (:class:`Together`).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from ..at_once import Batch, NotWanted, current_batch
from ..base import StorageUnavailable
from ..patience import carried, wait

S = TypeVar("S")
T = TypeVar("T")

#: How many calls run at once at most: those of a thread and of its helpers.
THREADS: Final = 16


class _Helpers:
    """The helpers of one thread. They end with its last iterator."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(
            THREADS - 1, thread_name_prefix="v1registry-objects", initializer=self._begin
        )
        self._lock = threading.Lock()  # guards the number
        self._iterators = 0
        self._have_ended = False

    def _begin(self) -> None:
        _here.helpers = self
        _here.is_helper = True

    def join(self) -> bool:
        """Serve one more iterator; tell whether they have not ended before."""
        with self._lock:
            self._iterators += not self._have_ended
            return not self._have_ended

    def leave(self) -> None:
        """End with the last iterator."""
        with self._lock:
            self._iterators -= 1
            self._have_ended = not self._iterators
        if self._have_ended:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def begin(self, batch: Batch, call: Callable[[S], T], item: S) -> Future[T]:
        """Let a helper make a call."""
        return _begin(self._pool, partial(batch.make, call, item))


class _OfThread(threading.local):
    helpers: _Helpers | None = None
    is_helper = False


_here = _OfThread()


def in_parallel(
    call: Callable[[S], T], items: Iterable[S], *, ahead: int = THREADS, ends_with_calls: bool = False
) -> Generator[T, None, None]:
    """Yield what ``call`` returns for each item, in order, and call it for the next ones meanwhile.

    The first item alone costs no thread, and no more calls than twice the results that were taken are made in
    vain.

    :param ahead: for how many items it is called at most before the first of their results is taken.
    :param ends_with_calls: no call runs any more when the iterator has ended, also if it ended early.
    :raises Exception: what ``call`` raised for an item.
    :raises StorageUnavailable: the request has waited too long for such calls.
    """
    batch, rest = Batch(current_batch()), iter(items)
    for first in rest:
        yield batch.make(call, first)
        break
    waiting: deque[tuple[S, Future[T]]] = deque()
    helpers: _Helpers | None = None
    most = 2
    try:
        for item in rest:
            batch.check()
            if helpers is None:
                helpers = _helpers_of_thread()
            waiting.append((item, helpers.begin(batch, call, item)))
            if len(waiting) >= most:
                yield _result(batch, call, *waiting.popleft())
                most = min(most + 1, ahead)
        while waiting:
            yield _result(batch, call, *waiting.popleft())
    finally:
        batch.has_ended = True
        running = [future for _, future in waiting if not future.cancel()]
        try:
            if ends_with_calls:
                wait_for(running)
        finally:
            if helpers is not None:
                helpers.leave()


def _helpers_of_thread() -> _Helpers:
    helpers = _here.helpers
    if helpers is None or not helpers.join():
        if _here.is_helper:
            # the iterator for which it works has ended
            raise NotWanted
        helpers = _here.helpers = _Helpers()
        helpers.join()
    return helpers


class Together:
    """Makes two or three changes of a request at once, with threads that all requests of a storage share."""

    def __init__(self) -> None:
        # each thread begins when it is needed
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="v1registry-together")

    def make(self, *calls: Callable[[], object]) -> None:
        """Make calls at the same time.

        The thread that asks makes each call that no other thread has begun. So no call waits for a thread.

        :raises Exception: what the first of the calls that failed raised. All of them have ended.
        """
        mine, *others = calls
        futures = [(call, _begin(self._pool, carried(call))) for call in others]
        problems = [_problem_of(mine)]
        for call, future in futures:
            if future.cancel():
                # nothing is begun after a failure
                problems.append(None if any(problems) else _problem_of(call))
                continue
            # a request that has waited too long waits for the end, too: the other thread has the same bound
            with suppress(StorageUnavailable), wait("another call"):
                wait_for([future])
            problems.append(future.exception())
        for problem in problems:
            if problem is not None:
                raise problem


def _begin(pool: ThreadPoolExecutor, call: Callable[[], T]) -> Future[T]:
    """Let a pool make a call. If the system has no thread for it, the call waits for one that is busy."""
    future = Future[T]()
    with suppress(RuntimeError):
        pool.submit(_make, future, call)
    return future


def _make(future: Future[T], call: Callable[[], T]) -> None:
    """Make a call for a future, unless that was cancelled."""
    try:
        if future.set_running_or_notify_cancel():
            future.set_result(call())
    except BaseException as error:  # noqa: BLE001 - it is raised where the result is taken
        future.set_exception(error)
    finally:
        # the exception leads to this frame, which would lead to the exception
        del future


def _problem_of(call: Callable[[], object]) -> BaseException | None:
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - it is raised when no other call runs any more
        return error
    return None


def _result(batch: Batch, call: Callable[[S], T], item: S, future: Future[T]) -> T:
    if future.cancel():
        # no helper has begun it
        return batch.make(call, item)
    with wait("several objects"):
        return future.result()
