"""A limit on failed logins: each failure makes the next attempt wait longer, by user name and by address."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from threading import Condition, Lock
from types import TracebackType
from typing import Final, NamedTuple

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

#: For how many names and addresses the keys are kept, and how long a name or address may be for that, in
#: characters.
_KEPT_KEYS: Final = 4096
_LONGEST_KEPT: Final = 255


class _Keys(NamedTuple):
    """The keys under which failures and attempts are counted, as digests."""

    pair: bytes  #: of the name at the address
    name: bytes
    place: bytes  #: of the address; empty if the address is unknown


@dataclass
class _Failures:
    count: float  #: decreases with time
    noted_at_s: float
    blocked_until_s: float


class Attempt:
    """An attempt to log in, while its password is checked; see :meth:`LoginLimiter.attempt`."""

    def __init__(self, limiter: LoginLimiter, keys: _Keys) -> None:
        self.is_right: bool | None = None  #: None until it is known
        self._limiter = limiter
        self._keys = keys
        self._counted: tuple[bytes, ...] = ()

    def failed(self) -> None:
        """Record that the password is wrong."""
        self.is_right = False

    def succeeded(self) -> None:
        """Record that the password is right."""
        self.is_right = True

    def __enter__(self) -> Attempt:
        """Wait for the turn of the attempt.

        :raises TooManyAttempts: the caller has to wait before a password is checked.
        """
        self._counted = self._limiter._begin(self._keys)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._limiter._end(self._keys, self._counted, self.is_right)


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
        self._running: defaultdict[bytes, int] = defaultdict(int)  # attempts under way
        self._lock = Lock()
        self._turns = Condition(self._lock)
        self._waiting = 0  # attempts that wait for their turn

    def attempt(self, username: str, address: str) -> Attempt:
        """Return an attempt, a context manager. Enter it before the password is checked, leave it afterwards.

        An attempt for which neither of its methods is called does not count, for example because the backend
        could not answer.
        """
        return Attempt(self, _keys(username, address))

    def _begin(self, keys: _Keys) -> tuple[bytes, ...]:
        """Return the keys under which the attempt counts, once it is its turn.

        :raises TooManyAttempts: failures block the name or the address, or the turn does not come.
        """
        with self._lock:
            if not self._has_turn(keys) or self._wait_s(keys) > 0:
                self._waiting += 1
                try:
                    may_begin = self._turns.wait_for(
                        lambda: self._wait_s(keys) > 0 or self._has_turn(keys), _LONGEST_TURN_S
                    )
                finally:
                    self._waiting -= 1
                wait_s = self._wait_s(keys)
                if wait_s > 0 or not may_begin:
                    raise TooManyAttempts(wait_s)
            own = keys.pair if keys.pair in self._known else keys.name
            counted = (own, keys.place) if keys.place else (own,)
            for key in counted:
                self._running[key] += 1
            return counted

    def _end(self, keys: _Keys, counted: tuple[bytes, ...], is_right: bool | None) -> None:
        """Count what an attempt found, and let the next one begin.

        :param counted: what ``_begin`` returned.
        """
        with self._lock:
            if is_right is False:
                self._failed(keys)
            if is_right:
                self._succeeded(keys)
            for key in counted:
                self._running[key] -= 1
                if self._running[key] <= 0:
                    del self._running[key]
            if self._waiting:
                self._turns.notify_all()

    def _has_turn(self, keys: _Keys) -> bool:
        if keys.pair in self._known:
            return self._is_free(keys.pair, self._free)
        return self._is_free(keys.name, self._free) and self._is_free(
            keys.place, self._free * _USERS_PER_ADDRESS
        )

    def _is_free(self, key: bytes, free: int) -> bool:
        """Tell whether another attempt would be free even if all that are under way fail."""
        running = self._running.get(key, 0)
        if running == 0:
            return True
        found = self._failures.get(key)
        failed = 0.0 if found is None else found.count - self._forgotten(found, free)
        return failed + running < free

    def _forgotten(self, found: _Failures, free: int) -> float:
        return (self._clock.monotonic_s() - found.noted_at_s) * free / self._forget_s

    def wait_s(self, username: str, address: str) -> float:
        """Return the seconds that the caller has to wait before a password is checked; 0 for no wait."""
        with self._lock:
            return self._wait_s(_keys(username, address))

    def failed(self, username: str, address: str) -> None:
        """Record a wrong password."""
        with self._lock:
            self._failed(_keys(username, address))

    def succeeded(self, username: str, address: str) -> None:
        """Record a right password. Failures stay; otherwise each login would give a guesser new attempts."""
        with self._lock:
            self._succeeded(_keys(username, address))

    # -- inside, with the lock

    def _wait_s(self, keys: _Keys) -> float:
        if not self._failures:
            return 0.0
        counting = (keys.pair,) if keys.pair in self._known else (keys.name, keys.place)
        found = [self._failures[key].blocked_until_s for key in counting if key in self._failures]
        if not found:
            return 0.0
        return max(0.0, max(found) - self._clock.monotonic_s())

    def _failed(self, keys: _Keys) -> None:
        self._note(keys.pair if keys.pair in self._known else keys.name, self._free)
        if keys.place:
            self._note(keys.place, self._free * _USERS_PER_ADDRESS)

    def _succeeded(self, keys: _Keys) -> None:
        if keys.place:
            self._known[keys.pair] = True

    def _note(self, key: bytes, free: int) -> None:
        now = self._clock.monotonic_s()
        known = self._failures.setdefault(key, _Failures(0.0, now, now))
        known.count = max(0.0, known.count - self._forgotten(known, free)) + 1
        known.noted_at_s = now
        doublings = min(known.count - free - 1, _MOST_DOUBLINGS)
        # tolerate rounding: the count decreases slightly between two attempts
        if doublings > -0.5:
            known.blocked_until_s = now + min(self._longest_wait_s, 2.0 ** max(0.0, doublings))


def _keys(username: str, address: str) -> _Keys:
    """Return the keys of a name at an address. Those of names of a usual length are kept."""
    if len(username) > _LONGEST_KEPT or len(address) > _LONGEST_KEPT:
        return _made_keys(username, address)
    return _kept_keys(username, address)


def _made_keys(username: str, address: str) -> _Keys:
    # directories compare names without case, so one name must not be tried under many spellings
    name, place = username.strip().casefold(), client_network(address)
    return _Keys(_key("pair", name, place), _key("name", name), _key("address", place) if address else b"")


_kept_keys: Final = lru_cache(maxsize=_KEPT_KEYS)(_made_keys)


def _key(*texts: str) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for text in map(encoded, texts):
        digest.update(len(text).to_bytes(8, "big") + text)
    return digest.digest()
