"""A limit on failed logins: each failure makes the next attempt wait longer, by user name and by address."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition

from cachetools import LRUCache

from ..accounts.passwords import encoded
from ..clock import SYSTEM_CLOCK, Clock
from ..errors import TooManyAttempts
from ..names import client_network

#: How many times as many free failures an address has as a user name, because many users may share it.
_USERS_PER_ADDRESS = 10

#: How long an attempt waits for others of the same name or address to end, in seconds.
_LONGEST_TURN_S = 10.0

#: Above this many doublings every wait is the longest one.
_MOST_DOUBLINGS = 30


@dataclass
class _Failures:
    count: float  #: decreases with time
    noted_at_s: float
    blocked_until_s: float


class Attempt:
    """An attempt to log in, while its password is checked."""

    def __init__(self) -> None:
        self.is_right: bool | None = None  #: None until it is known

    def failed(self) -> None:
        """Record that the password is wrong."""
        self.is_right = False

    def succeeded(self) -> None:
        """Record that the password is right."""
        self.is_right = True


class LoginLimiter:
    """Remembers failed logins in this process. Safe for threads.

    The first ``free`` failures have no consequence, because engines repeat a wrong password several times in
    one command. Each further one doubles the wait, from one second to ``longest_wait_s``. Unknown names count
    like known ones, so the limit does not tell them apart. Failures are forgotten one by one, ``free`` of
    them in ``forget_s``, so those of many users behind one address do not accumulate for ever.

    Attempts that are under way count as failures until they end. So a burst of guesses gets no more passwords
    checked than the same guesses one after the other. Attempts beyond the free ones wait for their turn, one
    at a time, so that a burst of right passwords is not refused.

    After a successful login the pair of its name and its address is known: it waits only for its own
    failures. So a user cannot be locked out by guesses from other addresses.

    :param free: failures without consequence, per user name. An address has ten times as many.
    :param longest_wait_s: the longest wait, in seconds.
    :param forget_s: how long it takes to forget ``free`` failures, in seconds.
    :param capacity: how many names and addresses are remembered, some hundred bytes each.
    """

    def __init__(
        self,
        *,
        free: int = 10,
        longest_wait_s: float = 300.0,
        forget_s: float = 3600.0,
        capacity: int = 10_000,
        clock: Clock = SYSTEM_CLOCK,
    ):
        self._free = free
        self._longest_wait_s = longest_wait_s
        self._forget_s = forget_s
        self._clock = clock
        self._failures: LRUCache[bytes, _Failures] = LRUCache(capacity)
        self._known: LRUCache[bytes, bool] = LRUCache(capacity)
        self._running: Counter[bytes] = Counter()  # attempts under way
        self._turns = Condition()

    @contextmanager
    def attempt(self, username: str, address: str) -> Iterator[Attempt]:
        """Wait for the turn of an attempt, and give it. Leave the context when the password was checked.

        An attempt for which neither of its methods is called does not count, for example because the backend
        could not answer.

        :raises TooManyAttempts: the caller has to wait before a password is checked.
        """
        keys = self._begin(username, address)
        attempt = Attempt()
        try:
            yield attempt
        finally:
            with self._turns:
                if attempt.is_right is False:
                    self._failed(username, address)
                if attempt.is_right:
                    self._succeeded(username, address)
                self._running.subtract(keys)
                for key in keys:
                    if self._running[key] <= 0:
                        del self._running[key]
                self._turns.notify_all()

    def _begin(self, username: str, address: str) -> list[bytes]:
        """Return the keys under which the attempt counts, once it is its turn.

        :raises TooManyAttempts: failures block the name or the address, or the turn does not come.
        """
        pair, name, place = _keys(username, address)
        with self._turns:
            may_begin = self._turns.wait_for(
                lambda: self._wait_s(username, address) > 0 or self._has_turn(pair, name, place),
                _LONGEST_TURN_S,
            )
            wait_s = self._wait_s(username, address)
            if wait_s > 0 or not may_begin:
                raise TooManyAttempts(wait_s)
            keys = [pair if pair in self._known else name, *([place] if address else [])]
            self._running.update(keys)
            return keys

    def _has_turn(self, pair: bytes, name: bytes, place: bytes) -> bool:
        if pair in self._known:
            return self._is_free(pair, self._free)
        return self._is_free(name, self._free) and self._is_free(place, self._free * _USERS_PER_ADDRESS)

    def _is_free(self, key: bytes, free: int) -> bool:
        """Tell whether another attempt would be free even if all that are under way fail."""
        running = self._running[key]
        found = self._failures.get(key)
        failed = 0.0 if found is None else found.count - self._forgotten(found, free)
        return running == 0 or failed + running < free

    def _forgotten(self, found: _Failures, free: int) -> float:
        return (self._clock.monotonic_s() - found.noted_at_s) * free / self._forget_s

    def wait_s(self, username: str, address: str) -> float:
        """Return the seconds that the caller has to wait before a password is checked; 0 for no wait."""
        with self._turns:
            return self._wait_s(username, address)

    def failed(self, username: str, address: str) -> None:
        """Record a wrong password."""
        with self._turns:
            self._failed(username, address)

    def succeeded(self, username: str, address: str) -> None:
        """Record a right password. Failures stay; otherwise each login would give a guesser new attempts."""
        with self._turns:
            self._succeeded(username, address)

    # -- inside, with the lock

    def _wait_s(self, username: str, address: str) -> float:
        pair, name, place = _keys(username, address)
        now = self._clock.monotonic_s()
        keys = [pair] if pair in self._known else [name, place]
        found = [self._failures[key].blocked_until_s for key in keys if key in self._failures]
        return max([0.0, *(blocked_until_s - now for blocked_until_s in found)])

    def _failed(self, username: str, address: str) -> None:
        pair, name, place = _keys(username, address)
        self._note(pair if pair in self._known else name, self._free)
        if address:
            self._note(place, self._free * _USERS_PER_ADDRESS)

    def _succeeded(self, username: str, address: str) -> None:
        if address:
            self._known[_keys(username, address)[0]] = True

    def _note(self, key: bytes, free: int) -> None:
        now = self._clock.monotonic_s()
        known = self._failures.setdefault(key, _Failures(0.0, now, now))
        known.count = max(0.0, known.count - self._forgotten(known, free)) + 1
        known.noted_at_s = now
        doublings = min(known.count - free - 1, _MOST_DOUBLINGS)
        # tolerate rounding: the count decreases slightly between two attempts
        if doublings > -0.5:
            known.blocked_until_s = now + min(self._longest_wait_s, 2.0 ** max(0.0, doublings))


def _keys(username: str, address: str) -> tuple[bytes, bytes, bytes]:
    """Return the keys of the name at the address, of the name, and of the address, as digests."""
    # directories compare names without case, so one name must not be tried under many spellings
    name, place = username.strip().casefold(), client_network(address)
    return _key("pair", name, place), _key("name", name), _key("address", place)


def _key(*texts: str) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for text in map(encoded, texts):
        digest.update(len(text).to_bytes(8, "big") + text)
    return digest.digest()
