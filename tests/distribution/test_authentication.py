"""Challenges and credentials below ``/v2/`` on a server with accounts (DST-001, 007, 025, 027, 033, 034)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.backends import UnavailableBackend
from support.clock import Clock
from support.credentials import basic, token_header
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

from v1registry import MemoryStorage, Registry
from v1registry.access.distribution_tokens import DistributionTokens, Scope
from v1registry.names import RepositoryName
from v1registry.rights import Action, User

REALM = "http://localhost/v2/token"


@pytest.fixture
def world() -> TokenWorld:
    return TokenWorld().fill()


def pull(name: str) -> str:
    return f"repository:{name}:pull"


# -- GET /v2/


def test_DST_001_open_server_answers_every_caller() -> None:
    world, app = TokenWorld(), Registry(storage=MemoryStorage(), v2="on")
    for headers in ({}, basic("x", "y"), {"Authorization": "nonsense"}, bearer("a.b"), bearer("a")):
        answer = world.ask("GET", "/v2/", headers, app=app)
        assert (answer.status, answer.body) == (200, b"{}")
        assert answer.header("Docker-Distribution-API-Version") is None


@pytest.mark.parametrize("path", ["/v2/", "/v2"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_DST_001_right_credentials_are_accepted(world: TokenWorld, method: str, path: str) -> None:
    access_token = world.access_token("alice", "repo_read")
    for headers in (
        basic("alice"),
        basic("alice", access_token),
        bearer(access_token),
        world.token(headers=basic("alice")),
        world.token(),
    ):
        assert world.ask(method, path, headers).status == 200


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({}, None),
        ({"Authorization": "Basic Og=="}, None),
        ({"Authorization": "Token"}, None),
        (basic("alice", "wrong"), None),
        (basic("unknown"), None),
        ({"Authorization": "Digest x"}, None),
        ({"Authorization": 'Token signature=x,repository="a/b",access=read'}, None),
        (bearer("expired.token"), "invalid_token"),
        (bearer("unknown"), "invalid_token"),
        ({"Authorization": "Bearer"}, "invalid_token"),
    ],
)
def test_DST_001_other_credentials_get_a_challenge(
    world: TokenWorld, headers: dict[str, str], error: str | None
) -> None:
    fields = challenge_of(world.ask("GET", "/v2/", headers))
    expected = {"realm": REALM, "service": "localhost"}
    assert fields == (expected if error is None else {**expected, "error": error})


def test_CLI_017_inactive_user_is_refused(world: TokenWorld) -> None:
    world.users.set_active("alice", False)
    answer = world.ask("GET", "/v2/", basic("alice"))
    assert (answer.status, error_code(answer)) == (403, "DENIED")


def test_wrong_passwords_below_v2_are_limited(world: TokenWorld) -> None:
    statuses = [world.blob(PUBLIC, basic("alice", f"guess {number}")).status for number in range(12)]
    assert statuses == [401] * 11 + [429]


# -- the challenge


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", f"/v2/{PRIVATE}/blobs/{DIGEST}", f"repository:{PRIVATE}:pull,push"),
        ("POST", f"/v2/{PUBLIC}/blobs/uploads/", f"repository:{PUBLIC}:pull,push"),
        ("DELETE", f"/v2/{PUBLIC}/blobs/uploads/0", f"repository:{PUBLIC}:pull,push,delete"),
        ("POST", "/v2/app/blobs/uploads/", "repository:app:pull,push"),
    ],
)
def test_challenge_names_the_scope(world: TokenWorld, method: str, path: str, scope: str) -> None:
    fields = challenge_of(world.ask(method, path))
    assert fields == {"realm": REALM, "service": "localhost", "scope": scope}


@pytest.mark.parametrize(
    ("settings", "environ", "realm", "service"),
    [
        ({}, {"HTTP_HOST": "hub:5000"}, "http://hub:5000/v2/token", "hub:5000"),
        ({}, {"SCRIPT_NAME": "/a \"b"}, "http://localhost/a%20%22b/v2/token", "localhost"),
        ({}, {"HTTP_X_FORWARDED_HOST": "evil"}, REALM, "localhost"),
        (
            {"trusted_proxies": "192.0.2.1"},
            {"REMOTE_ADDR": "192.0.2.1", "HTTP_X_FORWARDED_HOST": "hub", "HTTP_X_FORWARDED_PROTO": "https"},
            "https://hub/v2/token",
            "hub",
        ),
        ({"public_url": "https://hub/docker/"}, {}, "https://hub/docker/v2/token", "hub"),
        ({"public_url": 'https://hub/a"\\b\u20ac'}, {}, "https://hub/a%22%5Cb%E2%82%AC/v2/token", "hub"),
    ],
)  # fmt: skip
def test_challenge_names_the_address_that_clients_use(
    world: TokenWorld, settings: dict[str, Any], environ: dict[str, Any], realm: str, service: str
) -> None:
    fields = challenge_of(world.ask("GET", "/v2/", app=world.another_app(**settings), **environ))
    assert (fields["realm"], fields["service"]) == (realm, service)


@pytest.mark.parametrize("host", ['x",error="y', "a\r\nX: y", "a b", "\xff", "a/b"])
def test_invalid_host_gets_no_challenge(world: TokenWorld, host: str) -> None:
    for path in ("/v2/", "/v2/token", f"/v2/{PRIVATE}/blobs/{DIGEST}"):
        answer = world.ask("GET", path, HTTP_HOST=host)
        assert (answer.status, error_code(answer)) == (400, "UNSUPPORTED")


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


# -- what a token is good for


def test_DST_027_token_is_good_for_its_repository_and_action(world: TokenWorld) -> None:
    token = world.token(pull(PUBLIC), headers=basic("alice"))
    assert world.blob(PUBLIC, token).status == 200
    for answer in (world.blob(PRIVATE, token), world.upload(PUBLIC, token)):
        assert challenge_of(answer)["error"] == "insufficient_scope"
    delete = world.ask("DELETE", f"/v2/{PUBLIC}/blobs/uploads/0", token)
    assert challenge_of(delete)["scope"] == f"repository:{PUBLIC}:pull,push,delete"


def test_token_lets_its_bearer_do_what_anonymous_callers_may(world: TokenWorld) -> None:
    assert world.blob(PUBLIC, world.token(pull(PRIVATE), headers=basic("alice"))).status == 200
    assert world.blob(PUBLIC, world.token()).status == 200


def test_names_with_and_without_library_are_one_in_a_scope(world: TokenWorld) -> None:
    for scope, name in (("repository:app:push", "library/app"), ("repository:library/app:push", "app")):
        assert world.upload(name, world.token(scope, headers=basic("root"))).status == 201


def change_password(world: TokenWorld) -> None:
    world.users.set_password("alice", "another password")


def deactivate(world: TokenWorld) -> None:
    world.users.set_active("alice", False)


def delete(world: TokenWorld) -> None:
    world.users.delete("alice")


def replace(world: TokenWorld) -> None:
    world.users.delete("alice")
    world.users.create("alice", "pw-alice")


@pytest.mark.parametrize("change", [change_password, deactivate, delete, replace])
def test_DST_027_token_ends_with_the_account(world: TokenWorld, change: Callable[[TokenWorld], None]) -> None:
    token = world.token(pull(PRIVATE), headers=basic("alice"))
    assert world.blob(PRIVATE, token).status == 200
    change(world)
    for path in (f"/v2/{PRIVATE}/blobs/{DIGEST}", "/v2/"):
        assert challenge_of(world.ask("GET", path, token))["error"] == "invalid_token"


def test_token_has_the_rights_that_its_user_has_now(world: TokenWorld) -> None:
    token = world.token(f"repository:{PRIVATE}:*", headers=basic("root"))
    assert world.upload(PRIVATE, token).status == 201
    world.users.set_administrator("root", False)
    assert world.blob(PRIVATE, token).status == 404


def test_DST_027_tokens_of_v1_and_v2_do_not_replace_each_other(world: TokenWorld) -> None:
    headers = {**basic("alice"), "X-Docker-Token": "true"}
    announced = world.ask("PUT", f"/v1/repositories/{PUBLIC}/", headers, b"[]")
    old = str(announced.header("X-Docker-Token"))
    assert world.ask("GET", f"/v1/repositories/{PUBLIC}/images", token_header(old)).status == 200
    challenge_of(world.blob(PUBLIC, token_header(old)))
    signature = old.partition(",")[0].removeprefix("signature=")
    assert challenge_of(world.blob(PUBLIC, bearer(signature)))["error"] == "invalid_token"
    new = world.token(f"repository:{PUBLIC}:*", headers=basic("alice"))["Authorization"].split()[1]
    for header in (f'Token signature={new},repository="{PUBLIC}",access=read', f"Bearer {new}"):
        answer = world.ask("GET", f"/v1/repositories/{PUBLIC}/images", {"Authorization": header})
        assert answer.status in (400, 401)


def test_token_is_good_for_its_service_alone(world: TokenWorld) -> None:
    token = world.token(pull(PRIVATE), headers=basic("alice"))
    path = f"/v2/{PRIVATE}/blobs/{DIGEST}"
    assert world.ask("GET", path, token, HTTP_HOST="LOCALHOST").status == 200
    answer = world.ask("GET", path, token, HTTP_HOST="other.example.org")
    assert challenge_of(answer)["error"] == "invalid_token"


def test_token_of_another_key_is_invalid(world: TokenWorld) -> None:
    forged = world.token(pull(PRIVATE), headers=basic("alice"), app=world.another_app(secret="f" * 32))
    assert challenge_of(world.blob(PRIVATE, forged))["error"] == "invalid_token"


def test_DST_027_token_expires() -> None:
    clock = Clock()
    tokens = DistributionTokens(["the-key-of-the-tests"], lifetime_s=300, refresh_lifetime_s=900, clock=clock)
    scope = Scope({RepositoryName("alice", "app"): frozenset({Action.READ})}, has_catalog=True)
    token, issued_at_s, lifetime_s = tokens.issue(scope, User("alice"), service="Hub", mark="mark")
    refresh_token = tokens.issue_refresh("alice", service="Hub", mark="mark")
    assert (issued_at_s, lifetime_s) == (int(clock.now_s), 300)
    clock.now_s += 299
    found = tokens.verify(token, "hub")
    assert found is not None
    assert (found.scope, found.user, found.mark) == (scope, User("alice"), "mark")
    clock.now_s += 1
    assert tokens.verify(token, "hub") is None
    clock.now_s += 599
    assert tokens.verify_refresh(refresh_token, "hub") is not None
    clock.now_s += 1
    assert tokens.verify_refresh(refresh_token, "hub") is None


def test_lifetimes_of_tokens_are_settings(world: TokenWorld) -> None:
    answer = world.answer_of_token(app=world.another_app(v2_token_lifetime_s=60))
    assert json.loads(answer.body)["expires_in"] == 60


def test_backend_that_cannot_answer_is_503() -> None:
    world = TokenWorld(auth=UnavailableBackend())
    for path in ("/v2/", "/v2/token"):
        answer = world.ask("GET", path, basic("alice"))
        assert (answer.status, error_code(answer)) == (503, "UNAVAILABLE")


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


# -- modes


def test_DST_033_pull_mode_refuses_every_change(world: TokenWorld) -> None:
    app = world.another_app(v2="pull")
    uploads = f"/v2/{PUBLIC}/blobs/uploads/"
    for method, path in (
        ("POST", uploads),
        ("PATCH", f"{uploads}0123"),
        ("PUT", f"{uploads}0123"),
        ("DELETE", f"{uploads}0123"),
        ("DELETE", f"/v2/{PUBLIC}/blobs/{DIGEST}"),
    ):
        answer = world.ask(method, path, basic("alice"), app=app)
        assert (answer.status, error_code(answer)) == (405, "UNSUPPORTED"), (method, path)
    assert world.ask("GET", f"/v2/{PUBLIC}/blobs/{DIGEST}", app=app).status == 200
    assert world.ask("GET", "/v2/token", app=app).status == 200


def test_read_only_server_gives_tokens_and_refuses_changes(world: TokenWorld) -> None:
    app = world.another_app(read_only=True)
    assert world.post_token(app, grant_type="password", username="alice", password="pw-alice").status == 200
    answer = world.ask("POST", f"/v2/{PUBLIC}/blobs/uploads/", basic("alice"), app=app)
    assert (answer.status, error_code(answer)) == (403, "DENIED")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/x", 404),
        ("POST", "/v2/alice/app/nothing/here", 404),
        ("GET", "/v2/\xff", 400),
        ("BREW", "/v2/", 405),
        ("PUT", "/v2/token", 405),
        ("PATCH", f"/v2/{PUBLIC}/blobs/{DIGEST}", 405),
        ("GET", f"/v2/alice/Upper/blobs/{DIGEST}", 400),
        ("GET", f"/v2/{PUBLIC}/blobs/sha256:x", 400),
    ],
)
@pytest.mark.parametrize("user", [None, "alice"])
def test_DST_034_failures_have_the_form_of_v2(
    world: TokenWorld, method: str, path: str, status: int, user: str | None
) -> None:
    answer = world.ask(method, path, {**(basic(user) if user else {}), "Accept": "text/html"})
    assert answer.status == status
    error_code(answer)
