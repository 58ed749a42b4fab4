"""Many clients of one server that send or read nothing."""

from __future__ import annotations

import contextlib
import resource
import socket
from collections.abc import Iterator

from support.programs import Program
from support.raw_connection import RawConnection

#: How long a ping may take while others are slow, in seconds. It takes milliseconds on an idle machine.
PING_S = 10.0


@contextlib.contextmanager
def many_files() -> Iterator[None]:
    """Let this process have as many connections as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def crowd(program: Program, number: int, sent: bytes) -> Iterator[list[socket.socket]]:
    """Open connections that send the same bytes and then nothing, and close them in the end."""
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(number):
            client = stack.enter_context(program.connect())
            client.sendall(sent)
            clients.append(client)
        yield clients


@contextlib.contextmanager
def crowd_in_bodies(program: Program, number: int, sent: bytes) -> Iterator[None]:
    """Open connections that send a head and nothing of its body, which the application waits for.

    :param sent: a head with ``Expect: 100-continue``, which is answered when the body is waited for.
    """
    with crowd(program, number, sent) as clients:
        for client in clients:
            assert client.recv(64).startswith(b"HTTP/1.1 100 ")
        yield


def ping(program: Program) -> int:
    """Return the status of a ping on a new connection.

    :raises TimeoutError: it is not answered within ``PING_S``.
    """
    with RawConnection(program.connect(PING_S)) as connection:
        connection.send("GET", "/v1/_ping", {"Connection": "close"})
        return connection.read_answer("GET").status
