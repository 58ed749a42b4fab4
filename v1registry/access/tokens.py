"""Repository tokens: what an index hands out and a registry takes (hub.md 5).

A token is the text ``signature=SIGNATURE,repository="NS/REPO",access=ACCESS``. Ours carries what it says, and when it ends,
inside the signature, so any process with the same secret can check it and no table is kept.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from itsdangerous import BadData, URLSafeSerializer

from ..names import RepositoryName
from ..rights import Action, User
from .credentials import TokenFields


@dataclass(frozen=True)
class Token:
    """A token that was verified."""

    repository: RepositoryName
    access: Action
    user: User | None  #: to whom it was given, as they were then; None for nobody in particular
    expires_at_s: int  #: since the epoch
    #: given to an application that acts for the user, for this access token (see Bearer); None for the user in person
    access_id: str | None = None


class Tokens:
    """Issues and verifies tokens.

    :param keys: secrets, the newest last; it signs, all verify. A function is asked for them at the first use. Without
        any, a key of this process alone is made.
    :param lifetime_s: how long a token is good, in seconds; a push of large layers must fit.
    :param clock: seconds since the epoch.
    """

    def __init__(
        self,
        keys: Sequence[str] | Callable[[], Sequence[str]] = (),
        *,
        lifetime_s: int = 3600,
        clock: Callable[[], float] = time.time,
    ):
        self._keys = keys
        self._made: URLSafeSerializer | None = None
        self._lifetime_s = lifetime_s
        self._clock = clock

    def issue(
        self,
        repository: RepositoryName,
        access: Action,
        user: User | None,
        *,
        ends_by_s: float | None = None,
        access_id: str | None = None,
    ) -> str:
        """Return a token without the word ``Token``, as the index documents of docker 0.9 to 1.5 show it.

        The signature stays within ``[A-Za-z0-9._-]``: old parsers stop at commas, quotes, blanks and equal signs.

        :param ends_by_s: when it ends, in seconds since the epoch, if its lifetime does not end before.
        :param access_id: who gets it is an application that acts for the user, by this access token.
        """
        expires_at_s = int(self._clock()) + self._lifetime_s
        if ends_by_s is not None:
            expires_at_s = min(expires_at_s, int(ends_by_s))
        given_to = [user.name, sorted(user.groups), user.is_administrator] if user is not None else []
        if access_id is not None:
            given_to.append(access_id)
        signature = self._serializer.dumps([str(repository), access.value, expires_at_s, given_to])
        if isinstance(signature, bytes):
            signature = signature.decode("ascii")
        return f'signature={signature},repository="{repository}",access={access.value}'

    def verify(self, fields: TokenFields) -> Token | None:
        """Return what the fields of a header say if the signature covers them and has not expired, else None."""
        values = fields.values
        try:
            signed = self._serializer.loads(values.get("signature", ""))
        except (BadData, UnicodeError):
            return None
        # whoever has the key made it, so its shape is ours
        repository, access, expires_at_s, given_to = signed
        if values.get("repository") != repository or values.get("access") != access:
            return None
        if expires_at_s <= self._clock():
            return None
        user = User(given_to[0], frozenset(given_to[1]), is_administrator=given_to[2]) if given_to else None
        access_id = given_to[3] if len(given_to) > 3 else None
        return Token(RepositoryName.parse(repository), Action(access), user, expires_at_s, access_id)

    @property
    def _serializer(self) -> URLSafeSerializer:
        if self._made is None:
            keys = self._keys() if callable(self._keys) else self._keys
            self._made = URLSafeSerializer(
                list(keys) or [secrets.token_hex(32)],
                salt="v1registry repository token",
                signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
            )
        return self._made
