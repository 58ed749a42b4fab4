"""The access log: one line for each request, in the combined format or as JSON.

A line contains no query, no token and no password. It is written when the server has sent the answer, or has
given up.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from urllib.parse import quote, urlsplit

from ..clock import SYSTEM_CLOCK, Clock
from ..log import ACCESS_LOGGER, NO_REQUEST, RequestContext
from ..paths import V1, V2

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

#: Where a server may put a function that returns how many bytes of the answer it has not sent.
UNSENT_KEY: Final = "v1registry.unsent_bytes"

#: The longest path, user name or header in a line, in characters.
_LONGEST: Final = 1000

#: What a path of a URL contains besides letters and digits (RFC 3986, 3.3).
_PATH_CHARACTERS: Final = "/:@!$&'()*+,;=~-._"

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_log = logging.getLogger(ACCESS_LOGGER)


class AccessLog:
    """Writes the lines of one application.

    :param form: ``combined``, ``json`` or ``off``.
    :param secret_prefix: a path below which paths are secrets, with a final slash. A wrong mount may put
        something in front of it.
    """

    def __init__(self, form: str, *, secret_prefix: str, clock: Clock = SYSTEM_CLOCK):
        self._form = form
        self._secret_prefix = secret_prefix
        self._clock = clock

    @property
    def is_on(self) -> bool:
        """Whether lines are wanted now."""
        return self._form != "off" and _log.isEnabledFor(logging.INFO)

    def loggable(self, path: str) -> str:
        """Return a path without the token of a link, which is valid until it is used."""
        if path.startswith((f"{V1}/", f"{V2}/")):
            return path
        before, prefix, _ = path.partition(self._secret_prefix)
        return f"{before}{prefix}..." if prefix else path

    def entry(self, environ: Mapping[str, Any], context: RequestContext) -> Entry:
        """Return the entry of a request that begins."""
        return Entry(self, environ, context, self._clock.now())

    def write(self, entry: Entry) -> None:
        """Write the line of a request that ended."""
        line = _as_json(entry) if self._form == "json" else _combined(entry)
        _log.info("%s", line, extra={"request_id": entry.context.request_id})


class Entry:
    """One request, from its beginning to the end of its answer. Its line is written once."""

    def __init__(
        self, access_log: AccessLog, environ: Mapping[str, Any], context: RequestContext, began_at: datetime
    ):
        self._access_log = access_log
        self.context = context
        self.began_at = began_at
        self._began_s = time.monotonic()  # a duration is real, whatever the clock says
        path = f"{environ.get('SCRIPT_NAME', '')}{access_log.loggable(environ.get('PATH_INFO', ''))}"
        self.method = str(environ.get("REQUEST_METHOD", ""))[:_LONGEST]
        #: percent-encoded, without the query
        self.path = quote(path[:_LONGEST].encode("latin-1", "replace"), _PATH_CHARACTERS)
        self.protocol = str(environ.get("SERVER_PROTOCOL", ""))
        self.referer = _origin_of(str(environ.get("HTTP_REFERER", "")))
        self.user_agent = str(environ.get("HTTP_USER_AGENT", ""))[:_LONGEST]
        self.status = 0
        self.sent_bytes = 0  #: of the body
        self.received_bytes = 0  #: of the body
        self.route: str | None = None  #: the name of the row that served the request
        self.is_complete = True  #: whether the server took the whole answer
        self.duration_s = 0.0
        self._is_written = False
        self._unsent_bytes: Callable[[], int] = environ.get(UNSENT_KEY, lambda: 0)

    def watched_environ(self, environ: Mapping[str, Any]) -> dict[str, Any]:
        """Return an environ with the server's ``wsgi.file_wrapper`` replaced by one that notes the end."""
        wrapper = environ.get("wsgi.file_wrapper")
        if wrapper is None:
            return dict(environ)
        return {
            **environ,
            "wsgi.file_wrapper": lambda file, *size: wrapper(_WatchedFile(file, self.end), *size),
        }

    def watched_start(self, start_response: StartResponse) -> StartResponse:
        """Return a ``start_response`` that notes the status."""

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
        ) -> Callable[[bytes], object]:
            self.status = int(status.partition(" ")[0])
            return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

        return start

    def watched(
        self, chunks: Iterable[bytes], environ: Mapping[str, Any], length: int | None
    ) -> Iterable[bytes]:
        """Return the body of the answer such that its end writes the line.

        :param chunks: the body. The file wrapper of the server is returned as it is.
        :param environ: that of the server.
        :param length: what the answer announces.
        """
        if isinstance(chunks, (list, tuple)) and UNSENT_KEY not in environ:
            self.sent_bytes = sum(map(len, chunks))
            self.end()
            return chunks
        wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type) and isinstance(chunks, wrapper):
            # the server sends the file itself
            self.sent_bytes = length or 0
            return chunks
        return _WatchedBody(chunks, self, length)

    def end(self) -> None:
        """Write the line, unless it is written."""
        if not self._is_written:
            self._is_written = True
            unsent = min(self._unsent_bytes(), self.sent_bytes)
            self.sent_bytes -= unsent
            self.is_complete = self.is_complete and not unsent
            self.duration_s = time.monotonic() - self._began_s
            self._access_log.write(self)


