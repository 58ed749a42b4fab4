"""A client of the application in this process: WebTest with lint, and request bodies as servers pass them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from webtest import TestApp, TestRequest, TestResponse

from support.engine_client import Image
from support.push_requests import PAYLOAD_HEADER as PAYLOAD_HEADER
from support.push_requests import TARSUM_HEADER as TARSUM_HEADER
from support.push_requests import PushRequest, checksum_of, json_of, layer_of, tag_of


class Body:
    """A ``wsgi.input`` that gives ``pieces`` one read each, at most as much as is asked for.

    The iterable runs in the middle of the transfer; an exception of it breaks the transfer off.
    """

    def __init__(self, pieces: Iterable[bytes]):
        self._pieces = iter(pieces)
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        if not self._rest:
            self._rest = next(self._pieces, b"")
        size = len(self._rest) if size < 0 else size
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    # lint asks for these; the application uses ``read`` alone

    def readline(self, size: int = -1) -> bytes:
        raise NotImplementedError

    def readlines(self, hint: int = -1) -> list[bytes]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[bytes]:
        raise NotImplementedError


class Client:
    """Makes requests to a WSGI application. No status raises an exception."""

    def __init__(self, app: Any, **environ: str):
        self.app = app
        self._environ = environ
        self._test_app = TestApp(app, extra_environ=environ, lint=True)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
    ) -> TestResponse:
        self._test_app.reset()
        data = body.encode() if isinstance(body, str) else body
        return self._test_app.request(path, method=method, body=data, headers=headers, expect_errors=True)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> TestResponse:
        return self.request("GET", path, headers=headers)

    def head(self, path: str, headers: Mapping[str, str] | None = None) -> TestResponse:
        return self.request("HEAD", path, headers=headers)

    def put(
        self, path: str, body: bytes | str = b"", headers: Mapping[str, str] | None = None
    ) -> TestResponse:
        return self.request("PUT", path, body, headers)

    def post(
        self, path: str, body: bytes | str = b"", headers: Mapping[str, str] | None = None
    ) -> TestResponse:
        return self.request("POST", path, body, headers)

    def delete(self, path: str, headers: Mapping[str, str] | None = None) -> TestResponse:
        return self.request("DELETE", path, headers=headers)

    def put_pieces(
        self,
        path: str,
        pieces: Iterable[bytes],
        headers: Mapping[str, str] | None = None,
        *,
        size_bytes: int | None = None,
        is_terminated: bool = True,
        method: str = "PUT",
    ) -> TestResponse:
        """Send a body in pieces: with a length if ``size_bytes`` is given, or else chunked."""
        request = TestRequest.blank(path, method=method, headers=dict(headers or {}))
        environ = request.environ
        environ.update(self._environ)
        environ["wsgi.input"] = Body(pieces)
        environ.pop("CONTENT_LENGTH", None)
        if size_bytes is not None:
            environ["CONTENT_LENGTH"] = str(size_bytes)
        else:
            environ["HTTP_TRANSFER_ENCODING"] = "chunked"
            if is_terminated:
                environ["wsgi.input_terminated"] = True
        return self._test_app.do_request(request, expect_errors=True)

    # -- as an engine does

    def send(self, request: PushRequest, headers: Mapping[str, str] | None = None) -> TestResponse:
        """Make a request of a push."""
        return self.request(
            request.method, request.path, request.body, {**request.headers, **(headers or {})}
        )

    def put_json(self, image: Image) -> TestResponse:
        return self.send(json_of(image))

    def put_layer(self, image: Image) -> TestResponse:
        request = layer_of(image)
        return self.put_pieces(request.path, [request.body], request.headers)

    def put_checksum(self, image: Image, headers: Mapping[str, str] | None = None) -> TestResponse:
        """Send ``headers`` as the checksums; that of the image by default."""
        request = checksum_of(image)
        return self.send(request if headers is None else request._replace(headers=headers))

    def push(self, *images: Image) -> None:
        """Push images, parents first."""
        for image in images:
            for answer in (self.put_json(image), self.put_layer(image), self.put_checksum(image)):
                assert (answer.status_int, answer.body) == (200, b"true"), answer

    def tag(
        self, repository: str, tag: str, image: Image, headers: Mapping[str, str] | None = None
    ) -> TestResponse:
        return self.send(tag_of(repository, tag, image.image_id), headers)


@dataclass(frozen=True)
class Answer:
    """An answer of :func:`call`."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the only value of a header, or None."""
        values = [value for found, value in self.headers if found.lower() == name.lower()]
        assert len(values) < 2, (name, values)
        return values[0] if values else None


def call(app: Any, method: str, path_info: str, body: bytes = b"", **environ: Any) -> Answer:
    """Make a request without WebTest: ten times as fast, and the environ may be invalid.

    :param path_info: as a server gives it: decoded once, each byte a character.
    """
    given: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
        given.append((status, headers))

    complete = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path_info,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    } | environ
    chunks = app(complete, start_response)
    try:
        content = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    status, headers = given[-1]
    return Answer(int(status[:3]), headers, content)


def error_of(answer: TestResponse) -> tuple[int, str]:
    """Return status and text of an answer, which must be an error in the form of the registry."""
    assert answer.headers["Content-Type"] == "application/json", answer
    assert list(answer.json) == ["error"], answer
    return answer.status_int, answer.json["error"]


def refusal_of(answer: TestResponse) -> tuple[int, str]:
    """Return status and text of an error up to the colon, after which the text says what is allowed."""
    status, text = error_of(answer)
    name, colon, allowed = text.partition(": ")
    assert colon
    assert allowed
    return status, name


def during(action: Callable[[], object], *pieces: bytes) -> Iterator[bytes]:
    """Yield ``pieces``, and call ``action`` once the first one has been read."""
    for number, piece in enumerate(pieces):
        if number == 1:
            action()
        yield piece
