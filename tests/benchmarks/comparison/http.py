"""A client that costs little: it sends buffers that are framed before, and throws away what it receives."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

MIB = 1 << 20

#: An engine sends layers in pieces of 32 KiB.
_PIECE_BYTES = 32 << 10


class UnexpectedStatus(Exception):
    """The server answered with a status that was not expected."""


@dataclass(frozen=True)
class Answer:
    """An answer. Of a body that was thrown away, only the size is known."""

    status: int
    headers: Mapping[str, str]  #: names in lower case
    body: bytes
    size: int


class Connection:
    """One connection that is kept alive. It connects again if the server has closed it.

    :param authorization: the value of the header; empty to send none.
    """

    def __init__(self, port: int, authorization: str = ""):
        self.authorization = authorization
        self._port = port
        self._socket: socket.socket | None = None
        self._rest = b""
        self._buffer = bytearray(MIB)

    def close(self) -> None:
        """Close the connection. The next request opens it again."""
        if self._socket is not None:
            self._socket.close()
            self._socket, self._rest = None, b""

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        stream: Callable[[], Iterable[bytes]] | None = None,
        keeps: bool = True,
        expected: tuple[int, ...] = (200, 201, 202, 204),
    ) -> Answer:
        """Send a request and return the answer.

        :param stream: gives the buffers of a body that is framed already, in place of ``body``.
        :param keeps: whether the body of the answer is kept.
        :raises UnexpectedStatus: the status is not one of ``expected``.
        """
        sent = dict(headers or {})
        if stream is None:
            sent.setdefault("Content-Length", str(len(body)))
        if self.authorization:
            sent.setdefault("Authorization", self.authorization)
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self._port}"]
        lines += [f"{name}: {value}" for name, value in sent.items()]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        for attempt in range(2):
            try:
                channel = self._connected()
                channel.sendall(head + body)
                for buffer in stream() if stream else ():
                    channel.sendall(buffer)
                answer = self._answer(channel, method, keeps)
                break
            except (ConnectionError, EOFError):
                self.close()
                if attempt:
                    raise
        if answer.status not in expected:
            raise UnexpectedStatus(f"{method} {path}: {answer.status}, not {expected}: {answer.body[:300]!r}")
        return answer

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), 600)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def _more(self, channel: socket.socket) -> bytes:
        size = channel.recv_into(self._buffer)
        if not size:
            raise EOFError("the server closed the connection within an answer")
        return bytes(self._buffer[:size])

    def _answer(self, channel: socket.socket, method: str, keeps: bool) -> Answer:
        received = self._rest
        while b"\r\n\r\n" not in received:
            received += self._more(channel)
        head, _, received = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split()[1])
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if method == "HEAD" or status in (204, 304):
            self._rest, body, size = received, b"", 0
        elif headers.get("transfer-encoding", "").lower() == "chunked":
            body, self._rest = self._chunked(channel, received)
            size = len(body)
        else:
            size = int(headers["content-length"])
            body = self._sized(channel, received, size, keeps)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, headers, body, size)

    def _sized(self, channel: socket.socket, received: bytes, size: int, keeps: bool) -> bytes:
        kept, self._rest = [received[:size]], received[size:]
        left = size - len(kept[0])
        while left > 0:
            # the kernel discards bytes that are not read
            flags = 0 if keeps else socket.MSG_TRUNC
            got = channel.recv_into(self._buffer, min(left, len(self._buffer)), flags)
            if not got:
                raise EOFError("the server closed the connection within a body")
            left -= got
            if keeps:
                kept.append(bytes(self._buffer[:got]))
        return b"".join(kept)

    def _chunked(self, channel: socket.socket, received: bytes) -> tuple[bytes, bytes]:
        body = []
        while True:
            while b"\r\n" not in received:
                received += self._more(channel)
            line, _, received = received.partition(b"\r\n")
            size = int(line.split(b";")[0], 16)
            while len(received) < size + 2:
                received += self._more(channel)
            body.append(received[:size])
            received = received[size + 2 :]
            if not size:
                return b"".join(body), received


def basic(user: str, password: str) -> str:
    """Return the value of the header of a user with a password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Layer:
    """Bytes that cannot be compressed, made of one block of 1 MiB that is repeated."""

    def __init__(self, size: int, seed: object = 0):
        self.size = size
        self._block = hashlib.shake_128(str(seed).encode()).digest(MIB)

    def blocks(self) -> Iterator[bytes]:
        """Yield the content."""
        left = self.size
        while left > 0:
            yield self._block[:left] if left < MIB else self._block
            left -= MIB

    def digest(self, before: bytes = b"") -> str:
        """Return the SHA-256 digest of the content.

        :param before: bytes that are hashed first, as the payload sum hashes the JSON of the image.
        """
        digest = hashlib.sha256(before)
        for block in self.blocks():
            digest.update(block)
        return f"sha256:{digest.hexdigest()}"

    def chunked(self) -> Callable[[], Iterator[bytes]]:
        """Return a function that gives the content as the body of a chunked request."""
        whole = _framed(self._block)

        def buffers() -> Iterator[bytes]:
            for block in self.blocks():
                yield whole if len(block) == MIB else _framed(block)
            yield b"0\r\n\r\n"

        return buffers


def _framed(block: bytes) -> bytes:
    pieces = (block[start : start + _PIECE_BYTES] for start in range(0, len(block), _PIECE_BYTES))
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def dumped(document: object) -> bytes:
    """Return a document as JSON."""
    return json.dumps(document).encode()
