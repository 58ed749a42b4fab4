"""How a fake breaks off a connection, in process and on the live port."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

#: The key of the WSGI environ with the :class:`ServerConnection`, if the request came over a live port.
CONNECTION_KEY: Final = "v1registry_fakes.connection"

#: The key of the WSGI environ with the seconds that a client in this process waits for an answer.
TIMEOUT_KEY: Final = "v1registry_fakes.timeout_s"


class ConnectionCut(ConnectionResetError):
    """A fault cut the connection of a request in this process. On the live port the socket is closed.

    :class:`WSGISession` and the transports of httpx raise the exception that a real connection causes.
    """

    def __init__(self, reason: str):
        super().__init__(errno.ECONNRESET, reason)


class AnswerDelayed(TimeoutError):
    """A fault delays the answer longer than the client in this process waits.

    :class:`WSGISession` raises ``requests.ReadTimeout`` in its place.
    """


class ServerConnection(Protocol):
    """The connection of a request, as the live port gives it to the application."""

    def send_headers(self) -> None:
        """Send status and headers now, before the body."""

    def cut(self) -> None:
        """Close the connection at once. What was sent before still arrives."""

    @property
    def is_abandoned(self) -> bool:
        """Whether the client has closed its end."""


def cut(environ: Mapping[str, Any], reason: str, *, with_headers: bool) -> ConnectionCut:
    """Cut the connection of a request; return the exception that the application raises then.

    :param with_headers: whether status and headers of the answer are sent before.
    """
    connection: ServerConnection | None = environ.get(CONNECTION_KEY)
    if connection is not None:
        if with_headers:
            connection.send_headers()
        connection.cut()
    return ConnectionCut(reason)


def is_abandoned(environ: Mapping[str, Any]) -> Callable[[], bool]:
    """Return a function that tells whether the client has gone; in this process it never has."""
    connection: ServerConnection | None = environ.get(CONNECTION_KEY)
    return lambda: connection is not None and connection.is_abandoned