class _WatchedBody:
    """The body of an answer. It counts what the server takes."""

    def __init__(self, chunks: Iterable[bytes], entry: Entry, length: int | None):
        self._chunks = chunks
        self._entry = entry
        self._length = length

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._entry.sent_bytes += len(chunk)
            yield chunk

    def close(self) -> None:
        try:
            close: Callable[[], object] | None = getattr(self._chunks, "close", None)
            if close is not None:
                close()
        finally:
            if self._length is not None and self._entry.method != "HEAD":
                self._entry.is_complete = self._entry.sent_bytes == self._length
            self._entry.end()


class _WatchedFile:
    """A file for the server's file wrapper. Its end is noted when the server closes it."""

    def __init__(self, file: BinaryIO, end: Callable[[], None]):
        self._file = file
        self._end = end

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def close(self) -> None:
        try:
            self._file.close()
        finally:
            self._end()


# -- lines


def _combined(entry: Entry) -> str:
    """Return the line in the combined format, with duration and request id at its end."""
    began = entry.began_at
    day = f"{began.day:02}/{_MONTHS[began.month - 1]}/{began.year}:{began:%H:%M:%S} +0000"
    request = " ".join(_escaped(part) for part in (entry.method, entry.path, entry.protocol) if part)
    context = entry.context
    return (
        f'{_word(context.address)} - {_word(context.user)} [{day}] "{request}" {entry.status} '
        f'{entry.sent_bytes} "{_escaped(entry.referer) or "-"}" "{_escaped(entry.user_agent) or "-"}" '
        f"{entry.duration_s:.3f} {context.request_id}"
    )


def _as_json(entry: Entry) -> str:
    """Return the line as a JSON object."""
    context = entry.context
    return json.dumps(
        {
            "time": entry.began_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "address": context.address[:_LONGEST] or None,
            "user": None if context.user is None else context.user[:_LONGEST],
            "method": entry.method,
            "path": entry.path,
            "route": entry.route,
            "status": entry.status,
            "bytes": entry.sent_bytes,
            "received_bytes": entry.received_bytes,
            "is_complete": entry.is_complete,
            "duration_s": round(entry.duration_s, 3),
            "request_id": context.request_id,
            "referer": entry.referer or None,
            "user_agent": entry.user_agent or None,
        }
    )


def _word(text: str | None) -> str:
    """Return a text as one word without quotes; ``-`` if it is empty."""
    return _escaped(text[:_LONGEST]).replace(" ", "\\x20") if text else NO_REQUEST


def _escaped(text: str) -> str:
    r"""Return a text of printable ASCII characters, escaped as Apache does.

    >>> print(_escaped('a"b\n'))
    a\"b\x0a
    """
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return re.sub(
        r"[^ -~]",
        lambda found: "".join(f"\\x{byte:02x}" for byte in found[0].encode("utf-8", "surrogatepass")),
        text,
    )


def _origin_of(referer: str) -> str:
    """Return scheme and host of a Referer: the rest may contain secrets of other sites.

    >>> _origin_of("https://mira:secret@ui.example.org/reset/4711?token=x")
    'https://ui.example.org'
    """
    try:
        parts = urlsplit(referer)
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2][:_LONGEST]
    return f"{parts.scheme}://{host}" if host and parts.scheme in ("http", "https") else ""
