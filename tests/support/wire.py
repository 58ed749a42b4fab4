"""Send a request to an application as a client does, through WSGI or over a socket; mount applications."""

from __future__ import annotations

import http.client
import io
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote_to_bytes
from wsgiref.validate import validator

from v1registry_fakes.listener import Listener, ThreadServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

TIMEOUT_S = 20


@dataclass(frozen=True)
class WireRequest:
    """A request as sent. ``headers`` include Host and the headers of the body's framing."""

    method: str
    path: str  #: still percent-encoded, with the query
    headers: tuple[tuple[str, str], ...] = ()
    chunks: tuple[bytes, ...] = ()  #: the body in the pieces in which it is sent
    is_chunked: bool = False
    #: the connection breaks after the last chunk: the server's stream raises (``error``) or ends (``end``)
    break_off: str = ""
    #: the client closes the connection after this many bytes of the answer
    read_limit: int | None = None


@dataclass(frozen=True)
class Answer:
    """A response as received."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def values(self, name: str) -> list[str]:
        """Return the values of all headers of a name."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """Return the value of a header, or None. Repeated headers are joined by commas (RFC 9110, 5.3)."""
        return ", ".join(self.values(name)) or None


class Transport(Protocol):
    """Carries requests to one application. Safe for threads, like a client with several connections."""

    host: str  #: host and port of the application, as in the header Host

    def send(self, request: WireRequest) -> Answer | None:
        """Return the answer, or None if the connection broke before it."""


class _Received:
    """``wsgi.input`` of a strict server: a read returns bytes of one chunk, the end, or raises."""

    def __init__(self, request: WireRequest):
        self._chunks = list(request.chunks)
        self._break_off = request.break_off
        self._may_end = request.is_chunked or request.break_off == "end"

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "many servers never return from a read without a size"
        while self._chunks and not self._chunks[0]:
            del self._chunks[0]
        if not self._chunks:
            if self._break_off == "error":
                raise ConnectionResetError("the client is gone")
            assert self._may_end, "many servers never return from a read beyond Content-Length"
            return b""
        piece, self._chunks[0] = self._chunks[0][:size], self._chunks[0][size:]
        return piece

    def readline(self, *arguments: int) -> bytes:
        raise NotImplementedError

    def readlines(self, *arguments: int) -> list[bytes]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[bytes]:
        raise NotImplementedError


class CountedInput:
    """A chunked body of zeros that counts the bytes read."""

    def __init__(self, size: int):
        self._left = size
        self.given = 0

    def read(self, size: int) -> bytes:
        piece = bytes(min(size, self._left, 65536))
        self._left -= len(piece)
        self.given += len(piece)
        return piece


class WsgiTransport:
    """Calls an application as a server that decodes chunked bodies does, and checks it against PEP 3333.

    :param script_name: path prefix of the mount point; requests have paths below it.
    """

    def __init__(
        self, application: WSGIApplication, host: str = "registry.example.com:5000", script_name: str = ""
    ):
        self.host = host
        self._application = validator(application)
        self._script_name = script_name

    def send(self, request: WireRequest) -> Answer | None:
        status: list[str] = []
        headers: list[tuple[str, str]] = []

        def start_response(line: str, fields: list[tuple[str, str]], exc_info: object = None, /) -> Any:
            status[:], headers[:] = [line], fields
            return lambda data: None

        output = self._application(self._environ(request), start_response)
        received = bytearray()
        try:
            for piece in output:
                received += piece
                if request.read_limit is not None and len(received) >= request.read_limit:
                    break
        finally:
            output.close()  # type: ignore[attr-defined]  # the validator's iterator always has it
        return Answer(int(status[0][:3]), tuple(headers), bytes(received))

    def _environ(self, request: WireRequest) -> dict[str, Any]:
        path, _, query = request.path.partition("?")
        fields: dict[str, str] = {}
        for name, value in request.headers:
            key = name.upper().replace("-", "_")
            if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                key = f"HTTP_{key}"
            fields[key] = f"{fields[key]}, {value}" if key in fields else value
        # waitress, granian and cheroot do not pass this header on
        fields.pop("HTTP_TRANSFER_ENCODING", None)
        server, _, port = self.host.partition(":")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": self._script_name,
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": server,
            "SERVER_PORT": port or "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "192.0.2.7",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": _Received(request),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            **fields,
        }
        if request.is_chunked:
            environ["wsgi.input_terminated"] = True
        return environ


class SocketTransport:
    """Sends requests over TCP, byte for byte as recorded, with one connection a request."""

    def __init__(self, address: tuple[str, int]):
        self.host = f"{address[0]}:{address[1]}"
        self._address = address

    def send(self, request: WireRequest) -> Answer | None:
        lines = [f"{request.method} {request.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in request.headers]
        with socket.create_connection(self._address, timeout=TIMEOUT_S) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
            for chunk in request.chunks:
                if request.is_chunked:
                    chunk = b"%x\r\n%b\r\n" % (len(chunk), chunk)
                connection.sendall(chunk)
            if request.break_off:
                # the server closes its side when it has finished with the upload
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
                return None
            if request.is_chunked:
                connection.sendall(b"0\r\n\r\n")
            with http.client.HTTPResponse(connection, method=request.method) as response:
                response.begin()
                body = response.read(request.read_limit)
                return Answer(response.status, tuple(response.getheaders()), body)


@contextmanager
def live_server(application: WSGIApplication) -> Iterator[SocketTransport]:
    """Serve an application on a free port of this machine until the block ends."""
    listener = Listener(ThreadServer(application), tls=False)
    try:
        yield SocketTransport(("127.0.0.1", listener.port))
    finally:
        listener.stop()


# -- mounting


def tells_path(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """An application that answers with its SCRIPT_NAME and PATH_INFO."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['SCRIPT_NAME']!r} {environ['PATH_INFO']!r}".encode()]


def dispatch(prefix: str, mounted: WSGIApplication, otherwise: WSGIApplication) -> WSGIApplication:
    """Return an application that passes paths below ``prefix`` to ``mounted`` and others to ``otherwise``."""

    def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == prefix or path.startswith(f"{prefix}/"):
            below = {"SCRIPT_NAME": environ["SCRIPT_NAME"] + prefix, "PATH_INFO": path[len(prefix) :]}
            return mounted({**environ, **below}, start_response)
        return otherwise(environ, start_response)

    return application


class Below:
    """A transport that puts a prefix before each path, for clients that can be configured so."""

    def __init__(self, transport: Transport, prefix: str):
        self.host = transport.host
        self._transport, self._prefix = transport, prefix

    def send(self, request: WireRequest) -> Answer | None:
        return self._transport.send(replace(request, path=self._prefix + request.path))
