"""Answers that never change: validators, caching, ranges, streams.

WebOb's ``conditional_response`` is not used. Compared over 20 requests it differs in six: 416 has a body,
which breaks docker's resumption; ``bytes=-0`` gives 206; of several ranges the first is sent;
``If-None-Match: *`` is ignored; and ``If-Range`` accepts a date.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache
from typing import Any, Final, Protocol

from ..log import RequestBody
from ..storage.base import CHUNK_BYTES, Blob
from .offload import offload_header, signed_location
from .request import Request
from .responses import NOT_CACHED, YEAR_S, Response, raw_json_response, respond

#: The key of the WSGI environ that a server sets if its ``wsgi.file_wrapper`` begins where the file is, and
#: ends after ``Content-Length``.
RANGES_KEY: Final = "v1registry.file_wrapper_sends_ranges"


class Stream(Protocol):
    """An open source of bytes: a blob, or a buffer in memory."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, at least one before the end, ``b""`` at the end."""

    def close(self) -> None:
        """Free what it needs."""


def etag_of(data: bytes) -> str:
    """Return a strong entity tag for ``data``, quotes included."""
    return f'"{hashlib.sha256(data).hexdigest()}"'


def immutable_headers(request: Request[Any], etag: str, is_public: bool) -> list[tuple[str, str]]:
    """Return the headers of an answer that never changes (docker-registry 0.9.1, images.py).

    Public answers may be cached for a year. ``Last-Modified`` is the epoch, so every date in a request is
    later. Other answers are for the client alone, which must ask each time whether it still has access
    (decisions.md 12).

    :param is_public: whether every caller may read the image.
    """
    if not is_public:
        return [("Cache-Control", "private, no-cache"), ("ETag", etag)]
    return [
        ("Cache-Control", f"public, max-age={YEAR_S}"),
        ("Expires", _http_date(int(request.services.clock.time_s()) + YEAR_S)),
        ("Last-Modified", _http_date(0)),
        ("ETag", etag),
    ]


@lru_cache(maxsize=8)
def _http_date(seconds: int) -> str:
    """Return the HTTP date of a time.

    The requests of one second have the same dates, and formatting two takes a tenth of an answer's time.

    :param seconds: seconds since 1970.
    """
    return formatdate(seconds, usegmt=True)


def is_not_modified(request: Request[Any], etag: str, is_public: bool) -> bool:
    """Tell whether the client has the version of ``etag`` (RFC 9110, 13.1.2, 13.1.3, 13.2.2).

    A date counts for public answers only: one path may have different contents for different callers
    (decisions.md 12).
    """
    wanted = request.environ.get("HTTP_IF_NONE_MATCH")
    if wanted is not None:
        return wanted.strip() == "*" or etag in re.findall(r'(?:W/)?("[^"]*")', wanted)
    return is_public and _is_http_date(request.environ.get("HTTP_IF_MODIFIED_SINCE"))


def _is_http_date(text: str | None) -> bool:
    """Tell whether ``text`` is a date from 1970 on.

    Any such date will do: the answer has not changed since.
    """
    if text is None:
        return False
    try:
        return parsedate_to_datetime(text).year >= 1970
    except (ValueError, TypeError, IndexError, OverflowError):
        return False


def immutable_response(
    request: Request[Any], data: bytes, etag: str, is_public: bool, headers: Iterable[tuple[str, str]] = ()
) -> Response:
    """Return stored JSON that never changes, or 304 if the client has it."""
    caching = immutable_headers(request, etag, is_public)
    if is_not_modified(request, etag, is_public):
        return respond(304, b"", None, caching)
    return raw_json_response(data, headers=[*caching, *headers])


def immutable_json_stream(
    request: Request[Any], open_json: Callable[[], Stream], size: int, etag: str, is_public: bool
) -> Response:
    """Stream stored JSON that never changes, or return 304 if the client has it.

    :param open_json: opens the JSON; called at most once, and its result is closed.
    :param size: number of bytes of the JSON.
    """
    caching = immutable_headers(request, etag, is_public)
    if is_not_modified(request, etag, is_public):
        return respond(304, b"", None, caching)
    headers = [*caching, ("Content-Type", "application/json"), ("Content-Length", str(size))]
    body: Iterable[bytes] = ()
    if request.method != "HEAD":
        body = RequestBody(_Chunks(open_json()))
    return Response(app_iter=body, status=200, headerlist=headers)


