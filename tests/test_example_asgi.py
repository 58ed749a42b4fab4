"""examples/asgi_app.py: uploads stream, broken ones fail, and odd headers do not arrive."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from obstore.store import MemoryStore
from support.engine_client import make_image
from support.programs import EXAMPLES

from v1registry import MemoryStorage, Registry
from v1registry.storage.objects import ObjectStorage


@pytest.fixture
def streaming(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the class of the example that mounts a WSGI application."""
    monkeypatch.setenv("V1REGISTRY_STORAGE", "memory:")
    spec = importlib.util.spec_from_file_location("asgi_app", EXAMPLES / "asgi_app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.StreamingWsgi


def scope_of(method: str, path: str, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "root_path": "",
        "query_string": b"",
        "scheme": "http",
        "server": ("localhost", 5000),
        "client": ("192.0.2.7", 1),
        "headers": [(b"host", b"localhost:5000"), *headers],
    }


def ask(
    application: Any, scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Return what the application sends."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def run() -> None:
        await asyncio.wait_for(application(scope, receive, send), 60)

    asyncio.run(run())
    return sent


def receiving(*messages: dict[str, Any]) -> Callable[[], Awaitable[dict[str, Any]]]:
    left = list(messages)

    async def receive() -> dict[str, Any]:
        return left.pop(0)

    return receive


def body_of(chunk: bytes, *, is_last: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": chunk, "more_body": not is_last}


def test_a_chunked_upload_is_accepted(streaming: Any) -> None:
    image = make_image(b"layer")
    application = streaming(Registry(MemoryStorage()))
    halves = (body_of(image.json[:10], is_last=False), body_of(image.json[10:], is_last=True))

    chunked = (b"transfer-encoding", b"chunked")
    sent = ask(application, scope_of("PUT", f"/v1/images/{image.image_id}/json", chunked), receiving(*halves))

    assert sent[0]["status"] == 200


def test_storage_of_a_single_writer_is_served_in_one_process(streaming: Any) -> None:
    storage = ObjectStorage(MemoryStore(), single_writer=True, single_process=True)
    ping = scope_of("GET", "/v1/_ping")
    sent = ask(streaming(Registry(storage)), ping, receiving(body_of(b"", is_last=True)))
    assert sent[0]["status"] == 200


def test_an_upload_is_passed_on_while_it_comes(streaming: Any) -> None:
    has_first = threading.Event()

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"]
        first = body.read(3000)
        has_first.set()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [first[:3], body.read(3000)[:3]]

    count = 0

    async def receive() -> dict[str, Any]:
        nonlocal count
        count += 1
        if count == 2:
            # comes only after the application has read the first part
            assert await asyncio.get_running_loop().run_in_executor(None, has_first.wait, 60)
        return body_of((b"one", b"two")[count - 1] * 1000, is_last=count == 2)

    sent = ask(streaming(application), scope_of("PUT", "/"), receive)

    assert b"".join(message.get("body", b"") for message in sent) == b"onetwo"


def test_an_upload_that_is_broken_off_is_an_error(streaming: Any) -> None:
    image = make_image(b"layer")
    storage = MemoryStorage()
    application = streaming(Registry(storage))
    path = f"/v1/images/{image.image_id}"
    ask(application, scope_of("PUT", f"{path}/json"), receiving(body_of(image.json, is_last=True)))
    before = {stat.key for stat in storage.list("")}

    broken = receiving(body_of(image.layer[:2], is_last=False), {"type": "http.disconnect"})
    sent = ask(application, scope_of("PUT", f"{path}/layer", (b"transfer-encoding", b"chunked")), broken)

    assert sent[0]["status"] == 400
    assert {stat.key for stat in storage.list("")} == before


def test_headers_with_underscores_are_dropped(streaming: Any) -> None:
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        start_response("200 OK", [])
        return [b""]

    headers = [(b"x_forwarded_for", b"1.2.3.4"), (b"x-forwarded-for", b"5.6.7.8")]
    ask(streaming(application), scope_of("GET", "/", *headers), receiving(body_of(b"", is_last=True)))

    assert seen["HTTP_X_FORWARDED_FOR"] == "5.6.7.8"
