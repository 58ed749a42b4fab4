"""What all APIs share in HTTP: requests and their bodies, JSON, answers, conditional requests, ranges, errors.

This module, the tables and the application are the only ones that know WebOb.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from ipaddress import ip_address, ip_network
from time import time
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qs, quote, urlsplit

from webob import Response as WebObResponse
from webob.request import BaseRequest

from ..errors import BadRequest, BodyTooLarge, BrokenUpload, LengthRequired, RegistryError
from ..log import RequestBody
from ..names import is_host
from ..rights import Access, Rights
from ..settings import Settings
from ..storage.base import CHUNK_BYTES, Blob
from ..version import __version__

T = TypeVar("T")

#: Answers that may change: what docker-registry 0.6 to 0.9.1 sends on everything but images.
NOT_CACHED = (("Cache-Control", "no-cache"), ("Pragma", "no-cache"), ("Expires", "-1"))

#: How deep lists and objects of a body may be nested. What is stored is read again, where perhaps less of Python's stack is
#: left; no document of an engine has 10.
JSON_DEPTH = 100

#: What ``Sec-Fetch-Site`` says of requests that no other site brought about (https://www.w3.org/TR/fetch-metadata/).
_OWN_SITES = ("same-origin", "none")

_YEAR_S = 31536000


@dataclass(frozen=True, kw_only=True)
class Services:
    """What every handler may use. Each API has a subclass with the models that its own handlers work on."""

    settings: Settings
    access: Access


ServicesT_co = TypeVar("ServicesT_co", bound=Services, covariant=True)


def configured(part: T | None) -> T:
    """Return an optional part of the services.

    :raises RuntimeError: the application does not have the part. Rows that need a part are served only with it.
    """
    if part is None:
        raise RuntimeError("This row needs a part that the application was made without")
    return part


class Request(BaseRequest, Generic[ServicesT_co]):
    """A request on its way through a table, with the services that its handler works on.

    ``fields`` are the values of the holes in the path of the matched row.
    """

    fields: dict[str, str]
    is_page: bool  #: whether people look at the answer

    def __init__(self, environ: dict[str, Any], services: ServicesT_co):
        super().__init__(environ)
        self.__dict__["fields"] = {}
        self.__dict__["_services"] = services
        self.__dict__["_upload"] = None
        self.__dict__["_body"] = None
        self.__dict__["_rights"] = None
        self.__dict__["is_page"] = False

    @property
    def services(self) -> ServicesT_co:
        """The models of the application."""
        services: ServicesT_co = self.__dict__["_services"]
        return services

    @property
    def rights(self) -> Rights:
        """What the caller may do; found out once. Unauthorized, AccountInactive, TooManyAttempts, Unavailable."""
        if self.__dict__["_rights"] is None:
            self.__dict__["_rights"] = self.services.access.rights(self.header("Authorization"), self.environ)
        rights: Rights = self.__dict__["_rights"]
        return rights

    @property
    def decoded_path(self) -> str:
        """The path below the mount point, percent-decoded once. BadRequest where it is not UTF-8."""
        path: str = self.environ.get("PATH_INFO", "")
        try:
            return path.encode("latin-1").decode("utf-8") or "/"
        except UnicodeError:
            raise BadRequest("The path is not UTF-8") from None

    def header(self, name: str) -> str | None:
        """Return a header's value, None where it was not sent."""
        value: str | None = self.environ.get("HTTP_" + name.upper().replace("-", "_"))
        return value

    def query(self, name: str) -> str | None:
        """Return the first value of a parameter of the query, None where there is none. Bad bytes become U+FFFD."""
        values = parse_qs(self.environ.get("QUERY_STRING", ""), keep_blank_values=True, errors="replace").get(
            name
        )
        return values[0] if values else None

    @property
    def upload(self) -> Upload:
        """The body as a stream. LengthRequired, BadRequest."""
        if self.__dict__["_upload"] is None:
            self.__dict__["_upload"] = Upload.of(self.environ)
        upload: Upload = self.__dict__["_upload"]
        return upload

    def read_body(self, limit_bytes: int) -> bytes:
        """Return a whole, small body, as often as asked. BodyTooLarge, and whatever :attr:`upload` raises."""
        if self.__dict__["_body"] is None:
            self.__dict__["_body"] = self._read_body(limit_bytes)
        body: bytes = self.__dict__["_body"]
        return body

    def _read_body(self, limit_bytes: int) -> bytes:
        if self.upload.size is not None and self.upload.size > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        parts, total = [], 0
        for chunk in self.upload:
            total += len(chunk)
            if total > limit_bytes:
                raise BodyTooLarge(limit_bytes)
            parts.append(chunk)
        return b"".join(parts)


