"""The least that a WSGI application can do, to measure what a server costs.

``FLOOR_FOLDER`` names a folder for what is uploaded.

* ``GET /ping``: a small document.
* ``PUT /NAME``: writes the body to a file, and answers its size.
* ``GET /NAME``: sends the file.
* ``GET /headers``: the headers of the request as the application sees them.
* ``GET /busy``: computes for some tenths of a second, as a check of a password does.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

FOLDER = Path(os.environ["FLOOR_FOLDER"])
CHUNK_BYTES = 128 << 10


def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Answer a request."""
    name = environ["PATH_INFO"].strip("/")
    if environ["REQUEST_METHOD"] == "PUT":
        return _small(start_response, json.dumps(_store(environ, name)).encode())
    if name == "headers":
        seen = {key: value for key, value in environ.items() if key.startswith("HTTP_")}
        return _small(start_response, json.dumps(seen).encode())
    if name == "busy":
        hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 400_000)
    if name in ("busy", "ping"):
        return _small(start_response, b"true")
    file = (FOLDER / name).open("rb")
    size = os.fstat(file.fileno()).st_size
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(size))])
    wrapper = environ.get("wsgi.file_wrapper")
    return wrapper(file, CHUNK_BYTES) if wrapper else iter(lambda: file.read(CHUNK_BYTES), b"")


def _small(start_response: StartResponse, body: bytes) -> list[bytes]:
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK", [*headers, ("X-Docker-Token", "as-written")])
    return [body]


def _store(environ: dict[str, Any], name: str) -> int:
    """Write the body to a file that has its name at the end only, and return the size."""
    size, digest = 0, hashlib.sha256()
    with (FOLDER / f"{name}.part").open("wb", buffering=0) as file:
        for chunk in _chunks(environ):
            digest.update(chunk)
            file.write(chunk)
            size += len(chunk)
    (FOLDER / f"{name}.part").rename(FOLDER / name)
    return size


def _chunks(environ: dict[str, Any]) -> Iterator[bytes]:
    if not environ.get("CONTENT_LENGTH") and "uwsgi.version" in environ:
        import uwsgi  # exists only inside a uwsgi process

        yield from iter(uwsgi.chunked_read, b"")
        return
    left = int(environ.get("CONTENT_LENGTH") or 1 << 60)
    while left and (chunk := environ["wsgi.input"].read(min(CHUNK_BYTES, left))):
        left -= len(chunk)
        yield chunk
