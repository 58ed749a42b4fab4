"""A connection that a handler takes over from the live port, for attach and exec."""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from select import POLLERR, POLLHUP, POLLNVAL, poll
from typing import Any

_CHUNK_BYTES = 32 << 10

#: How long the client may take to read the head, how often that is looked at, and how long is waited if it
#: cannot be seen, in seconds.
_PATIENCE_S = 1.0
_PAUSE_S = 0.0005
_BLIND_PAUSE_S = 0.02

#: The event of a client that ended its input. Systems other than Linux do not tell of it.
_END_OF_INPUT = getattr(select, "POLLRDHUP", 0)

#: How often the kernel's table is read before a row counts as missing: rows may move while it is read.
_LOOKS = 3

#: Columns of the kernel's table of connections: the bytes that wait, and the file, 0 without an owner.
_QUEUES = 4
_INODE = 9


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
        self._left_bytes: int | None = None  # until a fault breaks the connection
        self._pauses: list[tuple[int, Callable[[float], object]]] = []  # bytes per second, and how to wait

    def disturb(
        self, cut_after_bytes: int | None, bytes_per_second: int | None, wait: Callable[[float], object]
    ) -> None:
        """Let the output break off or be slow, as a fault says.

        :param cut_after_bytes: of output, without the head; None if it does not break.
        :param wait: waits for some seconds.
        """
        if cut_after_bytes is not None:
            known = self._left_bytes
            self._left_bytes = cut_after_bytes if known is None else min(known, cut_after_bytes)
        if bytes_per_second is not None:
            self._pauses.append((bytes_per_second, wait))

    @property
    def is_broken(self) -> bool:
        """Whether the client is gone, and not only ended its input.

        Systems other than Linux tell of a reset alone.
        """
        watch = poll()
        try:
            watch.register(self._socket.fileno(), _END_OF_INPUT)
        except ValueError:
            return True
        events = sum(found for _, found in watch.poll(0))
        if events & (POLLHUP | POLLERR | POLLNVAL):
            return True
        if not events & _END_OF_INPUT or self._socket.family == socket.AF_UNIX:
            return False
        try:
            # the kernel keeps a socket without its owner for a minute, and then drops it
            rows = [_row_of_peer(self._socket) for _ in range(_LOOKS)]
        except (OSError, ValueError):
            return False
        return all(row is None or row[_INODE] == "0" for row in rows)

    @property
    def is_gone(self) -> bool:
        """Whether the client has closed the connection. With TLS this is not known."""
        try:
            is_readable = bool(select.select([self._socket], [], [], 0)[0])
            return is_readable and self._socket.recv(1, socket.MSG_PEEK) == b""
        except ValueError:
            # sockets with TLS cannot peek
            return False
        except OSError:
            return True

    def take_over(self) -> None:
        """Keep the server from writing an answer."""
        self._release()

    def send_head(self, data: bytes) -> None:
        """Send status and headers.

        :raises OSError: the client is gone.
        """
        self._socket.sendall(data)

    def send(self, data: bytes) -> None:
        """Send output.

        :raises OSError: the client is gone, or a fault breaks the connection.
        """
        size = min((max(1, rate // 10) for rate, _ in self._pauses), default=len(data) or 1)
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            for rate, wait in self._pauses:
                wait(len(piece) / rate)
            if self._left_bytes is not None and len(piece) > self._left_bytes:
                self._socket.sendall(piece[: self._left_bytes])
                self._left_bytes = 0
                self._socket.shutdown(socket.SHUT_RDWR)
                raise ConnectionAbortedError("a fault breaks the connection")
            self._socket.sendall(piece)
            if self._left_bytes is not None:
                self._left_bytes -= len(piece)

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
            row = _row_of_peer(self._socket)
            return None if row is None else int(row[_QUEUES].partition(":")[2], 16)
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


def _row_of_peer(raw: socket.socket) -> list[str] | None:
    """Return the row of the client's socket in the kernel's table, None if it is missing.

    :raises OSError: the kernel has no such table, or the connection is closed.
    """
    # a port may have several rows, because closed connections stay for a while
    wanted = [_packed(*raw.getpeername()[:2]), _packed(*raw.getsockname()[:2])]
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in table:
            fields = line.split()
            if fields[1:3] == wanted:
                return fields
    return None


def _packed(host: str, port: int) -> str:
    """Return an address as the kernel's table has it."""
    return f"{socket.inet_aton(host)[::-1].hex().upper()}:{port:04X}"
