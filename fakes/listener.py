"""A cheroot server in threads, on 127.0.0.1 and a port that the system chooses."""

from __future__ import annotations

import logging
import select
import socket
import threading
from contextlib import ExitStack, suppress
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

try:
    from cheroot.connections import ConnectionManager
    from cheroot.errors import FatalSSLAlert, NoSSLError
    from cheroot.server import HTTPConnection
    from cheroot.ssl.builtin import BuiltinSSLAdapter
    from cheroot.wsgi import Gateway_10, Server
except ImportError as error:
    raise ImportError(f"a live port needs cheroot: pip install 'v1registry[fakes]' ({error})") from error

from .faults.connection_cuts import CONNECTION_KEY
from .socket_files import Followed, SocketReader, SocketWriter, socket_file

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger(__name__)

#: Requests at a time; others wait. Engines transfer five layers at once, and each thread makes the start
#: longer.
_THREADS = 6

#: How long a client may pause within a request, in seconds. It is long because people use debuggers.
_PAUSE_S = 300

#: How long a thread waits for the next request of its connection, in seconds.
_NEXT_S = 0.02

#: How long a TLS handshake may take, in seconds. No other connection is accepted meanwhile.
_HANDSHAKE_S = 5


#: How long a stop waits at once for the loop of connections, in seconds.
_LOOP_S = 0.1

#: How long the start of the thread that refuses connections is waited for, in seconds.
_REFUSER_S = 5


class QuietConnection(HTTPConnection):
    """A connection that a client may cut at any time, without an error message."""

    rfile: SocketReader
    wfile: SocketWriter

    def __init__(self, server: Server, sock: socket.socket, makefile: object = None):
        super().__init__(server, sock, socket_file)

    def close(self) -> None:
        """Close the connection."""
        with suppress(OSError):
            super().close()


