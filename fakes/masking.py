"""Masks of secrets in transcripts: credentials, cookies, tokens and passwords become ``masked-1``, ….

The same secret has the same mask within a transcript, so a reader sees which token was used where. Bytes
that are named by a digest or a checksum are never changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import quote, unquote_plus

#: The largest body in which secrets are looked for, in bytes.
MOST_MASKED_BYTES: Final = 1 << 20

#: Fields of JSON objects, forms and queries whose values are secret, in lower case.
_SECRET_FIELDS: Final = frozenset(
    ["access_token", "auth", "client_secret", "code", "code_verifier", "id_token", "identity_token",
     "identitytoken", "new_password", "old_password", "password", "refresh_token", "registrytoken", "secret",
     "sig", "signature", "token", "x-amz-credential", "x-amz-security-token", "x-amz-signature"]
)  # fmt: skip

_SECRET_HEADER: Final = re.compile(
    r"token|secret|password|api-?key|signature|x-registry-(?:auth|config)", re.I
)
_WITH_URLS: Final = frozenset(["location", "content-location", "referer", "link"])
_SIGNATURE: Final = re.compile(r'(signature=)"?([^,;\s"]+)"?')
_PARAMETER: Final = re.compile(r"([?&])([^=&#\s<>]+)=([^&#\s<>;]*)")

#: Paths whose bodies are named by a digest or a checksum.
_CONTENT: Final = re.compile(r"/v1/images/|/v2/.+/(?:manifests|blobs|referrers)/")


def is_content(path: str) -> bool:
    """Tell whether the bodies of a path are named by a digest or a checksum.

    >>> is_content("/v2/alice/app/manifests/latest"), is_content("/v2/token")
    (True, False)
    """
    return _CONTENT.match(path) is not None


class Masker:
    """The masks of one transcript.

    :param is_numbered: whether different secrets have different masks. False makes texts comparable.
    """

    def __init__(self, *, is_numbered: bool = True):
        self._is_numbered = is_numbered
        self._masks: dict[str, str] = {}

    def mask(self, secret: str) -> str:
        """Return the mask of a secret. Nothing is masked in an empty text.

        >>> masker = Masker()
        >>> [masker.mask(secret) for secret in ("one", "two", "one", "")]
        ['masked-1', 'masked-2', 'masked-1', '']
        """
        if not secret:
            return secret
        if not self._is_numbered:
            return "masked"
        return self._masks.setdefault(secret, f"masked-{len(self._masks) + 1}")

    def headers(self, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return headers without their secrets. The scheme of credentials stays.

        >>> Masker().headers([("Authorization", "Basic YTpi"), ("Set-Cookie", "id=1; Path=/")])
        [('Authorization', 'Basic masked-1'), ('Set-Cookie', 'id=masked-2; Path=/')]
        """
        return [(name, self._header(name.lower(), value)) for name, value in pairs]

    def _header(self, name: str, value: str) -> str:
        if name in ("authorization", "proxy-authorization"):
            return self._credentials(value)
        if name == "cookie":
            return "; ".join(self._pair(part) for part in value.split("; "))
        if name == "set-cookie":
            first, semicolon, rest = value.partition(";")
            return f"{self._pair(first)}{semicolon}{rest}"
        if name == "www-authenticate":
            return self._signatures(value)
        if name in _WITH_URLS:
            return self.target(value)
        if _SECRET_HEADER.search(name) and value.lower() not in ("true", "false"):
            return self._signatures(value) if _SIGNATURE.search(value) else self.mask(value)
        return value

    def _credentials(self, value: str) -> str:
        if _SIGNATURE.search(value):
            return self._signatures(value)
        scheme, blank, rest = value.partition(" ")
        return f"{scheme} {self.mask(rest.strip())}" if blank else self.mask(value)

    def _pair(self, text: str) -> str:
        name, equals, value = text.partition("=")
        return f"{name}={self.mask(value)}" if equals else self.mask(text)

    def _signatures(self, value: str) -> str:
        return _SIGNATURE.sub(lambda found: f"{found[1]}{self.mask(found[2])}", value)

    def target(self, target: str) -> str:
        """Return a path or a URL without the secrets of its query.

        >>> Masker().target("/back?code=abc&state=1")
        '/back?code=masked-1&state=1'
        """

        def masked(found: re.Match[str]) -> str:
            if unquote_plus(found[2]).lower() not in _SECRET_FIELDS:
                return found[0]
            return f"{found[1]}{found[2]}={self.mask(unquote_plus(found[3]))}"

        return _PARAMETER.sub(masked, target)

    def body(self, data: bytes, content_type: str, path: str) -> bytes:
        """Return a body of JSON or a form without its secrets; every other one as it is.

        :param path: of the request: content that a digest names is not changed.

        >>> Masker().body(b'{"token": "abc", "n": 1}', "application/json", "/v2/token")
        b'{"token": "masked-1", "n": 1}'
        """
        if not data or len(data) > MOST_MASKED_BYTES or is_content(path):
            return data
        kind = content_type.partition(";")[0].strip().lower()
        change: Callable[[str], str | None] = self._json
        if kind == "application/x-www-form-urlencoded" and not data.lstrip().startswith(b"{"):
            change = self._form
        try:
            text = data.decode("utf-8")
            changed = change(text)
        except (ValueError, RecursionError):
            return data
        return data if changed is None else changed.encode("utf-8", "surrogatepass")

    def _json(self, text: str) -> str | None:
        document = json.loads(text)
        if not isinstance(document, dict):
            return None
        secrets = {
            name: self.mask(value)
            for name, value in document.items()
            if name.lower() in _SECRET_FIELDS and isinstance(value, str)
        }
        return json.dumps(document | secrets) if secrets else None

    def _form(self, text: str) -> str | None:
        pieces = [piece.partition("=") for piece in text.split("&")]
        changed = "&".join(
            f"{name}{equals}{quote(self.mask(unquote_plus(value)))}"
            if unquote_plus(name).lower() in _SECRET_FIELDS
            else f"{name}{equals}{value}"
            for name, equals, value in pieces
        )
        return None if changed == text else changed
