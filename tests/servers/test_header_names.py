"""Names of headers on the wire: as written in answers, and without underscores in requests."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.crowds import PING_S
from support.raw_connection import RawConnection, request_bytes
from support.wsgi_servers import CHEROOT, GUNICORN, SERVE, UWSGI, WAITRESS, ServerKind, need

#: granian writes all names in lower case, waitress writes Www-Authenticate.
RECOMMENDED = [SERVE, GUNICORN, CHEROOT, UWSGI]


@pytest.mark.parametrize("kind", RECOMMENDED, ids=lambda kind: kind.name)
def test_names_in_answers_are_spelled_as_specified(tmp_path: Path, kind: ServerKind) -> None:
    need(kind)
    with kind.start(tmp_path / "server", tmp_path / "registry").program as program:
        answers = b""
        for method, path, body in (
            ("GET", "/v1/_ping", b""),
            ("PUT", "/v1/repositories/names/app/", b"[]"),
        ):
            headers = {"X-Docker-Token": "true", "Connection": "close", "Content-Length": str(len(body))}
            with program.connect(PING_S) as connection:
                connection.sendall(request_bytes(method, path, headers, body))
                while piece := connection.recv(65536):
                    answers += piece
    for name in (
        b"X-Docker-Registry-Version", b"X-Docker-Registry-Standalone", b"X-Docker-Token",
        b"X-Docker-Endpoints", b"WWW-Authenticate", b"X-Request-Id", b"Content-Type", b"Content-Length",
    ):  # fmt: skip
        assert b"\r\n" + name + b": " in answers, name


@pytest.mark.parametrize("kind", [SERVE, GUNICORN, WAITRESS], ids=lambda kind: kind.name)
def test_names_with_underscores_do_not_replace_those_of_a_proxy(tmp_path: Path, kind: ServerKind) -> None:
    with kind.start(tmp_path / "server", tmp_path / "registry").program as program:
        for headers in (
            {"X-Request-Id": "of-the-proxy", "X_Request_Id": "of-a-stranger"},
            {"X_Request_Id": "of-a-stranger", "X-Request-Id": "of-the-proxy"},
        ):
            with RawConnection(program.connect()) as connection:
                connection.send("GET", "/v1/_ping", headers | {"Connection": "close"})
                answer = connection.read_answer("GET")
            assert answer.headers["x-request-id"] == "of-the-proxy"


def test_serve_believes_no_header_that_gunicorn_would(tmp_path: Path) -> None:
    with (
        SERVE.start(tmp_path / "server", tmp_path / "registry").program as program,
        RawConnection(program.connect()) as connection,
    ):
        sent = {"X-Forwarded-Proto": "https", "SCRIPT_NAME": "/v1", "Content-Length": "2"}
        connection.send("PUT", "/v1/repositories/names/app/", sent, b"[]")
        answer = connection.read_answer("PUT")
    assert answer.status == 200
    assert answer.headers["x-docker-endpoints"] == "127.0.0.1"
