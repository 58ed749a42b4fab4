"""Records the requests of a test on their way to the application of a fake."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from io import BytesIO
from typing import TYPE_CHECKING, Any

from v1registry import Registry

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

#: The key of the WSGI environ under which the recorded request is.
RECORD_KEY = "v1registry_fakes.request"


class RequestHeaders(Mapping[str, str]):
    """The headers of a request. Names are case-insensitive.

    >>> RequestHeaders({"HTTP_USER_AGENT": "docker/1.9.1", "CONTENT_LENGTH": "2"})["user-agent"]
    'docker/1.9.1'
    """

    def __init__(self, environ: Mapping[str, Any]):
        self._values: dict[str, str] = {}
        for key, value in environ.items():
            if key.startswith("HTTP_"):
                self._values[key[5:].replace("_", "-").lower()] = value
            elif key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value:
                self._values[key.replace("_", "-").lower()] = value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return (name.title() for name in self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(dict(self))


@dataclass(eq=False)
class RecordedRequest:
    """One request and its answer."""

    method: str
    path: str  #: decoded, as the client sent it
    query: str  #: as the client sent it, without the question mark
    headers: Mapping[str, str]  #: of the request; names are case-insensitive
    status: int | None = None  #: None until the answer begins
    response_headers: list[tuple[str, str]] = field(default_factory=list)
    error: Exception | None = None  #: the unexpected error, if the registry had one

    def __str__(self) -> str:
        """Return the request in one line, such as ``GET /v1/search?q=app 200``."""
        query = f"?{self.query}" if self.query else ""
        return f"{self.method} {self.path}{query} {self.status or 'unanswered'}"

    def __repr__(self) -> str:
        return f"<RecordedRequest {self}>"


class RequestLog(list[RecordedRequest]):
    """The requests of a fake in the order of arrival. ``clear()`` removes them."""

    def matching(
        self, method: str | None = None, path: str | None = None, status: int | None = None
    ) -> list[RecordedRequest]:
        """Return the requests that have all given properties.

        :param path: may have ``*`` for any text, slashes included.
        """
        return [
            request
            for request in self
            if (method is None or request.method == method)
            and (path is None or fnmatchcase(request.path, path))
            and (status is None or request.status == status)
        ]

    def __repr__(self) -> str:
        """Return the requests, one in a line."""
        if not self:
            return "<no requests>"
        return "\n".join([f"<{len(self)} requests>", *(f"  {request}" for request in self)])


class WatchedRegistry(Registry):
    """The real application. An unexpected error is kept with the recorded request; the answer stays 500."""

    def on_error(self, environ: dict[str, Any], error: Exception) -> None:
        record: RecordedRequest | None = environ.get(RECORD_KEY)
        if record is not None:
            record.error = error


class Recorder:
    """A WSGI application that records each request and passes it on. Safe for threads.

    All requests of a test pass through it, in process and on the live port.

    :param application: gets the requests; it may be replaced at any time.
    """

    def __init__(self, application: WSGIApplication):
        self.application = application
        self.requests = RequestLog()
        #: requests with an unexpected error of the registry
        self.failed = RequestLog()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        request = recorded_request(environ)
        self.requests.append(request)
        environ[RECORD_KEY] = request
        if isinstance(environ.get("wsgi.input"), BytesIO):
            # httpx.WSGITransport reads chunked bodies whole, but does not set this
            environ["wsgi.input_terminated"] = True
        answer = self.application(environ, _noting(request, start_response))
        if request.status == 500 and request.error is not None:
            self.failed.append(request)
        return _Answer(answer, lambda error: self._note_failure(request, error))

    def _note_failure(self, request: RecordedRequest, error: Exception) -> None:
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


def _noting(request: RecordedRequest, start_response: StartResponse) -> StartResponse:
    def start(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
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
