"""Records the requests of a test on their way to the application of a fake."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from v1registry import Registry
from v1registry.clock import SYSTEM_CLOCK, Clock
from v1registry.errors import MethodNotAllowed
from v1registry.paths import OAUTH
from v1registry.wsgi.request import USER_KEY
from v1registry.wsgi.routing import Route, api_of

from .recorded_body import RecordedBody, Spool, WatchedInput
from .recorded_request import ApiName, RecordedRequest, RequestHeaders
from .request_log import RequestLog

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

#: How tests call the APIs of the application.
_API_NAMES: Final[Mapping[str, ApiName]] = {
    "registry": "v1",
    "hub": "hub",
    "users": "hub",
    "accounts": "oauth",
    "grants": "oauth",
    "oauth": "oauth",
    "distribution": "v2",
}

#: The key of the WSGI environ under which the recorded request is.
RECORD_KEY: Final = "v1registry_fakes.request"

#: The digits of a length that is no number any more.
_MOST_DIGITS: Final = 19


class RecordedApplication(Protocol):
    """An application whose requests can be recorded, because it tells their rows."""

    def __call__(self, environ: dict[str, Any], start_response: StartResponse, /) -> Iterable[bytes]:
        """Answer a request (PEP 3333)."""

    def row_of(self, method: str, path: str) -> tuple[Route | None, ApiName | None]:
        """Return the row that serves a request, and its API. Both may be None."""

    def route_names(self) -> list[str]:
        """Return the names of the rows."""


ApplicationT = TypeVar("ApplicationT", bound=RecordedApplication)


class WatchedRegistry(Registry):
    """The real application. An unexpected error is kept with the recorded request; the answer stays 500."""

    def on_error(self, environ: dict[str, Any], error: Exception) -> None:
        record: RecordedRequest | None = environ.get(RECORD_KEY)
        if record is not None:
            record.error = error

    def row_of(self, method: str, path: str) -> tuple[Route | None, ApiName | None]:
        """Return the row that serves a request, and its API. Both may be None.

        :param path: decoded, below the mount point. An unknown path can belong to an API too.
        """
        try:
            found = self.table.match(method, path)
        except MethodNotAllowed:
            found = None
        if found is None:
            api = api_of(self.apis, path)
            return None, None if api is None else _API_NAMES.get(api.name)
        route = found[0]
        if route.path.startswith(f"{OAUTH}/"):
            return route, "oauth"  # the page of consent is a page
        return route, self._api_of_row(route)

    def route_names(self) -> list[str]:
        """Return the names of the rows."""
        return [route.name for route in self.table]

    def _api_of_row(self, route: Route) -> ApiName | None:
        # rows are compared by identity, because equal rows may be in two tables, and their hash is slow
        for api in self.apis:
            for row in api.routes:
                if row is route:
                    return _API_NAMES.get(api.name)
        return None


class Recorder(Generic[ApplicationT]):
    """A WSGI application that records each request and passes it on. Safe for threads.

    All requests of a test pass through it, in process and on the live port.

    :param registry: knows the rows and APIs of requests.
    :param application: gets the requests; the registry if None.
    :param clock: tells when requests start.
    """

    def __init__(
        self,
        registry: ApplicationT,
        application: WSGIApplication | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ):
        self.serve(registry, application)
        self._clock = clock
        self.requests = RequestLog(lambda: self.registry.route_names())
        #: requests with an unexpected error of the registry
        self.failed = RequestLog()
        #: notified when a request is finished
        self.finished = threading.Condition()
        self._lock = threading.Lock()  # for the order of the requests
        self.last_number = 0  #: of the requests that came up to now

    def serve(self, registry: ApplicationT, application: WSGIApplication | None = None) -> None:
        """Replace registry and application. Requests that are in progress stay with the old ones."""
        self.registry = registry
        self.application = application or registry

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if type(environ) is not dict:
            environ = dict(environ)  # so that the registry makes no copy, and the user is found in it
        request = self._recorded(environ)
        with self._lock:
            self.last_number += 1
            request.number = self.last_number
            self.requests.append(request)
        environ[RECORD_KEY] = request
        try:
            answer = self.application(environ, _noting(request, environ, start_response))
        except BaseException:
            self._finish(request)
            raise
        if request.status == 500 and request.error is not None:
            self.failed.append(request)
        return _Answer(answer, request, self._finish)

    def _recorded(self, environ: dict[str, Any]) -> RecordedRequest:
        """Return the record of a request that begins. What is read of its body goes there."""
        request = recorded_request(environ, self.requests.spool)
        request.started_at = self._clock.now()
        if isinstance(environ["wsgi.input"], BytesIO):
            # httpx.WSGITransport reads chunked bodies whole, but does not set this
            environ["wsgi.input_terminated"] = True
        environ["wsgi.input"] = WatchedInput(environ["wsgi.input"], request.request_body)
        try:
            path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8") or "/"
        except UnicodeError:
            return request
        route, request.api = self.registry.row_of(request.method, path)
        request.route = None if route is None else route.name
        return request

    def _finish(self, request: RecordedRequest, error: Exception | None = None) -> None:
        """Note the end of a request.

        :param error: an unexpected error while the answer was sent. It is not one if a fault was to break it.
        """
        if error is not None and request.fault is None:
            request.error = error
            self.failed.append(request)
        if request.finish():
            with self.finished:
                self.finished.notify_all()


def recorded_request(environ: Mapping[str, Any], spool: Spool | None = None) -> RecordedRequest:
    """Return the record of the request of a WSGI environ, without an answer.

    :param spool: where large bodies go. If None, only small ones are kept.
    """
    path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1")
    return RecordedRequest(
        environ["REQUEST_METHOD"],
        path.decode("utf-8", "backslashreplace"),
        environ.get("QUERY_STRING", ""),
        RequestHeaders(environ),
        announced_bytes=_announced_bytes(environ),
        request_body=RecordedBody(spool),
        answer_body=RecordedBody(spool),
    )


def _announced_bytes(environ: Mapping[str, Any]) -> int | None:
    """Return the length of the body; None if it is chunked or its length is no number."""
    length = environ.get("CONTENT_LENGTH")
    if length:
        return int(length) if length.isdecimal() and length.isascii() and len(length) < _MOST_DIGITS else None
    # some servers drop Transfer-Encoding, and others call the input of each request terminated
    may_be_chunked = environ.get("wsgi.input_terminated") and environ["REQUEST_METHOD"] not in ("GET", "HEAD")
    return None if may_be_chunked or environ.get("HTTP_TRANSFER_ENCODING") else 0


def _noting(
    request: RecordedRequest, environ: Mapping[str, Any], start_response: StartResponse
) -> StartResponse:
    def start(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        request.user = environ.get(USER_KEY)
        request.response_headers = list(headers)
        request.status = int(status.split(" ", 1)[0])
        return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

    return start


class _Answer:
    """The body of an answer. It is recorded, with its end or its error."""

    def __init__(
        self,
        chunks: Iterable[bytes],
        request: RecordedRequest,
        finish: Callable[[RecordedRequest, Exception | None], None],
    ):
        self._chunks = chunks
        self._request = request
        self._finish = finish

    def __iter__(self) -> Iterator[bytes]:
        request, body = self._request, self._request.answer_body
        try:
            for chunk in self._chunks:
                body.add(chunk)
                yield chunk
        except Exception as error:
            self._finish(request, error)
            raise
        body.has_ended = True
        self._finish(request, None)

    def close(self) -> None:
        try:
            close = getattr(self._chunks, "close", None)
            if close is not None:
                close()
        finally:
            self._finish(self._request, None)
