"""The transports of httpx, sync and async: requests, answers, and broken connections."""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest
from v1registry_fakes import AsyncRegistryTransport, FakeRegistry, Layer, RegistryTransport
from v1registry_fakes.faults.connection_cuts import TIMEOUT_KEY, AnswerDelayed, ConnectionCut

Send = Callable[..., httpx.Response]

CALLER = contextvars.ContextVar("CALLER", default="nobody")


class Application:
    """A WSGI application that records requests. A test sets its answer."""

    def __init__(self) -> None:
        self.status = "200 OK"
        self.headers: list[tuple[str, str]] = [("Content-Type", "text/plain")]
        self.chunks: list[bytes | Exception] = [b"body"]
        self.environ: dict[str, Any] = {}
        self.body = b""
        self.closed = 0
        self.error: Exception | None = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Application:
        self.environ = environ
        if self.error is not None:
            raise self.error
        self.body = environ["wsgi.input"].read()
        start_response(self.status, self.headers)
        return self

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def application() -> Application:
    return Application()


def send_sync(application: Any, method: str, url: str, **options: Any) -> httpx.Response:
    with httpx.Client(transport=RegistryTransport(application)) as client:
        return client.request(method, url, **options)


def send_async(backend: str) -> Send:
    def send(application: Any, method: str, url: str, **options: Any) -> httpx.Response:
        if hasattr(options.get("content"), "__next__"):
            options["content"] = in_turn(options["content"])

        async def run() -> httpx.Response:
            async with httpx.AsyncClient(transport=AsyncRegistryTransport(application)) as client:
                return await client.request(method, url, **options)

        return anyio.run(run, backend=backend)

    return send


