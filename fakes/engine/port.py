"""The live port of an engine: as many threads as requests wait, and connections that handlers take over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cheroot.server import HTTPConnection
from cheroot.workers.threadpool import ThreadPool

from ..listener import ConnectionGateway, NotedConnection, ThreadServer
from .hijack import Connection
from .requests import TAKEOVER_KEY

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

#: The threads at the start, and at most. Requests such as ``wait`` and ``events`` keep theirs for long.
_FIRST_THREADS = 1
_MOST_THREADS = 500


class _Pool(ThreadPool):
    """Threads that become more while all of them are busy."""

    _threads: list[Any]
    _spawn_worker: Callable[[], Any]

    def __init__(self, server: EngineServer):
        super().__init__(server, min=_FIRST_THREADS, max=_MOST_THREADS)
        self._given = 0  # requests that wait for a thread or have one
        self._lock = threading.Lock()

    def put(self, obj: Any) -> None:
        if isinstance(obj, HTTPConnection):
            with self._lock:
                self._given += 1
                if self._given > len(self._threads) and len(self._threads) < self.max:
                    # grow() waits for the new thread in steps of 0.1 s
                    self._threads.append(self._spawn_worker())
        super().put(obj)

    def end(self) -> None:
        """Note that a request was answered."""
        with self._lock:
            self._given -= 1


class _Connection(NotedConnection):
    server: EngineServer

    def communicate(self) -> bool:
        try:
            return super().communicate()
        finally:
            self.server.requests.end()


class _Gateway(ConnectionGateway):
    def get_environ(self) -> dict[str, Any]:  # type: ignore[override]  # the stub of cheroot says None
        environ = super().get_environ()
        request = self.req

        def release() -> None:
            request.sent_headers = request.close_connection = True
            request.chunked_write = False

        environ[TAKEOVER_KEY] = Connection(request.conn.socket, request.conn.rfile, release)
        return environ

    def respond(self) -> None:
        """Answer the request. An empty chunk sends the headers alone, so that clients of streams go on."""
        response = self.req.server.wsgi_app(self.env, self.start_response)
        try:
            for chunk in response:
                if chunk:
                    self.write(chunk)
                else:
                    self.req.ensure_headers_sent()
        finally:
            self.req.ensure_headers_sent()
            self.req.conn.wfile.flush()
            if hasattr(response, "close"):
                response.close()


class EngineServer(ThreadServer):
    """A server whose requests never wait for each other."""

    ConnectionClass = _Connection
    requests: _Pool

    def __init__(self, application: WSGIApplication, address: tuple[str, int] | str):
        super().__init__(application, address)
        self.gateway = _Gateway
        self.requests = _Pool(self)
