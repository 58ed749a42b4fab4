"""A connection that a handler takes over from the live port, for attach and exec."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from select import select as wait_for_read
from typing import Any

_CHUNK_BYTES = 32 << 10


class Connection:
    """The connection of a request. After :meth:`take_over` the server neither reads nor writes it.

    :param raw: the socket.
    :param reader: a buffered reader over it, which may have read more than the request.
    :param release: tells the server that the answer is sent, and the connection must be closed.
    """

    def __init__(self, raw: socket.socket, reader: Any, release: Callable[[], None]):
        self._socket = raw
        self._reader = reader
        self._release = release

    @property
    def is_gone(self) -> bool:
        """Whether the client has closed the connection. With TLS this is not known."""
        try:
            is_readable = bool(wait_for_read([self._socket], [], [], 0)[0])
            return is_readable and self._socket.recv(1, socket.MSG_PEEK) == b""
        except ValueError:
            # sockets with TLS cannot peek
            return False
        except OSError:
            return True

    def take_over(self) -> None:
        """Keep the server from writing an answer."""
        self._release()

    def send(self, data: bytes) -> None:
        """Send bytes.

        :raises OSError: the client is gone.
        """
        self._socket.sendall(data)

    def received(self) -> Iterator[bytes]:
        """Yield what the client sends until it closes its side."""
        while True:
            try:
                chunk: bytes = self._reader.read1(_CHUNK_BYTES)
            except (OSError, ValueError):
                return
            if not chunk:
                return
            yield chunk

    def end_sending(self) -> None:
        """Tell the client that nothing more comes. What it sends can still be read."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