def json_stream(request: Request[Any], blob: Blob, headers: Iterable[tuple[str, str]]) -> Response:
    """Stream stored JSON that may change. It is never in memory as a whole.

    :param blob: is closed.
    """
    sent = [*headers, ("Content-Type", "application/json"), ("Content-Length", str(blob.stat.size))]
    if request.method == "HEAD":
        blob.close()
        return Response(app_iter=[], status=200, headerlist=sent)
    return Response(app_iter=RequestBody(_Chunks(blob)), status=200, headerlist=sent)


def requested_range(request: Request[Any], size: int, etag: str) -> tuple[int, int] | None:
    """Return the range ``[start, stop)`` of ``size`` bytes that the request asks for; None for the whole.

    An empty range (``start == stop``) cannot be satisfied. Ends beyond the size are clamped: engines ask for
    one byte too many when they resume. Several ranges, other units and malformed ranges mean the whole, and
    so does every range of a HEAD request (RFC 9110, 14.2) or with an ``If-Range`` of a different version.
    """
    text = (request.environ.get("HTTP_RANGE") or "").strip()
    found = re.fullmatch(r"bytes=(\d{0,600})-(\d{0,600})", text, re.ASCII | re.IGNORECASE)
    if found is None or request.method != "GET":
        return None
    condition = request.headers.get("If-Range")
    if condition is not None and condition.strip() != etag:
        return None
    first, last = found.groups()
    if not first:
        if not last:
            return None
        return (max(0, size - int(last)), size) if int(last) else (size, size)
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        return (size, size)
    return int(first), min(size, int(last) + 1) if last else size


def stream_response(
    request: Request[Any],
    open_blob: Callable[[int, int], Blob],
    size: int,
    etag: str,
    is_public: bool,
    key: str = "",
) -> Response:
    """Stream bytes that never change, whole or in part. They are never in memory as a whole.

    :param open_blob: opens the range ``[start, stop)``; called at most once.
    :param size: number of bytes of the whole.
    :param key: of the bytes in the storage, so that a server in front may send them; empty if they are in
        none.
    """
    caching = [*immutable_headers(request, etag, is_public)]
    accepting = ("Accept-Ranges", "bytes")
    if is_not_modified(request, etag, is_public):
        return respond(304, b"", None, (*caching, accepting))
    asked = requested_range(request, size, etag)
    if asked is not None and asked[0] == asked[1]:
        # docker reads 416 with length 0 as the end of a resumed download (moby 1.3.0,
        # resumablerequestreader.go)
        extent = (accepting, ("Content-Range", f"bytes */{size}"))
        return respond(416, b"", "application/octet-stream", (*NOT_CACHED, *extent))
    offload = offload_header(request.services, key) if key and request.method != "HEAD" else None
    if offload is not None:
        # the server in front also cuts out the range, and says that it accepts ranges
        return respond(200, b"", "application/octet-stream", (*caching, offload))
    location = signed_location(request.services, key) if key and request.method != "HEAD" else None
    if location is not None:
        # the bytes never change, but the URL expires, and shows them to everybody. 302 is what engines of v1
        # know, and those of today
        return respond(302, b"", "application/octet-stream", (*NOT_CACHED, ("Location", location)))
    start, stop = asked or (0, size)
    status = 200
    caching.append(accepting)
    if asked is not None:
        status = 206
        caching.append(("Content-Range", f"bytes {start}-{stop - 1}/{size}"))
    caching += [("Content-Type", "application/octet-stream"), ("Content-Length", str(stop - start))]
    if request.method == "HEAD":
        return Response(app_iter=[], status=status, headerlist=caching)
    blob = open_blob(start, stop)
    wrapper = request.environ.get("wsgi.file_wrapper")
    is_whole = asked is None or RANGES_KEY in request.environ
    if wrapper is not None and blob.file is not None and is_whole:
        # others send to the end of the file, and uWSGI starts at its beginning
        return Response(app_iter=wrapper(blob.file, CHUNK_BYTES), status=status, headerlist=caching)
    return Response(app_iter=RequestBody(_Chunks(blob)), status=status, headerlist=caching)


class _Chunks:
    """Iterates over a stream, and closes it when the server is done or gives up."""

    def __init__(self, stream: Stream):
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self._stream.read(CHUNK_BYTES):
            yield chunk

    def close(self) -> None:
        self._stream.close()
