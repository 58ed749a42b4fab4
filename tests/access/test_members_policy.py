"""``policy = members``: users who are logged in may push and pull everything, all other callers nothing."""

from __future__ import annotations

import base64

import pytest
from support.cheap_passwords import CheapPasswords
from webtest import TestApp

from v1registry import MemoryStorage, Registry
from v1registry.accounts.users import UserStore


@pytest.fixture
def registry() -> Registry:
    storage = MemoryStorage()
    users = UserStore(storage, passwords=CheapPasswords())
    for name in ("mira", "zoe1"):
        users.create(name, "correct horse")
    return Registry(storage, auth=users, policy="members")


def basic(name: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:correct horse'.encode()).decode()}"}


PATHS = [
    "/v1/repositories/project/base/tags",
    "/v1/repositories/project/base/tags/1",
    "/v1/repositories/project/base/images",
]


def test_every_user_writes_and_reads_every_namespace(registry: Registry) -> None:
    client = TestApp(registry)
    client.put("/v1/repositories/project/base/", b"[]", headers=basic("mira"))
    client.put("/v1/repositories/library/base/", b"[]", headers=basic("mira"))
    client.put("/v1/repositories/project/base/properties", b'{"access": "private"}', headers=basic("zoe1"))

    assert client.get("/v1/repositories/project/base/images", headers=basic("zoe1")).json == []
    assert client.delete("/v1/repositories/project/base/", headers=basic("zoe1")).status_int == 200


@pytest.mark.parametrize("path", PATHS)
def test_anonymous_callers_read_nothing(path: str, registry: Registry) -> None:
    client = TestApp(registry)
    client.put("/v1/repositories/project/base/", b"[]", headers=basic("mira"))

    assert client.get(path, status="*").status_int in (401, 404)


def test_anonymous_callers_find_and_write_nothing(registry: Registry) -> None:
    client = TestApp(registry)
    client.put("/v1/repositories/project/base/", b"[]", headers=basic("mira"))

    assert client.get("/v1/search?q=").json["results"] == []
    assert client.get("/v1/search?q=", headers=basic("zoe1")).json["num_results"] == 1
    assert client.put("/v1/repositories/project/base/", b"[]", status="*").status_int == 401
    assert "project/base" not in client.get("/", headers={"Accept": "text/html"}).text
