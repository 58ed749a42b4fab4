"""Adapters that say they have several processes serve a storage that allows one, if its URL says so."""

from __future__ import annotations

import asyncio
import importlib
import io
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from a2wsgi import WSGIMiddleware
from asgiref.wsgi import WsgiToAsgi
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from obstore.store import MemoryStore
from support.wsgi_client import call

from v1registry import Registry
from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.storage.objects import Groups, ObjectStorage
from v1registry.storage.objects.urls import open_objects


def middleware_of(package: str) -> Callable[[Registry], Any]:
    """Return what makes an ASGI application with the middleware of a package."""

    def made(registry: Registry) -> Any:
        with warnings.catch_warnings():
            # a2wsgi is to be used in its place
            warnings.simplefilter("ignore")
            return importlib.import_module(f"{package}.middleware.wsgi").WSGIMiddleware(registry)

    return made


_ADAPTERS: dict[str, Callable[[Registry], Any]] = {
    "a2wsgi": WSGIMiddleware,
    "asgiref": WsgiToAsgi,
    "starlette": middleware_of("starlette"),
    "uvicorn": middleware_of("uvicorn"),
}

_SCOPE: dict[str, Any] = {
    "type": "http",
    "http_version": "1.1",
    "method": "GET",
    "path": "/v1/_ping",
    "root_path": "",
    "query_string": b"",
    "scheme": "http",
    "server": ("localhost", 5000),
    "client": ("192.0.2.7", 1),
    "headers": [(b"host", b"localhost:5000")],
}


def registry_of(*, is_process: bool) -> Registry:
    """Return a registry over a store that allows one process.

    :param is_process: whether the administrator says that the server has one.
    """
    return Registry(ObjectStorage(MemoryStore(), single_writer=True, single_process=is_process))


def status_of(application: Any) -> int:
    """Return the status of a request to an ASGI application."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def run() -> None:
        await asyncio.wait_for(application(_SCOPE, receive, send), 60)

    asyncio.run(run())
    status: int = sent[0]["status"]
    return status


@pytest.mark.parametrize(("is_process", "status"), [(True, 200), (False, 503)])
@pytest.mark.parametrize("name", _ADAPTERS)
def test_adapter_serves_if_the_administrator_names_one_process(name: str, is_process: bool, status: int):
    assert status_of(_ADAPTERS[name](registry_of(is_process=is_process))) == status


@pytest.mark.parametrize(("is_process", "status"), [(True, 200), (False, 503)])
def test_request_from_django_below_asgi_is_served_likewise(is_process: bool, status: int):
    if not settings.configured:
        settings.configure()
    meta = ASGIRequest(_SCOPE, io.BytesIO()).META
    assert meta["wsgi.multiprocess"]
    environ = {key: value for key, value in meta.items() if key.startswith("wsgi.")}
    assert call(registry_of(is_process=is_process), "GET", "/v1/_ping", **environ).status == status


def test_refusal_names_the_value_that_helps():
    answer = call(registry_of(is_process=False), "GET", "/v1/_ping", **{"wsgi.multiprocess": True})
    assert b"single_writer=process" in answer.body


@pytest.mark.parametrize(("value", "is_process"), [("true", False), ("process", True), ("Process", True)])
def test_url_says_that_the_server_has_one_process(
    monkeypatch: pytest.MonkeyPatch, value: str, is_process: bool
):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    storage = open_objects(
        f"s3://bucket?endpoint=http://127.0.0.1:1&single_writer={value}", groups=Groups(KEY_GROUPS)
    )
    assert storage.is_single_writer
    assert storage.is_single_process == is_process
