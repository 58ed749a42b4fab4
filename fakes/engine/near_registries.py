"""Calls of a registry whose live port is in the process of the engine, without the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from ..faults.connection_cuts import ConnectionCut
from ..in_process import CHUNK_BYTES, Answer, RequestBody
from ..server import server_at
from ..session import WSGIAdapter


class _NearAdapter(WSGIAdapter):
    """Calls the application of a live port as the port does."""

    def _end(self, body: RequestBody) -> None:
        # over a port all of it would be sent; the caller finds an error of its source in the body
        with suppress(Exception):
            while body.read(CHUNK_BYTES):
                pass

    def _body(self, answer: Answer) -> Iterator[bytes]:
        try:
            yield from answer
        except ConnectionCut:
            # a port closes the connection, and a client notices the missing bytes
            if not any(name.lower() == "content-length" for name, _ in answer.headers):
                raise


def near_adapter(host: str) -> WSGIAdapter | None:
    """Return what calls the registry at ``HOST:PORT`` of this process, None if there is none.

    A port with TLS is called over the network, because certificates are a part of what it tests.
    """
    server = server_at(host)
    return None if server is None else _NearAdapter(server.serve)
