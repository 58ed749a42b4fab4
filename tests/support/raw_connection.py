"""A connection on which a test says every byte itself, and reads answers strictly by their framing."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class RawAnswer:
    """An answer as it stood on the wire; the names of the headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class RawConnection:
    """HTTP/1.1 over a socket that the connection closes."""

    def __init__(self, connection: socket.socket):
        self.socket = connection
        self._buffer = b""

    def __enter__(self) -> RawConnection:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.socket.close()

    def send(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> None:
        """Send a request, or its beginning: ``body`` goes out as it is, chunked framing included."""
        self.socket.sendall(request_bytes(method, path, headers, body))

    def read_answer(self, method: str) -> RawAnswer:
        """Read one answer to a request of ``method`` and not a byte more. EOFError where it is cut."""
        head = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status = int(head[0].split()[1])
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        return RawAnswer(status, headers, self._read_body(method, status, headers))

    def rest(self) -> bytes:
        """Return what still comes until the server closes the connection."""
        while piece := self.socket.recv(65536):
            self._buffer += piece
        rest, self._buffer = self._buffer, b""
        return rest

    def _read_body(self, method: str, status: int, headers: Mapping[str, str]) -> bytes:
        if method == "HEAD" or status in (204, 304):
            return b""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int(self._until(b"\r\n").split(b";")[0], 16):
                body += self._exactly(size)
                assert self._exactly(2) == b"\r\n"
            assert self._until(b"\r\n") == b"\r\n"
            return body
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        return self.rest()

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._receive()
        end = self._buffer.index(mark) + len(mark)
        found, self._buffer = self._buffer[:end], self._buffer[end:]
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._receive()
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def _receive(self) -> None:
        piece = self.socket.recv(65536)
        if not piece:
            raise EOFError(f"the server closed the connection after {self._buffer[:200]!r}")
        self._buffer += piece


def request_bytes(
    method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> bytes:
    """Return a request as it goes over the wire. The headers are all but Host."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