class Upload:
    """The body of a request, read once from start to end. Iterating gives chunks of bytes.

    A body is there when ``CONTENT_LENGTH`` is a number or ``wsgi.input_terminated`` is true. Nothing else is
    believed: waitress, granian and cheroot drop ``Transfer-Encoding``, and reading on without either would hang.
    """

    def __init__(self, read: Callable[[int], bytes], size: int | None):
        self._read = read
        self.size = size  #: bytes as announced, None where they were not
        self.received = 0  #: bytes so far
        self.finished = size == 0

    @classmethod
    def of(cls, environ: Mapping[str, Any]) -> Upload:
        """Return the body of the request of ``environ``. LengthRequired, BadRequest."""
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
                    return cls(_UwsgiChunks().read, None)
                raise LengthRequired
            size = 0
        return cls(environ["wsgi.input"].read, size)

    def read(self) -> bytes:
        """Return the next bytes, ``b""`` at the end. BrokenUpload where the body is shorter than announced."""
        if self.finished:
            return b""
        wanted = CHUNK_BYTES if self.size is None else min(CHUNK_BYTES, self.size - self.received)
        try:
            chunk = self._read(wanted)
        except Exception as error:  # each server has exceptions of its own for a broken transfer
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
        """Read what is left, at most ``limit_bytes``: an engine that cannot send it to its end reports a write error."""
        try:
            while not self.finished and self.received < limit_bytes:
                self.read()
        except BrokenUpload:
            return


class _UwsgiChunks:
    """uwsgi decodes chunked bodies only through a function of its own."""

    def __init__(self) -> None:
        import uwsgi  # exists only inside a uwsgi process

        self._next: Callable[[], bytes] = uwsgi.chunked_read
        self._rest = b""

    def read(self, size: int) -> bytes:
        chunk = self._rest or self._next()
        self._rest = chunk[size:]
        return chunk[:size]


def public_host(request: Request[Any], public_url: str, trusted_proxies: Iterable[str]) -> str:
    """Return ``host[:port]`` as clients reach this server: of ``public_url``, of a trusted proxy, or of the request.

    BadRequest where the request names no usable host.
    """
    if public_url:
        return urlsplit(public_url).netloc
    host: str = request.host
    forwarded = request.header("X-Forwarded-Host")
    if forwarded and _is_trusted(request.environ.get("REMOTE_ADDR", ""), trusted_proxies):
        host = forwarded.rpartition(",")[2].strip()
    if not is_host(host):
        raise BadRequest(f"Host must be a host name and perhaps a port, not {host[:80]!r}")
    return host


def public_url_of(request: Request[Any], public_url: str, trusted_proxies: Iterable[str]) -> str:
    """Return the URL of this application as clients reach it, without a final slash. BadRequest as :func:`public_host`.

    The scheme is that of ``public_url``, of a trusted proxy's ``X-Forwarded-Proto``, or of the request.
    """
    if public_url:
        return public_url.rstrip("/")
    host = public_host(request, public_url, trusted_proxies)
    scheme: str = request.environ.get("wsgi.url_scheme", "http")
    forwarded = request.header("X-Forwarded-Proto")
    if forwarded and _is_trusted(request.environ.get("REMOTE_ADDR", ""), trusted_proxies):
        scheme = forwarded.rpartition(",")[2].strip().lower()
    return f"{'https' if scheme == 'https' else 'http'}://{host}{mount_path(request, public_url)}"


def mount_path(request: Request[Any], public_url: str) -> str:
    """Return the path below which clients reach this application, without a final slash.

    It is that of ``public_url`` where that has one, because a proxy may strip it; else that of the request.
    """
    mounted_at = quote(request.environ.get("SCRIPT_NAME", "").encode("latin-1"))
    return (urlsplit(public_url).path or mounted_at).rstrip("/")


def is_secure(request: Request[Any], public_url: str, trusted_proxies: Iterable[str]) -> bool:
    """Tell whether the client speaks https, as far as this server can know (see :func:`public_url_of`)."""
    return public_url_of(request, public_url, trusted_proxies).startswith("https:")


def is_from_other_site(request: Request[Any], public_url: str) -> bool:
    """Tell whether the browser says that a page of another site sent this, and not one of this server.

    Some browsers say nothing, old ones name the origin alone; what is no browser says nothing either.
    """
    site = request.header("Sec-Fetch-Site")
    if site is not None:
        return site.strip().lower() not in _OWN_SITES
    origin = request.header("Origin")
    if origin is None:
        return False
    # by any of these hosts this server may have been asked: no other site can make a browser send these headers
    named = [request.host, *(request.header("X-Forwarded-Host") or "").split(",")]
    urls = [*(f"//{host.strip()}" for host in named), public_url]
    return _host_of(origin) not in {_host_of(url) for url in urls} - {""}


