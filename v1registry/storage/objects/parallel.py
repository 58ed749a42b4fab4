"""Calls of a store, several at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from ..patience import wait

S = TypeVar("S")
T = TypeVar("T")

#: How many calls run at once at most.
THREADS: Final = 16


def in_parallel(call: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
    """Yield what ``call`` returns for each item, in order, and call it for the next ones meanwhile.

    The first item alone costs no thread, and no more calls than twice the results that were taken are made in
    vain.

    :raises Exception: what ``call`` raised for an item.
    :raises StorageUnavailable: the request has waited too long for such calls.
    """
    rest = iter(items)
    for first in rest:
        yield call(first)
        break
    waiting: deque[Future[T]] = deque()
    pool: ThreadPoolExecutor | None = None
    ahead = 2
    try:
        for item in rest:
            if pool is None:
                pool = ThreadPoolExecutor(THREADS, thread_name_prefix="v1registry-objects")
            waiting.append(pool.submit(call, item))
            if len(waiting) >= ahead:
                yield _result(waiting.popleft())
                ahead = min(ahead + 1, THREADS)
        while waiting:
            yield _result(waiting.popleft())
    finally:
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)


def _result(future: Future[T]) -> T:
    with wait("several objects"):
        return future.result()
