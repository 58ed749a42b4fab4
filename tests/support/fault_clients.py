"""Clients of every kind, in process and over the live port, behind one function each."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx
import requests
import urllib3
from v1registry_fakes import ConnectionCut, FakeRegistry, WSGISession
from webtest import TestApp

#: In seconds. No test waits so long.
TIMEOUT_S = 30


@dataclass(frozen=True)
class Asked:
    """A request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Seen:
    """An answer as a client sees it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        """Return the values of a header, one for each line."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass(frozen=True)
class FaultClient:
    """A kind of client.

    :param ask: sends a request and returns the answer.
    :param broken: what it raises if the connection breaks within a body.
    :param refused: what it raises if the connection breaks before the answer.
    :param attempts: how often it tries then.
    """

    ask: Callable[[FakeRegistry, Asked], Seen]
    broken: type[Exception] | tuple[type[Exception], ...]
    refused: type[Exception] | tuple[type[Exception], ...]
    attempts: int = 1


# -- in process


def _webtest(registry: FakeRegistry, asked: Asked) -> Seen:
    answer = TestApp(registry.app).request(
        asked.path, method=asked.method, headers=dict(asked.headers), body=asked.body, expect_errors=True
    )
    return Seen(answer.status_int, list(answer.headerlist), answer.body)


def _by_requests(session: requests.Session, base: str, asked: Asked) -> Seen:
    answer = session.request(
        asked.method,
        base + asked.path,
        headers=dict(asked.headers),
        data=asked.body or None,
        allow_redirects=False,
        timeout=TIMEOUT_S,
    )
    return Seen(answer.status_code, list(answer.raw.headers.iteritems()), answer.content)


def _wsgi_session(registry: FakeRegistry, asked: Asked) -> Seen:
    with WSGISession(registry.app) as session:
        return _by_requests(session, "", asked)


def _by_httpx(client: httpx.Client, asked: Asked) -> Seen:
    answer = client.request(asked.method, asked.path, headers=asked.headers, content=asked.body or None)
    return Seen(answer.status_code, answer.headers.multi_items(), answer.content)


def _httpx_in_process(registry: FakeRegistry, asked: Asked) -> Seen:
    transport = httpx.WSGITransport(app=registry.app)
    with httpx.Client(transport=transport, base_url="http://v1registry.test") as client:
        return _by_httpx(client, asked)


def _httpx_transport(registry: FakeRegistry, asked: Asked) -> Seen:
    transport = registry.httpx_transport()
    with httpx.Client(transport=transport, base_url="http://v1registry.test") as client:
        return _by_httpx(client, asked)


def _async_httpx_transport(registry: FakeRegistry, asked: Asked) -> Seen:
    transport = registry.async_httpx_transport()
    client = httpx.AsyncClient(transport=transport, base_url="http://v1registry.test")
    return _run(_by_async_httpx(client, asked))


# -- over the live port


def _requests(registry: FakeRegistry, asked: Asked) -> Seen:
    with requests.Session() as session:
        session.trust_env = False
        return _by_requests(session, registry.url, asked)


def _urllib3(registry: FakeRegistry, asked: Asked) -> Seen:
    with urllib3.PoolManager(retries=False, timeout=TIMEOUT_S) as pool:
        answer = pool.request(
            asked.method, registry.url + asked.path, headers=asked.headers, body=asked.body or None
        )
        return Seen(answer.status, list(answer.headers.iteritems()), answer.data)


def _httpx(registry: FakeRegistry, asked: Asked) -> Seen:
    with httpx.Client(base_url=registry.url, timeout=TIMEOUT_S, trust_env=False, verify=False) as client:
        return _by_httpx(client, asked)


async def _by_async_httpx(client: httpx.AsyncClient, asked: Asked) -> Seen:
    async with client:
        answer = await client.request(
            asked.method, asked.path, headers=asked.headers, content=asked.body or None
        )
        return Seen(answer.status_code, answer.headers.multi_items(), answer.content)


def _async_httpx(registry: FakeRegistry, asked: Asked) -> Seen:
    client = httpx.AsyncClient(base_url=registry.url, timeout=TIMEOUT_S, trust_env=False, verify=False)
    return _run(_by_async_httpx(client, asked))


def _aiohttp(registry: FakeRegistry, asked: Asked) -> Seen:
    async def ask() -> Seen:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(
                asked.method,
                registry.url + asked.path,
                headers=asked.headers,
                data=asked.body or None,
                allow_redirects=False,
            ) as answer,
        ):
            return Seen(answer.status, list(answer.headers.items()), await answer.read())

    return _run(ask())


def _run(coroutine: Coroutine[Any, Any, Seen]) -> Seen:
    return asyncio.run(coroutine)


def _http_client(registry: FakeRegistry, asked: Asked) -> Seen:
    connection = http.client.HTTPConnection(registry.host, timeout=TIMEOUT_S)
    try:
        connection.request(asked.method, asked.path, asked.body or None, dict(asked.headers))
        with connection.getresponse() as answer:
            return Seen(answer.status, answer.getheaders(), answer.read())
    finally:
        connection.close()


CLIENTS = {
    "webtest": FaultClient(_webtest, ConnectionCut, ConnectionCut),
    "WSGISession": FaultClient(
        _wsgi_session, requests.exceptions.ChunkedEncodingError, requests.ConnectionError
    ),
    "WSGITransport": FaultClient(_httpx_in_process, ConnectionCut, ConnectionCut),
    "httpx transport": FaultClient(_httpx_transport, httpx.RemoteProtocolError, httpx.RemoteProtocolError),
    "async httpx transport": FaultClient(
        _async_httpx_transport, httpx.RemoteProtocolError, httpx.RemoteProtocolError
    ),
    "requests": FaultClient(_requests, requests.exceptions.ChunkedEncodingError, requests.ConnectionError),
    "urllib3": FaultClient(_urllib3, urllib3.exceptions.ProtocolError, urllib3.exceptions.ProtocolError),
    "httpx": FaultClient(_httpx, httpx.RemoteProtocolError, httpx.TransportError),
    "async httpx": FaultClient(_async_httpx, httpx.RemoteProtocolError, httpx.TransportError),
    "aiohttp": FaultClient(_aiohttp, aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, 2),
    "http.client": FaultClient(_http_client, http.client.IncompleteRead, ConnectionResetError),
}