def _host_of(url: str) -> str:
    """Return host and port, without the ports that go without saying; empty where there is none."""
    try:
        host = urlsplit(url).netloc.lower()
    except ValueError:
        return ""
    return host.removesuffix(":443").removesuffix(":80")


def _is_trusted(address: str, proxies: Iterable[str]) -> bool:
    try:
        client = ip_address(address)
    except ValueError:
        return False
    return any(client in ip_network(proxy) for proxy in proxies)


# -- JSON


def parse_json(data: bytes, *, has_unique_keys: bool = False) -> Any:
    """Return what a body of JSON says. ValueError for all that is not JSON in UTF-8.

    Strict where Python is lenient: NaN and Infinity are refused, and what Python cannot take (too long a number) is
    refused as well instead of failing. So is what is nested deeper than JSON_DEPTH.

    :param has_unique_keys: an object that has a key twice is refused; else the last value counts.
    """
    hook = _unique if has_unique_keys else None
    try:
        parsed = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=hook)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    _check_depth(parsed)
    return parsed


def _check_depth(value: object) -> None:
    """ValueError where lists and objects are nested deeper than JSON_DEPTH."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(JSON_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return
    raise ValueError("the JSON is nested too deeply")


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a key twice")
    return found


def dump_json(value: object) -> bytes:
    """Return ``value`` as JSON in the old server's form: ASCII, sorted keys, ``", "`` and ``": "``."""
    return json.dumps(value, sort_keys=True).encode("ascii")


# -- answers


class Response(WebObResponse):
    """An answer. Every header is given by whoever makes it; WebOb adds none but the length."""

    default_content_type = None  # type: ignore[assignment]
    default_charset = None  # type: ignore[assignment]

    @staticmethod
    def _make_location_absolute(environ: Mapping[str, Any], value: str) -> str:
        """Leave a path in ``Location`` one: only the browser knows by which scheme and host it came through proxies (RFC 9110, 10.2.2)."""
        return value


def respond(
    status: int, body: bytes, content_type: str | None, headers: Iterable[tuple[str, str]] = NOT_CACHED
) -> Response:
    """Return an answer with a body that is at hand."""
    header_list = list(headers)
    if content_type is not None:
        header_list.append(("Content-Type", content_type))
    response = Response(body=body, status=status, headerlist=header_list)
    if status in (204, 304):
        # a length would announce a body that may not follow
        response.headers.pop("Content-Length", None)
    return response


