"""Masks of secrets in transcripts: credentials, cookies, tokens and passwords become ``masked-1``, ….

The same secret has the same mask within a transcript, so a reader sees which token was used where. Bytes
that are named by a digest or a checksum are never changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote, unquote_plus

#: The largest body in which secrets are looked for, in bytes.
MOST_MASKED_BYTES: Final = 1 << 20

#: Fields of JSON objects, forms and queries whose values are secret, in lower case.
_SECRET_FIELDS: Final = frozenset(
    ["assertion", "auth", "client_assertion", "code", "code_verifier", "device_code", "sig", "signature",
     "x-amz-credential", "x-amz-signature"]
)  # fmt: skip
_SECRET_ENDS: Final = re.compile(
    r"(?:token|secret|password|passwd|passphrase|(?:api|private|secret|access)[_-]?key)\Z", re.I
)

#: A field with a value in text that is no valid JSON; the value may be cut.
_FIELD: Final = re.compile(
    r"""(["'])(?P<name>[\w.-]{1,64})\1\s*:\s*(?P<quote>["']?)(?P<value>(?:(?<=")(?:[^"\\]|\\.)+|"""
    r"""(?<=')(?:[^'\\]|\\.)+|(?<!["'])[^\s,"'{}\[\]]+))""",
    re.S,
)

#: The codes of errors, in ``/v2/`` and of engines, which stand in a field ``code`` and are not secret.
_ERROR_CODE: Final = re.compile(r"[A-Z_]{1,40}|[0-9]{1,4}")

#: Types of bodies that are text.
_TEXT: Final = re.compile(r"^$|^text/|json$|^application/x-www-form-urlencoded$")

#: The start of a form whose type is missing.
_FORM: Final = re.compile(r"[\w.%+-]+=")

#: How often values that are URLs within URLs are unquoted.
_MOST_NESTED: Final = 4

_SECRET_HEADER: Final = re.compile(
    r"token|secret|password|api-?key|signature|x-registry-(?:auth|config)", re.I
)
_SIGNATURE: Final = re.compile(r'(signature=)"?([^,;\s"]+)"?')
_PARAMETER: Final = re.compile(r'([?&#])([^=?&#\s<>]+)=([^&#\s<>;"]*)')
_USER_INFO: Final = re.compile(r"(://)([^/?#@\s]+)@")

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
        if name == "host" and "@" in value:
            user_info, _, host = value.rpartition("@")
            return f"{self.mask(user_info)}@{host}"
        if _SECRET_HEADER.search(name) and value.lower() not in ("true", "false"):
            return self._signatures(value) if _SIGNATURE.search(value) else self.mask(value)
        return self.target(value)

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
        """Return a path, a URL or a text with URLs without the secrets of queries, and without user info.

        >>> Masker().target("/back?code=abc&state=1")
        '/back?code=masked-1&state=1'
        """
        return self._target(target, _MOST_NESTED)

    def _target(self, target: str, depth: int) -> str:
        def masked(found: re.Match[str]) -> str:
            start, name, value = found.groups()
            return f"{start}{name}={self._parameter(name, value, depth)}"

        without_user = _USER_INFO.sub(lambda found: f"{found[1]}{self.mask(found[2])}@", target)
        return _PARAMETER.sub(masked, without_user)

    def _parameter(self, name: str, value: str, depth: int) -> str:
        """Return the quoted value of a field of a query or a form without its secrets."""
        plain = unquote_plus(value)
        if _is_secret(unquote_plus(name)):
            return quote(self.mask(plain))
        changed = self._target(plain, depth - 1) if depth else plain
        return value if changed == plain else quote(changed)

    def body(self, data: bytes, content_type: str, path: str) -> bytes:
        """Return a body of JSON, of a form or of text without its secrets; every other one as it is.

        Secrets in JSON that is invalid or cut are masked too, and those of URLs in texts.

        :param path: of the request: content that a digest names is not changed.

        >>> Masker().body(b'{"token": "abc", "n": 1}', "application/json", "/v2/token")
        b'{"token": "masked-1", "n": 1}'
        """
        if not data or len(data) > MOST_MASKED_BYTES or is_content(path):
            return data
        kind = content_type.partition(";")[0].strip().lower()
        text = data.decode("utf-8", "surrogateescape")
        if not (_TEXT.search(kind) or text.isascii() or text.encode("utf-8", "replace") == data):
            return data
        is_form = kind == "application/x-www-form-urlencoded" and not text.lstrip().startswith(("{", "["))
        changed = self._form(text) if is_form or (not kind and _FORM.match(text)) else self._json(text)
        return data if changed == text else changed.encode("utf-8", "surrogateescape")

    def _json(self, text: str) -> str:
        try:
            document = json.loads(text)
            masked = self._value(document)
            if masked != document:
                return json.dumps(masked)
        except (ValueError, RecursionError):
            pass
        # also for a value that json.loads has dropped, because its name came twice
        return self.target(_FIELD.sub(self._field, text))

    def _value(self, value: Any) -> Any:
        """Return a value of JSON without its secrets."""
        if isinstance(value, str):
            return self.target(value)
        if isinstance(value, list):
            return [self._value(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {
            name: self._secret(each)
            if _is_secret(name) and not _is_error_code(name, each)
            else self._value(each)
            for name, each in value.items()
        }

    def _secret(self, value: Any) -> Any:
        """Return the value of a secret field of JSON: texts and numbers are masked."""
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return self.mask(str(value))
        if isinstance(value, list):
            return [self._secret(each) for each in value]
        return self._value(value)

    def _field(self, found: re.Match[str]) -> str:
        name, value = found["name"], found["value"]
        if not _is_secret(name) or _is_error_code(name, value) or value in ("null", "true", "false"):
            return found[0]
        return f"{found[0][: -len(value)]}{self.mask(value)}"

    def _form(self, text: str) -> str:
        pieces = [piece.partition("=") for piece in text.split("&")]
        return "&".join(
            f"{name}{equals}{self._parameter(name, value, _MOST_NESTED)}" for name, equals, value in pieces
        )


def _is_secret(name: str) -> bool:
    """Tell whether the values of a field are secret."""
    return name.lower() in _SECRET_FIELDS or _SECRET_ENDS.search(name) is not None


def _is_error_code(name: str, value: object) -> bool:
    """Tell whether a field of JSON is the code of an error, which a number may be too."""
    if name.lower() != "code":
        return False
    return not isinstance(value, str) or _ERROR_CODE.fullmatch(value) is not None
