"""Hashes of passwords, and the short memory of passwords that were right.

A v1 client sends its password with nearly every request, and a hash is made to be slow; so what was verified is remembered
for some minutes, under a keyed hash from which nobody gets the password back.
"""

from __future__ import annotations

import hmac
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from argon2 import PasswordHasher

_T = TypeVar("_T")

#: argon2id with 19 MiB, two passes, one lane: 20 ms a hash, measured on one core of 2026. Stronger ones cost 150 ms, and a
#: server answers nobody else on that core meanwhile.
MEMORY_KIB: Final = 19 * 1024
PASSES: Final = 2


class Passwords:
    """Makes and verifies argon2id hashes. Safe for threads; argon2-cffi is imported at the first hash.

    :param memory_kib: memory of one hash, in KiB.
    :param passes: how often that memory is gone through.
    :param at_once: how many hashes are computed at the same time, the others wait: so that a flood of guesses fills
        neither the memory nor, for longer than it lasts, the processors. The number of processors when left out.

    Verifying needs the parameters with which a hash was made, not these; ``is_outdated`` tells whether they differ.

    >>> passwords = Passwords(memory_kib=8, passes=1)
    >>> stored = passwords.hash("correct horse")
    >>> stored.partition("$m=")[0], passwords.verify(stored, "correct horse"), passwords.verify(stored, "wrong")
    ('$argon2id$v=19', True, False)
    """

    def __init__(
        self, *, memory_kib: int = MEMORY_KIB, passes: int = PASSES, at_once: int | None = None
    ) -> None:
        if memory_kib < 8 or passes < 1:
            raise ValueError(f"argon2 needs 8 KiB and one pass at least, not {memory_kib} and {passes}")
        self._memory_kib = memory_kib
        self._passes = passes
        self._slots = threading.BoundedSemaphore(max(1, at_once or os.cpu_count() or 1))
        self._hasher: PasswordHasher | None = None

    def hash(self, password: str) -> str:
        """Return a hash of the password with a new salt, as text that holds its parameters."""
        with self._slots:
            return self._argon2().hash(encoded(password))

    def verify(self, stored: str, password: str) -> bool:
        """Tell whether the hash is of this password; compared in constant time.

        ValueError where it cannot be told: the stored text is no hash, or there is no memory for it.
        """
        from argon2.exceptions import VerificationError, VerifyMismatchError

        with self._slots:
            try:
                return self._argon2().verify(stored, encoded(password))
            except VerifyMismatchError:
                return False
            except (ValueError, VerificationError) as error:
                raise ValueError(f"the stored hash cannot be verified: {type(error).__name__}") from None

    def waste(self, password: str) -> None:
        """Do the work of one verification for nothing: for names that nobody has, so that they take as long as others."""
        self.hash(password)

    def is_outdated(self, stored: str) -> bool:
        """Tell whether the hash was made with other parameters than those of now."""
        return self._argon2().check_needs_rehash(stored)

    def _argon2(self) -> PasswordHasher:
        if self._hasher is None:
            from argon2 import PasswordHasher

            self._hasher = PasswordHasher(time_cost=self._passes, memory_cost=self._memory_kib, parallelism=1)
        return self._hasher


class PasswordMemory(Generic[_T]):
    """Remembers for a short time what a verification of name and password said. Safe for threads.

    What is kept is an HMAC of name, password and version under a key that only this object has; never a password.
    Only successes are kept. Whoever asks for what is being verified right now waits for that verification instead of
    making another one: the three layers that an engine pulls at once cost one hash.

    :param ttl_s: how long a success is remembered, in seconds from its verification; with 0 nothing is.
    :param max_entries: the most successes that are remembered; the oldest one gives way.
    :param clock: what tells the time, in seconds.
    """

    def __init__(
        self,
        ttl_s: float = 300.0,
        max_entries: int = 4096,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 <= ttl_s < float("inf") or max_entries < 1:
            raise ValueError(
                f"expected a time of 0 s or more for 1 entry or more, not {ttl_s}, {max_entries}"
            )
        self._ttl_s = ttl_s
        self._max_entries = max_entries
        self._clock = clock
        self._key = os.urandom(32)
        self._mutex = threading.Lock()  # guards all that follows
        self._known: OrderedDict[bytes, tuple[float, _T]] = OrderedDict()  # in the order in which they end
        self._running: dict[bytes, Future[_T | None]] = {}

    def get(self, username: str, password: str, version: str, verify: Callable[[], _T | None]) -> _T | None:
        """Return what is remembered of this name and password, else what ``verify()`` returns; None is not remembered.

        :param version: what the verification depends on besides, such as the stored hash: under another one nothing of before
            is remembered.
        :raises Exception: whatever ``verify`` raises, to all who waited for it.
        """
        entry = self._digest(username, password, version)
        while True:
            with self._mutex:
                known = self._known.get(entry)
                if known is not None and self._clock() < known[0]:
                    return known[1]
                running = self._running.get(entry)
                if running is None:
                    mine = self._running[entry] = Future()
                    break
            try:
                return running.result()
            except CancelledError:
                continue  # the thread that verified was ended from outside
        try:
            found = verify()
            self._keep(entry, found)
            mine.set_result(found)
        except Exception as error:
            mine.set_exception(error)
            raise
        finally:
            with self._mutex:
                del self._running[entry]
            mine.cancel()
        return found

    def __len__(self) -> int:
        return len(self._known)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} entries>"

    def _keep(self, entry: bytes, found: _T | None) -> None:
        if found is None or not self._ttl_s:
            return
        with self._mutex:
            now = self._clock()
            self._known.pop(entry, None)
            self._known[entry] = now + self._ttl_s, found
            while self._known:
                ends_at, _ = next(iter(self._known.values()))
                if now < ends_at and len(self._known) <= self._max_entries:
                    return
                self._known.popitem(last=False)

    def _digest(self, *texts: str) -> bytes:
        digest = hmac.new(self._key, digestmod="sha256")
        for text in map(encoded, texts):
            digest.update(len(text).to_bytes(8, "big") + text)
        return digest.digest()


def encoded(text: str) -> bytes:
    """Return the UTF-8 of any text; also of one with lone surrogates, which no encoding has.

    >>> encoded("é"), encoded("\\ud800")
    (b'\\xc3\\xa9', b'\\xed\\xa0\\x80')
    """
    return text.encode("utf-8", "surrogatepass")
