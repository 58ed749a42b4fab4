"""Who may do what below ``/v2/`` on a server with accounts (DST-007, DST-025)."""

from __future__ import annotations

import json

import pytest
from support.credentials import basic
from support.token_world import (
    ABSENT,
    DIGEST,
    MISSING,
    PRIVATE,
    PUBLIC,
    TokenWorld,
    bearer,
    challenge_of,
    error_code,
)

REALM = "http://localhost/v2/token"


@pytest.fixture
def world() -> TokenWorld:
    return TokenWorld().fill()


def pull(name: str) -> str:
    return f"repository:{name}:pull"


# -- rights


@pytest.mark.parametrize(
    ("user", "public", "private", "missing"),
    [(None, 200, 401, 401), ("robert", 200, 404, 404), ("alice", 200, 200, 404), ("root", 200, 200, 404)],
)
@pytest.mark.parametrize("kind", ["basic", "token"])
def test_DST_025_private_repository_looks_missing(
    world: TokenWorld, kind: str, user: str | None, public: int, private: int, missing: int
) -> None:
    headers = basic(user) if user else {}
    if kind == "token":
        headers = world.token(pull(PUBLIC), pull(PRIVATE), pull(MISSING), headers=headers)
    assert world.blob(PUBLIC, headers).status == public
    assert world.blob(PRIVATE, headers).status == private
    assert world.blob(MISSING, headers).status == missing
    if private != 200:
        hidden, absent = world.blob(PRIVATE, headers), world.blob(MISSING, headers)
        assert hidden.body == absent.body
        named = str(hidden.header("WWW-Authenticate"))
        assert named.replace(PRIVATE, MISSING) == str(absent.header("WWW-Authenticate"))


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("tags/list", 200),
        ("manifests/latest", 404),
        (f"manifests/{ABSENT}", 404),
        (f"blobs/{ABSENT}", 404),
        (f"referrers/{ABSENT}", 200),
    ],
)
@pytest.mark.parametrize("user", [None, "robert"])
def test_DST_025_everything_in_a_private_repository_looks_missing(
    world: TokenWorld, user: str | None, what: str, found: int
) -> None:
    for headers in (basic(user) if user else {}, world.token(headers=basic(user) if user else {})):
        hidden, absent, public = (
            world.ask("GET", f"/v2/{name}/{what}", headers) for name in (PRIVATE, MISSING, PUBLIC)
        )
        assert (hidden.status, hidden.body) == (absent.status, absent.body)
        assert hidden.status == (404 if user else 401)
        assert public.status == found


def test_DST_025_catalog_has_what_the_caller_may_see(world: TokenWorld) -> None:
    def names(headers: dict[str, str]) -> list[str]:
        answer = world.ask("GET", "/v2/_catalog", headers)
        assert answer.status == 200, answer
        found: list[str] = json.loads(answer.body)["repositories"]
        return found

    catalog = "registry:catalog:*"
    assert challenge_of(world.ask("GET", "/v2/_catalog"))["scope"] == catalog
    narrow = challenge_of(world.ask("GET", "/v2/_catalog", world.token(headers=basic("alice"))))
    assert narrow["error"] == "insufficient_scope"
    assert names(world.token(catalog)) == names(basic("robert")) == [PUBLIC]
    assert names(world.token(catalog, headers=basic("alice"))) == names(basic("alice")) == [PUBLIC, PRIVATE]


def test_missing_blob_of_a_public_repository_is_404_for_all(world: TokenWorld) -> None:
    for headers in ({}, world.token(pull(PUBLIC)), basic("robert")):
        answer = world.blob(PUBLIC, headers, ABSENT)
        assert (answer.status, error_code(answer)) == (404, "BLOB_UNKNOWN")


