"""How long a request waits for a slow storage in all.

Each call of an object store has a time-out. A request makes several calls, and some are made again. If the
store answers slowly, all of them together could take minutes. So the long waits of a request are added up.

The application begins a request, and its storage says how long it may wait. Commands have no such bound.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from time import monotonic
from typing import Final

from .base import StorageUnavailable

#: Waits of at most so long do not count, in seconds: a request that lists much makes thousands of them.
SHORT_S: Final = 1.0

#: How long a request may wait to clean up after its failures, as a part of how long it waits for the rest.
_FOR_CLEANUP: Final = 0.4


class _Budget:
    """How long may still be waited."""

    def __init__(self, left_s: float):
        self.left_s = left_s


class _Request:
    """The budgets of one request."""

    def __init__(self) -> None:
        self.most_s = inf  #: infinite until a storage bounds it
        self.work, self.cleanup = _Budget(inf), _Budget(inf)

    def begin(self) -> None:
        """Fill the budgets."""
        self.work.left_s, self.cleanup.left_s = self.most_s, self.most_s * _FOR_CLEANUP


class _OfThread(threading.local):
    request: _Request | None = None  #: None outside of requests
    budget: _Budget | None = None  #: the one that the next wait is taken from


_here = _OfThread()


@contextmanager
def request() -> Iterator[None]:
    """Begin a request in this thread. Within a request, none begins."""
    if _here.request is not None:
        yield
        return
    _here.request = _Request()
    _here.budget = _here.request.work
    try:
        yield
    finally:
        _here.request = _here.budget = None


def bound(most_s: float) -> None:
    """Bound the request of this thread, if it has one that is not bounded yet.

    :param most_s: how long it waits in all. A wait that has begun goes on.
    """
    request = _here.request
    if request is not None and request.most_s == inf:
        request.most_s = most_s
        request.begin()


def renew() -> None:
    """Let the request of this thread wait as long as at its beginning, because a part of its body is stored.

    So an upload of an hour fails only if the store does not get on with it.
    """
    if _here.request is not None:
        _here.request.begin()


@contextmanager
def cleanup() -> Iterator[None]:
    """Remove in this context what a request leaves, such as after a failure. That has a small budget of its
    own, one for each request, so it does not fail because the request has waited too long.
    """
    request = _here.request
    if request is None or _here.budget is not request.work:
        yield
        return
    with _spending(request.cleanup):
        yield


@contextmanager
def aside() -> Iterator[None]:
    """Do in this context what the request does not need. It ends with its first long wait, which does not
    count for the request.
    """
    if _here.request is None:
        yield
        return
    with _spending(_Budget(SHORT_S)):
        yield


@contextmanager
def wait(name: str) -> Iterator[None]:
    """Wait for the store, or for a thread that does. Outside of requests, nothing is added up.

    :param name: what is waited for, for exceptions.
    :raises StorageUnavailable: the request has waited too long before.
    """
    budget = _here.budget
    if budget is None:
        yield
        return
    if budget.left_s <= 0:
        raise StorageUnavailable(name, "the request has waited too long for the object store, which is slow")
    begun_s = monotonic()
    try:
        yield
    finally:
        took_s = monotonic() - begun_s
        if took_s > SHORT_S:
            budget.left_s -= took_s


def carried(call: Callable[[], object]) -> Callable[[], object]:
    """Return a call for another thread, which may wait there as long as this thread may now. What they may
    wait for cleanup is the same for both.
    """
    request, budget = _here.request, _here.budget
    if request is None or budget is None:
        return call
    there = _Request()
    there.most_s = request.most_s
    there.work.left_s, there.cleanup = budget.left_s, request.cleanup

    def call_there() -> None:
        _here.request, _here.budget = there, there.work
        try:
            call()
        finally:
            _here.request = _here.budget = None

    return call_there


@contextmanager
def _spending(budget: _Budget) -> Iterator[None]:
    before, _here.budget = _here.budget, budget
    try:
        yield
    finally:
        _here.budget = before
