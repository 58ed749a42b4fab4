"""A connection that a handler takes over from the live port, for attach and exec."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from select import select as wait_for_read
from typing import Any

_CHUNK_BYTES = 32 << 10

#: How long the client may take to read the head, how often that is looked at, and how long is waited if it
#: cannot be seen, in seconds.
_PATIENCE_S = 1.0
_PAUSE_S = 0.0005
_BLIND_PAUSE_S = 0.02


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

    def wait_until_read(self) -> None:
        """Wait until the client has read what was sent, for a limited time.

        The kernel tells it of a client on this machine. Where it does not, a short time is waited.
        """
        until_s = time.monotonic() + _PATIENCE_S
        while (unread := self._unread_bytes()) and time.monotonic() < until_s:
            time.sleep(_PAUSE_S)
        if unread is None:
            time.sleep(_BLIND_PAUSE_S)

    def _unread_bytes(self) -> int | None:
        """Return how many bytes wait for the client, None if that is unknown."""
        try:
            if self._socket.family == socket.AF_UNIX:
                answer = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
                return int(struct.unpack("i", answer)[0])
            return _unread_by(*self._socket.getpeername()[:2])
        except (OSError, ValueError):
            return None

    def end_receiving(self) -> None:
        """End :meth:`received` in another thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)

    def end_sending(self) -> None:
        """Tell the client that nothing more comes. What it sends can still be read."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)


def _unread_by(host: str, port: int) -> int | None:
    """Return how many bytes wait in the socket of an address of this machine, None if that is unknown."""
    packed = socket.inet_aton(host)[::-1].hex().upper()
    wanted = f"{packed}:{port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in table:
            fields = line.split()
            if fields[1] == wanted:
                return int(fields[4].partition(":")[2], 16)
    return None
