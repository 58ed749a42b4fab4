"""Signed URLs: their queries are credentials, and no message of the client shows them."""

from __future__ import annotations

import io
from typing import Any

import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter

from v1registry.client import connection
from v1registry.client.answers import Answer, read_tags, without_query
from v1registry.client.causes import reason_of
from v1registry.client.connection import Connection, ConnectionOptions
from v1registry.client.errors import ClientError, ProtocolError
from v1registry.client.http_session import check_redirect

SIGNATURE = "5f1e9c"
SIGNED = (
    f"https://mira:{SIGNATURE}@store.example.org/data/x?X-Amz-Credential=AKID&X-Amz-Signature={SIGNATURE}"
)
HOST = "127.0.0.1:5000"


def assert_shows_no_query(error: BaseException | None) -> None:
    """Check a message, and those of its causes that are of the client."""
    while error is not None:
        if isinstance(error, ClientError):
            assert "/data/x" in str(error), error
            assert SIGNATURE not in str(error), error
            assert "X-Amz" not in str(error), error
        error = error.__cause__


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 418, 500, 503])
def test_failure_shows_no_query(status: int) -> None:
    assert_shows_no_query(Answer(SIGNED, status, {}, b"").failure("pull x"))


def test_invalid_json_shows_no_query() -> None:
    with pytest.raises(ProtocolError) as caught:
        Answer(SIGNED, 200, {}, b"{").json()
    assert_shows_no_query(caught.value)


def test_invalid_tags_show_no_query() -> None:
    with pytest.raises(ProtocolError) as caught:
        read_tags(Answer(SIGNED, 200, {}, b"1"))
    assert_shows_no_query(caught.value)


@pytest.mark.parametrize(
    "target",
    [
        SIGNED.replace("https:", "http:"),
        SIGNED.replace("https:", "ftp:"),
        SIGNED.replace("example.org", "example.org:port"),
        f"https://[/data/x?X-Amz-Signature={SIGNATURE}",
    ],
)
@pytest.mark.parametrize("url", ["https://registry.example.org/data/x", SIGNED])
def test_refused_redirect_shows_no_query(url: str, target: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_redirect(url, target)
    assert_shows_no_query(caught.value)


def test_reason_of_a_failed_connection_shows_no_query() -> None:
    pool = urllib3.HTTPSConnectionPool("store.example.org")
    error = urllib3.exceptions.MaxRetryError(pool, f"/data/x?X-Amz-Signature={SIGNATURE}")

    reason = reason_of(requests.ConnectionError(error))

    assert "/data/x" in reason
    assert SIGNATURE not in reason


class Store(HTTPAdapter):
    """Redirects ``/v2/`` to a signed URL, and answers that."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        headers: dict[str, str] = {}
        body, status = b"", 200
        if self._what == "circle" or str(request.url).endswith("/v2/"):
            status, headers["Location"] = 302, f"/data/x?X-Amz-Signature={SIGNATURE}"
        elif self._what == "large":
            body = b"x" * 200_000
        elif self._what == "invalid":
            raise requests.exceptions.InvalidURL(str(request.url))
        raw = urllib3.HTTPResponse(io.BytesIO(body), headers, status, preload_content=False)
        return self.build_response(request, raw)


@pytest.mark.parametrize(
    ("what", "seconds", "text"),
    [
        ("circle", 60.0, "redirects in a circle"),
        ("large", 60.0, "answered more than the limit"),
        ("large", -1.0, "answers too slowly"),
        ("invalid", 60.0, "is not a valid URL"),
    ],
)
def test_bad_answer_of_a_store_shows_no_query(
    what: str, seconds: float, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "DOCUMENT_LIMIT_BYTES", 100_000)
    options = ConnectionOptions(
        scheme="http",
        is_insecure=False,
        verify=None,
        authorities=(),
        client_certificate=None,
        timeout_s=5,
        parallel=1,
        attempts=1,
        user_agent="test",
        sleep=lambda seconds: None,
        document_s=seconds,
        plain_adapter=lambda host: Store(what),
    )
    url = f"http://{HOST}/data/x?X-Amz-Signature={SIGNATURE}" if what != "large" else f"http://{HOST}/v2/"
    with pytest.raises(ClientError, match=text) as caught:
        Connection(HOST, options).call("GET", url)
    assert_shows_no_query(caught.value)


def test_long_urls_are_shown_in_part() -> None:
    assert len(without_query("https://store.example.org/" + "x" * 10_000)) == 500
