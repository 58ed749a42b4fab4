"""Files that a connection of ``serve`` sends: whole, in part, and to a client that does not read."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from v1registry.cli.serve_connection import UNSENT_BYTES, Connection

DATA = os.urandom(3 << 20)


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    """A connection over TCP, and the socket of its client."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        ours, address = listener.accept()
    with ours, client:
        yield Connection(ours, address, None), client


@pytest.fixture
def file(tmp_path: Path) -> Iterator[BinaryIO]:
    (tmp_path / "layer").write_bytes(DATA)
    with (tmp_path / "layer").open("rb") as opened:
        yield opened


def kept_bytes(connection: Connection) -> int:
    """Return how much the system keeps for a client that does not read."""
    return connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)


@pytest.mark.parametrize(("start", "stop"), [(0, len(DATA)), (1_000, 2_000_000), (5, 6)])
def test_part_of_a_file_is_sent_exactly(
    pair: tuple[Connection, socket.socket], file: BinaryIO, start: int, stop: int
) -> None:
    connection, client = pair
    received = bytearray()

    def read() -> None:
        while len(received) < stop - start + 3:
            received.extend(client.recv(1 << 20))

    reader = threading.Thread(target=read)
    reader.start()
    connection.sendfile(file, start, stop - start)
    connection.sendall(b"end")
    while not connection.flush(1.0):
        pass
    reader.join(timeout=60)
    assert received == DATA[start:stop] + b"end"


def test_more_of_a_file_than_of_memory_is_kept_for_a_slow_client(
    pair: tuple[Connection, socket.socket], file: BinaryIO
) -> None:
    connection, client = pair
    connection.sendfile(file, 0, len(DATA))
    assert kept_bytes(connection) == 4 * UNSENT_BYTES
    left = len(DATA)
    while left:
        connection.flush(0.0)
        left -= len(client.recv(1 << 20))
    assert connection.flush(0.0)
    assert kept_bytes(connection) == UNSENT_BYTES


def test_small_part_of_a_file_changes_no_limit(
    pair: tuple[Connection, socket.socket], file: BinaryIO
) -> None:
    connection, _ = pair
    before = kept_bytes(connection)
    connection.sendfile(file, 0, 1_000)
    assert kept_bytes(connection) == before
