"""One connection of ``serve``: bytes that came, bytes that have to go, and for how long to wait for either.

No call waits for the client longer than it is told. The socket never blocks.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import re
import select
import socket
import ssl
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from ..wsgi.waiting import BodyWait

#: A body up to this length is complete before a thread sees the request.
SMALL_BODY_BYTES: Final = 64 << 10

#: Request line and headers together. gunicorn's own limits for one line and for their number come first.
HEAD_BYTES: Final = 64 << 10

#: The loop never needs more than this before a thread takes over.
_COLLECTED_BYTES: Final = HEAD_BYTES + SMALL_BODY_BYTES

#: How much is read from the socket at once while the loop collects a request.
_PIECE_BYTES: Final = 64 << 10

#: How much of a file is given to the system at once.
_FILE_PIECE_BYTES: Final = 8 << 20

#: How much of an answer the system keeps for a client that does not read; without this limit it is megabytes.
#: More of a file, which is in memory once for all clients: the system then wakes a thread less often.
UNSENT_BYTES: Final = 256 << 10
_UNSENT_FILE_BYTES: Final = 1 << 20

#: Pieces are joined up to this length, so that headers and a small body are one packet.
_JOINED_BYTES: Final = 64 << 10

#: A byte with which a method may begin (RFC 9110, 5.6.2).
_FIRST_BYTE: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]")

_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_LENGTH: Final = re.compile(rb"\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r?\n", re.IGNORECASE)
_STREAMED: Final = re.compile(rb"\n(?:transfer-encoding|expect):", re.IGNORECASE)

_WOULD_BLOCK: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


#: Errors of the system for a client that is gone, besides those that Python has classes for.
_GONE: Final = frozenset({errno.ENOTCONN, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN})


def is_of_client(error: Exception) -> bool:
    """Tell whether an error means that the client is gone, or too slow. All others are for the log."""
    if isinstance(error, (ConnectionError, TimeoutError, ssl.SSLError)):
        return True
    return isinstance(error, OSError) and error.errno in _GONE


class Phase(enum.Enum):
    """What a connection waits for."""

    HANDSHAKE = "the end of the TLS handshake"
    IDLE = "the first byte of a request"
    HEAD = "the rest of the headers"
    BODY = "the rest of a small body"
    THREAD = "a thread, or the end of its work"
    SENDING = "the client, which takes no more of the answer"
    CLOSING = "the client's end of the connection, after the last answer"
    OVER = "nothing: it is closed"


@dataclass
class _FilePart:
    """A part of a file that has to be sent."""

    file: BinaryIO
    offset: int
    left: int


class Connection:
    """A client's connection. gunicorn's parser and response use it in place of the socket.

    :param sock: it is made non-blocking.
    :param client: the address of the client, as the socket tells it.
    :param server: the address that the client reached.
    """

    def __init__(self, sock: socket.socket, client: Any, server: Any):
        sock.setblocking(False)
        self.socket = sock
        self.client = client
        self.server = server
        self.phase = Phase.HANDSHAKE if isinstance(sock, ssl.SSLSocket) else Phase.IDLE
        self.is_used = False  #: whether a request came on it
        self.deadline_s = 0.0  #: on the clock of time.monotonic: when the loop gives the client up
        self.body_wait = BodyWait()
        self.received = bytearray()  #: what came and was not yet parsed
        self.sent_bytes = 0
        self._searched = 0  # how much of received has no end of a head
        self._needed: int | None = None  # how much of received makes a request, once its head is there
        self._outgoing: deque[bytes | memoryview | _FilePart] = deque()
        self._has_body = False  # the request of _needed has a small body
        self._continue = b""
        self._poll: select.poll | None = None

    def fileno(self) -> int:
        """Return the descriptor of the socket, for selectors."""
        return self.socket.fileno()

    # -- what the loop does

    def collect(self) -> bool:
        """Read what has come, and tell whether the client still has its side open.

        :raises OSError: the connection is broken.
        """
        while True:
            try:
                data = self.socket.recv(_PIECE_BYTES)
            except _WOULD_BLOCK:
                return True
            if not data:
                return False
            # empty lines before a request are ignored (RFC 9112, 2.2)
            self.received += data if self.received else data.lstrip(b"\r\n")
            # bytes that TLS has decoded already do not make the socket readable
            if not isinstance(self.socket, ssl.SSLSocket) or len(self.received) > _COLLECTED_BYTES:
                return True

    @property
    def is_malformed(self) -> bool:
        """Whether what came cannot begin a request. Clients that try https first send a TLS handshake."""
        return bool(self.received) and _FIRST_BYTE.match(self.received) is None

    @property
    def has_decoded(self) -> bool:
        """Whether TLS has decoded bytes that were not read. They do not make the socket readable."""
        return isinstance(self.socket, ssl.SSLSocket) and self.socket.pending() > 0

    def missing(self) -> Phase:
        """Return what the request still needs before a thread can work on it."""
        if not self.received:
            return Phase.IDLE
        if self._needed is None:
            # each byte is looked at once, in however small pieces it comes
            end = _HEAD_END.search(self.received, max(0, self._searched - 3))
            if end is None:
                self._searched = len(self.received)
                return Phase.HEAD
            body_bytes = _awaited_bytes(bytes(self.received[: end.end()]))
            self._needed, self._has_body = end.end() + body_bytes, body_bytes > 0
        return Phase.THREAD if len(self.received) >= self._needed else Phase.BODY

    def put_back(self, data: bytes) -> None:
        """Keep what came behind a request: it is the begin of the next one."""
        self.received[:0] = data
        self._searched, self._needed = 0, None

    def say_goodbye(self, status: str) -> None:
        """Send an answer without body, as far as the client takes it at once."""
        answer = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        with contextlib.suppress(OSError):
            self.socket.send(answer.encode())

    def refuse_plain_http(self) -> None:
        """Answer a request that came without TLS, and tell the client that no more comes.

        :raises OSError: the connection is broken.
        """
        text = "This port speaks https\n"
        head = f"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: {len(text)}\r\n"
        os.write(self.fileno(), f"{head}Content-Type: text/plain\r\n\r\n{text}".encode())
        self.socket.shutdown(socket.SHUT_WR)

    def end_answers(self) -> None:
        """Tell the client that no more comes.

        :raises OSError: the connection is broken.
        """
        if isinstance(self.socket, ssl.SSLSocket):
            # the client's own end of TLS is not waited for
            with contextlib.suppress(OSError):
                self.socket.unwrap()
        self.socket.shutdown(socket.SHUT_WR)

    def discard(self) -> int:
        """Read what came after the last answer, and return its size; 0 at the end of the connection.

        :raises OSError: the connection is broken, or nothing has come.
        """
        return len(self.socket.recv(_PIECE_BYTES))

    def interrupt(self) -> None:
        """Make every thread that waits for the client fail at once."""
        with contextlib.suppress(OSError):
            # SSLSocket.shutdown would let the thread go on without TLS: it would read encrypted bytes
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    # -- what gunicorn's parser and response do, in a thread

    @property
    def has_whole_body(self) -> bool:
        """Whether the loop has waited for the whole body of the request, whose head no one has read yet."""
        return self._has_body and self._needed is not None and len(self.received) >= self._needed

    @property
    def is_awaited(self) -> bool:
        """Whether the client waits for ``100 Continue`` before it sends the body."""
        return bool(self._continue)

    def recv(self, size: int) -> bytes:
        """Return the next bytes, ``b""`` at the end.

        gunicorn copies what it got for each chunk of a body, so never more than it asks for.

        :raises TimeoutError: the client is slower than ``body_wait`` allows.
        :raises OSError: the connection is broken.
        """
        if self.received:
            data = bytes(self.received[:size])
            del self.received[:size]
            self._searched, self._needed = 0, None
            self.body_wait.received(len(data))
            return data
        if self._continue:
            patience_s = self.body_wait.next_s()
            self._outgoing.append(self._continue)
            self._continue = b""
            self.flush(patience_s)
        while True:
            try:
                data = self.socket.recv(size)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait_for_body(select.POLLIN)
            except ssl.SSLWantWriteError:
                self._wait_for_body(select.POLLOUT)
            else:
                self.body_wait.received(len(data))
                return data

    def send(self, data: bytes) -> int:
        """Keep ``100 Continue`` until the application reads the body. gunicorn sends nothing else so."""
        self._continue = data
        return len(data)

    def sendall(self, data: bytes) -> None:
        """Queue bytes of the answer. They are sent by :meth:`flush`, so that no thread waits here."""
        if data:
            self._outgoing.append(data)

    def unsent_bytes(self) -> int:
        """Return how much of the answer is queued and not sent."""
        return sum(piece.left if isinstance(piece, _FilePart) else len(piece) for piece in self._outgoing)

    @property
    def unsent_memory(self) -> int:
        """How many bytes of the answer are queued in memory."""
        return sum(len(piece) for piece in self._outgoing if not isinstance(piece, _FilePart))

    def sendfile(self, file: BinaryIO, offset: int = 0, count: int = 0) -> None:
        """Queue a part of a file."""
        self._outgoing.append(_FilePart(file, offset, count))
        if count > UNSENT_BYTES:
            self._keep_unsent(_UNSENT_FILE_BYTES)

    def _keep_unsent(self, size: int) -> None:
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, size)

    def gettimeout(self) -> float:
        """Return 0: calls of the socket do not wait."""
        return 0.0

    def flush(self, patience_s: float) -> bool:
        """Send what is queued, and tell whether all of it is sent.

        :param patience_s: how long to wait for a client that takes nothing.
        :raises OSError: the connection is broken, or a file is shorter than promised.
        """
        while self._outgoing:
            try:
                self._send_first()
            except (BlockingIOError, ssl.SSLWantWriteError):
                if not self._wait(select.POLLOUT, patience_s):
                    return False
            except ssl.SSLWantReadError:
                if not self._wait(select.POLLIN, patience_s):
                    return False
        return True

    def _send_first(self) -> None:
        first = self._outgoing[0]
        if isinstance(first, _FilePart):
            sent = os.sendfile(
                self.fileno(), first.file.fileno(), first.offset, min(first.left, _FILE_PIECE_BYTES)
            )
            if not sent:
                raise OSError("the file ended before its length")
            first.offset += sent
            first.left -= sent
            is_done = not first.left
            if is_done:
                self._keep_unsent(UNSENT_BYTES)
        else:
            first = self._joined()
            sent = self.socket.send(first)
            is_done = sent == len(first)
            if not is_done:
                self._outgoing[0] = memoryview(first)[sent:]
        self.sent_bytes += sent
        if is_done:
            self._outgoing.popleft()

    def _joined(self) -> bytes | memoryview:
        """Return the first piece, joined with those after it if they are small."""
        first = self._outgoing[0]
        assert not isinstance(first, _FilePart)
        if len(self._outgoing) == 1 or len(first) > _JOINED_BYTES:
            return first
        pieces = [self._outgoing.popleft()]
        size = len(first)
        while self._outgoing and not isinstance(self._outgoing[0], _FilePart):
            size += len(self._outgoing[0])
            if size > 2 * _JOINED_BYTES:
                break
            pieces.append(self._outgoing.popleft())
        joined = b"".join(pieces)  # type: ignore[arg-type]  # file parts are left out
        self._outgoing.appendleft(joined)
        return joined

    def _wait_for_body(self, event: int) -> None:
        patience_s = self.body_wait.next_s()
        began_s = time.monotonic()
        self._wait(event, patience_s)
        self.body_wait.waited(time.monotonic() - began_s)

    def _wait(self, event: int, patience_s: float) -> bool:
        if self._poll is None:
            self._poll = select.poll()
        self._poll.register(self.socket, event)
        return bool(self._poll.poll(patience_s * 1000))


def _awaited_bytes(head: bytes) -> int:
    """Return the length of the body of a request if it is small, so that the loop waits for it; else 0."""
    length = _LENGTH.search(head)
    if length is None or _STREAMED.search(head) or int(length[1]) > SMALL_BODY_BYTES:
        return 0
    return int(length[1])
