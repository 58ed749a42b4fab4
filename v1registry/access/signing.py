"""The key that signs tokens: made once, shared by all processes over one storage."""

from __future__ import annotations

import secrets

from ..storage.base import ABSENT, Conflict, NotFound, Storage

SECRET_KEY = "accounts/secret"  # noqa: S105  the name of a key in the storage


def shared_secret(storage: Storage) -> str:
    """Return the storage's signing key, making it where there is none. Of several processes that do, one wins."""
    try:
        return storage.read(SECRET_KEY).decode("ascii")
    except NotFound:
        pass
    made = secrets.token_hex(32)
    try:
        storage.write(SECRET_KEY, made.encode("ascii"), expect=ABSENT)
    except Conflict:
        return storage.read(SECRET_KEY).decode("ascii")
    return made
