"""``read_only = yes``: every request that changes something gets 403 and the reason; reads work."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from support.cheap_passwords import CheapPasswords
from support.engine_client import make_image
from support.faulty_storage import FaultyStorage
from webtest import TestApp

from v1registry import MemoryStorage, Registry
from v1registry.accounts.users import UserStore
from v1registry.wsgi.routing import Route

WORDS = "This registry is read-only"

MIRA = {"Authorization": f"Basic {base64.b64encode(b'mira:correct horse').decode()}"}

#: What a hole of a path is in a request that would change something.
FILLED = {
    "image_id": "a" * 64,
    "username": "mira",
    "token": "x",
    "grant_id": "x",
    "tag": "1",
    "upload_id": "0" * 32,
    "digest": f"sha256:{'0' * 64}",
    "reference": "1",
    "slashed_tag": "1/2",
    "repository": "mira/app",
    "two_part_repository": "mira/app",
    "unreserved_repository": "mira/app",
    "repository_named_tags": "mira/tags",
}


def registry_of(storage: MemoryStorage, **settings: Any) -> Registry:
    users = UserStore(storage, passwords=CheapPasswords())
    if users.find("mira") is None:
        users.create("mira", "correct horse", "mira@example.org")
    return Registry(storage, auth=users, oauth_http="allow", **settings)


def rows() -> list[Route]:
    """Return every row that is not a GET, of a server with all APIs, and those that change by GET."""
    registry = registry_of(MemoryStorage())
    return [route for route in registry.table if route.is_change]


@pytest.mark.parametrize("route", rows(), ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize("headers", [{}, MIRA], ids=["anonymous", "mira"])
def test_every_row_that_changes_something_is_403(route: Route, headers: dict[str, str]) -> None:
    path = route.path.removesuffix("[/]")
    for hole, value in FILLED.items():
        path = path.replace(f"{{{hole}}}", value)
    assert "{" not in path
    storage = MemoryStorage()
    client = TestApp(registry_of(storage, read_only=True))
    before = {stat.key: stat.etag for stat in storage.list("")}

    answer = client.request(
        path, method=route.method, headers={**headers, "Accept": "text/html"}, body=b"{}", expect_errors=True
    )

    assert answer.status_int == 403
    assert WORDS in answer.text
    assert {stat.key: stat.etag for stat in storage.list("")} == before


def test_only_these_rows_of_other_methods_than_get_are_no_changes() -> None:
    registry = registry_of(MemoryStorage())
    harmless = [f"{route.method} {route.path}" for route in registry.table
                if route.method != "GET" and not route.is_change]  # fmt: skip

    assert sorted(harmless) == [
        "POST /api/v1.1/o/introspect[/]",
        "POST /login[/]",
        "POST /logout[/]",
        "POST /v1/users[/]",
        "POST /v2/token",
        "PUT /v1/repositories/{repository}/auth",
    ]


@pytest.mark.parametrize("auth", ["open:", "users:"])
def test_reads_work_and_pushes_are_told_why(auth: str) -> None:
    storage = MemoryStorage()
    image = make_image(b"layer")
    writer = TestApp(Registry(storage))
    headers = {"X-Docker-Checksum-Payload": image.payload_checksum}
    writer.put("/v1/repositories/mira/app/", b"[]")
    for part, body in (("json", image.json), ("layer", image.layer), ("checksum", b"")):
        writer.put(f"/v1/images/{image.image_id}/{part}", body, headers=headers)
    writer.put("/v1/repositories/mira/app/tags/1", f'"{image.image_id}"'.encode())

    reader = TestApp(Registry(storage, auth=auth, read_only="yes"))

    assert reader.get("/v1/repositories/mira/app/tags").json == {"1": image.image_id}
    asked = reader.get("/v1/repositories/mira/app/images", headers={"X-Docker-Token": "true"})
    token = {"Authorization": f"Token {asked.headers.get('X-Docker-Token', '')}"}
    assert reader.get(f"/v1/images/{image.image_id}/layer", headers=token).body == image.layer
    answer = reader.put("/v1/repositories/mira/new/", b"[]", status=403)
    assert f"{WORDS}: nothing can be pushed, changed or deleted here" in answer.text
    assert reader.delete("/v1/repositories/mira/app/", status=403).status_int == 403


def test_engines_and_people_still_log_in() -> None:
    client = TestApp(registry_of(MemoryStorage(), read_only=True))

    # docker login of 0.6 to 1.10 registers first, and goes on only after this answer
    body = b'{"username": "mira", "password": "correct horse", "email": "mira@example.org"}'
    answer = client.post("/v1/users/", body, status=400)
    assert answer.json == "Username or email already exists"
    assert client.get("/v1/users/", headers=MIRA).status_int == 200
    form = client.get("/login").form
    form["username"], form["password"] = "mira", "correct horse"
    assert form.submit().status_int == 303
    assert "mira" in client.get("/account").text


def test_registration_is_refused_with_the_reason() -> None:
    client = TestApp(registry_of(MemoryStorage(), read_only=True))
    body = b'{"username": "zoe1", "password": "correct horse", "email": "zoe@example.org"}'

    assert client.post("/v1/users/", body, status=403).json.startswith(WORDS)


def test_the_status_of_a_read_only_registry_needs_no_write() -> None:
    storage = FaultyStorage()
    storage.fail("write")

    assert TestApp(Registry(storage, read_only=True)).get("/_status").json["failures"] == {}
    assert TestApp(Registry(storage)).get("/_status", status=503).json["failures"]


def test_a_status_reports_a_storage_that_cannot_be_read() -> None:
    storage = FaultyStorage()
    storage.fail("stat")

    assert TestApp(Registry(storage, read_only=True)).get("/_status", status=503).json["failures"]


def test_the_refused_body_of_an_upload_is_not_stored() -> None:
    storage = MemoryStorage()
    client = TestApp(Registry(storage, read_only=True))

    client.put(f"/v1/images/{'a' * 64}/layer", b"x" * 1000, status=403)

    assert list(storage.list("")) == []
