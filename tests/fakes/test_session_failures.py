"""The requests.Session in this process: broken connections and time-outs, as over TCP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from urllib3 import Timeout
from v1registry_fakes import FakeRegistry, WSGISession
from v1registry_fakes.faults.connection_cuts import TIMEOUT_KEY, AnswerDelayed, ConnectionCut


def session_with(answer: Any) -> WSGISession:
    """Return a session on an application that returns or raises ``answer`` as its body."""

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        start_response("200 OK", [("Content-Length", "400")])
        return answer()

    return WSGISession(application)


def test_cut_before_the_answer_is_a_connection_error() -> None:
    with (
        session_with(ConnectionCut("on purpose")) as session,
        pytest.raises(requests.ConnectionError, match=r"Connection aborted.*on purpose") as caught,
    ):
        session.get("/path")
    assert caught.value.request is not None
    assert caught.value.request.url == "http://v1registry.test/path"


def test_cut_body_is_a_chunked_encoding_error() -> None:
    def body() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionCut("on purpose")

    with (
        session_with(body) as session,
        pytest.raises(requests.exceptions.ChunkedEncodingError, match="Connection broken"),
    ):
        session.get("/")


def test_delayed_answer_is_a_read_timeout() -> None:
    with (
        session_with(AnswerDelayed("too slow")) as session,
        pytest.raises(requests.ReadTimeout, match=r"Read timed out. \(read timeout=0.5\)"),
    ):
        session.get("/", timeout=0.5)


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        (None, None),
        (3, 3),
        (0.5, 0.5),
        ((9, 0.5), 0.5),
        (Timeout(connect=9, read=0.5), 0.5),
        (Timeout(connect=9, read=None), None),
    ],
)
def test_time_out_of_the_client_is_told(timeout: Any, expected: float | None) -> None:
    assert time_out_told(timeout) == expected


def test_time_out_in_total_is_told() -> None:
    assert time_out_told(Timeout(total=60)) == pytest.approx(60, abs=5)


def time_out_told(timeout: Any) -> float | None:
    told: list[float | None] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        told.append(environ[TIMEOUT_KEY])
        start_response("200 OK", [])
        return []

    with WSGISession(application) as session:
        session.get("/", timeout=timeout)
    return told[0]


def test_session_of_a_fake_has_the_scheme_of_its_port() -> None:
    for tls, scheme in ((False, "http"), (True, "https")):
        with FakeRegistry(tls=tls) as registry, registry.session() as session:
            assert session.get("/v1/_ping").url == f"{scheme}://v1registry.test/v1/_ping"
            assert registry.in_process_url == f"{scheme}://v1registry.test"
