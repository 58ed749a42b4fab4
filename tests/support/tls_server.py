"""A small HTTPS server that may require client certificates."""

from __future__ import annotations

import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import trustme


class TlsServer:
    """Answers every GET with 200 ``{}`` or a redirect, and records who asked. A context manager.

    A request in plain http is redirected to https at the same port.

    :param authority: makes the certificate of the server.
    :param clients: the authority of client certificates, which are required then.
    """

    def __init__(self, authority: trustme.CA, *, clients: trustme.CA | None = None):
        self.seen: list[str | None] = []  #: for each request the common name of the client certificate
        self.plain: list[str] = []  #: the first lines of requests in plain http
        self.redirect = ""  #: where to redirect all requests to
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        if clients is not None:
            clients.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        self._server = _Server(self, context)
        self.host = f"localhost:{self._server.server_port}"

    def __enter__(self) -> TlsServer:
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, owner: TlsServer, context: ssl.SSLContext):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.owner = owner
        self.context = context

    def finish_request(self, request: Any, client_address: Any) -> None:
        if request.recv(1, socket.MSG_PEEK) != b"\x16":  # the first byte of a TLS handshake
            method, path, _ = request.recv(4096).decode("latin-1").split(" ", 2)
            self.owner.plain.append(f"{method} {path}")
            request.sendall(
                f"HTTP/1.1 301 Moved\r\nLocation: https://{self.owner.host}{path}\r\n"
                "Content-Length: 0\r\nConnection: close\r\n\r\n".encode("latin-1")
            )
            return
        # in the thread of the connection, so that a client without a certificate delays no other
        with self.context.wrap_socket(request, server_side=True) as stream:
            super().finish_request(stream, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that break off the handshake."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    connection: ssl.SSLSocket

    def do_GET(self) -> None:
        owner = self.server.owner
        owner.seen.append(_common_name(self.connection.getpeercert()))
        self.send_response(302 if owner.redirect else 200)
        if owner.redirect:
            self.send_header("Location", owner.redirect)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


def _common_name(certificate: Any) -> str | None:
    names = [
        value for part in (certificate or {}).get("subject", ()) for key, value in part if key == "commonName"
    ]
    return names[0] if names else None
