"""The threads of the worker of ``serve``."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class ThreadPool(Generic[T]):
    """Threads that are started when they are needed, up to a bound. They end with the process.

    :param most: the bound.
    :param work: what a thread does with a job. It raises nothing.
    """

    def __init__(self, most: int, work: Callable[[T], None]):
        self._most = most
        self._work = work
        self._jobs: queue.SimpleQueue[T] = queue.SimpleQueue()
        self._idle: deque[None] = deque()  # one item for each thread that waits
        self._number = 0

    def put(self, job: T) -> None:
        """Give a job to a thread. Only one thread may call it."""
        self._jobs.put(job)
        try:
            self._idle.pop()
        except IndexError:
            if self._number < self._most:
                self._number += 1
                threading.Thread(target=self._run, daemon=True, name=f"serve-{self._number}").start()

    def _run(self) -> None:
        while True:
            self._work(self._jobs.get())
            self._idle.append(None)
