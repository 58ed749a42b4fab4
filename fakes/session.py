"""A requests.Session that calls a WSGI application in this process, without ports and threads.

httpx can do that by itself::

    httpx.Client(transport=httpx.WSGITransport(app=registry.app), base_url="http://v1registry.test")
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from http.client import HTTPMessage
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

try:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3 import HTTPResponse
    from urllib3._collections import HTTPHeaderDict
    from urllib3.exceptions import ProtocolError
except ImportError as error:
    raise ImportError(f"the session needs requests: pip install 'v1registry[fakes]' ({error})") from error

from .connection_cuts import ConnectionCut

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_CHUNK_BYTES = 64 * 1024


class WSGISession(requests.Session):
    """A session that reaches one application by every URL, whatever the host. Nothing leaves the process.

    The settings of the environment (proxies, .netrc) are ignored.

    :param application: answers the requests; it is called in the caller's thread.
    :param base_url: the URL below which a path without a host is.

    >>> def application(environ, start_response):
    ...     start_response("200 OK", [("Content-Type", "text/plain")])
    ...     return [environ["HTTP_HOST"].encode(), environ["PATH_INFO"].encode()]
    >>> with WSGISession(application) as session:
    ...     session.get("/v1/_ping").text, session.get("https://registry.example.com/").text
    ('v1registry.test/v1/_ping', 'registry.example.com/')
    """

    def __init__(self, application: WSGIApplication, *, base_url: str = "http://v1registry.test"):
        super().__init__()
        self.base_url = base_url
        self.trust_env = False
        self.adapters.clear()
        for scheme in ("http://", "https://"):
            self.mount(scheme, WSGIAdapter(application))

    def request(  # type: ignore[override]
        self, method: str, url: str, *arguments: Any, **options: Any
    ) -> requests.Response:
        """Send a request as requests.Session does. A relative ``url`` is below ``base_url``."""
        return super().request(method, urljoin(self.base_url, url), *arguments, **options)


class WSGIAdapter(HTTPAdapter):
    """An adapter for requests.Session that turns requests into calls of an application.

    Bodies may be bytes, text, files or generators. Those without a known length arrive as chunked bodies.
    Answers are streamed, and the application's iterator is closed with the response. If a body raises an
    exception, the caller gets it and the application sees a broken upload. Time-outs have no effect.
    """

    def __init__(self, application: WSGIApplication):
        super().__init__()
        self.application = application

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        """Call the application for one request. The session follows redirects.

        :raises requests.ConnectionError: a fault closed the connection without an answer.
        :raises Exception: the body or the application raised it.
        """
        body = _RequestBody(request.body)
        try:
            answer = _Answer(self.application, _environ(request, body))
        except ConnectionCut as cut:
            raise requests.ConnectionError(
                ProtocolError("Connection aborted.", cut), request=request
            ) from cut
        if body.error is not None:
            answer.close()
            raise body.error
        headers = HTTPHeaderDict()
        message = HTTPMessage()
        for name, value in answer.headers:
            headers.add(name, value)
            message.add_header(name, value)
        status, _, reason = answer.status.partition(" ")
        raw = HTTPResponse(
            body=io.BytesIO() if request.method == "HEAD" else io.BufferedReader(answer, _CHUNK_BYTES),
            headers=headers,
            status=int(status),
            reason=reason,
            preload_content=False,
            decode_content=False,
            request_method=request.method,
            original_response=_Original(message),  # type: ignore[arg-type]
        )
        if request.method == "HEAD":
            answer.close()
        return self.build_response(request, raw)


class _Original:
    """The part of a response of http.client that requests and urllib3 use: the headers, for cookies."""

    def __init__(self, message: HTTPMessage):
        self.msg = message

    def isclosed(self) -> bool:
        return True

    def close(self) -> None:
        """Do nothing: there is no connection."""


class _Chunks(io.RawIOBase):
    """A readable file over chunks of bytes."""

    def __init__(self, chunks: Iterator[bytes]):
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


class _RequestBody(_Chunks):
    """The body of a request as the application reads it. ``error`` is the exception of its source."""

    def __init__(self, source: Any):
        super().__init__(self._watched(_chunks_of(source)))
        self.error: Exception | None = None

    def _watched(self, chunks: Iterable[bytes | str]) -> Iterator[bytes]:
        try:
            for chunk in chunks:
                yield chunk.encode("utf-8") if isinstance(chunk, str) else chunk
        except Exception as error:
            self.error = error
            raise


def _chunks_of(source: Any) -> Iterable[bytes | str]:
    """Return the chunks of a body, in any form that requests accepts."""
    if source is None:
        return ()
    if isinstance(source, (bytes, str)):
        return (source,)
    if hasattr(source, "read"):
        read: Callable[[int], bytes] = source.read
        return iter(lambda: read(_CHUNK_BYTES), b"")
    pieces: Iterable[bytes] = source
    return pieces


class _Answer(_Chunks):
    """The answer of an application. :meth:`close` closes the iterator that it returned."""

    def __init__(self, application: WSGIApplication, environ: dict[str, Any]):
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self._written: list[bytes] = []
        self._returned: Iterable[bytes] = ()  # close() needs it, even if the application fails
        self._returned = application(environ, self._start)
        super().__init__(self._all_chunks())
        while not self.status:
            # a generator calls start_response when its first chunk is requested
            chunk = next(self._chunks, None)
            if chunk is None:
                self.close()
                raise RuntimeError("the application returned without calling start_response")
            self._rest = memoryview(chunk)

    def _start(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        self.status, self.headers = status, headers
        return self._written.append

    def _all_chunks(self) -> Iterator[bytes]:
        iterator = iter(self._returned)
        while True:
            chunk = next(iterator, None)
            while self._written:
                yield self._written.pop(0)
            if chunk is None:
                return
            yield chunk

    def close(self) -> None:
        if not self.closed:
            super().close()
            close = getattr(self._returned, "close", None)
            if close is not None:
                close()


def _environ(request: requests.PreparedRequest, body: _RequestBody) -> dict[str, Any]:
    """Return the environ of a request (PEP 3333), as a server that decodes chunked bodies makes it."""
    url = urlsplit(str(request.url))
    environ: dict[str, Any] = {
        "REQUEST_METHOD": str(request.method),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(url.path).decode("latin-1"),
        "QUERY_STRING": url.query,
        "SERVER_NAME": url.hostname or "",
        "SERVER_PORT": str(url.port or (443 if url.scheme == "https" else 80)),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": url.netloc,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": url.scheme,
        "wsgi.input": io.BufferedReader(body, _CHUNK_BYTES),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = text
    if request.body is not None and "CONTENT_LENGTH" not in environ:
        environ["HTTP_TRANSFER_ENCODING"] = "chunked"
        environ["wsgi.input_terminated"] = True
    return environ
