"""Parse ``Authorization`` headers. Nothing is verified here."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

#: As docker-registry 0.9.1, toolkit.py: quotes, order and a repeated scheme do not matter, and words are
#: ASCII. A match begins at the start of a word. Otherwise a long word would take minutes, because each of its
#: characters would be tried.
_TOKEN_FIELD = re.compile(r"(?<!\w)(\w+)[:=][\s\"]?([^\",]+)\"?", re.ASCII)

_PLAIN_VALUE = r"[!#-+\--~]+"
_PLAIN_FIELD = rf'(?:signature|repository|access)[:=](?:"{_PLAIN_VALUE}"|{_PLAIN_VALUE})'
_PLAIN_TOKENS = re.compile(rf"(?i:token +)+{_PLAIN_FIELD}(?:, *{_PLAIN_FIELD})*")


#: RFC 6750, 2.1.
_ACCESS_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
#: In characters. Longer texts are not access tokens.
_LONGEST_ACCESS_TOKEN = 512


@dataclass(frozen=True)
class Basic:
    """A user name and a password."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class TokenFields:
    """The fields of one token: ``signature``, ``repository``, ``access``, or some of them."""

    values: dict[str, str] = field(repr=False)


@dataclass(frozen=True)
class BearerToken:
    """An access token of OAuth."""

    token: str = field(repr=False)  #: empty if the header has no valid one


@dataclass(frozen=True)
class Malformed:
    """Invalid credentials: an unknown scheme, bytes that cannot be decoded, a token without fields."""


#: None for an anonymous caller.
Credentials = Basic | BearerToken | list[TokenFields] | Malformed | None


def parse_authorization(header: str | None) -> Credentials:
    """Return the credentials of an ``Authorization`` header.

    Engines up to 1.6 send ``Basic Og==``, an empty name and password, if no user is logged in, and ``Token``
    alone if they got no token: both are anonymous (clients.md 2.5). Several tokens may be joined by commas.
    ``Bearer`` is that of RFC 6750, 2.1; without a valid token its token is empty.

    >>> parse_authorization("Basic Og==") is None
    True
    >>> parse_authorization('Token Token signature=A,repository="b/c",access=read')
    [TokenFields()]
    """
    scheme, _, rest = (header or "").strip().partition(" ")
    rest = rest.strip()
    if not scheme or (scheme.lower() == "token" and not rest):
        return None
    if scheme.lower() == "basic":
        return _parse_basic(rest)
    if scheme.lower() == "token":
        return _parse_tokens(rest) or Malformed()
    if scheme.lower() == "bearer":
        is_one = len(rest) <= _LONGEST_ACCESS_TOKEN and _ACCESS_TOKEN.fullmatch(rest)
        return BearerToken(rest if is_one else "")
    return Malformed()


def is_plain_token(header: str | None) -> bool:
    """Return whether the header has tokens and nothing that two parsers may read in different ways.

    If a server asks another one whether a token is valid, both parse the header. A field ``access`` that only
    one of them finds would give the caller more rights than the token has. All tokens that indexes return and
    engines join are plain.

    >>> is_plain_token('Token Token signature=A,repository="b/c",access=read')
    True
    >>> is_plain_token('Token signature=A,repository="b/c",x="access=read",access=write')
    False
    """
    return _PLAIN_TOKENS.fullmatch(header or "") is not None


def _parse_basic(encoded: str) -> Credentials:
    try:
        decoded = base64.b64decode(encoded, validate=True)
        text = decoded.decode("utf-8", errors="surrogateescape")
    except (binascii.Error, ValueError):
        return Malformed()
    username, colon, password = text.partition(":")
    if not colon:
        return Malformed()
    if not username:
        return None
    return Basic(username, password)


def _parse_tokens(text: str) -> list[TokenFields]:
    """Return the tokens of a header, in order. A field that is repeated begins the next token."""
    tokens: list[TokenFields] = []
    values: dict[str, str] = {}
    for name, value in _TOKEN_FIELD.findall(text):
        if name in values:
            tokens.append(TokenFields(values))
            values = {}
        values[name] = value
    if values:
        tokens.append(TokenFields(values))
    return tokens
