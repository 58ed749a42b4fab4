"""Records the requests of a test on their way to the application of a fake."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from v1registry import Registry
from v1registry.errors import MethodNotAllowed
from v1registry.paths import OAUTH
from v1registry.wsgi.request import USER_KEY
from v1registry.wsgi.routing import Route, api_of

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
RECORD_KEY = "v1registry_fakes.request"


class RecordedApplication(Protocol):
    """An application whose requests can be recorded, because it tells their rows."""

    def __call__(self, environ: dict[str, Any], start_response: StartResponse, /) -> Iterable[bytes]:
        """Answer a request (PEP 3333)."""

    def row_of(self, method: str, path: str) -> tuple[Route | None, ApiName | None]:
        """Return the row that serves a request, and its API. Both may be None."""


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
        return route, self._api_names.get(id(route))

    @cached_property
    def _api_names(self) -> dict[int, ApiName]:
        """The APIs of the rows. Rows are compared by identity, because their hash is slow."""
        return {
            id(route): _API_NAMES[api.name]
            for api in self.apis
            if api.name in _API_NAMES
            for route in api.routes
        }


class Recorder(Generic[ApplicationT]):
    """A WSGI application that records each request and passes it on. Safe for threads.

    All requests of a test pass through it, in process and on the live port.

    :param registry: knows the rows and APIs of requests.
    :param application: gets the requests; the registry if None.
    """

    def __init__(self, registry: ApplicationT, application: WSGIApplication | None = None):
        self.serve(registry, application)
        self.requests = RequestLog()
        #: requests with an unexpected error of the registry
        self.failed = RequestLog()

    def serve(self, registry: ApplicationT, application: WSGIApplication | None = None) -> None:
        """Replace registry and application. Requests that are in progress stay with the old ones."""
        self.registry = registry
        self.application = application or registry

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if type(environ) is not dict:
            environ = dict(environ)  # so that the registry makes no copy, and route and user are found in it
        request = recorded_request(environ)
        self._note_row(request, environ)
        self.requests.append(request)
        environ[RECORD_KEY] = request
        if isinstance(environ.get("wsgi.input"), BytesIO):
            # httpx.WSGITransport reads chunked bodies whole, but does not set this
            environ["wsgi.input_terminated"] = True
        answer = self.application(environ, _noting(request, environ, start_response))
        if request.status == 500 and request.error is not None:
            self.failed.append(request)
        return _Answer(answer, lambda error: self._note_failure(request, error))

    def _note_row(self, request: RecordedRequest, environ: Mapping[str, Any]) -> None:
        try:
            path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8") or "/"
        except UnicodeError:
            return
        route, request.api = self.registry.row_of(request.method, path)
        request.route = None if route is None else route.name

    def _note_failure(self, request: RecordedRequest, error: Exception) -> None:
        if request.fault is not None:
            return  # a fault of the test breaks the answer
        request.error = error
        self.failed.append(request)


def recorded_request(environ: Mapping[str, Any]) -> RecordedRequest:
    """Return the record of the request of a WSGI environ, without an answer."""
    path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1")
    return RecordedRequest(
        environ["REQUEST_METHOD"],
        path.decode("utf-8", "backslashreplace"),
        environ.get("QUERY_STRING", ""),
        RequestHeaders(environ),
    )


def _noting(
    request: RecordedRequest, environ: Mapping[str, Any], start_response: StartResponse
) -> StartResponse:
    def start(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        request.user = environ.get(USER_KEY)
        request.status = int(status.split(" ", 1)[0])
        request.response_headers = list(headers)
        return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

    return start


class _Answer:
    """The body of an answer. Errors while it is sent are recorded."""

    def __init__(self, chunks: Iterable[bytes], note_failure: Callable[[Exception], None]):
        self._chunks = chunks
        self._note_failure = note_failure

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._chunks
        except Exception as error:
            self._note_failure(error)
            raise

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()
