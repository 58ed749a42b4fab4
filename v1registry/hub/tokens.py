"""Repository tokens: what an index hands out and a registry takes (hub.md 5).

A token is the text ``signature=SIGNATURE,repository="NS/REPO",access=ACCESS``. Ours carries what it says, and when it ends,
inside the signature, so any process with the same secret can check it and no table is kept.
"""

from __future__ import annotations

import enum
import hashlib
import secrets
import time
from collections.abc import Callable, Sequence

from itsdangerous import URLSafeSerializer

from ..names import RepositoryName


class Access(enum.Enum):
    """What a token is good for; the words of the protocol."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"


class Tokens:
    """Issues tokens.

    :param keys: secrets, the newest last; it signs. Without any, a key of this process alone is made.
    :param lifetime_s: how long a token is good, in seconds; a push of large layers must fit.
    :param clock: seconds since the epoch.
    """

    def __init__(
        self, keys: Sequence[str] = (), *, lifetime_s: int = 3600, clock: Callable[[], float] = time.time
    ):
        self._serializer = URLSafeSerializer(
            list(keys) or [secrets.token_hex(32)],
            salt="v1registry repository token",
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )
        self._lifetime_s = lifetime_s
        self._clock = clock

    def issue(self, repository: RepositoryName, access: Access, username: str = "") -> str:
        """Return a token without the word ``Token``, as the index documents of docker 0.9 to 1.5 show it.

        The signature stays within ``[A-Za-z0-9._-]``: old parsers stop at commas, quotes, blanks and equal signs.
        """
        expires_at_s = int(self._clock()) + self._lifetime_s
        signature = self._serializer.dumps([str(repository), access.value, username, expires_at_s])
        if isinstance(signature, bytes):
            signature = signature.decode("ascii")
        return f'signature={signature},repository="{repository}",access={access.value}'