@pytest.mark.parametrize(("user", "status"), [(None, 401), ("robert", 403), ("alice", 201), ("root", 201)])
@pytest.mark.parametrize("name", [PUBLIC, PRIVATE, MISSING])
def test_pushing_needs_the_right_to_write(
    world: TokenWorld, user: str | None, status: int, name: str
) -> None:
    answer = world.upload(name, basic(user) if user else None)
    assert answer.status == status
    if status >= 400:
        assert error_code(answer) == ("UNAUTHORIZED" if status == 401 else "DENIED")
        by_token = world.upload(
            name, world.token(f"repository:{name}:*", headers=basic(user) if user else None)
        )
        assert by_token.status == status


@pytest.mark.parametrize(
    ("scopes", "reading", "writing"),
    [(["repo_read"], 200, 403), (["repo_write"], 200, 201), (["profile_read"], 403, 403)],
)
def test_application_does_what_its_scopes_allow(
    world: TokenWorld, scopes: list[str], reading: int, writing: int
) -> None:
    access_token = world.access_token("alice", *scopes)
    asked = f"repository:{PRIVATE}:*"
    for headers in (
        bearer(access_token),
        basic("alice", access_token),
        world.token(asked, headers=bearer(access_token)),
        world.token(asked, headers=basic("alice", access_token)),
    ):
        assert world.blob(PRIVATE, headers).status == reading
        assert world.upload(PRIVATE, headers).status == writing


def test_application_has_no_rights_of_an_administrator(world: TokenWorld) -> None:
    access_token = world.access_token("root", "repo_write")
    token = world.token(f"repository:{PRIVATE}:*", headers=bearer(access_token))
    for headers in (bearer(access_token), basic("root", access_token), token):
        assert world.blob(PRIVATE, headers).status == 404
        assert world.upload(PUBLIC, headers).status == 403


def test_access_token_is_the_password_of_its_user_alone(world: TokenWorld) -> None:
    assert world.ask("GET", "/v2/", basic("robert", world.access_token("alice", "repo_read"))).status == 401


def test_access_token_over_plain_http_is_400(world: TokenWorld) -> None:
    access_token, app = world.access_token("alice", "repo_read"), world.another_app(oauth_http="refuse")
    for headers in (bearer(access_token), basic("alice", access_token)):
        answer = world.ask("GET", "/v2/", headers, app=app)
        assert (answer.status, error_code(answer)) == (400, "UNSUPPORTED")
    token = world.token(pull(PRIVATE), headers=basic("alice"), app=app)
    assert world.ask("GET", "/v2/", token, app=app).status == 200


def test_token_of_an_application_ends_with_its_access_token(world: TokenWorld) -> None:
    access_token = world.access_token("alice", "repo_read")
    token = world.token(pull(PRIVATE), headers=bearer(access_token))
    assert world.blob(PRIVATE, token).status == 200
    grants = world.app.grants
    (grant,) = grants.of_user("alice")
    grants.revoke("alice", grant.id)
    assert challenge_of(world.blob(PRIVATE, token))["error"] == "invalid_token"


# -- mounts


def mount(world: TokenWorld, source: str, headers: dict[str, str]) -> int:
    path = f"/v2/robert/copy/blobs/uploads/?mount={DIGEST}&from={source}"
    return world.ask("POST", path, headers).status


def test_DST_007_mount_needs_the_right_to_read_the_source(world: TokenWorld) -> None:
    assert mount(world, PRIVATE, basic("robert")) == 202
    assert mount(world, MISSING, basic("robert")) == 202
    assert world.blob("robert/copy", basic("robert")).status == 404
    assert mount(world, PUBLIC, basic("robert")) == 201
    assert world.blob("robert/copy", basic("robert")).status == 200


def test_DST_007_mount_by_token_needs_the_source_in_its_scope(world: TokenWorld) -> None:
    target = "repository:robert/copy:pull,push"
    assert mount(world, PRIVATE, world.token(target, headers=basic("root"))) == 202
    assert mount(world, PRIVATE, world.token(target, pull(PRIVATE), headers=basic("root"))) == 201
