"""Calls of a WSGI application in this process, as a server makes them (PEP 3333)."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes, urlsplit

from .faults.connection_cuts import TIMEOUT_KEY

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

#: The host of URLs that are paths alone.
HOST: Final = "v1registry.test"

CHUNK_BYTES: Final = 64 * 1024


class Chunks(io.RawIOBase):
    """A readable file over chunks of bytes."""

    def __init__(self, chunks: Iterator[bytes], on_close: Callable[[], None] = lambda: None):
        self._chunks = chunks
        self._on_close = on_close
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._on_close()


class RequestBody(Chunks):
    """The body of a request as the application reads it. ``error`` is the exception of its source."""

    def __init__(self, chunks: Iterable[bytes | str]):
        super().__init__(self._watched(chunks))
        self.error: Exception | None = None

    def _watched(self, chunks: Iterable[bytes | str]) -> Iterator[bytes]:
        try:
            for chunk in chunks:
                yield chunk.encode("utf-8") if isinstance(chunk, str) else chunk
        except Exception as error:
            self.error = error
            raise


class Answer:
    """The answer of an application to one request. :meth:`close` closes the iterator that it returned.

    :raises RuntimeError: the application returned without an answer.
    """

    def __init__(self, application: WSGIApplication, environ: dict[str, Any]):
        self._status = ""
        self.headers: list[tuple[str, str]] = []
        self._written: list[bytes] = []
        self._returned: Iterable[bytes] = ()  # close() needs it, even if the application fails
        self._is_closed = False
        self._returned = application(environ, self._start)
        self._all = self._all_chunks()
        self._first: list[bytes] = []
        while not self._status:
            # a generator calls start_response when its first chunk is requested
            chunk = next(self._all, None)
            if chunk is None:
                self.close()
                raise RuntimeError("the application returned without calling start_response")
            self._first.append(chunk)

    def _start(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        self._status, self.headers = status, headers
        return self._written.append

    def _all_chunks(self) -> Iterator[bytes]:
        iterator = iter(self._returned)
        while True:
            chunk = next(iterator, None)
            while self._written:
                yield self._written.pop(0)
            if chunk is None:
                return
            yield chunk

    @property
    def status(self) -> int:
        return int(self._status.partition(" ")[0])

    @property
    def reason(self) -> str:
        return self._status.partition(" ")[2]

    def __iter__(self) -> Iterator[bytes]:
        """Yield the chunks of the body, once."""
        while self._first:
            yield self._first.pop(0)
        yield from self._all

    def close(self) -> None:
        """Close the iterator of the application. Closing twice has no effect."""
        if not self._is_closed:
            self._is_closed = True
            close = getattr(self._returned, "close", None)
            if close is not None:
                close()


def environ_of(
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]],
    body: RequestBody | None,
    timeout_s: float | None = None,
) -> dict[str, Any]:
    """Return the environ of a request, as a server that decodes chunked bodies makes it.

    :param url: absolute and quoted.
    :param body: None if the request has none.
    :param timeout_s: how long the client waits for an answer; None for ever.
    """
    parts = urlsplit(url)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(parts.path).decode("latin-1"),
        "QUERY_STRING": parts.query,
        "SERVER_NAME": parts.hostname or "",
        "SERVER_PORT": str(parts.port or (443 if parts.scheme == "https" else 80)),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": parts.netloc.rpartition("@")[2],  # clients send user info as credentials
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": parts.scheme,
        "wsgi.input": io.BufferedReader(RequestBody(()) if body is None else body, CHUNK_BYTES),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        TIMEOUT_KEY: timeout_s,
    }
    for name, value in headers:
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    if body is not None and "CONTENT_LENGTH" not in environ:
        environ["HTTP_TRANSFER_ENCODING"] = "chunked"
        environ["wsgi.input_terminated"] = True
    return environ
