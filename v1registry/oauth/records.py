"""What :class:`~v1registry.oauth.grants.Grants` stores: keys and values, and what they say. Pure functions and values.

``accounts/oauth/grants/<user>/<id>`` is one decision of a user, with all that came of it: the code, the access tokens, the
refresh tokens. It is one value, so one conditional write decides what a code or a token was worth: whether it
worked, or was used before. No code and no token is in it, only their SHA-256.

``accounts/oauth/tokens/<2 digits>/<sha256>`` tells which grant a code or a token belongs to. It says nothing of its own: what the
grant does not list is no good.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from hmac import compare_digest
from typing import Any, Final

from ..accounts.passwords import encoded
from ..accounts.records import BrokenValue, check_types, dumped, loaded, quoted
from ..rights import User

GRANTS_FOLDER: Final = "accounts/oauth/grants"
TOKENS_FOLDER: Final = "accounts/oauth/tokens"

#: How many access tokens of one grant are good at a time: another one ends the oldest. Who refreshes twice an hour for a day
#: has less.
_MOST_ACCESS_TOKENS: Final = 50

#: How many refresh tokens that were used are kept in mind, so that the use of a stolen one is noticed.
_MOST_USED_TOKENS: Final = 50

#: What stands in the place of a grant for the moment in which it is removed.
ENDED: Final = b'{"ended": true}'

#: How many of the hex digits of an access token's digest name it among those of its grant.
MARK_DIGITS: Final = 16


@dataclass(frozen=True)
class Code:
    """The authorization code of a grant."""

    digest: str
    expires_at_s: float
    redirect_uri: str
    is_redirect_given: bool  #: the request named it, so who redeems the code has to (RFC 6749, 4.1.3)
    challenge: str | None  #: of PKCE, by S256; None where the request had none

    def is_verified_by(self, verifier: str | None) -> bool:
        """Tell whether the verifier, any text, fits the challenge, or none is needed (RFC 7636, 4.6)."""
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
        """What tells it from the others of its grant."""
        return self.digest[:MARK_DIGITS]


@dataclass(frozen=True)
class RefreshToken:
    """The refresh token of a grant that was not used yet."""

    digest: str
    expires_at_s: float


@dataclass(frozen=True)
class Grant:
    """What a user granted to an application at one time, and what it led to."""

    id: str
    username: str
    account_id: int
    groups: tuple[str, ...]  #: what the user was then: for backends that cannot tell what they are now
    is_administrator: bool
    client_id: str
    application_id: str
    scopes: tuple[str, ...]
    granted_at_s: float
    code: Code
    is_redeemed: bool = False
    access_tokens: tuple[AccessToken, ...] = ()  #: the oldest first
    refresh_token: RefreshToken | None = None
    used_digests: tuple[str, ...] = field(default=())  #: of refresh tokens, the oldest first
    account_mark: str = field(default="", repr=False)  #: see AccountMarks; empty for an account that has none

    @property
    def user(self) -> User:
        """The user as they were then."""
        return User(self.username, frozenset(self.groups), is_administrator=self.is_administrator)

    def is_live(self, now_s: float) -> bool:
        """Tell whether the application can still do something with it."""
        if not self.is_redeemed:
            return now_s < self.code.expires_at_s
        refresh = self.refresh_token
        return (refresh is not None and now_s < refresh.expires_at_s) or any(
            now_s < token.expires_at_s for token in self.access_tokens
        )

    def access_token(self, digest: str, now_s: float) -> AccessToken | None:
        """Return the good access token of this digest, None where there is none."""
        return next(
            (token for token in self.access_tokens if token.digest == digest and now_s < token.expires_at_s),
            None,
        )

    def access_token_marked(self, mark: str, now_s: float) -> AccessToken | None:
        """Return the good access token of this mark, None where there is none."""
        return next(
            (token for token in self.access_tokens if token.mark == mark and now_s < token.expires_at_s), None
        )

    def accepts(self, digest: str, now_s: float) -> bool:
        """Tell whether this code, or this refresh token, works now."""
        if not self.is_redeemed:
            return digest == self.code.digest and now_s < self.code.expires_at_s
        refresh = self.refresh_token
        return refresh is not None and digest == refresh.digest and now_s < refresh.expires_at_s

    def was_used(self, digest: str) -> bool:
        """Tell whether this code, or this refresh token, worked before."""
        return (self.is_redeemed and digest == self.code.digest) or digest in self.used_digests

    @property
    def digests(self) -> frozenset[str]:
        """The digests of all codes and tokens that it knows, good ones and used ones."""
        refresh = () if self.refresh_token is None else (self.refresh_token.digest,)
        access = (token.digest for token in self.access_tokens)
        return frozenset((self.code.digest, *access, *refresh, *self.used_digests))

    def with_tokens(
        self, access: AccessToken, refresh: RefreshToken, now_s: float, account_mark: str
    ) -> Grant:
        """Return the grant after its code, or its refresh token, was used for these. What has expired is forgotten."""
        used = self.used_digests + (() if self.refresh_token is None else (self.refresh_token.digest,))
        good = tuple(token for token in self.access_tokens if now_s < token.expires_at_s)
        return replace(
            self,
            is_redeemed=True,
            access_tokens=(*good, access)[-_MOST_ACCESS_TOKENS:],
            refresh_token=refresh,
            used_digests=used[-_MOST_USED_TOKENS:],
            account_mark=account_mark,
        )

    def without(self, digest: str) -> Grant:
        """Return the grant without an access token."""
        return replace(
            self, access_tokens=tuple(token for token in self.access_tokens if token.digest != digest)
        )

    def dumped(self) -> bytes:
        """Return the bytes to store."""
        return dumped(asdict(self))

    @classmethod
    def parsed(cls, value: bytes) -> Grant:
        """Return what :meth:`dumped` stored. BrokenValue."""
        record = {"account_mark": ""} | loaded(value)
        check_types(record, _GRANT_TYPES)
        check_types(record["code"], _CODE_TYPES)
        if not isinstance(record["code"].get("challenge"), str | None):
            raise BrokenValue("a challenge is text")
        for token in record["access_tokens"]:
            check_types(token, _ACCESS_TYPES)
        refresh = record.get("refresh_token")
        if refresh is not None:
            check_types(refresh, _REFRESH_TYPES)
        texts = [record["groups"], record["scopes"], record["used_digests"]]
        texts += [token["scopes"] for token in record["access_tokens"]]
        if not all(isinstance(text, str) for some in texts for text in some):
            raise BrokenValue("groups, scopes and digests are texts")
        values = _chosen(record, _GRANT_TYPES) | {
            "groups": tuple(record["groups"]),
            "scopes": tuple(record["scopes"]),
            "used_digests": tuple(record["used_digests"]),
            "code": Code(**_chosen(record["code"], _CODE_TYPES), challenge=record["code"].get("challenge")),
            "access_tokens": tuple(
                AccessToken(**{**_chosen(token, _ACCESS_TYPES), "scopes": tuple(token["scopes"])})
                for token in record["access_tokens"]
            ),
            "refresh_token": None if refresh is None else RefreshToken(**_chosen(refresh, _REFRESH_TYPES)),
        }
        return cls(**values)


@dataclass(frozen=True)
class Pointer:
    """To which grant a code or a token belongs."""

    username: str
    grant_id: str
    written_at_s: float

    @property
    def grant_key(self) -> str:
        return grant_key(self.username, self.grant_id)

    def dumped(self) -> bytes:
        """Return the bytes to store."""
        return dumped(asdict(self))

    @classmethod
    def parsed(cls, value: bytes) -> Pointer:
        """Return what :meth:`dumped` stored. BrokenValue."""
        record = loaded(value)
        check_types(record, _POINTER_TYPES)
        return cls(**_chosen(record, _POINTER_TYPES))


def grants_folder(username: str) -> str:
    """Return the folder of a user's grants."""
    return f"{GRANTS_FOLDER}/{quoted(username)}"


