"""What FakeRegistry has for clients in this process: a session of requests, and transports of httpx."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .in_process import HOST

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from .httpx_transports import AsyncRegistryTransport, RegistryTransport
    from .server import LiveServer
    from .session import WSGISession


class WaysIn:
    """The part of FakeRegistry that lets clients reach it without a port."""

    _server: LiveServer

    @property
    def app(self) -> WSGIApplication:
        """The WSGI application."""
        raise NotImplementedError

    @property
    def in_process_url(self) -> str:
        """A URL for clients in this process: ``http://v1registry.test``, with TLS https."""
        return f"{'https' if self._server.tls else 'http'}://{HOST}"

    def session(self) -> WSGISession:
        """Return a ``requests.Session`` that reaches the registry in process by any URL, or by a path alone.

        :raises ImportError: requests is not installed.
        """
        from .session import WSGISession

        return WSGISession(self.app, base_url=self.in_process_url)

    def httpx_transport(self) -> RegistryTransport:
        """Return a transport for ``httpx.Client(transport=…)`` that reaches the registry in process.

        :raises ImportError: httpx is not installed.
        """
        from .httpx_transports import RegistryTransport

        return RegistryTransport(self.app)

    def async_httpx_transport(self) -> AsyncRegistryTransport:
        """Return a transport for ``httpx.AsyncClient(transport=…)`` that reaches the registry in process.

        :raises ImportError: httpx is not installed.
        """
        from .httpx_transports import AsyncRegistryTransport

        return AsyncRegistryTransport(self.app)
