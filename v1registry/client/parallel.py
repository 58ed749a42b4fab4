"""A few threads that stop together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """Another thread failed, or the user interrupted: nobody wants this thread's result any more."""


class Workers:
    """Threads for one push or pull: a context manager. Once one fails, :meth:`check` ends the others.

    Leaving the block waits for all that was submitted; leaving it with an exception calls off what has not begun.
    """

    def __init__(self, count: int):
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="v1registry-client")
        self._stop = threading.Event()
        self._futures: list[Future[object]] = []

    def submit(self, work: Callable[[], T]) -> Future[T]:
        future = self._pool.submit(self._run, work)
        self._futures.append(future)  # type: ignore[arg-type]  # only waited for
        return future

    def _run(self, work: Callable[[], T]) -> T:
        self.check()
        try:
            return work()
        except BaseException:
            self._stop.set()
            raise

    def map(self, work: Callable[[T], object], items: Sequence[T]) -> None:
        """Do ``work`` for every item. The first failure is raised."""
        for item in items:
            self.submit(lambda item=item: work(item))  # type: ignore[misc]
        self.join()

    def join(self) -> None:
        """Wait for all that was submitted. The failure that stopped the others is raised."""
        futures, self._futures = self._futures, []
        wait(futures)
        failures = [error for future in futures if (error := future.exception()) is not None]
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
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
