"""Work that takes longer than a request waits: done in threads, once for all requests that need it.

``concurrent.futures`` waits for its threads when the process ends. These are daemons, so a process ends at
once, and what was not finished is done again.

Clients take turns, so that the slow work of one client does not keep others waiting.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from typing import Any, Generic, TypeVar

from .. import errors

T = TypeVar("T")


class SharedWork(Generic[T]):
    """A bounded number of threads, and the work that waits for them. Safe for threads.

    A thread ends if no work is left. A client is a user or an address; the empty text stands for an unknown
    one, which has no share of its own.

    :param threads: how many threads work at once. One more works if all others work for one client and
        another client waits.
    :param most_waiting: how many requests may wait for results at once.
    :param most_waiting_of_client: how many of them may be of one client.
    :param most_queued: how much work may wait for a thread; one request may bring more if there is none.
    :param most_queued_of_client: the same for the work of one client.
    """

    def __init__(
        self,
        threads: int,
        *,
        most_waiting: int = 64,
        most_waiting_of_client: int = 16,
        most_queued: int = 2000,
        most_queued_of_client: int = 1000,
    ):
        self._most_threads = threads
        self._most_waiting = most_waiting
        self._most_waiting_of_client = most_waiting_of_client
        self._most_queued = most_queued
        self._most_queued_of_client = most_queued_of_client
        self._mutex = threading.Lock()  # guards all that follows
        self._threads = 0
        self._waiting: Counter[str] = Counter()  # client -> requests
        #: client -> keys, in the order of the turns. A key may be in several queues, or be done meanwhile
        self._queues: dict[str, dict[Hashable, None]] = {}
        self._unbegun: dict[Hashable, Callable[[], T]] = {}
        self._pending: dict[Hashable, Future[T]] = {}
        self._running: Counter[str] = Counter()  # client -> threads that work for it

    def run(
        self, work: Mapping[Hashable, Callable[[], T]], wait_s: float | None, client: str = ""
    ) -> dict[Hashable, T]:
        """Do all work, and return the results.

        Work with a key that is being done already, or waits for a thread, is not begun again.

        :param wait_s: how long to wait, in seconds; None for no limit. The work goes on afterwards.
        :param client: for whom it is done.
        :raises ImageBusy: it takes longer, or too many requests wait, or too much work does.
        :raises BaseException: the first failure.
        """
        with self._mutex:
            futures = self._submit(work, client)
            if self._is_full(client):
                raise errors.ImageBusy
            self._waiting[client] += 1
        try:
            finished, unfinished = wait(futures.values(), wait_s, FIRST_EXCEPTION)
        finally:
            with self._mutex:
                _count_down(self._waiting, client)
        for future in finished:
            error = future.exception()
            if error is not None:
                raise error
        if unfinished:
            raise errors.ImageBusy
        return {key: future.result() for key, future in futures.items()}

    def waiting(self, client: str) -> int:
        """Return how many requests of a client wait."""
        with self._mutex:
            return self._waiting[client]

    def is_pending(self, key: Hashable) -> bool:
        """Tell whether work with a key is being done, or waits for a thread."""
        with self._mutex:
            return key in self._pending

    # -- inside

    def _is_full(self, client: str) -> bool:
        """Tell whether no further request of a client may wait."""
        if self._waiting.total() >= self._most_waiting:
            return True
        return client != "" and self._waiting[client] >= self._most_waiting_of_client

    def _submit(self, work: Mapping[Hashable, Callable[[], T]], client: str) -> dict[Hashable, Future[T]]:
        """Put work into the queue of a client, and start threads for it.

        :raises ImageBusy: too much work waits already.
        """
        queue = self._queues.get(client, {})
        # work that waits for the turn of another client waits for that of this one too
        new = [key for key in work if key not in queue and (key in self._unbegun or key not in self._pending)]
        queued = sum(map(len, self._queues.values()))
        if queued and queued + len(new) > self._most_queued:
            raise errors.ImageBusy
        if queue and client and len(queue) + len(new) > self._most_queued_of_client:
            raise errors.ImageBusy
        for key in new:
            if key not in self._pending:
                self._pending[key] = Future()
                self._unbegun[key] = work[key]
            queue[key] = None
        if queue:
            self._queues[client] = queue
        futures = {key: self._pending[key] for key in work}
        for _ in range(min(self._most_threads - self._threads, len(new))):
            self._start_thread()
        if new and self._is_one_more_needed(client):
            self._queues = {client: queue, **self._queues}
            self._start_thread()
        return futures

    def _is_one_more_needed(self, client: str) -> bool:
        """Tell whether all threads work for one client, which is a different one."""
        if self._threads != self._most_threads or not client or client in self._running:
            return False
        return self._running.total() == self._threads and len(self._running) == 1

    def _start_thread(self) -> None:
        threading.Thread(target=self._work, name="v1registry conversion", daemon=True).start()
        self._threads += 1

    def _next(self) -> tuple[str, Hashable, Callable[[], T]] | None:
        """Return the work whose turn it is, and its client; None if there is none."""
        while self._queues:
            client = next(iter(self._queues))
            queue = self._queues.pop(client)
            key = next(iter(queue))
            del queue[key]
            if queue:
                self._queues[client] = queue  # after those of the others
            work = self._unbegun.pop(key, None)
            if work is not None:
                return client, key, work
        return None

    def _work(self) -> None:
        while True:
            with self._mutex:
                found = self._next()
                if found is None:
                    self._threads -= 1
                    return
                client, key, work = found
                future = self._pending[key]
                self._running[client] += 1
            result: Any = None
            error: BaseException | None = None
            try:
                result = work()
            except BaseException as exc:  # noqa: BLE001  raised in the requests that wait
                error = exc
            with self._mutex:
                del self._pending[key]
                _count_down(self._running, client)
                # the others go on with the queues
                is_surplus = self._threads > self._most_threads
                self._threads -= is_surplus
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
            if is_surplus:
                return


def _count_down(counter: Counter[str], client: str) -> None:
    counter[client] -= 1
    if not counter[client]:
        del counter[client]
