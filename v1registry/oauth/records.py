"""The records of OAuth: grants, and pointers from codes and tokens. Pure values.

``accounts/oauth/grants/<user>/<id>`` is one decision of a user, with its code, its access tokens and its
refresh token. It is one value, so one conditional write decides whether a code or a token works, or was used
before. Codes and tokens are not stored, only their SHA-256.

``accounts/oauth/tokens/<2 digits>/<sha256>`` points from a code or a token to its grant. The pointer alone
proves nothing: a token works only if the grant lists its digest.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from hmac import compare_digest
from typing import Final

from ..accounts.passwords import encoded
from ..rights import User
from ..storage.records import quoted

GRANTS_FOLDER: Final = "accounts/oauth/grants"
TOKENS_FOLDER: Final = "accounts/oauth/tokens"

#: The most valid access tokens of one grant; a new one ends the oldest. An application that refreshes twice
#: an hour needs fewer.
_MOST_ACCESS_TOKENS: Final = 50

#: The most used refresh tokens that a grant remembers, so that the use of a stolen one is noticed.
_MOST_USED_TOKENS: Final = 50

#: Hex digits of an access token's digest that identify the token within its grant.
MARK_DIGITS: Final = 16


@dataclass(frozen=True)
class Code:
    """The authorization code of a grant."""

    digest: str
    expires_at_s: float
    redirect_uri: str
    is_redirect_given: bool  #: the request named it, so the token request must name it too (RFC 6749, 4.1.3)
    challenge: str | None = None  #: of PKCE, by S256; None if the request had none

    def is_verified_by(self, verifier: str | None) -> bool:
        """Return whether the verifier fits the challenge, or no verifier is needed (RFC 7636, 4.6)."""
        if self.challenge is None:
            return True
        digest = hashlib.sha256(encoded(verifier or "")).digest()
        return compare_digest(base64.urlsafe_b64encode(digest).rstrip(b"="), encoded(self.challenge))


@dataclass(frozen=True)
class AccessToken:
    """An access token of a grant."""

    digest: str
    scopes: tuple[str, ...]
    issued_at_s: float
    expires_at_s: float

    @property
    def mark(self) -> str:
        """Identifies the token within its grant."""
        return self.digest[:MARK_DIGITS]


@dataclass(frozen=True)
class RefreshToken:
    """The unused refresh token of a grant."""

    digest: str
    expires_at_s: float


@dataclass(frozen=True)
class Grant:
    """One decision of a user to grant scopes to an application, and the tokens that came of it."""

    id: str
    username: str
    account_id: str | int  #: the user's id; older versions stored numbers
    client_id: str
    application_id: str
    scopes: tuple[str, ...]
    granted_at_s: float
    code: Code
    is_redeemed: bool
    access_tokens: tuple[AccessToken, ...]  #: the oldest first
    used_digests: tuple[str, ...]  #: of refresh tokens, the oldest first
    refresh_token: RefreshToken | None = None

    def is_of(self, user: User) -> bool:
        """Return whether this user granted it: a later user with the same name has a different id."""
        return user.name == self.username and user.id == str(self.account_id)

    def is_live(self, now_s: float) -> bool:
        """Return whether a code or a token of the grant is still valid."""
        if not self.is_redeemed:
            return now_s < self.code.expires_at_s
        refresh = self.refresh_token
        return (refresh is not None and now_s < refresh.expires_at_s) or any(
            now_s < token.expires_at_s for token in self.access_tokens
        )

    def access_token(self, digest: str, now_s: float) -> AccessToken | None:
        """Return the valid access token with this digest, or None."""
        return next(
            (token for token in self.access_tokens if token.digest == digest and now_s < token.expires_at_s),
            None,
        )

    def access_token_marked(self, mark: str, now_s: float) -> AccessToken | None:
        """Return the valid access token with this mark, or None."""
        return next(
            (token for token in self.access_tokens if token.mark == mark and now_s < token.expires_at_s), None
        )

    def accepts(self, digest: str, now_s: float) -> bool:
        """Return whether this code or refresh token is valid now."""
        if not self.is_redeemed:
            return digest == self.code.digest and now_s < self.code.expires_at_s
        refresh = self.refresh_token
        return refresh is not None and digest == refresh.digest and now_s < refresh.expires_at_s

    def was_used(self, digest: str) -> bool:
        """Return whether this code or refresh token was used before."""
        return (self.is_redeemed and digest == self.code.digest) or digest in self.used_digests

    @property
    def digests(self) -> frozenset[str]:
        """The digests of all codes and tokens of the grant, valid and used ones."""
        refresh = () if self.refresh_token is None else (self.refresh_token.digest,)
        access = (token.digest for token in self.access_tokens)
        return frozenset((self.code.digest, *access, *refresh, *self.used_digests))

    def with_tokens(self, access: AccessToken, refresh: RefreshToken, now_s: float) -> Grant:
        """Return the grant after a use of its code or refresh token. Expired access tokens are dropped."""
        used = self.used_digests + (() if self.refresh_token is None else (self.refresh_token.digest,))
        good = tuple(token for token in self.access_tokens if now_s < token.expires_at_s)
        return replace(
            self,
            is_redeemed=True,
            access_tokens=(*good, access)[-_MOST_ACCESS_TOKENS:],
            refresh_token=refresh,
            used_digests=used[-_MOST_USED_TOKENS:],
        )

    def without(self, digest: str) -> Grant:
        """Return the grant without the access token with this digest."""
        return replace(
            self, access_tokens=tuple(token for token in self.access_tokens if token.digest != digest)
        )


@dataclass(frozen=True)
class Pointer:
    """Names the grant of a code or a token."""

    username: str
    grant_id: str
    written_at_s: float

    @property
    def grant_key(self) -> str:
        """The key of the grant."""
        return grant_key(self.username, self.grant_id)


def grants_folder(username: str) -> str:
    """Return the folder of a user's grants."""
    return f"{GRANTS_FOLDER}/{quoted(username)}"


def grant_key(username: str, grant_id: str) -> str:
    """Return the key of a grant."""
    return f"{grants_folder(username)}/{grant_id}"


def token_key(digest: str) -> str:
    """Return the key of the pointer of a code or a token. Its folders keep listing a few of many cheap."""
    return f"{TOKENS_FOLDER}/{digest[:2]}/{digest}"
