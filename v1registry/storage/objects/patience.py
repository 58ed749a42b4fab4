"""How long a request waits for an object store in all.

Each call of a store has a time-out. A request makes several calls, and some are made again. If the store
answers slowly, all of them together could take minutes. So the long waits of a request are added up.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from ..base import StorageUnavailable

#: Waits of at most so long do not count, in seconds: a request that lists much makes thousands of them.
SHORT_S: Final = 1.0


class _OfThread(threading.local):
    depth = 0  #: how many contexts the thread is in
    left_s = 0.0  #: how long its request may still wait


_here = _OfThread()


@contextmanager
def request(most_s: float) -> Iterator[None]:
    """Begin a request in this thread.

    :param most_s: how long it waits in all. A wait that has begun goes on.
    """
    if not _here.depth:
        _here.left_s = most_s
    _here.depth += 1
    try:
        yield
    finally:
        _here.depth -= 1


@contextmanager
def wait(name: str) -> Iterator[None]:
    """Wait for the store, or for a thread that does. Outside of requests, nothing is added up.

    :param name: what is waited for, for exceptions.
    :raises StorageUnavailable: the request has waited too long before.
    """
    if not _here.depth:
        yield
        return
    if _here.left_s <= 0:
        raise StorageUnavailable(name, "the request has waited too long for the object store, which is slow")
    begun_s = monotonic()
    try:
        yield
    finally:
        took_s = monotonic() - begun_s
        if took_s > SHORT_S:
            _here.left_s -= took_s
