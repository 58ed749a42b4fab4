"""An application on a live port that can be stopped and started again at the same address."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

from cheroot.wsgi import Server
from v1registry_fakes.listener import QuietConnection

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class _Server(Server):
    ConnectionClass = QuietConnection
    expiration_interval = 0.02  # in seconds: how long a stop may take


class StoppableServer:
    """A cheroot server in threads, on a port that the system chose. A context manager; it runs at once.

    While it is stopped, it keeps its port and refuses connections.

    :param application: may be set later, before the first request.
    """

    def __init__(self, application: WSGIApplication | None = None):
        self.application = application
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.port: int = self._reserved.getsockname()[1]
        self._server: _Server | None = None
        self.start()

    @property
    def host(self) -> str:
        """``127.0.0.1:PORT``."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def start(self) -> None:
        """Listen from now on."""

        def call_application(environ, start_response):  # type: ignore[no-untyped-def]
            assert self.application is not None
            return self.application(environ, start_response)

        self._server = _Server(("127.0.0.1", self.port), call_application, numthreads=6, reuse_port=True)
        is_listening = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(self._server, is_listening), daemon=True)
        self._thread.start()
        assert is_listening.wait(60)

    @staticmethod
    def _run(server: _Server, is_listening: threading.Event) -> None:
        server.prepare()
        is_listening.set()
        server.serve()

    def stop(self) -> None:
        """Close the port and all connections, and wait for the threads to end."""
        if self._server is not None:
            self._server.stop()
            self._thread.join(60)
            assert not self._thread.is_alive()
            self._server = None

    def __enter__(self) -> StoppableServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
        self._reserved.close()
