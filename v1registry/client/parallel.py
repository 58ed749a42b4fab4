"""A few threads that stop together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from queue import SimpleQueue
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

#: How long the others may take to notice that one failed, in seconds. One that waits for the network is left behind.
_GRACE_S = 1.0


class Stopped(Exception):
    """Another thread failed, or the user interrupted: nobody wants this thread's result any more."""


class Workers:
    """Threads for one push or pull: a context manager. Once one fails, :meth:`check` ends the others.

    Leaving the block waits for all that was submitted; leaving it with an exception calls off what has not begun, and
    does not wait for threads that the network holds up. They are daemons, so a process can end meanwhile, and they call
    :meth:`check` before they touch anything again.
    """

    def __init__(self, count: int):
        self._count = count
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._futures: list[Future[Any]] = []
        self._stop = threading.Event()

    def submit(self, work: Callable[[], object]) -> None:
        """Let a thread do ``work`` when one is free."""
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
            except BaseException as exc:  # noqa: BLE001  handed on to the thread that joins
                self._stop.set()
                future.set_exception(exc)

    def map(self, work: Callable[[T], object], items: Sequence[T]) -> None:
        """Do ``work`` for every item. The first failure is raised."""
        for item in items:
            self.submit(lambda item=item: work(item))  # type: ignore[misc]
        self.join()

    def join(self) -> None:
        """Wait for all that was submitted. The failure that stopped the others is raised."""
        futures, self._futures = self._futures, []
        wait(futures, return_when=FIRST_EXCEPTION)
        if self.has_failed:
            done, _ = wait(futures, timeout=_GRACE_S)
            failures = [error for future in done if (error := future.exception()) is not None]
            for error in sorted(failures, key=lambda error: isinstance(error, Stopped)):
                raise error

    @property
    def has_failed(self) -> bool:
        """Whether the rest need not be begun: ``join`` will raise."""
        return self._stop.is_set()

    def check(self) -> None:
        """End this thread if another one failed. Stopped."""
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
