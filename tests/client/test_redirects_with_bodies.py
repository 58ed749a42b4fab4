"""Redirects that bring a body or cookies: neither may fill the memory."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter
from support.mirrored import MirrorOf
from v1registry_fakes import FakeRegistry

from v1registry.client.http_session import HttpSession


class Endless(io.RawIOBase):
    """A body of zeros without end."""

    def __init__(self) -> None:
        super().__init__()
        self.read_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.read_bytes += len(buffer)
        assert self.read_bytes < 1 << 20, "the body of a redirect is read"
        return len(buffer)


class Short(io.BytesIO):
    """A body that is there at once."""

    is_read = False

    def read(self, size: int | None = -1, /) -> bytes:
        self.is_read = True
        return super().read(size)


class Redirecting(HTTPAdapter):
    """Answers ``/first`` with a redirect to ``/next``, and that with 200."""

    def __init__(self, headers: Mapping[str, str], body: io.RawIOBase | io.BytesIO) -> None:
        super().__init__()
        self._headers = {"Location": "/next", **headers}
        self._body = body

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        if str(request.url).endswith("/first"):
            raw = urllib3.HTTPResponse(self._body, self._headers, 302, preload_content=False)
        else:
            raw = urllib3.HTTPResponse(io.BytesIO(b"whole"), {}, 200, preload_content=False)
        return self.build_response(request, raw)


def redirected(
    method: str, headers: Mapping[str, str], body: io.RawIOBase | io.BytesIO, **options: Any
) -> requests.Response:
    session = HttpSession("test", 1)
    session.mount("http://", Redirecting(headers, body))
    return session.request(method, "http://registry.example.com/first", stream=True, **options)


@pytest.mark.parametrize(
    "headers",
    [{}, {"Content-Length": "99999999"}, {"Content-Length": "10", "Content-Encoding": "gzip"}],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_long_body_of_a_redirect_is_not_read(method: str, headers: dict[str, str]) -> None:
    body = Endless()
    assert redirected(method, headers, body).content == b"whole"
    assert body.read_bytes == 0


def test_long_body_of_a_redirect_that_is_not_followed_is_not_read() -> None:
    body = Endless()
    answer = redirected("PUT", {}, body, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"], answer.raw.read()) == (302, "/next", b"")
    assert body.read_bytes == 0


def test_short_body_of_a_redirect_is_read_so_that_the_connection_is_kept() -> None:
    body = Short(b"moved")
    assert redirected("GET", {"Content-Length": "5"}, body).content == b"whole"
    assert body.is_read


def test_mirror_keeps_no_cookies() -> None:
    with FakeRegistry() as origin:
        origin.add_image("alice/app:1.0", api="v2")
        mirror = MirrorOf(origin, mirror_tag_age_s=0)
        with origin.fail(status=503, headers={"Set-Cookie": "session=1"}):
            assert mirror.client.get_manifest("alice/app", "1.0").status == 503
        assert mirror.client.get_manifest("alice/app", "1.0").status == 200
        assert [request.headers.get("Cookie") for request in origin.requests] == [None] * len(origin.requests)
