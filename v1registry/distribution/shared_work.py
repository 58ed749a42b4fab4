"""Work that takes longer than a request waits: done in threads, once for all requests that need it.

``concurrent.futures`` waits for its threads when the process ends. These are daemons, so a process ends at
once, and what was not finished is done again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from typing import Any, Generic, TypeVar

from .. import errors

T = TypeVar("T")


class SharedWork(Generic[T]):
    """A bounded number of threads, and the work that waits for them. Safe for threads.

    A thread ends if no work is left.

    :param threads: how many threads work at once.
    :param most_waiting: how many requests may wait for results at once.
    :param most_queued: how much work may wait for a thread; one request may bring more if there is none.
    """

    def __init__(self, threads: int, *, most_waiting: int = 16, most_queued: int = 2000):
        self._most_threads = threads
        self._most_waiting = most_waiting
        self._most_queued = most_queued
        self._mutex = threading.Lock()  # guards all that follows
        self._threads = 0
        self._waiting = 0
        self._queue: deque[tuple[Hashable, Callable[[], T]]] = deque()
        self._pending: dict[Hashable, Future[T]] = {}

    def run(self, work: Mapping[Hashable, Callable[[], T]], wait_s: float | None) -> dict[Hashable, T]:
        """Do all work, and return the results.

        Work with a key that is being done already, or waits for a thread, is not begun again.

        :param wait_s: how long to wait, in seconds; None for ever. The work goes on afterwards.
        :raises ImageBusy: it takes longer, or too many requests wait, or too much work does.
        :raises BaseException: the first failure.
        """
        with self._mutex:
            futures = self._submit(work)
            if self._waiting >= self._most_waiting:
                raise errors.ImageBusy
            self._waiting += 1
        try:
            finished, unfinished = wait(futures.values(), wait_s, FIRST_EXCEPTION)
        finally:
            with self._mutex:
                self._waiting -= 1
        for future in finished:
            error = future.exception()
            if error is not None:
                raise error
        if unfinished:
            raise errors.ImageBusy
        return {key: future.result() for key, future in futures.items()}

    def _submit(self, work: Mapping[Hashable, Callable[[], T]]) -> dict[Hashable, Future[T]]:
        new = [key for key in work if key not in self._pending]
        if self._queue and len(self._queue) + len(new) > self._most_queued:
            raise errors.ImageBusy
        for key in new:
            self._pending[key] = Future()
            self._queue.append((key, work[key]))
        futures = {key: self._pending[key] for key in work}
        for _ in range(min(self._most_threads - self._threads, len(new))):
            threading.Thread(target=self._work, name="v1registry conversion", daemon=True).start()
            self._threads += 1
        return futures

    def _work(self) -> None:
        while True:
            with self._mutex:
                if not self._queue:
                    self._threads -= 1
                    return
                key, work = self._queue.popleft()
                future = self._pending[key]
            result: Any = None
            error: BaseException | None = None
            try:
                result = work()
            except BaseException as exc:  # noqa: BLE001  raised in the requests that wait
                error = exc
            with self._mutex:
                del self._pending[key]
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
