"""The token endpoint of the distribution API (DST-026)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from support.credentials import basic
from support.token_world import ABSENT, DIGEST, MISSING, PRIVATE, PUBLIC, TokenWorld, bearer, error_code
from support.wsgi_client import Answer

from v1registry import MemoryStorage, Registry


@pytest.fixture
def world() -> TokenWorld:
    return TokenWorld().fill()


def document_of(answer: Answer) -> dict[str, Any]:
    assert (answer.status, answer.header("Content-Type")) == (200, "application/json"), answer
    assert answer.header("Cache-Control") == "no-store"
    parsed: dict[str, Any] = json.loads(answer.body)
    assert parsed["token"] == parsed["access_token"]
    return parsed


def scope_of(answer: Answer) -> str:
    return str(document_of(answer)["scope"])


@pytest.mark.parametrize(
    "extra", [{}, {"offline_token": "true"}, {"account": "alice", "client_id": "docker"}]
)
def test_DST_026_get_gives_no_refresh_token(world: TokenWorld, extra: dict[str, str]) -> None:
    answer = world.answer_of_token(
        f"repository:{PUBLIC}:pull", headers=basic("alice"), service="localhost", **extra
    )
    document = document_of(answer)
    assert set(document) == {"token", "access_token", "scope", "expires_in", "issued_at"}
    assert document["expires_in"] == 300
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["issued_at"])
    assert re.fullmatch(r"[A-Za-z0-9._-]+", document["token"])


@pytest.mark.parametrize(
    ("user", "asked", "given"),
    [
        (None, f"repository:{PUBLIC}:pull,push", f"repository:{PUBLIC}:pull"),
        (None, f"repository:{PUBLIC}:*", f"repository:{PUBLIC}:pull"),
        (None, f"repository:{PRIVATE}:pull", ""),
        (None, f"repository:{MISSING}:pull", ""),
        ("robert", f"repository:{PRIVATE}:*", ""),
        ("robert", f"repository:{MISSING}:*", ""),
        ("robert", f"repository:{PUBLIC}:pull,push,delete", f"repository:{PUBLIC}:pull"),
        ("alice", f"repository:{PRIVATE}:*", f"repository:{PRIVATE}:pull,push,delete"),
        ("alice", f"repository:{MISSING}:pull,push", f"repository:{MISSING}:pull,push"),
        ("alice", "repository:app:pull,push", ""),
        ("root", "repository:library/app:push,pull", "repository:app:pull,push"),
        (None, "registry:catalog:*", "registry:catalog:*"),
        ("alice", f"repository(plugin):{PUBLIC}:pull", ""),
        ("alice", f"repository:{PUBLIC}:fly,pull,", f"repository:{PUBLIC}:pull"),
        ("alice", f"repository:{PUBLIC}:", ""),
        ("alice", "repository:alice/Upper:pull", ""),
        ("alice", "repository:localhost:5000/alice/app:pull", ""),
        ("alice", "registry:catalog:pull", ""),
        ("alice", ":", ""),
        ("alice", "", ""),
    ],
)
def test_DST_026_token_has_the_part_of_the_scope_that_the_caller_has(
    world: TokenWorld, user: str | None, asked: str, given: str
) -> None:
    assert scope_of(world.answer_of_token(asked, headers=basic(user) if user else None)) == given


def test_DST_026_several_scopes_are_accepted_in_both_forms(world: TokenWorld) -> None:
    asked = [f"repository:{PUBLIC}:pull", f"repository:{PRIVATE}:pull,push registry:catalog:*"]
    given = scope_of(world.answer_of_token(*asked, f"repository:{PUBLIC}:push", headers=basic("alice")))
    assert given == f"repository:{PUBLIC}:pull,push repository:{PRIVATE}:pull,push registry:catalog:*"


def test_token_with_the_most_scopes_fits_into_a_header(world: TokenWorld) -> None:
    names = [f"alice/{chr(97 + number) * 249}" for number in range(16)]
    token = world.token(*(f"repository:{name}:*" for name in names), headers=basic("alice"))
    assert len(token["Authorization"]) < 8000
    assert world.upload(names[15], token).status == 201
    refused = world.answer_of_token(*(f"repository:{name}:*" for name in [*names, PUBLIC]))
    assert (refused.status, error_code(refused)) == (400, "UNSUPPORTED")


@pytest.mark.parametrize(
    "headers",
    [
        basic("alice", "wrong"),
        basic("unknown"),
        {"Authorization": "Basic ="},
        {"Authorization": "Digest x"},
        bearer("a.b"),
    ],
)
def test_DST_026_wrong_credentials_are_401(world: TokenWorld, headers: dict[str, str]) -> None:
    answer = world.answer_of_token(f"repository:{PUBLIC}:pull", headers=headers)
    assert (answer.status, error_code(answer)) == (401, "UNAUTHORIZED")
    assert answer.header("WWW-Authenticate") == 'Basic realm="auth required"'


def test_failed_logins_at_the_token_endpoint_are_limited(world: TokenWorld) -> None:
    statuses = [
        world.ask("GET", "/v2/token", basic("alice", f"guess {number}"), REMOTE_ADDR="192.0.2.1").status
        for number in range(12)
    ]
    assert statuses == [401] * 11 + [429]
    posted = world.post_token(grant_type="password", username="alice", password="pw-alice")
    assert (posted.status, error_code(posted)) == (429, "TOOMANYREQUESTS")


def test_token_gives_no_further_token(world: TokenWorld) -> None:
    token = world.token(f"repository:{PUBLIC}:pull", headers=basic("alice"))
    assert world.answer_of_token(f"repository:{PRIVATE}:pull", headers=token).status == 401


def test_DST_026_posted_form_gives_a_token(world: TokenWorld) -> None:
    answer = world.post_token(
        grant_type="password",
        username="alice",
        password="pw-alice",
        client_id="containerd-client",
        service="localhost",
        scope=f"repository:{PRIVATE}:pull,push",
    )
    document = document_of(answer)
    assert "refresh_token" not in document
    assert document["scope"] == f"repository:{PRIVATE}:pull,push"
    assert world.blob(PRIVATE, bearer(document["access_token"])).status == 200


def offline_token(world: TokenWorld) -> str:
    answer = world.post_token(
        grant_type="password", username="alice", password="pw-alice", access_type="offline"
    )
    return str(document_of(answer)["refresh_token"])


def test_DST_026_refresh_token_gives_tokens_until_the_password_changes(world: TokenWorld) -> None:
    refresh_token = offline_token(world)
    fields = {
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
        "scope": f"repository:{PRIVATE}:pull",
    }
    document = document_of(world.post_token(**fields))
    assert "refresh_token" not in document
    assert world.blob(PRIVATE, bearer(document["token"])).status == 200
    assert document_of(world.post_token(**fields, access_type="offline"))["refresh_token"] == refresh_token
    world.users.set_password("alice", "another password")
    answer = world.post_token(**fields)
    assert (answer.status, error_code(answer)) == (401, "UNAUTHORIZED")


def test_refresh_token_ends_with_the_account(world: TokenWorld) -> None:
    fields = {"grant_type": "refresh_token", "refresh_token": offline_token(world)}
    world.users.set_active("alice", False)
    assert world.post_token(**fields).status == 401
    world.users.set_active("alice", True)
    assert world.post_token(**fields).status == 200
    world.users.delete("alice")
    assert world.post_token(**fields).status == 401


def test_access_and_refresh_tokens_do_not_replace_each_other(world: TokenWorld) -> None:
    token = world.token(f"repository:{PRIVATE}:pull", headers=basic("alice"))["Authorization"].split()[1]
    assert world.post_token(grant_type="refresh_token", refresh_token=token).status == 401
    assert world.blob(PRIVATE, bearer(offline_token(world))).status == 401


def test_application_gets_no_refresh_token(world: TokenWorld) -> None:
    access_token = world.access_token("alice", "repo_read")
    answer = world.post_token(
        grant_type="password", username="alice", password=access_token, access_type="offline"
    )
    assert "refresh_token" not in document_of(answer)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"grant_type": "password"},
        {"grant_type": "password", "username": "alice"},
        {"grant_type": "refresh_token"},
        {"grant_type": "authorization_code", "code": "x"},
    ],
)
def test_incomplete_form_is_400(world: TokenWorld, fields: dict[str, str]) -> None:
    answer = world.post_token(**fields)
    assert (answer.status, error_code(answer)) == (400, "UNSUPPORTED")


@pytest.mark.parametrize("body", [b"a=1&" * 200, b"\xff=%ff&grant_type=%00", b"&", b"scope=" + b"x" * 60_000])
def test_hostile_form_is_400(world: TokenWorld, body: bytes) -> None:
    answer = world.ask("POST", "/v2/token", body=body)
    assert (answer.status, error_code(answer)) == (400, "UNSUPPORTED")
    query = body.decode("latin-1")
    assert world.ask("GET", f"/v2/token?{query}").status in (200, 400)


def test_large_form_is_413(world: TokenWorld) -> None:
    answer = world.ask("POST", "/v2/token", body=b"x" * (65 << 10))
    assert (answer.status, error_code(answer)) == (413, "SIZE_INVALID")


def test_inactive_user_gets_403(world: TokenWorld) -> None:
    world.users.set_active("alice", False)
    answer = world.answer_of_token(f"repository:{PUBLIC}:pull", headers=basic("alice"))
    assert (answer.status, error_code(answer)) == (403, "DENIED")


def test_open_server_gives_a_token_to_every_caller() -> None:
    app = Registry(storage=MemoryStorage(), v2="on")
    world = TokenWorld(auth=None)
    for headers in (None, basic("anyone", "anything"), {"Authorization": "nonsense"}):
        token = world.token("repository:some/app:pull,push", headers=headers, app=app)
        assert world.ask("GET", f"/v2/some/app/blobs/{ABSENT}", token, app=app).status == 404
    posted = world.post_token(app, grant_type="password", username="x", password="y", access_type="offline")
    assert "refresh_token" not in document_of(posted)
    assert world.post_token(app, grant_type="refresh_token", refresh_token="x").status == 200
    assert world.ask("GET", "/v2/", bearer("expired.token"), app=app).status == 200


def test_server_behind_a_front_gives_tokens_to_its_users() -> None:
    app = Registry(storage=MemoryStorage(), auth="environ:REMOTE_USER", v2="on")
    world = TokenWorld()
    answer = world.ask("GET", "/v2/token?scope=repository:mira/app:pull,push", app=app, REMOTE_USER="mira")
    assert scope_of(answer) == "repository:mira/app:pull,push"
    token = bearer(document_of(answer)["token"])
    begun = world.ask("POST", f"/v2/mira/app/blobs/uploads/?digest={DIGEST}", token, b"x", app=app)
    assert (begun.status, error_code(begun)) == (400, "DIGEST_INVALID")
    assert world.ask("GET", "/v2/", app=app).status == 401
    assert world.ask("GET", "/v2/", app=app, REMOTE_USER="mira").status == 200
