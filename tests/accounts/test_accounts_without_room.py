"""Accounts in a storage that has no room left."""

from __future__ import annotations

import json

from support.faulty_storage import FaultyStorage
from support.wsgi_client import call

from v1registry import Registry
from v1registry.storage.base import StorageFull


def test_registration_without_room_is_507_and_leaves_nothing() -> None:
    storage = FaultyStorage()
    app = Registry(storage=storage, auth="users:")
    user = json.dumps({"username": "alice", "password": "secret1", "email": "alice@example.org"}).encode()

    storage.fail("write", error=StorageFull("any", "No space left on device"))
    assert call(app, "POST", "/v1/users/", user, CONTENT_TYPE="application/json").status == 507

    storage.heal()
    assert call(app, "POST", "/v1/users/", user, CONTENT_TYPE="application/json").status == 201