def grant_key(username: str, grant_id: str) -> str:
    """Return the key of a grant."""
    return f"{grants_folder(username)}/{grant_id}"


def token_key(digest: str) -> str:
    """Return the key that tells of which grant a code or a token is. The folders keep a look at a few of many cheap."""
    return f"{TOKENS_FOLDER}/{digest[:2]}/{digest}"


_CODE_TYPES: Final[dict[str, type]] = {
    "digest": str,
    "expires_at_s": float,
    "redirect_uri": str,
    "is_redirect_given": bool,
}
_ACCESS_TYPES: Final[dict[str, type]] = {
    "digest": str,
    "scopes": list,
    "issued_at_s": float,
    "expires_at_s": float,
}
_REFRESH_TYPES: Final[dict[str, type]] = {"digest": str, "expires_at_s": float}
_GRANT_TYPES: Final[dict[str, type]] = {
    "id": str,
    "username": str,
    "account_id": int,
    "groups": list,
    "is_administrator": bool,
    "client_id": str,
    "application_id": str,
    "scopes": list,
    "granted_at_s": float,
    "code": dict,
    "is_redeemed": bool,
    "access_tokens": list,
    "used_digests": list,
    "account_mark": str,
}
_POINTER_TYPES: Final[dict[str, type]] = {"username": str, "grant_id": str, "written_at_s": float}


def _chosen(record: Mapping[str, Any], types: Mapping[str, type]) -> dict[str, Any]:
    """Return the fields that this version knows: newer ones may add others."""
    return {name: record[name] for name in types}
