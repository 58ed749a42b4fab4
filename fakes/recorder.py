"""The one wrapper around the application of a fake: every request of a test passes here and is noted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from io import BytesIO
from typing import TYPE_CHECKING, Any

from v1registry import Registry

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

#: Where the application of a fake finds the request that is being recorded.
RECORD_KEY = "v1registry_fakes.request"


class RequestHeaders(Mapping[str, str]):
    """The headers of a request; upper and lower case are the same.

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
    """One request that came in, and how it was answered."""

    method: str
    path: str  #: decoded, as the client sent it
    query: str  #: as it was sent, without the question mark
    headers: Mapping[str, str]  #: of the request; upper and lower case are the same
    status: int | None = None  #: None until the answer begins
    response_headers: list[tuple[str, str]] = field(default_factory=list)
    error: Exception | None = None  #: what went wrong inside, where the registry itself failed

    def __str__(self) -> str:
        """The request in a line, such as ``GET /v1/search?q=app 200``."""
        query = f"?{self.query}" if self.query else ""
        return f"{self.method} {self.path}{query} {self.status or 'unanswered'}"

    def __repr__(self) -> str:
        return f"<RecordedRequest {self}>"


class RequestLog(list[RecordedRequest]):
    """The requests of a fake, in the order in which they came in. ``clear()`` forgets them."""

    def matching(
        self, method: str | None = None, path: str | None = None, status: int | None = None
    ) -> list[RecordedRequest]:
        """Return the requests that fit all that is given; ``*`` in ``path`` stands for anything, slashes too."""
        return [
            request
            for request in self
            if (method is None or request.method == method)
            and (path is None or fnmatchcase(request.path, path))
            and (status is None or request.status == status)
        ]

    def __repr__(self) -> str:
        """The requests, a line each."""
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
    """A WSGI application that notes each request and passes it on.

    It is the only way from a test to the registry, in process and on the live port. Safe for threads.

    :param application: what requests are passed on to; it may be replaced at any time.
    """

    def __init__(self, application: WSGIApplication):
        self.application = application
        self.requests = RequestLog()
        #: Requests during which the registry itself failed.
        self.failed = RequestLog()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        request = recorded_request(environ)
        self.requests.append(request)
        environ[RECORD_KEY] = request
        if isinstance(environ.get("wsgi.input"), BytesIO):
            # httpx.WSGITransport reads chunked bodies whole, and does not say that they end
            environ["wsgi.input_terminated"] = True
        answer = self.application(environ, _noting(request, start_response))
        if request.status == 500 and request.error is not None:
            self.failed.append(request)
        return _Answer(answer, lambda error: self._note_failure(request, error))

    def _note_failure(self, request: RecordedRequest, error: Exception) -> None:
        request.error = error
        self.failed.append(request)


def recorded_request(environ: Mapping[str, Any]) -> RecordedRequest:
    """Return what is to be remembered of the request of ``environ``."""
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
    """The body of an answer on its way out."""

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
