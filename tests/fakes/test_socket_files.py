"""Reading and writing of the live ports."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import requests
from v1registry_fakes import FakeEngine, FakeRegistry
from v1registry_fakes.socket_files import SocketReader, SocketWriter

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two connected sockets."""
    first, second = socket.socketpair()
    with first, second:
        yield first, second


def test_data_in_the_buffer_is_seen_without_a_wait(pair: Pair) -> None:
    with SocketReader(pair[0], 100) as reader:
        assert not reader.has_data()
        pair[1].sendall(b"a\nb\n")
        assert reader.readline() == b"a\n"
        assert reader.has_data()
        assert reader.readline() == b"b\n"
        assert not reader.has_data()


def test_a_reader_that_is_closed_ends_the_read_of_another_thread(pair: Pair) -> None:
    reader = SocketReader(pair[0], 100)
    has_begun, found = threading.Event(), []

    def read() -> None:
        has_begun.set()
        found.append(reader.read1(1))

    thread = threading.Thread(target=read)
    thread.start()
    has_begun.wait()
    reader.close()
    thread.join(10)
    assert not thread.is_alive()
    assert found in ([b""], [])


def test_collected_pieces_are_sent_together(pair: Pair) -> None:
    writer = SocketWriter(pair[0])
    pair[1].setblocking(False)
    writer.collect()
    writer.write(b"a")
    writer.write(b"b")
    with pytest.raises(BlockingIOError):
        pair[1].recv(10)
    writer.flush()
    assert pair[1].recv(10) == b"ab"
    writer.write(b"c")
    assert pair[1].recv(10) == b"c"


def test_requests_that_come_together_are_answered_in_order() -> None:
    with FakeRegistry() as registry:
        host, port = registry.host.split(":")
        with socket.create_connection((host, int(port)), timeout=10) as client:
            request = f"GET %s HTTP/1.1\r\nHost: {registry.host}\r\n%s\r\n"
            client.sendall(
                (request % ("/v1/_ping", "") + request % ("/v2/", "Connection: close\r\n")).encode()
            )
            answers = b"".join(iter(lambda: client.recv(10_000), b""))
        assert answers.count(b"HTTP/1.1 200 OK\r\n") == 2
        assert [request.path for request in registry.requests] == ["/v1/_ping", "/v2/"]


def test_messages_before_a_cut_arrive() -> None:
    with FakeRegistry() as registry, FakeEngine() as engine:
        registry.add_image("alice/app:1")
        first = b'{"status": "Pulling from alice/app", "id": "1"}\r\n'
        engine.fail("POST", "*/images/create", cut_after_bytes=len(first))
        url = engine.url.replace("tcp:", "http:")
        response = requests.post(
            f"{url}/images/create?fromImage={registry.host}/alice/app&tag=1", stream=True, timeout=10
        )
        with response, pytest.raises(requests.exceptions.ChunkedEncodingError):
            received = []
            for chunk in response.iter_content(None):
                received.append(chunk)
        assert b"".join(received) == first


def test_a_registry_that_was_closed_is_not_near() -> None:
    with FakeEngine() as engine:
        with FakeRegistry() as registry:
            registry.add_image("alice/app:1")
            host = registry.host
        url = engine.url.replace("tcp:", "http:")
        answer = requests.post(f"{url}/images/create?fromImage={host}/alice/app&tag=1", timeout=10)
        assert answer.status_code == 500
        assert "refused" in answer.json()["message"]