class NotedConnection(QuietConnection):
    """A connection that its server knows, so that a stop can cut it."""

    server: ThreadServer

    def __init__(self, server: ThreadServer, sock: socket.socket, makefile: object = None):
        super().__init__(server, sock, makefile)
        server.note(self)

    def communicate(self) -> bool:
        """Answer requests until none follows at once. Return whether the connection stays open."""
        while super().communicate():  # type: ignore[no-untyped-call]
            if not self._has_next():
                return True
        return False

    def _has_next(self) -> bool:
        """Wait for the next request for a moment, which is cheaper than to give the connection back."""
        if self.rfile.has_data() or self.server.requests.qsize:
            return False
        try:
            return bool(select.select([self.socket], [], [], _NEXT_S)[0])
        except (OSError, ValueError):
            return False

    def cut(self) -> None:
        """End the transfer in both directions, so that waiting threads go on."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    @property
    def is_abandoned(self) -> bool:
        """Whether the client has closed its end. With TLS that is not noticed."""
        try:
            if not select.select([self.socket], [], [], 0)[0]:
                return False
            return not socket.socket.recv(self.socket, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except (OSError, ValueError):
            return True


class ConnectionGateway(Gateway_10):
    """Gives the application the connection of its request, so that a fault can cut it."""

    def get_environ(self) -> dict[str, Any]:  # type: ignore[override]  # the stub of cheroot says None
        environ: dict[str, Any] = super().get_environ()  # type: ignore[no-untyped-call]
        environ[CONNECTION_KEY] = self
        return environ

    def write(self, chunk: bytes) -> None:
        """Send a piece of the body, with status and headers before the first one."""
        wfile: SocketWriter = self.req.conn.wfile
        wfile.collect()
        try:
            super().write(chunk)
        finally:
            if type(chunk) is not Followed:
                wfile.flush()

    def send_headers(self) -> None:
        """Send status and headers now, before the body."""
        self.req.ensure_headers_sent()
        self.req.conn.wfile.flush()

    def cut(self) -> None:
        """Close the connection at once. What was sent before still arrives."""
        with suppress(OSError):
            self.req.conn.wfile.flush()
        self.req.sent_headers = True
        self.req.close_connection = True
        self.req.conn.cut()

    @property
    def is_abandoned(self) -> bool:
        """Whether the client has closed its end."""
        is_abandoned: bool = self.req.conn.is_abandoned
        return is_abandoned


class _Connections(ConnectionManager):
    """The loop that hands connections to threads. Its end is noticed at once, not in steps of 10 ms."""

    server: ThreadServer
    _serving: bool

    def run(self, expiration_interval: float) -> None:
        """Hand over connections until :meth:`stop`."""
        self.server.loop_has_ended.clear()
        try:
            super().run(expiration_interval)
        finally:
            self.server.loop_has_ended.set()

    def stop(self) -> None:
        """End the loop, and wait for that."""
        self._stop_requested = True
        self.server.wake()
        while self._serving:
            self.server.loop_has_ended.wait(_LOOP_S)


class ThreadServer(Server):
    """A server with one thread for each request that is answered at the moment.

    :param address: host and port, where port 0 lets the system choose; or the path of a Unix socket.
    """

    ConnectionClass = NotedConnection
    keep_alive_conn_limit = 1000
    _connections: ConnectionManager

    def __init__(self, application: WSGIApplication, address: tuple[str, int] | str = ("127.0.0.1", 0)):
        super().__init__(address, application, numthreads=_THREADS, timeout=_PAUSE_S, request_queue_size=128)
        self.gateway = ConnectionGateway
        self._open_connections: WeakSet[NotedConnection] = WeakSet()
        self._is_stopping = False
        self._lock = threading.Lock()
        self._refusing: threading.Thread | None = None
        self._has_refuser = threading.Event()
        self.loop_has_ended = threading.Event()

    def prepare(self) -> None:
        """Open the port and start the threads.

        :raises OSError: the address cannot be used.
        """
        super().prepare()
        self._connections.__class__ = _Connections

    def wake(self) -> None:
        """Let the loop look up, by a connection."""
        with suppress(OSError), socket.socket(self.socket.family) as waker:
            waker.settimeout(_LOOP_S)
            waker.connect(self.socket.getsockname())

    def put_conn(self, conn: HTTPConnection) -> None:
        """Keep a connection for its next request, or close it if the server has stopped meanwhile."""
        try:
            super().put_conn(conn)
        except (OSError, ValueError):
            # the loop, or the connection, was closed by a stop
            conn.close()

    def _serve_unservicable(self) -> None:
        self._refusing = threading.current_thread()
        self._has_refuser.set()
        super()._serve_unservicable()  # type: ignore[misc]  # the stub of cheroot lacks it

    def join_refuser(self) -> None:
        """Wait for the end of the thread that refuses connections. The server must have been stopped."""
        if self._has_refuser.wait(_REFUSER_S) and self._refusing is not None:
            self._refusing.join()

    @staticmethod
    def bind_socket(socket_: socket.socket, bind_addr: tuple[str, int]) -> socket.socket:
        """Bind a socket, and close it on failure, which cheroot does not.

        :raises OSError: the address cannot be used.
        """
        try:
            socket_.bind(bind_addr)
        except OSError:
            socket_.close()
            raise
        return socket_

    def note(self, connection: NotedConnection) -> None:
        """Remember a new connection. It is cut at once if the server is stopping."""
        with self._lock:
            self._open_connections.add(connection)
            is_too_late = self._is_stopping
        if is_too_late:
            connection.cut()

    def cut_connections(self) -> None:
        """Cut all connections, and each new one: cheroot would wait for them."""
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
            # cheroot would answer on a socket that ssl has already closed
            raise FatalSSLAlert(*error.args) from error


class Listener:
    """A server that runs from its creation until :meth:`stop`.

    All its threads are daemons, so that a process can end without stopping it.

    :param server: serves an application; it is not started yet.
    :raises ImportError: TLS needs a library that is not installed.
    :raises OSError: no port can be opened.
    """

    def __init__(self, server: ThreadServer, *, tls: bool):
        self._server = server
        #: the folder of the certificates: ca.pem, and cert.pem with key.pem of a client
        self.certificates: str | None = None
        self._failure: OSError | None = None
        is_ready = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(is_ready,), name="v1registry live port", daemon=True
        )
        with ExitStack() as cleaning:
            if tls:
                folder = cleaning.enter_context(TemporaryDirectory(prefix="v1registry-"))
                self.certificates, own_file = folder, _make_certificates(folder, server.bind_addr)
                self._server.ssl_adapter = _TLSAdapter(own_file, own_file, self.ca_file)
            self._thread.start()
            is_ready.wait()
            if self._failure is not None:
                raise self._failure
            self._cleaning = cleaning.pop_all()

    def _run(self, is_ready: threading.Event) -> None:
        # cheroot's workers are daemons because the thread that starts them is
        try:
            self._server.prepare()
        except OSError as error:
            self._failure = error
            return
        finally:
            is_ready.set()
        self._server.serve()

    @property
    def ca_file(self) -> str | None:
        """The path of the certificate to trust, None without TLS."""
        return None if self.certificates is None else f"{self.certificates}/ca.pem"

    @property
    def port(self) -> int:
        """The port that the system chose."""
        port: int = self._server.bind_addr[1]
        return port

    def stop(self) -> None:
        """Close the port, cut open connections, and wait for the threads to end."""
        self._server.cut_connections()
        self._server.stop()
        self._thread.join()
        self._server.join_refuser()
        self._cleaning.close()


def _make_certificates(folder: str, address: tuple[str, int] | str) -> str:
    """Make an authority with the certificates of a server and of a client; return the path of the server's.

    The authority's is ``ca.pem``, those of the client are ``cert.pem`` and ``key.pem``.
    """
    try:
        import trustme
    except ImportError as error:
        raise ImportError(
            f"a live port with TLS needs trustme: pip install 'v1registry[fakes]' ({error})"
        ) from error
    authority = trustme.CA()
    authority.cert_pem.write_to_path(f"{folder}/ca.pem")
    client = authority.issue_cert("client@v1registry.test")
    client.cert_chain_pems[0].write_to_path(f"{folder}/cert.pem")
    client.private_key_pem.write_to_path(f"{folder}/key.pem")
    names = ["127.0.0.1", "::1", "localhost"]
    if not isinstance(address, str) and address[0] not in names:
        names.append(address[0])
    own = authority.issue_cert(*names)
    own.private_key_and_cert_chain_pem.write_to_path(f"{folder}/server.pem")
    return f"{folder}/server.pem"
