"""Signatures: the key that all processes over one storage share, and signers that are made from keys."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final, TypeAlias

from itsdangerous import Signer, URLSafeSerializer

from .storage.base import ABSENT, KeyConflict, KeyNotFound, Storage, StorageUnavailable

SECRET_KEY: Final = "accounts/secret"  # noqa: S105  a key of the storage, not a secret

#: In characters. Those that are made have 64.
_SHORTEST_SECRET: Final = 16

#: Secrets, the newest last: it signs, all verify. A function is called for them at the first use.
Keys: TypeAlias = Sequence[str] | Callable[[], Sequence[str]]


class Signers:
    """Makes signers for different purposes from the same keys. Safe for threads.

    What is signed for one purpose is not valid for another one. All use HMAC with SHA-256.

    :param keys: if there are none, a random key is made, which only this object knows.

    >>> signers = Signers(["the-key"])
    >>> text = signers.of("examples").sign("seven")
    >>> signers.of("examples").unsign(text)
    b'seven'
    >>> signers.of("others").validate(text)
    False
    """

    def __init__(self, keys: Keys = ()):
        self._given = keys
        self._keys: list[str] = []
        self._signers: dict[str, Signer] = {}
        self._lock = Lock()  # guards both

    def of(self, purpose: str) -> Signer:
        """Return the signer of a purpose.

        :param purpose: the salt; signatures that were made with it stay valid as long as it stays the same.
        """
        with self._lock:
            if purpose not in self._signers:
                self._signers[purpose] = Signer(
                    self._all_keys(), salt=purpose, key_derivation="hmac", digest_method=hashlib.sha256
                )
            return self._signers[purpose]

    def serializer(self, purpose: str) -> URLSafeSerializer:
        """Return a serializer of JSON values whose signatures are those of :meth:`of`."""
        with self._lock:
            return URLSafeSerializer(
                self._all_keys(),
                salt=purpose,
                signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
            )

    def _all_keys(self) -> list[str]:
        if not self._keys:
            given = self._given() if callable(self._given) else self._given
            self._keys = list(given) or [secrets.token_hex(32)]
        return self._keys


def shared_secret(storage: Storage) -> str:
    """Return the signing key of a storage; make it if there is none, once for all processes.

    :raises StorageUnavailable: the storage failed, or the stored key is damaged.
    """
    try:
        return _checked_secret(storage.read(SECRET_KEY)[0])
    except KeyNotFound:
        pass
    made = secrets.token_hex(32)
    try:
        storage.write(SECRET_KEY, made.encode("ascii"), expect=ABSENT)
    except KeyConflict:
        return _checked_secret(storage.read(SECRET_KEY)[0])
    return made


def _checked_secret(value: bytes) -> str:
    """Return a stored key, unless it is so short that signatures could be forged: an empty or cut file."""
    if not value.isascii() or len(value) < _SHORTEST_SECRET:
        raise StorageUnavailable(
            SECRET_KEY,
            f"the signing key must have at least {_SHORTEST_SECRET} ASCII characters, not {len(value)} "
            "bytes; restore it, or delete it to end all sessions and tokens",
        )
    return value.decode("ascii")
