"""A requests.Session that calls a WSGI application in this process, without ports and threads."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from http.client import HTTPMessage
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

try:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3 import HTTPResponse, Timeout
    from urllib3._collections import HTTPHeaderDict
    from urllib3.exceptions import ProtocolError
except ImportError as error:
    raise ImportError(f"the session needs requests: pip install 'v1registry[fakes]' ({error})") from error

from .faults.connection_cuts import AnswerDelayed, ConnectionCut
from .in_process import CHUNK_BYTES, HOST, Answer, Chunks, RequestBody, environ_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


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

    def __init__(self, application: WSGIApplication, *, base_url: str = f"http://{HOST}"):
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
    exception, the caller gets it and the application sees a broken upload. Time-outs count for delays that a
    fault makes.
    """

    def __init__(self, application: WSGIApplication):
        super().__init__()
        self.application = application

    def send(
        self, request: requests.PreparedRequest, *arguments: Any, timeout: Any = None, **options: Any
    ) -> requests.Response:
        """Call the application for one request. The session follows redirects.

        :raises requests.ConnectionError: a fault cut the connection before the answer.
        :raises requests.ReadTimeout: a fault delays the answer longer than ``timeout``.
        :raises Exception: the body or the application raised it.
        """
        body = None if request.body is None else RequestBody(_chunks_of(request.body))
        read_timeout_s = _read_timeout_s(timeout)
        environ = environ_of(
            str(request.method), str(request.url), _headers_of(request), body, read_timeout_s
        )
        try:
            answer = Answer(self.application, environ)
        except ConnectionCut as cut:
            raise requests.ConnectionError(
                ProtocolError("Connection aborted.", cut), request=request
            ) from cut
        except AnswerDelayed as delay:
            raise requests.ReadTimeout(
                f"Read timed out. (read timeout={read_timeout_s})", request=request
            ) from delay
        if body is not None:
            self._end(body)
        if body is not None and body.error is not None:
            answer.close()
            raise body.error
        headers = HTTPHeaderDict()
        for name, value in answer.headers:
            headers.add(name, value)
        raw = HTTPResponse(
            body=io.BytesIO()
            if request.method == "HEAD"
            else io.BufferedReader(Chunks(self._body(answer), answer.close), CHUNK_BYTES),
            headers=headers,
            status=answer.status,
            reason=answer.reason,
            preload_content=False,
            decode_content=False,
            request_method=request.method,
            original_response=_original_of(answer.headers),  # type: ignore[arg-type]
        )
        if request.method == "HEAD":
            answer.close()
        return self.build_response(request, raw)

    def _end(self, body: RequestBody) -> None:
        """Do something with the rest of a body of which the application read enough."""

    def _body(self, answer: Answer) -> Iterator[bytes]:
        """Return the body of an answer in pieces."""
        return iter(answer)


class _Original:
    """The part of a response of http.client that requests and urllib3 use: the headers, for cookies."""

    def __init__(self, message: HTTPMessage):
        self.msg = message

    def isclosed(self) -> bool:
        return True

    def close(self) -> None:
        """Do nothing: there is no connection."""


def _original_of(headers: Iterable[tuple[str, str]]) -> _Original | None:
    """Return what requests reads cookies from; None if there are none, because to read them takes long."""
    cookies = [value for name, value in headers if name.lower() == "set-cookie"]
    if not cookies:
        return None
    message = HTTPMessage()
    for cookie in cookies:
        message.add_header("Set-Cookie", cookie)
    return _Original(message)


def _read_timeout_s(timeout: Any) -> float | None:
    """Return how long a client waits for an answer, from any form of ``timeout`` that requests accepts."""
    if isinstance(timeout, Timeout):
        started = timeout.clone()
        started.start_connect()
        return started.read_timeout
    seconds: float | None = timeout[1] if isinstance(timeout, tuple) else timeout
    return seconds


def _headers_of(request: requests.PreparedRequest) -> Iterator[tuple[str, str]]:
    for name, value in request.headers.items():
        yield name, value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _chunks_of(source: Any) -> Iterable[bytes | str]:
    """Return the chunks of a body, in any form that requests accepts."""
    if isinstance(source, (bytes, str)):
        return (source,)
    if hasattr(source, "read"):
        read: Callable[[int], bytes] = source.read
        return iter(lambda: read(CHUNK_BYTES), b"")
    pieces: Iterable[bytes] = source
    return pieces
