"""What people and monitors ask without credentials: ping, status and the message of the root."""

from __future__ import annotations

import secrets
from contextlib import suppress

from ..storage.base import KeyNotFound, Storage, StorageError
from ..wsgi.responses import NOT_CACHED, Response, json_response, raw_json_response
from .services import Request


def ping(request: Request) -> Response:
    """Tell that this is a registry, and whether engines send it passwords."""
    standalone = request.services.access.standalone
    return raw_json_response(b"{}", headers=(*NOT_CACHED, ("X-Docker-Registry-Standalone", standalone)))


def status(request: Request) -> Response:
    """Tell whether the storage works; 503 if it does not (docker-registry 0.8.1, status.py)."""
    failures = {}
    try:
        try_storage(request.services.storage, is_read_only=not request.services.settings.is_writing)
    except StorageError as error:
        failures["storage"] = error.reason
    return json_response({"failures": failures, "services": ["storage"]}, 503 if failures else 200)


def root(request: Request) -> Response:
    """Return the setting ``message``."""
    return json_response(request.services.settings.message)


def try_storage(storage: Storage, *, is_read_only: bool) -> None:
    """Write, read back and remove a key; look for one if the registry is read-only.

    :raises StorageError: that fails.
    """
    key = f"_status/{secrets.token_hex(8)}"
    if is_read_only:
        with suppress(KeyNotFound):
            storage.stat(key)
        return
    storage.write(key, key.encode("ascii"))
    try:
        if storage.read(key)[0] != key.encode("ascii"):
            raise StorageError(key, "what was written is not what is read")
    finally:
        storage.delete(key)
