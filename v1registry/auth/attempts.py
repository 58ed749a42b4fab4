"""A limit on failed logins: each failure makes the next try wait longer, by user name and by address."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock


@dataclass
class _Failures:
    count: int
    blocked_until_s: float


class LoginLimiter:
    """Remembers failed logins in this process. Safe for threads.

    The first ``free`` failures cost nothing: engines repeat a wrong password several times in one command. Each further one
    doubles the wait, from one second to ``longest_wait_s``. A success forgets the failures of the name, not those of the
    address. Names count whether they exist or not, so the limit tells nothing about them.

    :param free: failures that do not count, per user name; an address, behind which many may sit, has ten times as many.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        free: int = 10,
        longest_wait_s: float = 300.0,
        capacity: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._free = free
        self._longest_wait_s = longest_wait_s
        self._capacity = capacity
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], _Failures] = OrderedDict()
        self._lock = Lock()

    def wait_s(self, username: str, address: str) -> float:
        """Return how long the caller has to wait before a password is looked at; 0 for not at all."""
        now = self._clock()
        with self._lock:
            waits = [
                known.blocked_until_s - now
                for key in _keys(username, address)
                if (known := self._failures.get(key)) is not None
            ]
        return max([0.0, *waits])

    def failed(self, username: str, address: str) -> None:
        """Note a wrong password."""
        now = self._clock()
        with self._lock:
            for key, free in zip(_keys(username, address), (self._free, self._free * 10), strict=False):
                known = self._failures.setdefault(key, _Failures(0, 0.0))
                known.count += 1
                if known.count > free:
                    exponent = min(known.count - free - 1, 30)
                    known.blocked_until_s = now + min(self._longest_wait_s, 2.0**exponent)
                self._failures.move_to_end(key)
            while len(self._failures) > self._capacity:
                self._failures.popitem(last=False)

    def succeeded(self, username: str) -> None:
        """Note a right password."""
        with self._lock:
            self._failures.pop(("user", username), None)


def _keys(username: str, address: str) -> list[tuple[str, str]]:
    keys = [("user", username)]
    if address:
        keys.append(("address", address))
    return keys
