"""A cheroot server in threads: it listens on 127.0.0.1, on a port that the system chooses."""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import ExitStack, suppress
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

try:
    from cheroot.errors import FatalSSLAlert, NoSSLError
    from cheroot.makefile import StreamWriter
    from cheroot.server import HTTPConnection
    from cheroot.ssl.builtin import BuiltinSSLAdapter
    from cheroot.wsgi import Server
except ImportError as error:
    raise ImportError(f"a live port needs cheroot: pip install 'v1registry[fakes]' ({error})") from error

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger(__name__)

#: Requests at a time; more of them wait. Engines push and pull five layers at once, and each thread makes the
#: start longer.
_THREADS = 6

#: How long a client may pause within a request, in seconds: long, for people who sit in a debugger.
_PAUSE_S = 300

#: How long a client may take to agree on TLS, in seconds. Nobody else is let in meanwhile.
_HANDSHAKE_S = 5


class _Writer(StreamWriter):
    def __del__(self) -> None:
        # What a client did not wait for is sent once more when the garbage is collected, and fails there; since Python
        # 3.13 that is told as an error that nobody can catch.
        with suppress(OSError, ValueError):
            super().__del__()


class QuietConnection(HTTPConnection):
    """A connection that a client may cut at any time without anybody being told."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        if type(self.wfile) is StreamWriter:
            self.wfile.__class__ = _Writer

    def close(self) -> None:
        with suppress(OSError):
            self.wfile.close()
        super().close()


class _Connection(QuietConnection):
    def __init__(self, server: _Server, *arguments: Any):
        super().__init__(server, *arguments)
        server.note(self)

    def cut(self) -> None:
        """End the transfer in both directions: whoever waits for it wakes up."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


class _Server(Server):
    ConnectionClass = _Connection
    keep_alive_conn_limit = 1000
    #: In seconds: how long the selector sleeps, and so how long a stop may take.
    expiration_interval = 0.02

    def __init__(self, application: WSGIApplication):
        super().__init__(
            ("127.0.0.1", 0), application, numthreads=_THREADS, timeout=_PAUSE_S, request_queue_size=128
        )
        self._open_connections: WeakSet[_Connection] = WeakSet()
        self._is_stopping = False
        self._lock = threading.Lock()

    def note(self, connection: _Connection) -> None:
        """Keep a new connection in mind; cut it at once if it comes too late."""
        with self._lock:
            self._open_connections.add(connection)
            comes_too_late = self._is_stopping
        if comes_too_late:
            connection.cut()

    def cut_connections(self) -> None:
        """Cut all connections, those that come from now on too: cheroot would wait for each of them."""
        with self._lock:
            self._is_stopping = True
            connections = list(self._open_connections)
        for connection in connections:
            connection.cut()

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        log.log(level, "%s", msg, exc_info=traceback)


class _TLSAdapter(BuiltinSSLAdapter):
    def wrap(self, sock: socket.socket) -> tuple[Any, dict[str, Any]]:
        sock.settimeout(_HANDSHAKE_S)
        try:
            return super().wrap(sock)  # type: ignore[no-any-return, no-untyped-call]
        except NoSSLError as error:
            # cheroot would explain it to the client on a socket that ssl has closed already
            raise FatalSSLAlert(*error.args) from error


class Listener:
    """A server that runs from its creation until :meth:`stop`. ImportError, OSError.

    All its threads are daemons, so that a process can end without stopping it.
    """

    def __init__(self, application: WSGIApplication, *, tls: bool):
        self._server = _Server(application)
        self.ca_file: str | None = None
        self._failure: OSError | None = None
        is_ready = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(is_ready,), name="v1registry live port", daemon=True
        )
        with ExitStack() as cleaning:
            if tls:
                folder = cleaning.enter_context(TemporaryDirectory(prefix="v1registry-"))
                self.ca_file, own_file = _make_certificates(folder)
                self._server.ssl_adapter = _TLSAdapter(own_file, own_file, self.ca_file)
            self._thread.start()
            is_ready.wait()
            if self._failure is not None:
                raise self._failure
            self._cleaning = cleaning.pop_all()

    def _run(self, is_ready: threading.Event) -> None:
        # cheroot's workers are daemons because the thread that starts them, this one, is
        try:
            self._server.prepare()
        except OSError as error:
            self._failure = error
            return
        finally:
            is_ready.set()
        self._server.serve()

    @property
    def port(self) -> int:
        port: int = self._server.bind_addr[1]
        return port

    def stop(self) -> None:
        """Close the port, cut the connections that are open, and wait for the threads to end."""
        self._server.cut_connections()
        self._server.stop()
        self._thread.join()
        self._cleaning.close()


def _make_certificates(folder: str) -> tuple[str, str]:
    """Make an authority and the certificate of a server; return the paths of what to trust and of what to present."""
    try:
        import trustme
    except ImportError as error:
        raise ImportError(
            f"a live port with TLS needs trustme: pip install 'v1registry[fakes]' ({error})"
        ) from error
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1", "::1", "localhost")
    ca_file, own_file = f"{folder}/ca.pem", f"{folder}/server.pem"
    authority.cert_pem.write_to_path(ca_file)
    own.private_key_and_cert_chain_pem.write_to_path(own_file)
    return ca_file, own_file
