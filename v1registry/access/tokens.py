"""Repository tokens: an index issues them, and a registry accepts them (hub.md 5).

A token is the text ``signature=SIGNATURE,repository="NS/REPO",access=ACCESS``. The signature carries all of
this and the time of expiry, so any process with the same key can verify it, and no table is kept.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from itsdangerous import BadData

from ..clock import SYSTEM_CLOCK, Clock
from ..names import RepositoryName
from ..rights import Action, User
from ..signing import Keys, Signers
from .credentials import TokenFields
from .verified import VerifiedTokens

#: See :meth:`~v1registry.signing.Signers.of`.
_PURPOSE: Final = "v1registry repository token 2"
_MARK_PURPOSE: Final = "v1registry account of a repository token"

#: For how many accounts what a token says of them is kept.
_KEPT_MARKS: Final = 4096


@dataclass(frozen=True)
class Token:
    """A verified repository token."""

    repository: RepositoryName
    access: Action
    user: User | None  #: to whom it was issued, as they were then; None if anonymous
    expires_at_s: int  #: since the epoch
    #: of the OAuth access token with which an application asked for it (see Bearer); None if the user asked
    access_id: str | None = None
    nonce: str = ""  #: different in each token: it tells pushes apart (decisions.md 5)
    mark: str = ""  #: of the account and its password, see :meth:`Tokens.mark_of`


class Tokens:
    """Issues and verifies repository tokens. Safe for threads.

    :param keys: sign and verify the tokens.
    :param lifetime_s: how long a token to read or delete is valid, in seconds.
    :param write_lifetime_s: how long a token to write is valid, in seconds; a push of large layers must fit.
    """

    def __init__(
        self,
        keys: Keys = (),
        *,
        lifetime_s: int = 3600,
        write_lifetime_s: int = 12 * 3600,
        clock: Clock = SYSTEM_CLOCK,
    ):
        self._signers = Signers(keys)
        self._lifetime_s = lifetime_s
        self._write_lifetime_s = write_lifetime_s
        self._clock = clock
        self._verified = VerifiedTokens[Token]()
        self._marks = lru_cache(maxsize=_KEPT_MARKS)(self._signed_mark)

    def issue(
        self,
        repository: RepositoryName,
        access: Action,
        user: User | None,
        *,
        mark: str = "",
        ends_by_s: float | None = None,
        access_id: str | None = None,
    ) -> str:
        """Return a token without the word ``Token``, in the form of the index documents of docker 0.9 to 1.5.

        The signature stays within ``[A-Za-z0-9._-]``: old parsers stop at commas, quotes, blanks and equal
        signs.

        :param mark: of the user's account; see :meth:`mark_of`.
        :param ends_by_s: the latest time of expiry, in seconds since the epoch.
        :param access_id: names the OAuth access token with which an application asks for the user.
        """
        lifetime_s = self._write_lifetime_s if access is Action.WRITE else self._lifetime_s
        expires_at_s = int(self._clock.time_s()) + lifetime_s
        if ends_by_s is not None:
            expires_at_s = min(expires_at_s, int(ends_by_s))
        issued_to = [user.name, sorted(user.groups), user.is_administrator] if user is not None else None
        nonce = secrets.token_urlsafe(9)
        signed = [str(repository), access.value, expires_at_s, nonce, issued_to, mark, access_id]
        signature = self._signers.serializer(_PURPOSE).dumps(signed)
        if isinstance(signature, bytes):
            signature = signature.decode("ascii")
        return f'signature={signature},repository="{repository}",access={access.value}'

    def verify(self, fields: TokenFields) -> Token | None:
        """Return the token of a header, None if the signature does not cover its fields or has expired."""
        values, now_s = fields.values, self._clock.time_s()
        texts = values.get("signature", ""), values.get("repository", ""), values.get("access", "")
        token = self._verified.find(*texts, now_s=now_s)
        if token is None:
            token = self._verify(*texts)
            if token is None or token.expires_at_s <= now_s:
                return None
            self._verified.keep(*texts, token=token, expires_at_s=token.expires_at_s)
        return token

    def _verify(self, signature: str, named_repository: str, named_access: str) -> Token | None:
        """Return the token of three fields, expired or not; None if the signature does not cover them."""
        try:
            signed = self._signers.serializer(_PURPOSE).loads(signature)
        except (BadData, UnicodeError):
            return None
        # The signature is valid, so the value has the format that issue() wrote.
        repository, access, expires_at_s, nonce, issued_to, mark, access_id = signed
        if named_repository != repository or named_access != access:
            return None
        user = None
        if issued_to is not None:
            name, groups, is_administrator = issued_to
            user = User(name, frozenset(groups), is_administrator=is_administrator)
        return Token(
            RepositoryName.parse(repository), Action(access), user, expires_at_s, access_id, nonce, mark
        )

    def mark_of(self, account_id: str, password_mark: str) -> str:
        """Return what a token says about an account: a keyed hash, which differs once the password is
        changed.

        :param account_id: empty if the backend has no ids.
        :param password_mark: see :meth:`v1registry.accounts.base.Backend.password_mark`; empty if there is
            none.
        """
        return self._marks(account_id, password_mark) if account_id or password_mark else ""

    def _signed_mark(self, account_id: str, password_mark: str) -> str:
        signed = self._signers.of(_MARK_PURPOSE).get_signature(f"{account_id} {password_mark}".encode())
        return signed.decode("ascii")
