"""A proxy between a registry and its object store, which counts calls and makes faults.

It passes on what both sides send, byte by byte, so signatures stay valid.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import BinaryIO
from urllib.parse import urlsplit

_CHUNK_BYTES = 64 * 1024

#: How long a connection may say nothing, in seconds.
_IDLE_S = 300.0

_BUSY = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>slow down</Message></Error>'
)


class Fault(Enum):
    """What happens to a call in the place of what should."""

    BUSY = "the store answers 503 and does nothing"
    CUT_BEFORE = "the connection ends before the store gets the call"
    CUT_AFTER = "the store does what the call says, and the connection ends before the answer"
    CUT_BODY = "the connection ends in the middle of the answer's body"
    HANG_BEFORE = "the store does not get the call, and nothing is answered"
    HANG_AFTER = "the store does what the call says, and nothing is answered"


@dataclass(frozen=True)
class Call:
    """A call of the store."""

    number: int  #: counted from 0
    method: str
    target: str  #: path and query
    headers: dict[str, str] = field(default_factory=dict)  #: names in lower case

    @property
    def is_conditional(self) -> bool:
        return "if-match" in self.headers or "if-none-match" in self.headers


class FaultProxy:
    """A running proxy on a free port of 127.0.0.1; a context manager.

    :param endpoint: the URL of the store.
    """

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        assert parts.hostname is not None
        assert parts.port is not None
        self._store = (parts.hostname, parts.port)
        self._path = parts.path
        #: how long each call takes longer, in seconds
        self.delay_s = 0.0
        #: decides what happens to a call; None is no fault
        self.choose: Callable[[Call], Fault | None] = lambda call: None
        self.calls: list[Call] = []
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, name="fault proxy")]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """The endpoint in the place of the store's."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}{self._path}"

    def forget_calls(self) -> None:
        """Count calls from 0 again."""
        with self._lock:
            self.calls = []

    def release(self) -> None:
        """End the calls that hang: their connections are cut."""
        self._ended.set()
        self._ended = threading.Event()

    def end(self) -> None:
        """Cut all connections, and end all threads."""
        with self._lock:
            open_sockets = [self._listener, *self._sockets]
        self._ended.set()
        for opened in open_sockets:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.end()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.settimeout(_IDLE_S)
            thread = threading.Thread(target=self._serve, args=(client,), name="fault proxy connection")
            with self._lock:
                self._sockets.add(client)
                self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        store: socket.socket | None = None
        try:
            store = socket.create_connection(self._store, _IDLE_S)
            with self._lock:
                self._sockets.add(store)
            with client.makefile("rb") as requests, store.makefile("rb") as answers:
                while self._pass_on(client, requests, store, answers):
                    pass
        except (OSError, ValueError):
            # one of the sides ended, or the proxy
            pass
        finally:
            with self._lock:
                self._sockets.discard(client)
                if store is not None:
                    self._sockets.discard(store)
            client.close()
            if store is not None:
                store.close()

    def _pass_on(
        self, client: socket.socket, requests: BinaryIO, store: socket.socket, answers: BinaryIO
    ) -> bool:
        """Pass on one call and its answer; return whether the connection goes on."""
        head = _read_head(requests)
        if not head:
            return False
        call = self._note(head)
        fault = self.choose(call)
        ended = self._ended
        if self.delay_s:
            ended.wait(self.delay_s)
        body_bytes = int(call.headers.get("content-length", "0"))
        assert "transfer-encoding" not in call.headers, "bodies of calls have a length"
        reaches_store = fault not in (Fault.BUSY, Fault.CUT_BEFORE, Fault.HANG_BEFORE)
        if reaches_store:
            store.sendall(head)
        _copy(requests, store if reaches_store else None, body_bytes)
        if fault is Fault.BUSY:
            client.sendall(
                b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\n"
                b"Content-Length: %d\r\n\r\n" % len(_BUSY)
            )
            client.sendall(b"" if call.method == "HEAD" else _BUSY)
            return True
        if fault in (Fault.CUT_BEFORE, Fault.HANG_BEFORE):
            if fault is Fault.HANG_BEFORE:
                ended.wait()
            return False
        return self._answer(call, fault, ended, client, answers)

    def _answer(
        self,
        call: Call,
        fault: Fault | None,
        ended: threading.Event,
        client: socket.socket,
        answers: BinaryIO,
    ) -> bool:
        head = _read_head(answers)
        if not head:
            return False
        status = int(head.split(None, 2)[1])
        headers = _headers_of(head)
        is_empty = call.method == "HEAD" or status in (204, 304)
        is_chunked = "chunked" in headers.get("transfer-encoding", "")
        if fault in (Fault.CUT_AFTER, Fault.HANG_AFTER):
            # the store has answered, so it has done what the call says
            if fault is Fault.HANG_AFTER:
                ended.wait()
            return False
        client.sendall(head)
        if is_chunked and not is_empty:
            return self._pass_chunks(client, answers) and fault is not Fault.CUT_BODY
        body_bytes = 0 if is_empty else int(headers.get("content-length", "0"))
        if fault is Fault.CUT_BODY and body_bytes:
            _copy(answers, client, body_bytes // 2)
            return False
        _copy(answers, client, body_bytes)
        return headers.get("connection", "").lower() != "close"

    def _pass_chunks(self, client: socket.socket, answers: BinaryIO) -> bool:
        while True:
            line = answers.readline()
            client.sendall(line)
            size = int(line.split(b";")[0], 16)
            _copy(answers, client, size + 2)
            if not size:
                return True

    def _note(self, head: bytes) -> Call:
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        with self._lock:
            call = Call(len(self.calls), method, target, _headers_of(head))
            self.calls.append(call)
        return call


def _read_head(stream: BinaryIO) -> bytes:
    """Return the lines up to the empty one; nothing if the connection ended."""
    lines = []
    while (line := stream.readline()) not in (b"\r\n", b""):
        lines.append(line)
    return b"".join([*lines, b"\r\n"]) if lines else b""


def _headers_of(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.lower(): value.strip() for name, _, value in pairs}


def _copy(source: BinaryIO, target: socket.socket | None, count: int) -> None:
    """Copy bytes.

    :raises OSError: the source ended before.
    """
    while count:
        data = source.read(min(count, _CHUNK_BYTES))
        if not data:
            raise OSError("the connection ended in a body")
        if target is not None:
            target.sendall(data)
        count -= len(data)
