"""Hashes of passwords, and a short memory of verified passwords.

A v1 client sends its password with nearly every request, and a hash is slow on purpose. So a verified
password is remembered for some minutes, under a keyed hash from which the password cannot be recovered.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from ..clock import SYSTEM_CLOCK, Clock
from .expiring import ExpiringValues

if TYPE_CHECKING:
    from argon2 import PasswordHasher

_T = TypeVar("_T")

#: argon2id with 19 MiB, two passes and one lane: 20 ms a hash, measured on one core of 2026. Stronger
#: parameters cost 150 ms, during which that core answers no other request.
MEMORY_KIB: Final = 19 * 1024
PASSES: Final = 2


class Passwords:
    """Makes and verifies argon2id hashes. Safe for threads; argon2-cffi is imported at the first hash.

    Verifying uses the parameters with which a hash was made; ``is_outdated`` returns whether they differ from
    these.

    :param memory_kib: memory of one hash, in KiB.
    :param passes: how often that memory is passed.
    :param at_once: how many hashes are computed at the same time; others wait. So a flood of guesses fills
        neither the memory nor the processors. The number of processors if None.
    :raises ValueError: a parameter is below the minimum of argon2.

    >>> passwords = Passwords(memory_kib=8, passes=1)
    >>> stored = passwords.hash("correct horse")
    >>> stored.partition("$m=")[0]
    '$argon2id$v=19'
    >>> passwords.verify(stored, "correct horse"), passwords.verify(stored, "wrong")
    (True, False)
    """

    def __init__(
        self, *, memory_kib: int = MEMORY_KIB, passes: int = PASSES, at_once: int | None = None
    ) -> None:
        if memory_kib < 8 or passes < 1:
            raise ValueError(f"argon2 needs at least 8 KiB and one pass, not {memory_kib} and {passes}")
        self._memory_kib = memory_kib
        self._passes = passes
        self._slots = threading.BoundedSemaphore(max(1, at_once or os.cpu_count() or 1))
        self._hasher: PasswordHasher | None = None

    def hash(self, password: str) -> str:
        """Return a hash of the password with a new salt, as text that contains its parameters."""
        with self._slots:
            return self._argon2().hash(encoded(password))

    def verify(self, stored: str, password: str) -> bool:
        """Return whether the hash is that of the password; compared in constant time.

        :raises ValueError: the stored text is no hash, or there is no memory to verify it.
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
        """Do the work of one verification, so that unknown names take as long as known ones."""
        self.hash(password)

    def is_outdated(self, stored: str) -> bool:
        """Return whether the hash was made with other parameters."""
        return self._argon2().check_needs_rehash(stored)

    def _argon2(self) -> PasswordHasher:
        if self._hasher is None:
            from argon2 import PasswordHasher

            self._hasher = PasswordHasher(time_cost=self._passes, memory_cost=self._memory_kib, parallelism=1)
        return self._hasher


class PasswordMemory(Generic[_T]):
    """Remembers results of verifications of name and password for a short time. Safe for threads.

    It keeps a keyed hash of name, password and version, with a key of this object, never a password, and
    successes only. A caller that asks during a verification of the same password waits for its result: the
    three layers that an engine pulls at once cost one hash.

    :param ttl_s: how long a success is remembered, in seconds from its verification; 0 for not at all.
    :param max_entries: the maximum number of successes. The least recently used one is removed first.
    :raises ValueError: a bound is negative, infinite or zero entries.
    """

    def __init__(
        self,
        ttl_s: float = 300.0,
        max_entries: int = 4096,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if not 0 <= ttl_s < float("inf") or max_entries < 1:
            raise ValueError(f"must be a time of 0 s or more for 1 entry or more, not {ttl_s}, {max_entries}")
        self._key = os.urandom(32)
        self._ttl_s = ttl_s
        self._clock = clock
        self._known = ExpiringValues[_T](max_entries)
        self._mutex = threading.Lock()  # guards what follows
        self._running: dict[bytes, Future[_T | None]] = {}

    def get(self, username: str, password: str, version: str, verify: Callable[[], _T | None]) -> _T | None:
        """Return the remembered result for name and password, else that of ``verify()``; None is not
        remembered.

        :param version: what the verification depends on besides, such as the stored hash.
        :raises Exception: whatever ``verify`` raises, in every caller that waits for it.
        """
        entry = self._digest(username, password, version)
        while True:
            known = self._known.find(entry, self._clock.monotonic_s())
            if known is not None:
                return known
            with self._mutex:
                # a verification may have ended since the look
                known = self._known.find(entry, self._clock.monotonic_s())
                if known is not None:
                    return known
                running = self._running.get(entry)
                if running is None:
                    mine = self._running[entry] = Future()
                    break
            try:
                return running.result()
            except CancelledError:
                continue  # the thread that verified was stopped by an exception such as KeyboardInterrupt
        try:
            found = verify()
            if found is not None:
                now_s = self._clock.monotonic_s()
                self._known.expire(now_s)
                self._known.keep(entry, found, now_s + self._ttl_s)
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
        self._known.expire(self._clock.monotonic_s())
        return len(self._known)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} entries>"

    def _digest(self, *texts: str) -> bytes:
        digest = hashlib.blake2b(key=self._key, digest_size=32)
        for text in map(encoded, texts):
            digest.update(len(text).to_bytes(8, "big") + text)
        return digest.digest()


def encoded(text: str) -> bytes:
    """Return the UTF-8 of any text, lone surrogates included, which no encoding allows.

    >>> encoded("é"), encoded("\\ud800")
    (b'\\xc3\\xa9', b'\\xed\\xa0\\x80')
    """
    return text.encode("utf-8", "surrogatepass")
