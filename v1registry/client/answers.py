"""Answers of a registry: error texts, JSON, the ping, and the exceptions for unexpected statuses."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from .errors import ClientError, NotAuthorized, NotFoundInRegistry, ProtocolError, RegistryUnreachable

_CHECKSUM_HEADERS = ("X-Docker-Checksum-Payload", "X-Docker-Payload-Checksum", "X-Docker-Checksum")
_PAYLOAD_CHECKSUM = re.compile(r"sha256:[a-f0-9]{64}")

#: How much of a URL messages show.
_SHOWN_CHARACTERS: Final = 500

#: Statuses after which the same request may succeed later.
TRANSIENT_STATUSES = frozenset({429, 500, 502, 503, 504})


def without_query(url: str) -> str:
    """Return a URL for messages, without query, fragment, user name and password.

    The queries of signed URLs are credentials.

    >>> without_query("https://mira:s3cret@store.example.org/layer?X-Amz-Signature=2f1")
    'https://store.example.org/layer'
    """
    return re.sub(r"//[^/]*@", "//", re.split(r"[?#]", url, maxsplit=1)[0])[:_SHOWN_CHARACTERS]


@dataclass(frozen=True)
class Answer:
    """A small answer, read whole."""

    url: str  #: after redirects
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def shown(self) -> str:
        """The URL for messages, without its query."""
        return without_query(self.url)

    @property
    def error_text(self) -> str:
        """The server's message: ``error`` in a JSON object, the messages in its list ``errors``, a JSON
        string, or plain text; ``""`` if none.
        """
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            is_text = self.headers.get("Content-Type", "").startswith("text/plain")
            value = self.body.decode("utf-8", "replace") if is_text else ""
        if isinstance(value, dict):
            texts = [error.get("message") or error.get("code") for error in _errors_in(value)]
            value = "; ".join(text for text in texts if isinstance(text, str)) or value.get("error")
        text = value if isinstance(value, str) else ""
        return re.sub(r"[^\x20-\x7e\xa0-\U0010ffff]+", " ", text).strip()[:300]

    @property
    def error_code(self) -> str:
        """The code of the first error in an answer of the distribution API; ``""`` without one."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return ""
        code = next((error.get("code") for error in _errors_in(value)), "")
        return code if isinstance(code, str) else ""

    def json(self) -> Any:
        """Return the body as JSON.

        :raises ProtocolError: the body is not JSON.
        """
        try:
            return json.loads(self.body.decode("utf-8"))
        except (ValueError, RecursionError) as exc:
            raise ProtocolError(f"{self.shown} answered something that is not JSON") from exc

    def failure(self, doing: str) -> ClientError:
        """Return the exception for an unexpected status.

        :param doing: the purpose of the call in the infinitive: "push x".
        """
        status = f"{self.status} {_phrase(self.status)}".strip()
        where = f"{self.shown} answered {status}" + (f": {self.error_text}" if self.error_text else "")
        if self.status == 401:
            return NotAuthorized(f"cannot {doing} without valid credentials: {where}")
        if self.status == 403:
            return NotAuthorized(f"cannot {doing}, because these credentials do not allow it: {where}")
        if self.status == 404:
            return NotFoundInRegistry(f"cannot {doing}, because the registry does not have it: {where}")
        if self.status in TRANSIENT_STATUSES:
            return RegistryUnreachable(f"cannot {doing} now, try again later: {where}")
        return ProtocolError(f"cannot {doing}: {where}")


def _errors_in(value: object) -> list[dict[str, Any]]:
    """Return the errors of an answer of the distribution API; none in other answers."""
    errors = value.get("errors") if isinstance(value, dict) else None
    if not isinstance(errors, list):
        return []
    return [error for error in errors[:20] if isinstance(error, dict)]


def checksums_in(headers: Mapping[str, str]) -> frozenset[str]:
    """Return the payload checksums in the headers of an image's JSON; others are ignored."""
    texts = ",".join(headers.get(header, "") for header in _CHECKSUM_HEADERS).split(",")
    return frozenset(text.strip() for text in texts if _PAYLOAD_CHECKSUM.fullmatch(text.strip()))


def read_tags(answer: Answer) -> dict[str, str]:
    """Return the tags of a list with the image ids, or with the starts of ids.

    Registries answer an object, the real Hub a list of ``{"layer": "<8 digits>", "name": "<tag>"}``
    (registry.md 8.1).

    :raises ProtocolError: the answer has neither form.
    """
    document = answer.json()
    if isinstance(document, list) and all(isinstance(entry, dict) for entry in document):
        document = {entry.get("name"): entry.get("layer") for entry in document}
    if not isinstance(document, dict) or not all(
        isinstance(name, str) and isinstance(image_id, str) for name, image_id in document.items()
    ):
        raise ProtocolError(f"{answer.shown} must answer tags as an object, or as a list of layers and names")
    return document


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


@dataclass(frozen=True)
class PingResult:
    """What a registry says of itself."""

    url: str  #: such as ``https://localhost:5000/v1/``
    status: int
    is_standalone: bool  #: it checks credentials itself, so that every call over https may have them
    version: str  #: ``X-Docker-Registry-Version``, ``""`` if it is not sent

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return self.url.partition("://")[0]


def read_ping(url: str, answer: Answer) -> PingResult:
    """Read a ping as engines do (clients.md 2.2).

    The header takes precedence over the body. Without both the registry is standalone.
    """
    standalone = answer.headers.get("X-Docker-Registry-Standalone")
    is_standalone = True
    if standalone is not None:
        is_standalone = standalone.strip().lower() in ("true", "1")
    else:
        try:
            value = json.loads(answer.body)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and isinstance(value.get("standalone"), bool):
            is_standalone = value["standalone"]
    return PingResult(url, answer.status, is_standalone, answer.headers.get("X-Docker-Registry-Version", ""))
