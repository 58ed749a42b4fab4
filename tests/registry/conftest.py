"""An open registry over each storage, and a client of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.object_storages import storage_of_kind
from support.wsgi_client import Client

from v1registry import Registry, Storage


@pytest.fixture(params=["memory", "file"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return storage_of_kind(request.param, tmp_path / "data")


@pytest.fixture
def app(storage: Storage) -> Registry:
    return Registry(storage=storage)


#: A token is one client's own, so what the client sends is one push. Without it all clients share a push.
OWN_KEY = 'Token signature=one,repository="foo/bar",access=write'


@pytest.fixture
def client(app: Registry) -> Client:
    return Client(app, HTTP_AUTHORIZATION=OWN_KEY)
