"""Credentials and challenges below ``/v2/`` on a server with accounts (DST-001)."""

from __future__ import annotations

from typing import Any

import pytest
from support.credentials import basic
from support.token_world import (
    DIGEST,
    PRIVATE,
    PUBLIC,
    TokenWorld,
    bearer,
    challenge_of,
    error_code,
)

from v1registry import MemoryStorage, Registry

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
