"""What the stand-ins beside FakeRegistry share: an application with a live port."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Final, TypeVar

from .server import LiveServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

#: Headers of answers that have URLs of the server.
WITH_URLS: Final = frozenset(["location", "content-location", "link", "www-authenticate"])

T = TypeVar("T", bound="OnLivePort")


class OnLivePort:
    """An application that clients reach in process by :attr:`app`, or over TCP at :attr:`url`.

    It is a context manager; leaving it stops the live port.

    :param application: answers the requests.
    :param tls: whether the live port uses https; see :attr:`ca_file`.
    :param server: the live port to use. If None, one is started at the first use of :attr:`url`.
    """

    def __init__(self, application: WSGIApplication, *, tls: bool, server: LiveServer | None):
        self._live_application = application
        self._server = server or LiveServer(tls=tls)
        self._stops_server = server is None
        self._server.mount(application)

    @property
    def app(self) -> WSGIApplication:
        """The WSGI application."""
        return self._live_application

    @property
    def url(self) -> str:
        """The URL of the live port, which is started at the first use."""
        return self._server.url

    @property
    def host(self) -> str:
        """``127.0.0.1:PORT`` of the live port, as in front of the name of an image."""
        return self._server.host

    @property
    def ca_file(self) -> str:
        """The path of the certificate to trust.

        :raises ValueError: the live port has no TLS.
        """
        return self._server.ca_file

    def close(self) -> None:
        """Stop the live port."""
        self._server.unmount()
        if self._stops_server:
            self._server.stop()

    def __enter__(self: T) -> T:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def with_moved_urls(text: str, old_host: str, new_origin: str) -> str:
    """Return a text in which the URLs of a host, with http or https, have a new origin.

    >>> with_moved_urls('realm="https://a.example/token"', "a.example", "http://127.0.0.1:1")
    'realm="http://127.0.0.1:1/token"'
    """
    return re.sub(rf"https?://{re.escape(old_host)}(?![\w.:-])", lambda _: new_origin, text)


def refuse(start_response: StartResponse, status: str, text: str) -> Iterable[bytes]:
    """Answer with a status and ``{"error": TEXT}``."""
    body = json.dumps({"error": text}).encode("utf-8")
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
