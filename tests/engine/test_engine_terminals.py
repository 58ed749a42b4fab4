"""Terminals: line ends, and the keys that detach a client."""

from __future__ import annotations

import socket
from typing import Any

import docker
import pytest
from docker.errors import APIError
from v1registry_fakes.engine import FakeEngine
from v1registry_fakes.engine.behaviours import Run
from v1registry_fakes.engine.terminals import Detachment


def shout(run: Run) -> int:
    """Answer input in capitals."""
    for chunk in run.input():
        run.out(chunk.upper())
    return 7


@pytest.fixture
def shell(engine: FakeEngine, client: docker.DockerClient, image: str) -> Any:
    """A container that runs with a terminal."""
    engine.on_run("*", shout)
    engine.on_exec("*", shout)
    return client.containers.run(image, detach=True, tty=True, stdin_open=True, name="shell")


def read_to_the_end(connection: socket.socket) -> bytes:
    """Return everything that comes until the other side closes."""
    with connection:
        pieces = []
        while piece := connection.recv(1000):
            pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize(
    ("keys", "typed", "passed"),
    [
        ({}, b"one\x10\x10\x11two", b"ONE\x10"),
        ({"detachKeys": "ctrl-x"}, b"one\x10\x18two", b"ONE\x10"),
        ({"detachKeys": "q,ctrl-\\"}, b"oneqr\x1c\nq\x1c", b"ONEQR\x1c\r\n"),
    ],
)
def test_RMT_108_keys_detach_a_client(
    engine: FakeEngine, shell: Any, keys: dict[str, str], typed: bytes, passed: bytes
) -> None:
    taken = shell.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1, **keys})
    taken._sock.sendall(typed)
    assert passed.startswith(read_to_the_end(taken._sock))
    assert engine.containers["shell"].status == "running"


def test_RMT_108_keys_detach_a_client_of_a_command(shell: Any) -> None:
    made = shell.client.api.exec_create(shell.id, "cat", stdin=True, tty=True, detach_keys="ctrl-a")
    taken = shell.client.api.exec_start(made["Id"], tty=True, socket=True)
    taken._sock.sendall(b"\x01")
    text = b"exec attach failed: error on attach stdin: read escape sequence\r\n"
    assert read_to_the_end(taken._sock) == text


def test_RMT_108_invalid_keys_are_400(shell: Any) -> None:
    with pytest.raises(APIError, match=r"Invalid detach keys \(ctrl-1\) provided") as rejected:
        shell.client.api.exec_create(shell.id, "cat", detach_keys="ctrl-1")
    assert rejected.value.status_code == 400


def test_RMT_108_keys_are_found_across_pieces() -> None:
    detachment = Detachment(b"\x10\x11")
    assert detachment.passed(b"a\x10") == b"a"
    assert detachment.passed(b"b\x10\x10") == b"\x10b\x10"
    assert not detachment.is_done
    assert detachment.passed(b"\x11c") == b""
    assert detachment.is_done


def test_RMT_107_a_terminal_has_one_stream_with_cr_lf(
    engine: FakeEngine, client: docker.DockerClient, image: str
) -> None:
    engine.on_run("*", logs=["one", ("stderr", "two")], exit_code=None)
    engine.on_exec("*", logs=["three", ("stderr", "four")])
    container = client.containers.run(image, detach=True, tty=True)
    assert container.logs() == container.logs(stderr=False) == b"one\r\ntwo\r\n"
    assert container.exec_run("x", tty=True).output == b"three\r\nfour\r\n"


def test_RMT_107_the_form_of_output_is_that_of_the_start(
    engine: FakeEngine, client: docker.DockerClient, image: str
) -> None:
    engine.on_exec("*", logs=["three"])
    container = client.containers.run(image, detach=True)
    made = client.api.exec_create(container.id, "x", tty=True)
    taken = client.api.exec_start(made["Id"], tty=False, socket=True)
    assert read_to_the_end(taken._sock) == b"\x01\0\0\0\0\0\0\x07three\r\n"


@pytest.mark.parametrize("state", ["paused", "restarting"])
def test_RMT_104_a_container_that_does_not_read_is_not_attached(
    engine: FakeEngine, client: docker.DockerClient, image: str, state: str
) -> None:
    engine.clock.freeze()
    engine.on_run("*", exit_code=None if state == "paused" else 1)
    policy = {"Name": "always"} if state == "restarting" else None
    container = client.containers.run(image, detach=True, name="web", restart_policy=policy)
    if state == "paused":
        container.pause()
    with pytest.raises(APIError, match=f"container {container.id} is {state}, ") as refused:
        container.attach()
    assert refused.value.status_code == 409
