"""A connection of ``serve`` whose client is slow, sends the smallest pieces, or is cut off."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator

import pytest
import trustme

from v1registry.cli.serve_connection import HEAD_BYTES, Connection, Phase

ANSWER = b"x" * (8 << 20)


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    """A connection, and the socket of its client."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Connection(ours, None, None), theirs


def test_no_thread_waits_while_a_client_does_not_read_a_large_answer(
    pair: tuple[Connection, socket.socket],
) -> None:
    connection, client = pair
    began_s = time.monotonic()
    connection.sendall(ANSWER)
    assert not connection.flush(0.0)
    assert time.monotonic() - began_s < 5.0
    assert 0 < connection.unsent_memory < len(ANSWER)

    received = bytearray()
    while not connection.flush(0.0):
        received += client.recv(1 << 20)
    assert connection.unsent_memory == 0
    while len(received) < len(ANSWER):
        received += client.recv(1 << 20)
    assert received == ANSWER


@pytest.mark.parametrize("line", [b"X: " + b"a" * 1000 + b"\r\n", b"X:a\r\n"], ids=["long", "short"])
def test_bytes_that_come_one_by_one_cost_little(pair: tuple[Connection, socket.socket], line: bytes) -> None:
    connection, _ = pair
    head = b"POST /login HTTP/1.1\r\nHost: x\r\n" + line * (HEAD_BYTES // len(line) - 60)
    sent = head + b"Content-Length: 1000\r\n\r\n" + b"b" * 1000

    began_s = time.process_time()
    for number, byte in enumerate(sent, 1):
        connection.received.append(byte)
        expected = Phase.HEAD if number < len(sent) - 1000 else Phase.BODY
        assert connection.missing() is (expected if number < len(sent) else Phase.THREAD)
    # it would take a minute if the head was searched from its beginning each time
    assert time.process_time() - began_s < 10.0
    assert connection.has_whole_body


def test_a_request_behind_another_is_found(pair: tuple[Connection, socket.socket]) -> None:
    connection, _ = pair
    connection.received += b"GET / HTTP/1.1\r\nHost: x\r\n\r\nPOST / HTTP/1.1\r\nContent-Le"
    assert connection.missing() is Phase.THREAD
    assert not connection.has_whole_body
    first = connection.recv(60)
    assert len(first) < 60, "all that has come"
    connection.put_back(first[first.index(b"POST") :])
    assert connection.missing() is Phase.HEAD
    connection.received += b"ngth: 3\r\n\r\nab"
    assert connection.missing() is Phase.BODY
    connection.received += b"c"
    assert connection.missing() is Phase.THREAD
    assert connection.has_whole_body


def test_reading_gives_no_more_than_was_asked_for(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair
    connection.received += b"abcde"
    client.sendall(b"f")
    assert [connection.recv(size) for size in (2, 2, 2)] == [b"ab", b"cd", b"e"]
    connection.body_wait.allow(silence_s=5.0)
    assert connection.recv(2) == b"f"


def test_a_cut_connection_never_gives_encrypted_bytes_as_a_body() -> None:
    authority = trustme.CA()
    server_side, client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server_side)
    authority.configure_trust(client_side)
    ours, theirs = socket.socketpair()
    has_sent = threading.Event()

    def upload() -> None:
        with client_side.wrap_socket(theirs, server_hostname="localhost") as client:
            client.sendall(b"A" * 50_000)
            has_sent.set()
            client.recv(1)

    thread = threading.Thread(target=upload, daemon=True)
    thread.start()
    with server_side.wrap_socket(ours, server_side=True) as sock:
        assert has_sent.wait(30)
        connection = Connection(sock, None, None)
        connection.body_wait.allow(silence_s=5.0)
        body = connection.recv(100)
        connection.interrupt()
        try:
            while piece := connection.recv(8192):
                body += piece
        except OSError:
            pass
    thread.join(30)
    assert set(body) == {ord("A")}
