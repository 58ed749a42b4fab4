"""What the live port reads and writes: buffered in C, where cheroot's own files are in Python."""

from __future__ import annotations

import io
import socket
from contextlib import suppress
from typing import Any


class Followed(bytes):
    """A piece of an answer that another one follows at once, so that both may be sent together."""


class _Input(socket.SocketIO):
    """A socket that can be read without waiting."""

    is_waiting = True

    def readinto(self, buffer: Any) -> int | None:
        return super().readinto(buffer) if self.is_waiting else None


class SocketReader(io.BufferedReader):
    """The reader of a connection."""

    raw: _Input
    bytes_read = 0  #: of statistics, which are off

    def __init__(self, raw_socket: socket.socket, size_bytes: int):
        super().__init__(_Input(raw_socket, "r"), size_bytes)
        self._socket = raw_socket

    def has_data(self) -> bool:
        """Tell whether data was read from the socket and not used."""
        self.raw.is_waiting = False
        try:
            return bool(self.peek(1))
        finally:
            self.raw.is_waiting = True

    def close(self) -> None:
        """Close the reader, and end a read of another thread first, for which that would wait."""
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RD)
        super().close()


class SocketWriter:
    """The writer of a connection. It has no buffer, but collects what is to be sent at once."""

    bytes_written = 0  #: of statistics, which are off
    closed = False

    def __init__(self, raw_socket: socket.socket):
        self._socket = raw_socket
        self._pieces: list[bytes] | None = None

    def write(self, data: bytes) -> int:
        """Send all of the data.

        :raises OSError: the client is gone, or reads nothing for too long.
        """
        if self._pieces is None:
            self._send(data)
        else:
            self._pieces.append(data)
        return len(data)

    def _send(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._socket.send(left) :]

    def collect(self) -> None:
        """Collect what is written from now on, until :meth:`flush`."""
        if self._pieces is None:
            self._pieces = []

    def flush(self) -> None:
        """Send what was collected.

        :raises OSError: the client is gone, or reads nothing for too long.
        """
        pieces, self._pieces = self._pieces, None
        if pieces:
            self._send(b"".join(pieces))

    def close(self) -> None:
        """Do nothing: the connection closes the socket."""


def socket_file(raw_socket: socket.socket, mode: str, size_bytes: int) -> SocketReader | SocketWriter:
    """Return the file of a connection, as cheroot's ``MakeFile`` does.

    :param mode: ``rb`` or ``wb``.
    """
    return SocketReader(raw_socket, size_bytes) if "r" in mode else SocketWriter(raw_socket)
