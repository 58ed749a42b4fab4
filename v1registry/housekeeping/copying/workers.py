"""Several values at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event
from types import TracebackType
from typing import Final

#: How many tasks wait for each thread.
_WAITING: Final = 4

#: How long the thread of the run waits before it looks around, in seconds.
_LOOK_EACH_S: Final = 1.0


class Workers:
    """Runs tasks in threads. A context manager, whose end cancels what has not begun.

    :param threads: how many tasks run at a time.
    :param look: called by the thread of the run now and then.
    :param cancelled: is set if the tasks shall end early.
    """

    def __init__(self, threads: int, look: Callable[[], None], cancelled: Event):
        self._most = threads * (1 + _WAITING)
        self._look = look
        self._cancelled = cancelled
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="v1registry-copy")
        self._running: set[Future[None]] = set()
        #: whether each task that began has done its work, though an interruption may have kept others
        self.are_done = False

    def do(self, task: Callable[[], None]) -> None:
        """Run a task, now or later. What an earlier one raised is raised here."""
        while len(self._running) >= self._most:
            self._wait()
        self._look()
        self._running.add(self._pool.submit(task))

    def finish(self) -> None:
        """Wait until all tasks have ended."""
        while self._running:
            self._wait()

    def _wait(self) -> None:
        done, _ = wait(self._running, _LOOK_EACH_S, FIRST_COMPLETED)
        self._look()
        for future in done:
            future.result()
        self._running -= done

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._cancelled.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        has_failed = any(not task.cancelled() and task.exception() for task in self._running)
        self.are_done = not has_failed and (kind is None or issubclass(kind, KeyboardInterrupt))