async def in_turn(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await anyio.sleep(0)
        yield chunk


@pytest.fixture(params=["sync", "asyncio", "trio"])
def send(request: pytest.FixtureRequest) -> Send:
    """A function that sends one request, by each kind of client."""
    return send_sync if request.param == "sync" else send_async(request.param)


# -- requests


def test_environ_is_that_of_a_server(send: Send, application: Application) -> None:
    send(
        application,
        "GET",
        "https://registry.example.com:8443/v1/a%2Fb/%C3%A9?q=%2F&n=1",
        headers={"X-A": "é".encode()},
    )
    environ = application.environ
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/v1/a/b/é"
    assert environ["QUERY_STRING"] == "q=%2F&n=1"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("registry.example.com", "8443")
    assert (environ["HTTP_HOST"], environ["wsgi.url_scheme"]) == ("registry.example.com:8443", "https")
    assert environ["HTTP_X_A"].encode("latin-1").decode() == "é"
    assert "CONTENT_LENGTH" not in environ
    assert application.body == b""


def test_body_of_known_length_has_it(send: Send, application: Application) -> None:
    send(application, "PUT", "http://any.host/", content=b"abc")
    assert (application.body, application.environ["CONTENT_LENGTH"]) == (b"abc", "3")
    assert "wsgi.input_terminated" not in application.environ


def test_body_without_a_length_is_chunked(send: Send, application: Application) -> None:
    send(application, "PUT", "http://any.host/", content=iter([b"ab", b"", b"c" * 200_000]))
    assert application.body == b"ab" + b"c" * 200_000
    assert application.environ["HTTP_TRANSFER_ENCODING"] == "chunked"
    assert application.environ["wsgi.input_terminated"] is True


def test_exception_of_a_body_is_raised(send: Send) -> None:
    def body() -> Iterator[bytes]:
        yield b"half"
        raise LookupError("the other half is gone")

    with FakeRegistry() as registry:
        image = registry.add_image("alice/app:1", is_complete=False)
        with pytest.raises(LookupError, match="the other half is gone"):
            send(registry.app, "PUT", f"http://any.host/v1/images/{image.id}/layer", content=body())


def test_time_out_of_the_client_is_told(send: Send, application: Application) -> None:
    send(application, "GET", "http://any.host/", timeout=httpx.Timeout(9, read=0.5))
    assert application.environ[TIMEOUT_KEY] == 0.5
    send(application, "GET", "http://any.host/", timeout=None)
    assert application.environ[TIMEOUT_KEY] is None


# -- answers


def test_answer_has_status_reason_headers_and_body(send: Send, application: Application) -> None:
    application.status = "404 Not here"
    application.headers = [
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("X-Name", "é".encode().decode("latin-1")),
    ]
    application.chunks = [b"a", b"", b"bc"]
    answer = send(application, "GET", "http://any.host/")
    assert (answer.status_code, answer.reason_phrase, answer.content) == (404, "Not here", b"abc")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["x-name"] == "é"
    assert application.closed == 1


def test_head_has_headers_and_no_body(send: Send, application: Application) -> None:
    application.headers = [("Content-Length", "4")]
    answer = send(application, "HEAD", "http://any.host/")
    assert (answer.headers["Content-Length"], answer.content, application.closed) == ("4", b"", 1)


def test_not_modified_needs_no_body(send: Send, application: Application) -> None:
    application.status, application.headers, application.chunks = (
        "304 Not Modified",
        [("Content-Length", "4")],
        [],
    )
    assert send(application, "GET", "http://any.host/").status_code == 304


def test_unread_answer_is_closed_with_the_response(application: Application) -> None:
    with (
        httpx.Client(transport=RegistryTransport(application)) as client,
        client.stream("GET", "http://any.host/") as answer,
    ):
        assert (answer.status_code, application.closed) == (200, 0)
    assert application.closed == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_cancelled_answer_is_closed(application: Application, backend: str) -> None:
    application.chunks = [b"x"] * 1000

    async def run() -> None:
        transport = AsyncRegistryTransport(application)
        async with httpx.AsyncClient(transport=transport) as client:
            with anyio.CancelScope() as scope:
                async with client.stream("GET", "http://any.host/") as answer:
                    async for _ in answer.aiter_raw():
                        scope.cancel()
        assert scope.cancelled_caught

    anyio.run(run, backend=backend)
    assert application.closed == 1


# -- broken connections


def test_cut_before_the_answer_is_a_protocol_error(send: Send, application: Application) -> None:
    application.error = ConnectionCut("cut")
    with pytest.raises(httpx.RemoteProtocolError, match="Server disconnected without sending a response"):
        send(application, "GET", "http://any.host/")


def test_cut_body_is_a_protocol_error(send: Send, application: Application) -> None:
    application.chunks = [b"half", ConnectionCut("cut")]
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        send(application, "GET", "http://any.host/")
    assert application.closed == 1


def test_body_shorter_than_its_length_is_a_protocol_error(send: Send, application: Application) -> None:
    application.headers = [("Content-Length", "400")]
    with pytest.raises(httpx.RemoteProtocolError, match=r"\(received 4 bytes, expected 400\)"):
        send(application, "GET", "http://any.host/")


def test_delayed_answer_is_a_time_out(send: Send, application: Application) -> None:
    application.error = AnswerDelayed("too slow")
    with pytest.raises(httpx.ReadTimeout):
        send(application, "GET", "http://any.host/")


def test_exception_of_the_application_is_raised(send: Send, application: Application) -> None:
    application.error = ZeroDivisionError("its own")
    with pytest.raises(ZeroDivisionError, match="its own"):
        send(application, "GET", "http://any.host/")


# -- the async one


def test_event_loop_goes_on_while_the_application_works() -> None:
    is_called, may_answer = threading.Event(), threading.Event()

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        is_called.set()
        assert may_answer.wait(30)
        start_response("200 OK", [])
        return [b"done"]

    async def run() -> bytes:
        async with httpx.AsyncClient(transport=AsyncRegistryTransport(application)) as client:
            asked = asyncio.create_task(client.get("http://any.host/"))
            while not is_called.is_set():
                await asyncio.sleep(0)
            may_answer.set()
            return (await asked).content

    assert asyncio.run(run()) == b"done"


def test_all_steps_of_a_request_share_a_context(send: Send) -> None:
    seen = []

    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        token = CALLER.set("application")
        start_response("200 OK", [])
        yield b"a"
        seen.append(CALLER.get())
        yield b"b"
        CALLER.reset(token)

    assert send(application, "GET", "http://any.host/").content == b"ab"
    assert (seen, CALLER.get()) == (["application"], "nobody")


# -- with the registry


def test_chunked_layer_is_pushed_and_pulled(send: Send) -> None:
    layer = bytes(Layer({"big": b"x" * 300_000}).compressed(None))
    with FakeRegistry() as registry:
        image = registry.add_image("alice/app:1", is_complete=False)
        url = f"http://any.host/v1/images/{'ab' * 32}"
        assert send(registry.app, "PUT", f"{url}/json", json={"id": "ab" * 32}).status_code == 200
        pieces = (layer[start : start + 100_000] for start in range(0, len(layer), 100_000))
        assert send(registry.app, "PUT", f"{url}/layer", content=iter(list(pieces))).status_code == 200
        assert registry.images["ab" * 32].layer == layer
        assert not image.is_complete
        assert [request.method for request in registry.requests] == ["PUT", "PUT"]


def test_registry_has_transports() -> None:
    with FakeRegistry(tls=True) as registry:
        with httpx.Client(transport=registry.httpx_transport(), base_url=registry.in_process_url) as client:
            assert client.get("/v1/_ping").json() == {}

        async def run() -> object:
            transport = registry.async_httpx_transport()
            async with httpx.AsyncClient(transport=transport, base_url=registry.in_process_url) as client:
                return (await client.get("/v1/_ping")).json()

        assert asyncio.run(run()) == {}
        assert registry.in_process_url == "https://v1registry.test"


def test_missing_httpx_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    monkeypatch.delitem(sys.modules, "v1registry_fakes.httpx_transports")
    with pytest.raises(ImportError, match="the transports need httpx: pip install httpx"):
        importlib.import_module("v1registry_fakes.httpx_transports")
