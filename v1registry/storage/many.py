"""Many small values at once, and several calls of one request: what most storages do for that."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Final, TypeAlias

from .base import KeyNotFound, Stat

if TYPE_CHECKING:
    from concurrent.futures import Future

#: What ``read`` of a storage returns, None if nothing is stored under the key.
Found: TypeAlias = tuple[bytes, Stat] | None

_NO_MOMENT: Final[AbstractContextManager[None]] = nullcontext()

#: How many values are read at the same time.
THREADS: Final = 16


def no_moment() -> AbstractContextManager[None]:
    """Return a context in which everything is as outside of it: the ``moment`` of storages that answer at
    once.
    """
    return _NO_MOMENT


def read_in_order(
    read: Callable[[str], tuple[bytes, Stat]], keys: Iterable[str]
) -> Iterator[tuple[str, Found]]:
    """Yield each key with its value, read one after the other: for storages that answer at once.

    :param read: the method of a storage.
    """
    for key in keys:
        yield key, _found(read, key)


def write_in_order(write: Callable[[str, bytes], object], values: Mapping[str, bytes]) -> None:
    """Store each value under its key, one after the other: for storages that answer at once.

    :param write: the method of a storage.
    """
    for key, value in values.items():
        write(key, value)


def delete_in_order(delete: Callable[[str], object], keys: Iterable[str]) -> None:
    """Remove keys, one after the other: for storages that answer at once. Missing ones are no error.

    :param delete: the method of a storage.
    """
    for key in keys:
        with suppress(KeyNotFound):
            delete(key)


def read_in_parallel(
    read: Callable[[str], tuple[bytes, Stat]], keys: Iterable[str], *, threads: int = THREADS
) -> Generator[tuple[str, Found], None, None]:
    """Yield each key with its value, in order, and read the next ones meanwhile: for storages far away.

    At most ``threads`` values are read ahead, and no more keys are taken.

    :param read: the method of a storage; it is called in other threads.
    """
    # storages in memory and in a folder need no threads
    from concurrent.futures import ThreadPoolExecutor

    waiting: deque[tuple[str, Future[Found]]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="v1registry-read")
    try:
        for key in keys:
            waiting.append((key, pool.submit(_found, read, key)))
            if len(waiting) >= threads:
                yield _next_of(waiting)
        while waiting:
            yield _next_of(waiting)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _next_of(waiting: deque[tuple[str, Future[Found]]]) -> tuple[str, Found]:
    key, future = waiting.popleft()
    return key, future.result()


def _found(read: Callable[[str], tuple[bytes, Stat]], key: str) -> Found:
    try:
        return read(key)
    except KeyNotFound:
        return None
