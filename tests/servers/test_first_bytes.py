"""What ``serve`` does with the first bytes of a connection."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.raw_connection import RawConnection, request_bytes
from support.wsgi_servers import SERVE, RunningServer


@pytest.fixture
def served(tmp_path: Path) -> Iterator[RunningServer]:
    """Start ``serve`` over an empty folder."""
    server = SERVE.start(tmp_path / "server", tmp_path / "registry")
    yield server
    server.program.end()


def client_hello() -> bytes:
    """Return what a client that speaks TLS sends first."""
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_tls_on_the_plain_port_is_rejected_without_waiting(served: RunningServer) -> None:
    # a client that is waited for gets 408; engines try https first, and go on with http after the 400
    with RawConnection(served.program.connect()) as connection:
        connection.socket.sendall(client_hello())
        assert connection.read_answer("GET").status == 400
        assert connection.rest() == b""


def test_empty_lines_before_a_request_are_ignored(served: RunningServer) -> None:
    with RawConnection(served.program.connect()) as connection:
        connection.socket.sendall(b"\r\n")
        connection.socket.sendall(b"\r\n" + request_bytes("GET", "/v1/_ping"))
        assert connection.read_answer("GET").status == 200
        connection.socket.sendall(b"\r\n" + request_bytes("GET", "/v1/_ping"))
        assert connection.read_answer("GET").status == 200
