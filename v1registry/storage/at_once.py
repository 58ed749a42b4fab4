"""Independent work over a storage whose calls take long: several pieces of it at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import Protocol, TypeVar, runtime_checkable

S = TypeVar("S")
T = TypeVar("T")


class NotWanted(Exception):
    """The result of a call is not taken, because its iterator has ended."""


class Batch:
    """The calls of one iterator.

    :param above: the batch with the call that needs this one; None if there is none.
    """

    def __init__(self, above: Batch | None):
        self._above = above
        self.has_ended = False

    def check(self) -> None:
        """Check that the results are still wanted.

        :raises NotWanted: they are not.
        """
        batch: Batch | None = self
        while batch is not None:
            if batch.has_ended:
                raise NotWanted
            batch = batch._above

    def make(self, call: Callable[[S], T], item: S) -> T:
        """Make a call of the batch in this thread."""
        before, _here.batch = _here.batch, self
        try:
            return call(item)
        finally:
            _here.batch = before


class _OfThread(threading.local):
    batch: Batch | None = None


_here = _OfThread()


def current_batch() -> Batch | None:
    """Return the batch of the call that this thread makes; None if it makes none."""
    return _here.batch


def check_wanted() -> None:
    """Check that the result of the call that this thread makes is still wanted. Long calls do so often.

    :raises NotWanted: it is not.
    """
    if _here.batch is not None:
        _here.batch.check()


@runtime_checkable
class Distant(Protocol):
    """What a storage has besides the protocol if several calls at once take no longer than one."""

    def at_once(self, call: Callable[[S], T], items: Iterable[S]) -> Generator[T, None, None]:
        """Yield what ``call`` returns for each item. See :func:`at_once`."""

    def together(self, *changes: Callable[[], object]) -> None:
        """Make independent changes at the same time. See :func:`together`."""


def together(storage: object, *changes: Callable[[], object]) -> None:
    """Make a few independent changes for a request; if the storage is distant, at the same time.

    When this ends, none of them goes on. If one of them fails, others may have been made or not.

    :param changes: are called in other threads, too. They must not wait for each other.
    :raises Exception: what the first of those that failed raised.
    """
    if isinstance(storage, Distant):
        storage.together(*changes)
        return
    for change in changes:
        change()


def at_once(storage: object, call: Callable[[S], T], items: Iterable[S]) -> Generator[T, None, None]:
    """Yield what ``call`` returns for each item, in order; if the storage is distant, several calls run at
    once.

    The items are taken, and the results are yielded, in this thread. Memory is needed for some dozens of
    results. ``call`` may use this function too: the number of calls is bounded for all of them together. When
    the iterator has ended, also early, no call runs any more; if something is changed by ``call``, close it.

    :param call: is called in other threads, and must not depend on the order.
    :raises Exception: what ``call`` raised for the first item for which it raised something.
    """
    return storage.at_once(call, items) if isinstance(storage, Distant) else _one_by_one(call, items)


def do_at_once(storage: object, change: Callable[[S], object], items: Iterable[S]) -> None:
    """Call ``change`` for each item as :func:`at_once` does. No call runs any more when this ends.

    :raises Exception: what ``change`` raised.
    """
    with closing(at_once(storage, change, items)) as changes:
        for _ in changes:
            pass


def _one_by_one(call: Callable[[S], T], items: Iterable[S]) -> Generator[T, None, None]:
    for item in items:
        yield call(item)
