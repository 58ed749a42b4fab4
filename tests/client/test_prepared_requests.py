"""The requests of the client's session are those that requests makes, without its merging of settings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from v1registry.client.http_session import AuthorizationHeader, HttpSession


def _pieces() -> Iterator[bytes]:
    yield b"ab"


@pytest.mark.parametrize("cookies", [{}, {"session": "1"}])
@pytest.mark.parametrize(
    ("method", "headers", "data"),
    [
        ("get", {}, None),
        ("PUT", {"content-type": "text/plain", "ACCEPT-ENCODING": "gzip"}, b"abc"),
        ("POST", {"X-Sum": "1"}, b""),
        ("PUT", {}, _pieces()),
    ],
)
@pytest.mark.parametrize("authorization", [None, "Bearer abc"])
def test_prepared_request_is_as_requests_makes_it(
    method: str, headers: dict[str, str], data: object, authorization: str | None, cookies: dict[str, str]
) -> None:
    session = HttpSession("test", 1)
    session.cookies.update(cookies)
    request = requests.Request(
        method,
        "http://registry.example/v2/ä?x=1",
        headers=headers,
        data=data,  # type: ignore[arg-type]
        auth=AuthorizationHeader(authorization),
    )

    prepared, expected = session.prepare_request(request), requests.Session.prepare_request(session, request)

    assert (prepared.method, prepared.url) == (expected.method, expected.url)
    assert prepared.body == expected.body
    assert dict(prepared.headers.lower_items()) == dict(expected.headers.lower_items())
    assert prepared.headers.get("Cookie") == ("session=1" if cookies else None)


def test_request_without_headers_has_those_of_the_session() -> None:
    session = HttpSession("test", 1)

    prepared = session.prepare_request(requests.Request("GET", "http://registry.example/"))

    assert dict(prepared.headers) == {
        "User-Agent": "test",
        "Accept-Encoding": "identity",
        "Accept": "*/*",
        "Connection": "keep-alive",
    }
