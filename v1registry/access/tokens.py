"""Repository tokens: an index issues them, and a registry accepts them (hub.md 5).

A token is the text ``signature=SIGNATURE,repository="NS/REPO",access=ACCESS``. The signature carries all of
this and the time of expiry, so any process with the same key can verify it, and no table is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from itsdangerous import BadData

from ..names import RepositoryName
from ..rights import Action, User
from ..signing import Keys, Signers
from .credentials import TokenFields

#: See :meth:`~v1registry.signing.Signers.of`.
_PURPOSE: Final = "v1registry repository token"


@dataclass(frozen=True)
class Token:
    """A verified repository token."""

    repository: RepositoryName
    access: Action
    user: User | None  #: to whom it was issued, as they were then; None if anonymous
    expires_at_s: int  #: since the epoch
    #: of the OAuth access token with which an application asked for it (see Bearer); None if the user asked
    access_id: str | None = None


class Tokens:
    """Issues and verifies repository tokens. Safe for threads.

    :param keys: sign and verify the tokens.
    :param lifetime_s: how long a token is valid, in seconds; a push of large layers must fit.
    :param clock: returns seconds since the epoch.
    """

    def __init__(
        self,
        keys: Keys = (),
        *,
        lifetime_s: int = 3600,
        clock: Callable[[], float] = time.time,
    ):
        self._signers = Signers(keys)
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
        """Return a token without the word ``Token``, in the form of the index documents of docker 0.9 to 1.5.

        The signature stays within ``[A-Za-z0-9._-]``: old parsers stop at commas, quotes, blanks and equal
        signs.

        :param ends_by_s: the latest time of expiry, in seconds since the epoch.
        :param access_id: names the OAuth access token with which an application asks for the user.
        """
        expires_at_s = int(self._clock()) + self._lifetime_s
        if ends_by_s is not None:
            expires_at_s = min(expires_at_s, int(ends_by_s))
        given_to = [user.name, sorted(user.groups), user.is_administrator] if user is not None else []
        if access_id is not None:
            given_to.append(access_id)
        signed = [str(repository), access.value, expires_at_s, given_to]
        signature = self._signers.serializer(_PURPOSE).dumps(signed)
        if isinstance(signature, bytes):
            signature = signature.decode("ascii")
        return f'signature={signature},repository="{repository}",access={access.value}'

    def verify(self, fields: TokenFields) -> Token | None:
        """Return the token of a header, None if the signature does not cover its fields or has expired."""
        values = fields.values
        try:
            signed = self._signers.serializer(_PURPOSE).loads(values.get("signature", ""))
        except (BadData, UnicodeError):
            return None
        # The signature is valid, so the value has the format that issue() wrote.
        repository, access, expires_at_s, given_to = signed
        if values.get("repository") != repository or values.get("access") != access:
            return None
        if expires_at_s <= self._clock():
            return None
        user = User(given_to[0], frozenset(given_to[1]), is_administrator=given_to[2]) if given_to else None
        access_id = given_to[3] if len(given_to) > 3 else None
        return Token(RepositoryName.parse(repository), Action(access), user, expires_at_s, access_id)
