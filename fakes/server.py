"""The live port of the fakes: a WSGI application over TCP on 127.0.0.1, in threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

    from .listener import Listener


class LiveServer:
    """A port on 127.0.0.1 that serves one application at a time.

    Nothing happens before :attr:`url`, :attr:`host`, :attr:`ca_file` or :meth:`start`: making one is cheap, and the
    system chooses the port. Applications can follow each other on the same port. Safe for threads; a context manager
    that stops at its end.

    :param tls: https, with a certificate for 127.0.0.1, ::1 and localhost that is made at the start.

    >>> def application(environ, start_response):
    ...     start_response("200 OK", [("Content-Length", "0")])
    ...     return []
    >>> with LiveServer(application) as server:
    ...     server.url.startswith("http://127.0.0.1:")
    True
    """

    def __init__(self, application: WSGIApplication | None = None, *, tls: bool = False):
        self.tls = tls
        self._application = application
        self._lock = threading.Lock()
        self._running: Listener | None = None

    # -- what is served

    def mount(self, application: WSGIApplication) -> None:
        """Serve ``application`` from now on. RuntimeError while another one is served."""
        with self._lock:
            if self._application is not None:
                raise RuntimeError("a LiveServer serves one application at a time: take another LiveServer")
            self._application = application

    def unmount(self) -> None:
        """Serve nothing: requests are answered with 503 until another application is mounted."""
        with self._lock:
            self._application = None

    def _serve(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        application = self._application or _nobody
        return application(environ, start_response)

    # -- where it is

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, or https. Starts the server if it does not run. ImportError."""
        return f"{'https' if self.tls else 'http'}://{self.host}"

    @property
    def host(self) -> str:
        """``127.0.0.1:PORT``. Starts the server if it does not run. ImportError."""
        return f"127.0.0.1:{self.start().port}"

    @property
    def ca_file(self) -> str:
        """The path of the certificate that vouches for the server's own. Starts the server. ValueError without TLS."""
        if not self.tls:
            raise ValueError("there is no certificate: this live port speaks http; make it with tls=True")
        return str(self.start().ca_file)

    @property
    def is_running(self) -> bool:
        return self._running is not None

    # -- its life

    def start(self) -> Listener:
        """Start the server if it does not run. ImportError names what is to be installed; OSError."""
        with self._lock:
            if self._running is None:
                from .listener import Listener

                self._running = Listener(self._serve, tls=self.tls)
            return self._running

    def stop(self) -> None:
        """Stop the server, and cut the connections that are still open. It can be started again, on another port."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            running.stop()

    def __enter__(self) -> LiveServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _nobody(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    body = b"No registry is served here: the test whose registry this was is over, or has not begun\n"
    start_response(
        "503 Service Unavailable", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    )
    return [body]
