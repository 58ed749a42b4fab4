"""Other servers: an application that users return to, and pages of an attacker."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from v1registry_fakes.server import LiveServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse


class Harbour:
    """The server of an application. It records the queries with which users return. A context manager."""

    def __init__(self) -> None:
        self.arrivals: list[dict[str, str]] = []  #: the query of each
        self._server = LiveServer(self._answer)

    @property
    def redirect_uri(self) -> str:
        return f"{self._server.url}/back?from=registry"

    def _answer(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/back":
            query = parse_qs(environ["QUERY_STRING"], strict_parsing=True)
            self.arrivals.append({name: value for name, (value,) in query.items()})
        return _page(start_response, "<title>Harbour</title><h1>Welcome back to Harbour</h1>")

    def __enter__(self) -> Harbour:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.stop()


class Lure(LiveServer):
    """A page of an attacker at ``localhost``, which is another site than 127.0.0.1. A context manager.

    :param body: its HTML.
    """

    def __init__(self, body: str):
        super().__init__(
            lambda environ, start_response: _page(start_response, f"<title>Prizes</title>{body}")
        )

    @property
    def address(self) -> str:
        return f"http://localhost:{self.start().port}/"


def form_that_sends_itself(action: str, fields: dict[str, str]) -> str:
    """Return HTML that posts a form to another site when it is loaded."""
    inputs = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in fields.items()
    )
    form = f'<form method="post" action="{escape(action)}">{inputs}</form>'
    return f"{form}<script>document.forms[0].submit()</script>"


def _page(start_response: StartResponse, text: str) -> Iterable[bytes]:
    data = f"<!DOCTYPE html><html lang=en>{text}".encode()
    start_response(
        "200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(data)))]
    )
    return [data]