def json_response(value: object, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """Return ``value`` as JSON that is not to be cached."""
    return respond(status, dump_json(value), "application/json", (*NOT_CACHED, *headers))


def raw_json_response(
    data: bytes, status: int = 200, headers: Iterable[tuple[str, str]] = NOT_CACHED
) -> Response:
    """Return stored JSON, byte for byte."""
    return respond(status, data, "application/json", headers)


def no_content(headers: Iterable[tuple[str, str]] = ()) -> Response:
    """Return 204: neither body nor length, whatever headers."""
    return respond(204, b"", None, (*NOT_CACHED, *headers))


def error_response(error: RegistryError, path: str) -> Response:
    """Return the answer to a failure, in the form that the clients of ``path`` read.

    Under ``/v1/users`` a JSON string, one of which engines compare; under ``/v2/`` plain text, because docker 1.10
    panics at a JSON object there; under ``/api/v1.1/``, and where its metadata is, ``{"detail": TEXT}`` (oauth.md 4), or what the error itself
    has as its body; else ``{"error": TEXT}``. A range that cannot be satisfied has no body.
    """
    headers = [*NOT_CACHED, *error.headers.items()]
    if path.startswith(("/api/v1.1/", "/.well-known/")):
        document = error.document if error.document is not None else {"detail": error.public}
        return respond(error.status, dump_json(document), "application/json", headers)
    if path == "/v2" or path.startswith("/v2/"):
        return respond(error.status, error.public.encode() + b"\n", "text/plain; charset=utf-8", headers)
    if path == "/v1/users" or path.startswith("/v1/users/"):
        return respond(error.status, dump_json(error.public), "application/json", headers)
    return respond(error.status, dump_json({"error": error.public}), "application/json", headers)


# -- what never changes: validators, caches, ranges


def etag_of(data: bytes) -> str:
    """Return a strong entity tag for ``data``, quotes included."""
    return f'"{hashlib.sha256(data).hexdigest()}"'


def immutable_headers(etag: str, is_public: bool) -> list[tuple[str, str]]:
    """Return the headers of what may be kept for a year (docker-registry 0.9.1, images.py).

    Its ``Last-Modified`` is the epoch, so any date that a client asks with is late enough. What is not public is for the
    client alone, which has to ask each time whether it still may have it (decisions.md 12).
    """
    if not is_public:
        return [("Cache-Control", "private, no-cache"), ("ETag", etag)]
    return [
        ("Cache-Control", f"public, max-age={_YEAR_S}"),
        ("Expires", formatdate(time() + _YEAR_S, usegmt=True)),
        ("Last-Modified", formatdate(0, usegmt=True)),
        ("ETag", etag),
    ]


def is_not_modified(request: Request[Any], etag: str) -> bool:
    """Tell whether the client has what ``etag`` stands for (RFC 9110, 13.1.2, 13.1.3, 13.2.2)."""
    wanted = request.header("If-None-Match")
    if wanted is not None:
        return wanted.strip() == "*" or etag in re.findall(r'(?:W/)?("[^"]*")', wanted)
    return _is_http_date(request.header("If-Modified-Since"))


def _is_http_date(text: str | None) -> bool:
    """Tell whether ``text`` is a date from 1970 on. Which one does not matter: nothing here changed since."""
    if text is None:
        return False
    try:
        return parsedate_to_datetime(text).year >= 1970
    except (ValueError, TypeError, IndexError, OverflowError):
        return False


def immutable_response(
    request: Request[Any], data: bytes, etag: str, is_public: bool, headers: Iterable[tuple[str, str]] = ()
) -> Response:
    """Return stored JSON that never changes, or 304 where the client has it."""
    caching = immutable_headers(etag, is_public)
    if is_not_modified(request, etag):
        return respond(304, b"", None, caching)
    return raw_json_response(data, headers=[*caching, *headers])


def requested_range(request: Request[Any], size: int, etag: str) -> tuple[int, int] | None:
    """Return the range ``[start, stop)`` of ``size`` bytes that the request asks for; None for the whole.

    An empty range (``start == stop``) cannot be satisfied. Ends beyond the size are clamped: engines ask for one byte
    too many when they resume. Several ranges, foreign units and what is malformed mean the whole, as every range does with
    HEAD (RFC 9110, 14.2), and so does an ``If-Range`` of something else.
    """
    text = (request.header("Range") or "").strip()
    found = re.fullmatch(r"bytes=(\d{0,600})-(\d{0,600})", text, re.ASCII | re.IGNORECASE)
    if found is None or request.method != "GET":
        return None
    condition = request.header("If-Range")
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
) -> Response:
    """Return bytes that never change, whole or the range asked for, without ever holding them.

    :param open_blob: opens the range ``[start, stop)``; called at most once.
    """
    caching = [*immutable_headers(etag, is_public), ("Accept-Ranges", "bytes")]
    if is_not_modified(request, etag):
        return respond(304, b"", None, caching)
    asked = requested_range(request, size, etag)
    if asked is not None and asked[0] == asked[1]:
        # docker takes 416 of length 0 for the end of what it resumes (moby 1.3.0, resumablerequestreader.go)
        extent = (("Accept-Ranges", "bytes"), ("Content-Range", f"bytes */{size}"))
        return respond(416, b"", "application/octet-stream", (*NOT_CACHED, *extent))
    start, stop = asked or (0, size)
    status = 200
    if asked is not None:
        status = 206
        caching.append(("Content-Range", f"bytes {start}-{stop - 1}/{size}"))
    caching += [("Content-Type", "application/octet-stream"), ("Content-Length", str(stop - start))]
    if request.method == "HEAD":
        return Response(app_iter=[], status=status, headerlist=caching)
    blob = open_blob(start, stop)
    wrapper = request.environ.get("wsgi.file_wrapper")
    if wrapper is not None and blob.file is not None and asked is None:
        # only the whole: a server's wrapper sends to the end of the file, and uWSGI's from its beginning too
        return Response(app_iter=wrapper(blob.file, CHUNK_BYTES), status=status, headerlist=caching)
    return Response(app_iter=RequestBody(_Chunks(blob)), status=status, headerlist=caching)


class _Chunks:
    """Iterates over a blob and closes it when the server is done, however that ends."""

    def __init__(self, blob: Blob):
        self._blob = blob

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._blob)

    def close(self) -> None:
        self._blob.close()


#: Sent with every answer; docker 0.6 to 0.10 refuse a registry whose ping lacks it.
VERSION_HEADER = ("X-Docker-Registry-Version", __version__)
