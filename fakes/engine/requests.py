"""A request to an engine: its parameters in the forms that clients of the Remote API send."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from v1registry.wsgi.framework import BaseRequest, Response

from .errors import EngineError, InvalidParameter
from .filters import Filters

if TYPE_CHECKING:
    from .bodies import Type
    from .hijack import Connection
    from .state import EngineState
    from .versions import ApiVersion

#: The largest document in a body, in bytes.
_MOST_DOCUMENT_BYTES: Final = 8 << 20
_CHUNK_BYTES: Final = 64 << 10
_JSON: Final = "application/json"

#: The key of the WSGI environ under which the live port gives the connection.
TAKEOVER_KEY: Final = "v1registry_fakes.takeover"

#: The key of the WSGI environ of a request whose data cannot be stored.
FULL_DISK_KEY: Final = "v1registry_fakes.full_disk"


class EngineRequest(BaseRequest):
    """A request on its way through the table, with the state of the engine.

    ``fields`` are the values of the holes in the path of the matched row.
    """

    fields: dict[str, str]
    version: ApiVersion  #: in which the request is answered
    state: EngineState

    def __init__(self, environ: dict[str, Any], state: EngineState, version: ApiVersion):
        super().__init__(environ)
        self.__dict__.update(fields={}, state=state, version=version, _query=None)

    def parameter(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a parameter of the query."""
        values = self.parameters(name)
        return values[0] if values else default

    def parameters(self, name: str) -> list[str]:
        """Return all values of a parameter of the query."""
        query: dict[str, list[str]] | None = self.__dict__["_query"]
        if query is None:
            text = self.environ.get("QUERY_STRING", "")
            query = self.__dict__["_query"] = parse_qs(text, keep_blank_values=True, errors="replace")
        return query.get(name, [])

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a parameter that is true unless it is empty, 0, no, false or none, as docker reads it."""
        value = self.parameter(name)
        if value is None:
            return default
        return value.strip().lower() not in ("", "0", "no", "false", "none")

    def number(self, name: str, default: int | None = None) -> int | None:
        """Return a parameter that is a whole number.

        :raises InvalidParameter: it is none.
        """
        value = self.parameter(name)
        if not value:
            return default
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and len(digits) < 19):
            raise InvalidParameter(f'strconv.ParseInt: parsing "{value[:40]}": invalid syntax')
        return int(value)

    def filters(self, *known: str) -> Filters:
        """Return the parameter ``filters``.

        :raises InvalidParameter: it is invalid, or names something else than ``known``.
        """
        return Filters.parse(self.parameter("filters"), frozenset(known))

    def document(self, kind: Type) -> dict[str, Any]:
        """Return the JSON object of the body, an empty one if there is no body or it is ``null``.

        :param kind: the type of the object, from :mod:`.bodies`.
        :raises InvalidParameter: the body is no JSON object, too large, or has a value of another type.
        """
        sent = self.headers.get("Content-Type", "")
        if self.content_length != 0 and sent and sent.partition(";")[0].strip().lower() != _JSON:
            raise InvalidParameter(f"Content-Type specified ({sent[:80]}) must be '{_JSON}'")
        body = self.read(_MOST_DOCUMENT_BYTES + 1)
        if len(body) > _MOST_DOCUMENT_BYTES:
            raise InvalidParameter(f"the body must have at most {_MOST_DOCUMENT_BYTES} bytes")
        if not body.strip():
            return {}
        try:
            parsed = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise InvalidParameter(f"invalid JSON: {error}") from None
        if parsed is None:
            return {}
        if not isinstance(parsed, dict):
            raise InvalidParameter("the body must be a JSON object")
        named: dict[str, Any] = kind.named(parsed)
        kind.check(named, "")
        return named

    def read(self, most_bytes: int) -> bytes:
        """Return the body, or its first bytes."""
        pieces, left = [], most_bytes
        for chunk in self.chunks():
            pieces.append(chunk[:left])
            left -= len(pieces[-1])
            if not left:
                break
        return b"".join(pieces)

    def chunks(self) -> Iterator[bytes]:
        """Yield the body, whatever its form."""
        stream = self.environ["wsgi.input"]
        left = None if self.environ.get("wsgi.input_terminated") else (self.content_length or 0)
        while left is None or left > 0:
            chunk = stream.read(_CHUNK_BYTES if left is None else min(left, _CHUNK_BYTES))
            if not chunk:
                return
            left = None if left is None else left - len(chunk)
            yield chunk

    def credentials(self) -> dict[str, str]:
        """Return what ``X-Registry-Auth`` says: username and password, or identitytoken.

        A missing or invalid header says nothing, as docker takes it.
        """
        header = self.headers.get("X-Registry-Auth", "")
        if not header:
            return {}
        try:
            padded = header + "=" * (-len(header) % 4)
            parsed = json.loads(base64.urlsafe_b64decode(padded))
        except (ValueError, RecursionError):
            return {}
        if not isinstance(parsed, dict):
            return {}
        return {key: value for key, value in parsed.items() if isinstance(value, str)}

    def check_disk(self) -> None:
        """Return if there is room on the disk.

        :raises EngineError: a fault of the test says that there is none; the text is the kernel's.
        """
        if self.environ.get(FULL_DISK_KEY):
            raise EngineError("write /var/lib/docker/tmp: no space left on device")

    @property
    def connection(self) -> Connection | None:
        """The connection to take over, None if the request came in process."""
        connection: Connection | None = self.environ.get(TAKEOVER_KEY)
        return connection


def answer(value: object, status: int = 200) -> Response:
    """Return an answer with a JSON document, ended by a line feed as the engine's."""
    response = Response(json.dumps(value).encode("utf-8") + b"\n", status=status)
    response.headers["Content-Type"] = "application/json"
    return response


def empty(status: int = 204) -> Response:
    """Return an answer without a body."""
    return Response(status=status, headerlist=[])


def stream(lines: Iterator[bytes], content_type: str = "application/json") -> Response:
    """Return an answer whose pieces are sent as they are made."""
    response = Response(status=200, headerlist=[("Content-Type", content_type)])
    response.app_iter = lines
    return response
