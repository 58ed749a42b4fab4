"""A limit on failed logins: each failure makes the next try wait longer, by user name and by address."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from threading import Lock

from ..accounts.passwords import encoded

#: How many times as many failures an address has free as a user name: many people may sit behind it.
_PEOPLE_PER_ADDRESS = 10

#: Above this many doublings every wait is the longest one.
_MOST_DOUBLINGS = 30


@dataclass
class _Failures:
    count: float  #: what is left of them; time takes them away
    noted_at_s: float
    blocked_until_s: float


class LoginLimiter:
    """Remembers failed logins in this process. Safe for threads.

    The first ``free`` failures cost nothing: engines repeat a wrong password several times in one command. Each further one
    doubles the wait, from one second to ``longest_wait_s``. Names count whether they exist or not, so the limit tells nothing
    about them. Failures are forgotten one by one, ``free`` of them in ``forget_s``, so those of many people behind one
    address do not add up for ever.

    A login that succeeded makes its name and address known together: from then on it waits for nothing but their own
    failures. So nobody elsewhere keeps users out by guessing their passwords.

    :param free: failures that do not count, per user name; an address, behind which many may sit, has ten times as many.
    :param capacity: how many names and addresses are remembered, each some hundred bytes.
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
        self._capacity = capacity
        self._clock = clock
        self._failures: OrderedDict[bytes, _Failures] = OrderedDict()
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._lock = Lock()

    def wait_s(self, username: str, address: str) -> float:
        """Return how long the caller has to wait before a password is looked at; 0 for not at all."""
        pair, name, place = _keys(username, address)
        with self._lock:
            now = self._clock()
            keys = [pair] if pair in self._known else [name, place]
            found = [self._failures[key].blocked_until_s for key in keys if key in self._failures]
        return max([0.0, *(blocked_until_s - now for blocked_until_s in found)])

    def failed(self, username: str, address: str) -> None:
        """Note a wrong password."""
        pair, name, place = _keys(username, address)
        with self._lock:
            self._note(pair if pair in self._known else name, self._free)
            if address:
                self._note(place, self._free * _PEOPLE_PER_ADDRESS)

    def succeeded(self, username: str, address: str) -> None:
        """Note a right password. Failures stay: else each login of a user would give a guesser new tries."""
        if not address:
            return
        pair, _, _ = _keys(username, address)
        with self._lock:
            self._known[pair] = None
            self._known.move_to_end(pair)
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)

    def _note(self, key: bytes, free: int) -> None:
        now = self._clock()
        known = self._failures.setdefault(key, _Failures(0.0, now, now))
        forgotten = (now - known.noted_at_s) * free / self._forget_s
        known.count, known.noted_at_s = max(0.0, known.count - forgotten) + 1, now
        doublings = min(known.count - free - 1, _MOST_DOUBLINGS)
        # a hair below a whole number is that number: time passes between two tries
        if doublings > -0.5:
            known.blocked_until_s = now + min(self._longest_wait_s, 2.0 ** max(0.0, doublings))
        self._failures.move_to_end(key)
        if len(self._failures) > self._capacity:
            self._failures.popitem(last=False)


def _keys(username: str, address: str) -> tuple[bytes, bytes, bytes]:
    """Return the keys of the name at the address, of the name, and of the address: short, however long those are."""
    # directories do not tell upper from lower case, and would be asked about one name under many spellings
    name, place = username.strip().casefold(), _network(address)
    return _key("pair", name, place), _key("name", name), _key("address", place)


def _network(address: str) -> str:
    """Return what a subscriber has: an IPv4 address, or the network of an IPv6 address (RFC 6177 gives no less than that)."""
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
