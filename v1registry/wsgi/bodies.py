"""Bodies of requests: the stream of an upload, and the fields of JSON and of forms (oauth.md 3.2, 4)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from ..errors import BadRequest, BrokenUpload, LengthRequired, TooManyBodies
from ..storage.base import CHUNK_BYTES
from .documents import parse_json

#: The largest form, or JSON of an account, in bytes. Some need no credentials, and no field has 1,000
#: characters.
SMALL_BODY_BYTES: Final = 64 << 10

_MOST_FIELDS: Final = 100

_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"


class Upload:
    """The body of a request, read once from start to end. Iterating gives chunks of bytes.

    A request has a body if ``CONTENT_LENGTH`` is a number or ``wsgi.input_terminated`` is true. Waitress,
    granian and cheroot drop ``Transfer-Encoding``, so without either of these signs reading could wait for
    ever.

    :param read: returns at most as many bytes as asked for, ``b""`` at the end.
    :param size: the announced length in bytes; None if the body is chunked.
    :param begin: called before the first read, unless the body is empty. It may raise.
    """

    def __init__(
        self, read: Callable[[int], bytes], size: int | None, begin: Callable[[], None] | None = None
    ):
        self._read = read
        self._begin = begin
        self.size = size  #: announced length in bytes, None if the body is chunked
        self.received = 0  #: number of bytes so far
        self.finished = size == 0

    @classmethod
    def of(cls, environ: Mapping[str, Any], begin: Callable[[], None] | None = None) -> Upload:
        """Return the body of the request of ``environ``.

        :param begin: called before the first read, unless the body is empty. It may raise.
        :raises LengthRequired: the body is chunked, and the server does not decode that.
        :raises BadRequest: ``Content-Length`` is not a number.
        """
        announced: str = environ.get("CONTENT_LENGTH") or ""
        terminated = bool(environ.get("wsgi.input_terminated"))
        size: int | None = None
        if announced:
            if not re.fullmatch(r"[0-9]{1,18}", announced):
                raise BadRequest(f"Content-Length must be a number of bytes, not {announced[:40]!r}")
            size = int(announced)
        elif not terminated:
            if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
                if "uwsgi.version" in environ:
                    return cls(_UwsgiChunks().read, None, begin)
                raise LengthRequired
            size = 0
        return cls(environ["wsgi.input"].read, size, begin)

    def read(self) -> bytes:
        """Return the next bytes, ``b""`` at the end.

        :raises BrokenUpload: the body is shorter than announced, its transfer failed, or the client is too
            slow.
        :raises TooManyBodies: the process receives as many bodies as it may.
        """
        if self.finished:
            return b""
        if self._begin is not None:
            begin, self._begin = self._begin, None
            try:
                begin()
            except TooManyBodies:
                self.finished = True
                raise
        wanted = CHUNK_BYTES if self.size is None else min(CHUNK_BYTES, self.size - self.received)
        try:
            chunk = self._read(wanted)
        except Exception as error:  # each server has its own exceptions for a broken transfer
            self.finished = True
            raise BrokenUpload(received_bytes=self.received) from error
        if not chunk:
            self.finished = True
            if self.size is not None and self.received < self.size:
                raise BrokenUpload(
                    f"The body ended after {self.received} of {self.size} bytes", received_bytes=self.received
                )
        self.received += len(chunk)
        if self.size is not None and self.received >= self.size:
            self.finished = True
        return chunk

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read():
            yield chunk

    def drain(self, limit_bytes: int) -> None:
        """Read the rest, until ``limit_bytes`` are read in all.

        An engine that cannot send its whole body reports a write error instead of the answer.
        """
        try:
            while not self.finished and self.received < limit_bytes:
                self.read()
        except (BrokenUpload, TooManyBodies):
            return


class _UwsgiChunks:
    """Reads a chunked body under uWSGI, which decodes it only through its own function."""

    def __init__(self) -> None:
        import uwsgi  # exists only inside a uwsgi process

        self._next: Callable[[], bytes] = uwsgi.chunked_read
        self._rest = b""

    def read(self, size: int) -> bytes:
        chunk = self._rest or self._next()
        self._rest = chunk[size:]
        return chunk[:size]


def fields_of_body(body: bytes, content_type: str | None, flags: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the fields of a body.

    A body without a type is JSON if it begins with a brace, else a form. An empty body has no fields,
    whatever its type.

    :param flags: fields that are true or false in JSON. In a form the word ``true``, in any case, becomes
        True; every other word stays text.
    :raises ValueError: the body is neither JSON nor a form, or has a field twice. The text is for users.

    >>> form = "application/x-www-form-urlencoded"
    >>> fields_of_body(b"email=mira%40example.org&primary=True", form, ("primary",))
    {'email': 'mira@example.org', 'primary': True}
    """
    if not body.strip():
        return {}
    kind = (content_type or "").partition(";")[0].strip().lower()
    if not kind:
        kind = _JSON if body.lstrip().startswith(b"{") else _FORM
    if kind == _JSON or kind.endswith("+json"):
        return _fields_of_json(body)
    if kind == _FORM:
        return {
            name: True if name in flags and value.lower() == "true" else value
            for name, value in _fields_of_form(body).items()
        }
    raise ValueError(f"The body must be of type {_JSON} or {_FORM}, not {kind[:80]!r}")


def _fields_of_json(body: bytes) -> dict[str, Any]:
    try:
        fields = parse_json(body, has_unique_keys=True)
    except ValueError:
        raise ValueError("The body must be JSON in UTF-8 without repeated keys") from None
    if not isinstance(fields, dict):
        raise ValueError("The body must be a JSON object")
    return fields


def _fields_of_form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("utf-8").strip(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise ValueError(f"The body must be a form in UTF-8 with at most {_MOST_FIELDS} fields") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("Each field must be given once")
    return fields
