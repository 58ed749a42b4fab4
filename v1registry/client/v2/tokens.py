"""Authentication at the distribution API: Basic, and Bearer with tokens (distribution.md 3).

Source: distribution registry/auth/token and spec/auth/oauth.md; RFC 7235 for challenges.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode, urlsplit

from ..answers import Answer, without_query
from ..connection import Connection, Credentials
from ..errors import NotAuthorized, ProtocolError

_LONGEST_CHALLENGE = 8192
_LONGEST_TOKEN = 64 * 1024
_PARAMETER = re.compile(r'([A-Za-z0-9_-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+)))?')
_TOKEN = re.compile(r"[\x21-\x7e]+")

#: Names this program to token endpoints.
_CLIENT_ID = "v1registry"


def read_challenges(text: str) -> Mapping[str, Mapping[str, str]]:
    """Return the challenges in ``WWW-Authenticate``: scheme in lower case to its parameters.

    >>> read_challenges('Bearer realm="https://a/token",service="a", Basic realm=x')
    {'bearer': {'realm': 'https://a/token', 'service': 'a'}, 'basic': {'realm': 'x'}}
    """
    found: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for match in _PARAMETER.finditer(text[:_LONGEST_CHALLENGE]):
        name, quoted, token = match.groups()
        if quoted is None and token is None:
            current = found.setdefault(name.lower(), {})
        else:
            current[name.lower()] = token if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    return found


class Authorizer:
    """The authorization of calls to one registry. Safe for threads.

    It answers the challenges of the registry. Credentials go to the host of the registry, and to the token
    endpoint that the registry names: over https, or over plain http if it is on the host of the registry,
    which is asked over plain http too.

    :param url: that of the API, such as ``https://localhost:5000/v2/``.
    :param scopes: what tokens must allow, such as ``repository:foo/bar:pull``.
    """

    def __init__(
        self, connection: Connection, credentials: Credentials | None, url: str, scopes: Sequence[str]
    ):
        self._connection = connection
        self._credentials = credentials
        self._url = urlsplit(url)
        self._scopes = tuple(scopes)
        self._challenge = ""
        self._header: str | None = None
        self._lock = threading.Lock()

    def header(self, url: str) -> str | None:
        """Return the header for a call; None for other hosts, and without a challenge so far."""
        parts = urlsplit(url)
        is_ours = (parts.scheme, parts.netloc) == (self._url.scheme, self._url.netloc)
        return self._header if is_ours else None

    def renew(self, rejected: str | None, challenge: str | None = None) -> bool:
        """Answer a challenge. Return whether there is another header than the rejected one now.

        :param rejected: the header of the call that was answered 401.
        :param challenge: the value of ``WWW-Authenticate``; None for the one before.
        :raises NotAuthorized: the credentials are wrong, or must not be sent to the token endpoint.
        :raises ProtocolError: the token endpoint is invalid, or its answer.
        :raises RegistryUnreachable: the token endpoint does not answer.
        """
        with self._lock:
            self._challenge = challenge or self._challenge
            if rejected != self._header:
                return True
            challenges = read_challenges(self._challenge)
            if "bearer" in challenges:
                self._header = f"Bearer {self._fetch_token(challenges['bearer'])}"
            elif "basic" in challenges and self._credentials and self._credentials.has_password:
                self._header = self._credentials.header
            return self._header != rejected

    def _fetch_token(self, challenge: Mapping[str, str]) -> str:
        realm = challenge.get("realm", "")
        self._check_realm(realm)
        pairs = [("service", challenge["service"])] if "service" in challenge else []
        named = (challenge.get("scope", ""), *self._scopes)
        scopes = [scope for scope in dict.fromkeys(named) if scope]
        if self._credentials and self._credentials.identity_token:
            return self._redeem(realm, self._credentials.identity_token, pairs, scopes)
        if self._credentials:
            pairs.append(("account", self._credentials.username))
        pairs += [("scope", scope) for scope in scopes]
        answer = self._connection.call(
            "GET",
            f"{realm}{'&' if '?' in realm else '?'}{urlencode(pairs)}",
            authorization=self._credentials.header if self._credentials else None,
        )
        if answer.status != 200:
            raise answer.failure("log in")
        return _token_in(answer)

    def _redeem(
        self, realm: str, identity_token: str, pairs: Sequence[tuple[str, str]], scopes: Sequence[str]
    ) -> str:
        """Return a token for an identity token, as the docker command asks for it.

        :raises NotAuthorized: the identity token is invalid.
        """
        fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", identity_token),
            ("client_id", _CLIENT_ID),
            *pairs,
            ("scope", " ".join(scopes)),
        ]
        answer = self._connection.call(
            "POST",
            realm,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(fields).encode("ascii"),
        )
        if answer.status != 200:
            raise answer.failure("log in")
        return _token_in(answer)

    def _check_realm(self, realm: str) -> None:
        try:
            parts = urlsplit(realm)
            host, _ = parts.hostname, parts.port
        except ValueError:
            parts, host = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not host:
            raise ProtocolError(
                f"{self._url.netloc} names a token endpoint that is not a URL: {without_query(realm)!r}"
            )
        if parts.scheme == "https":
            return
        named = f"{self._url.netloc} names the token endpoint {without_query(realm)}"
        if self._url.scheme == "https":
            raise ProtocolError(f"{named}: refused, because plain http is never used after https")
        if self._credentials and host != self._url.hostname:
            raise NotAuthorized(
                f"{named}: the credentials are not sent there, because it is another host, over plain http"
            )


def _token_in(answer: Answer) -> str:
    document = answer.json()
    token = document.get("token") or document.get("access_token") if isinstance(document, dict) else None
    if not isinstance(token, str) or len(token) > _LONGEST_TOKEN or not _TOKEN.fullmatch(token):
        raise ProtocolError(f"{urlsplit(answer.url).netloc} must answer a token, and answered something else")
    return token
