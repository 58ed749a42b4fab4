"""A WSGI application that passes requests on to a server, so that clients of applications can ask it."""

from __future__ import annotations

import http.client
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_TIMEOUT_S = 60


class Forwarding:
    """Passes each request on, on a connection of its own.

    :param host: the server, as ``127.0.0.1:PORT``.
    """

    def __init__(self, host: str):
        self.host = host

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = quote(environ["PATH_INFO"].encode("latin-1"))
        query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
        headers = {
            name[5:].replace("_", "-").title(): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        headers |= {"Host": self.host, "Connection": "close"}
        if "CONTENT_TYPE" in environ:
            headers["Content-Type"] = environ["CONTENT_TYPE"]
        body: Any = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        connection = http.client.HTTPConnection(self.host, timeout=_TIMEOUT_S)
        try:
            connection.request(environ["REQUEST_METHOD"], path + query, body, headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        start_response(f"{answer.status} {answer.reason}", answer.getheaders())
        return [data]
