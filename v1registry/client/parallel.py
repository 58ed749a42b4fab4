"""A pool of threads that stop together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from queue import SimpleQueue
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

#: How long other threads may take to stop after a failure, in seconds. Threads that wait for the network are
#: abandoned.
_GRACE_S = 1.0


class Stopped(Exception):
    """Another thread failed, or the user interrupted; this thread must end."""


class Workers:
    """Threads for one push or pull, and a context manager. If one fails, :meth:`check` ends the others.

    Leaving the block waits for all submitted work. Leaving it with an exception cancels work that has not
    begun, and does not wait for threads that wait for the network; ``concurrent.futures`` cannot abandon
    these. They are daemons, so the process can end, and they call :meth:`check` before they change anything.

    :param count: the most threads.
    """

    def __init__(self, count: int):
        self._count = count
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._futures: list[Future[Any]] = []
        self._stop = threading.Event()

    def submit(self, work: Callable[[], object]) -> None:
        """Run ``work`` in the next free thread."""
        future: Future[Any] = Future()
        self._futures.append(future)
        self._queue.put((future, work))
        if len(self._threads) < self._count:
            thread = threading.Thread(target=self._run, name="v1registry client", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            future, work = item
            try:
                self.check()
                future.set_result(work())
            except BaseException as exc:  # noqa: BLE001  raised in the thread that joins
                self._stop.set()
                future.set_exception(exc)

    def map(self, work: Callable[[T], object], items: Sequence[T]) -> None:
        """Run ``work`` for every item, and wait.

        :raises BaseException: the first failure.
        """
        if len(items) == 1 and not self._futures:
            work(items[0])  # this thread would only wait
            return
        for item in items:
            self.submit(lambda item=item: work(item))  # type: ignore[misc]
        self.join()

    def join(self) -> None:
        """Wait for all submitted work.

        :raises BaseException: the failure that stopped the others.
        """
        futures, self._futures = self._futures, []
        wait(futures, return_when=FIRST_EXCEPTION)
        if self.has_failed:
            done, _ = wait(futures, timeout=_GRACE_S)
            failures = [error for future in done if (error := future.exception()) is not None]
            for error in sorted(failures, key=lambda error: isinstance(error, Stopped)):
                raise error

    @property
    def has_failed(self) -> bool:
        """True if a thread failed, so that ``join`` will raise."""
        return self._stop.is_set()

    def check(self) -> None:
        """End this thread if another one failed.

        :raises Stopped: another thread failed.
        """
        if self._stop.is_set():
            raise Stopped

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stop.set()
        for _ in self._threads:
            self._queue.put(None)
        until = time.monotonic() + _GRACE_S
        for thread in self._threads:
            thread.join(None if kind is None else max(until - time.monotonic(), 0))
