"""What a thread saw last within a moment, so that it need not ask the store twice in a row.

The calls of one thread for keys of one group, with no call for another group between them, may all be
answered from one state of the document. That looks as if the calls came so fast that no other process acted
between them. To see one group, then another one, and then the first one as it was before, is not allowed.

A state ends when a thread of this process reads or writes a newer one. So threads that wait for each other
see what the other one did.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ...clock import Clock
from .. import patience
from .groups import Group
from .known import KnownDocuments, Seen

#: How long a state is used, in seconds. Who waits for another process looks again after that.
USED_FOR_S: Final = 0.02


class _OfThread(threading.local):
    depth = 0  #: how many contexts the thread is in
    group: Group | None = None  #: the last one that the thread asked for, None if that was not one alone
    seen: Seen | None = None
    until_s = 0.0
    is_guessing = False  #: see Moments.guessing


class Moments:
    """What each thread saw last of the documents of a storage. Safe for threads.

    :param known: what the process saw last.
    :param most_s: how long a request waits for slow calls of the store in all.
    """

    def __init__(self, known: KnownDocuments, clock: Clock, most_s: float):
        self._most_s = most_s
        self._known = known
        self._clock = clock
        self._here = _OfThread()

    @contextmanager
    def moment(self) -> Iterator[None]:
        """Begin a moment in this thread. If a request has begun there, it is bounded from now on."""
        patience.bound(self._most_s)
        here = self._here
        if not here.depth:
            here.group = None
        here.depth += 1
        try:
            yield
        finally:
            here.depth -= 1

    def find(self, group: Group) -> Seen | None:
        """Return the state that the thread has just seen of a group; None if the store has to be asked."""
        here = self._here
        if not here.depth or here.group != group or self._known.get(group) is not here.seen:
            return None
        return here.seen if self._clock.monotonic_s() < here.until_s else None

    def note(self, group: Group, seen: Seen) -> None:
        """Keep what the store said of a group, in answer to a call of this thread that came after its last
        call for another group.
        """
        here = self._here
        if here.depth:
            here.group, here.seen = group, seen
            here.until_s = self._clock.monotonic_s() + USED_FOR_S

    @contextmanager
    def guessing(self) -> Iterator[None]:
        """Let this thread read what the process saw last, without asking the store, until :meth:`end`.

        The thread must find out later whether that was the state of the store.
        """
        here = self._here
        here.is_guessing = True
        try:
            yield
        finally:
            self.end()

    def guess(self, group: Group) -> Seen | None:
        """Return what the process saw last of a group, if this thread is guessing; None if not."""
        here = self._here
        if not here.is_guessing:
            return None
        # what follows is not in a row with what was before
        here.group = None
        return self._known.get(group)

    def end(self) -> None:
        """Ask the store next: the thread asks for several groups, or needs the state of now."""
        self._here.group = None
        self._here.is_guessing = False
