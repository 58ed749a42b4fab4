"""A limit on failed logins: each failure makes the next attempt wait longer, by user name and by address."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from threading import Lock

from cachetools import LRUCache

from ..accounts.passwords import encoded

#: How many times as many free failures an address has as a user name, because many users may share it.
_USERS_PER_ADDRESS = 10

#: Above this many doublings every wait is the longest one.
_MOST_DOUBLINGS = 30


@dataclass
class _Failures:
    count: float  #: decreases with time
    noted_at_s: float
    blocked_until_s: float


class LoginLimiter:
    """Remembers failed logins in this process. Safe for threads.

    The first ``free`` failures have no consequence, because engines repeat a wrong password several times in
    one command. Each further one doubles the wait, from one second to ``longest_wait_s``. Unknown names count
    like known ones, so the limit does not tell them apart. Failures are forgotten one by one, ``free`` of
    them in ``forget_s``, so those of many users behind one address do not accumulate for ever.

    After a successful login the pair of its name and its address is known: it waits only for its own
    failures. So a user cannot be locked out by guesses from other addresses.

    :param free: failures without consequence, per user name. An address has ten times as many.
    :param longest_wait_s: the longest wait, in seconds.
    :param forget_s: how long it takes to forget ``free`` failures, in seconds.
    :param capacity: how many names and addresses are remembered, some hundred bytes each.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        free: int = 10,
        longest_wait_s: float = 300.0,
        forget_s: float = 3600.0,
        capacity: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._free = free
        self._longest_wait_s = longest_wait_s
        self._forget_s = forget_s
        self._clock = clock
        self._failures: LRUCache[bytes, _Failures] = LRUCache(capacity)
        self._known: LRUCache[bytes, bool] = LRUCache(capacity)
        self._lock = Lock()

    def wait_s(self, username: str, address: str) -> float:
        """Return the seconds that the caller has to wait before a password is checked; 0 for no wait."""
        pair, name, place = _keys(username, address)
        with self._lock:
            now = self._clock()
            keys = [pair] if pair in self._known else [name, place]
            found = [self._failures[key].blocked_until_s for key in keys if key in self._failures]
        return max([0.0, *(blocked_until_s - now for blocked_until_s in found)])

    def failed(self, username: str, address: str) -> None:
        """Record a wrong password."""
        pair, name, place = _keys(username, address)
        with self._lock:
            self._note(pair if pair in self._known else name, self._free)
            if address:
                self._note(place, self._free * _USERS_PER_ADDRESS)

    def succeeded(self, username: str, address: str) -> None:
        """Record a right password. Failures stay; otherwise each login would give a guesser new attempts."""
        if not address:
            return
        pair, _, _ = _keys(username, address)
        with self._lock:
            self._known[pair] = True

    def _note(self, key: bytes, free: int) -> None:
        now = self._clock()
        known = self._failures.setdefault(key, _Failures(0.0, now, now))
        forgotten = (now - known.noted_at_s) * free / self._forget_s
        known.count, known.noted_at_s = max(0.0, known.count - forgotten) + 1, now
        doublings = min(known.count - free - 1, _MOST_DOUBLINGS)
        # tolerate rounding: the count decreases slightly between two attempts
        if doublings > -0.5:
            known.blocked_until_s = now + min(self._longest_wait_s, 2.0 ** max(0.0, doublings))


def _keys(username: str, address: str) -> tuple[bytes, bytes, bytes]:
    """Return the keys of the name at the address, of the name, and of the address, as digests."""
    # directories compare names without case, so one name must not be tried under many spellings
    name, place = username.strip().casefold(), _network(address)
    return _key("pair", name, place), _key("name", name), _key("address", place)


def _network(address: str) -> str:
    """Return what one subscriber has: an IPv4 address, or the /64 network of an IPv6 address (RFC 6177)."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ip_network((int(parsed), 64), strict=False))


def _key(*texts: str) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for text in map(encoded, texts):
        digest.update(len(text).to_bytes(8, "big") + text)
    return digest.digest()
