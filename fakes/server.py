"""The live port of the fakes: a WSGI application over TCP, in threads of this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

    from .listener import Listener

#: Addresses that stand for all of the machine -> one by which clients of the machine reach them.
REACHED_BY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104

#: ``HOST:PORT`` of each running server without TLS of a process -> the server, and the id of the process.
_running: Final[dict[str, tuple[LiveServer, int]]] = {}


def server_at(host: str) -> LiveServer | None:
    """Return the server without TLS of this process that listens at ``HOST:PORT``, None if there is none."""
    server, process_id = _running.get(host, (None, 0))
    # a process that was forked has a copy of the server, and not its port
    return server if process_id == os.getpid() else None


class LiveServer:
    """A port that serves one application at a time, on 127.0.0.1 by default. Safe for threads.

    The server starts at the first use of :attr:`url`, :attr:`host`, :attr:`ca_file` or :meth:`start`.
    Applications can follow each other on the same port. It is a context manager that stops the server at its
    end.

    :param tls: use https, with a certificate for 127.0.0.1, ::1, localhost and the address that is made at
        the start.
    :param address: the IP address or name to listen on. Everybody who reaches it can use the application.
    :param port: the port to listen on; 0 lets the system choose one.

    >>> def application(environ, start_response):
    ...     start_response("200 OK", [("Content-Length", "0")])
    ...     return []
    >>> with LiveServer(application) as server:
    ...     server.url.startswith("http://127.0.0.1:")
    True
    """

    def __init__(
        self,
        application: WSGIApplication | None = None,
        *,
        tls: bool = False,
        address: str = "127.0.0.1",
        port: int = 0,
    ):
        self.tls = tls
        self._address = address, port
        self._application = application
        self._lock = threading.Lock()
        self._running: Listener | None = None

    # -- the application

    def mount(self, application: WSGIApplication) -> None:
        """Serve an application.

        :raises RuntimeError: the server has an application already.
        """
        with self._lock:
            if self._application is not None:
                raise RuntimeError("a LiveServer serves one application at a time: make a second LiveServer")
            self._application = application

    def unmount(self) -> None:
        """Serve no application: requests get 503 until one is mounted."""
        with self._lock:
            self._application = None

    def serve(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request as the port does, by the application of this moment."""
        application = self._application or _no_application
        return application(environ, start_response)

    # -- its address

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, or https. Starts the server if necessary.

        :raises ImportError: cheroot, or trustme for TLS, is not installed.
        """
        return f"{'https' if self.tls else 'http'}://{self.host}"

    @property
    def host(self) -> str:
        """``127.0.0.1:PORT``, or the other address. Starts the server if necessary.

        A server that listens on all addresses is shown with 127.0.0.1 or [::1].

        :raises ImportError: cheroot, or trustme for TLS, is not installed.
        """
        return self._host_of(self.start())

    def _host_of(self, running: Listener) -> str:
        address = REACHED_BY.get(self._address[0], self._address[0])
        return f"{f'[{address}]' if ':' in address else address}:{running.port}"

    @property
    def ca_file(self) -> str:
        """The path of the certificate to trust. Starts the server if necessary.

        :raises ValueError: the server has no TLS.
        """
        if not self.tls:
            raise ValueError("there is no certificate: this live port speaks http; make it with tls=True")
        return str(self.start().ca_file)

    @property
    def is_running(self) -> bool:
        """Whether the server was started and not stopped."""
        return self._running is not None

    # -- start and stop

    def start(self) -> Listener:
        """Start the server if it does not run.

        :raises ImportError: names the package that must be installed.
        :raises OSError: no port can be opened.
        """
        with self._lock:
            if self._running is None:
                from .listener import Listener, ThreadServer

                self._running = Listener(ThreadServer(self.serve, self._address), tls=self.tls)
                if not self.tls:
                    _running[self._host_of(self._running)] = self, os.getpid()
            return self._running

    def stop(self) -> None:
        """Stop the server and cut its connections. It can be started again, on a different port."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            _running.pop(self._host_of(running), None)
            running.stop()

    def __enter__(self) -> LiveServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _no_application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    body = b"No registry is served here: its test has ended, or has not begun\n"
    start_response(
        "503 Service Unavailable", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    )
    return [body]
