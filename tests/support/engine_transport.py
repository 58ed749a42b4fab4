"""A transport for engines to a WSGI application."""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Mapping
from typing import Any

from support import engine_client
from support.wsgi_client import call


def transport_of(app: Any) -> engine_client.Transport:
    """Return a transport to an application for an engine."""

    def send(
        method: str, path: str, body: bytes | Iterable[bytes] | None, headers: Mapping[str, str]
    ) -> engine_client.Answer:
        data = body if isinstance(body, bytes) else b"".join(body or ())
        environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        environ.pop("HTTP_CONTENT_LENGTH", None)
        if "HTTP_CONTENT_TYPE" in environ:
            environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE")
        answer = call(app, method, path, data, **environ)
        message = http.client.HTTPMessage()
        for name, value in answer.headers:
            message[name] = value
        return engine_client.Answer(answer.status, message, answer.body)

    return send
