"""Clients that leave attached streams: the engine frees their threads and sockets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from threading import Event
from typing import Any

import pytest
from v1registry_fakes.engine import FakeEngine
from v1registry_fakes.engine.behaviours import Run
from webtest import TestApp

_PATIENCE_S = 10


def connected(engine: FakeEngine, *, is_unix: bool = False) -> socket.socket:
    """Return a connection to the engine."""
    if is_unix:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(engine.socket_url.removeprefix("unix://"))
    else:
        host, _, port = engine.url.removeprefix("tcp://").partition(":")
        sock = socket.create_connection((host, int(port)))
    sock.settimeout(_PATIENCE_S)
    return sock


def attach(sock: socket.socket, query: str) -> None:
    """Attach to the container ``app``, and read the head of the answer."""
    head = f"POST /containers/app/attach?stream=1&stdout=1{query} HTTP/1.1\r\nHost: x\r\n"
    sock.sendall(f"{head}Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n".encode())
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        received += sock.recv(1)


@pytest.fixture
def told() -> Iterator[Event]:
    """Lets the container write."""
    event = Event()
    yield event
    event.set()


@pytest.fixture
def running(engine: FakeEngine, told: Event) -> FakeEngine:
    """An engine with the container ``app``, which writes when it is told, and ends with code 0."""

    def wait(run: Run) -> None:
        while not run.is_stopped and not told.wait(0.01):
            pass
        run.out("late")

    engine.add_image("a/b")
    engine.on_run("a/b", wait)
    api = TestApp(engine.app)
    api.post_json("/containers/create?name=app", {"Image": "a/b", "OpenStdin": True}, status=201)
    api.post("/containers/app/start", status=204)
    return engine


def ends(engine: FakeEngine) -> bool:
    """Tell whether the last request ends in time."""
    return _is_finished_soon(engine.requests[-1])


def _is_finished_soon(record: Any) -> bool:
    pause = Event()
    for _ in range(_PATIENCE_S * 100):
        if record.is_finished:
            return True
        pause.wait(0.01)
    return False


@pytest.mark.parametrize("is_unix", [False, True])
@pytest.mark.parametrize("query", ["", "&stdin=1"])
@pytest.mark.parametrize("is_reset", [False, True])
def test_RMT_106_a_closed_connection_ends_an_attach(
    running: FakeEngine, query: str, *, is_unix: bool, is_reset: bool
) -> None:
    sock = connected(running, is_unix=is_unix)
    attach(sock, query)
    assert not running.requests[-1].is_finished
    if is_reset and not is_unix:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    assert ends(running)


@pytest.mark.parametrize("is_unix", [False, True])
@pytest.mark.parametrize("query", ["", "&stdin=1"])
def test_RMT_106_a_client_that_ended_its_input_gets_the_output(
    running: FakeEngine, told: Event, query: str, *, is_unix: bool
) -> None:
    with closing(connected(running, is_unix=is_unix)) as sock:
        attach(sock, query)
        sock.shutdown(socket.SHUT_WR)
        # a while in which the engine looks at the connection several times
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.settimeout(_PATIENCE_S)
        told.set()
        received = b""
        while chunk := sock.recv(100):
            received += chunk
    assert received.endswith(b"late")
