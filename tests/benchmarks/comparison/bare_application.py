"""The least that a WSGI application can do: what a server costs, and what a disk and SHA-256 cost below it.

``BARE_FOLDER`` names a folder for what is uploaded.

* ``GET /v1/_ping``: a constant document, by WebOb's request and response.
* ``GET /NAME``: a file. One of at most 64 KiB is read and goes through WebOb, a larger one is sent as it is.
* ``PUT /NAME``: the body is hashed, written, synced and renamed; the folder is synced.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import webob

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

FOLDER = Path(os.environ["BARE_FOLDER"])
CHUNK_BYTES = 128 << 10
SMALL_BYTES = 64 << 10


def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Answer a request."""
    path = environ["PATH_INFO"]
    if path == "/v1/_ping":
        return _small(environ, start_response, b"true")
    target = FOLDER / path.strip("/").replace("/", ",")
    if environ["REQUEST_METHOD"] == "PUT":
        _store(environ, target)
        return _small(environ, start_response, b"true")
    size = target.stat().st_size
    if size <= SMALL_BYTES:
        return _small(environ, start_response, target.read_bytes())
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(size))])
    file = target.open("rb")
    wrapper = environ.get("wsgi.file_wrapper")
    return wrapper(file, CHUNK_BYTES) if wrapper else iter(lambda: file.read(CHUNK_BYTES), b"")


def _small(environ: dict[str, Any], start_response: StartResponse, body: bytes) -> Iterable[bytes]:
    request = webob.Request(environ)
    response = webob.Response(body=body, content_type="application/json")
    if request.method == "HEAD":
        response.body = b""
    return response(environ, start_response)


def _store(environ: dict[str, Any], target: Path) -> None:
    digest = hashlib.sha256()
    part = target.with_suffix(".part")
    with part.open("wb", buffering=0) as file:
        for chunk in _chunks(environ):
            digest.update(chunk)
            file.write(chunk)
        os.fsync(file.fileno())
    part.rename(target)
    folder = os.open(FOLDER, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _chunks(environ: dict[str, Any]) -> Iterator[bytes]:
    left = int(environ.get("CONTENT_LENGTH") or 1 << 60)
    while left and (chunk := environ["wsgi.input"].read(min(CHUNK_BYTES, left))):
        left -= len(chunk)
        yield chunk
