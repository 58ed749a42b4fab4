"""Revocation, introspection and metadata (RFC 7009, 7662, 8414)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.credentials import basic
from support.oauth_world import BACK, ApplicationClient, OAuthWorld, oauth_error
from support.wsgi_client import Client, call

from v1registry import MemoryStorage, Registry

REVOKE = "/api/v1.1/o/revoke_token/"
INTROSPECT = "/api/v1.1/o/introspect/"
ISSUER_PATH = "/api/v1.1/o"
METADATA = f"/.well-known/oauth-authorization-server{ISSUER_PATH}"


@pytest.fixture
def world() -> OAuthWorld:
    return OAuthWorld()


def application(
    world: OAuthWorld, ci: ApplicationClient, client_id: str, **options: Any
) -> ApplicationClient:
    """Return a different application of the same server."""
    _, secret = world.applications.add(client_id.title(), [BACK], client_id=client_id, **options)
    return ApplicationClient(ci.client.app, client_id, secret)


# -- revocation


@pytest.mark.parametrize(
    "hint",
    [{}, {"token_type_hint": "access_token"}, {"token_type_hint": "refresh_token"}, {"token_type_hint": "x"}],
)
@pytest.mark.parametrize("path", [REVOKE, REVOKE.rstrip("/")])
def test_revoked_access_token_ends_alone(
    world: OAuthWorld, ci: ApplicationClient, path: str, hint: dict[str, str]
) -> None:
    issued = world.tokens()
    answer = ci.post(path, {"token": issued.access_token, **hint})
    assert (answer.status_int, answer.body, answer.headers["Cache-Control"]) == (200, b"", "no-store")
    assert world.grants.verify(issued.access_token) is None
    assert ci.refresh(issued.refresh_token).status_int == 200


def test_revoked_refresh_token_ends_the_grant(world: OAuthWorld, ci: ApplicationClient) -> None:
    first = world.tokens()
    second = ci.refresh(first.refresh_token).json
    assert ci.post_json(REVOKE, {"token": second["refresh_token"]}).status_int == 200
    for token in (first.access_token, second["access_token"]):
        assert world.grants.verify(token) is None
    assert oauth_error(ci.refresh(second["refresh_token"])) == (400, "invalid_grant")


@pytest.mark.parametrize("token", ["x", "a" * 30, "é", "../x", "\x00", "a" * 5000])
def test_revocation_of_an_invalid_token_is_200(world: OAuthWorld, ci: ApplicationClient, token: str) -> None:
    assert ci.post(REVOKE, {"token": token}).status_int == 200


def test_token_of_a_different_application_is_not_revoked(world: OAuthWorld, ci: ApplicationClient) -> None:
    issued, other = world.tokens(), application(world, ci, "other")
    trusted = application(world, ci, "trusted", is_trusted=True)
    for token in (issued.access_token, issued.refresh_token):
        for client in (other, trusted):
            assert oauth_error(client.post(REVOKE, {"token": token})) == (400, "invalid_grant")
        for headers in ({}, basic("ci-bot", "wrong")):
            assert oauth_error(ci.post(REVOKE, {"token": token}, headers)) == (401, "invalid_client")
    assert world.grants.verify(issued.access_token) is not None


def test_public_application_revokes_its_tokens(world: OAuthWorld, ci: ApplicationClient) -> None:
    public = world.add("app", is_public=True)
    issued = world.grants.redeem(world.code(application=public), public)
    answer = ci.post(REVOKE, {"token": issued.refresh_token, "client_id": "app"}, {})
    assert answer.status_int == 200
    assert world.grants.verify(issued.access_token) is None


@pytest.mark.parametrize("path", [REVOKE, INTROSPECT])
def test_missing_token_is_invalid_request(world: OAuthWorld, ci: ApplicationClient, path: str) -> None:
    for parameters in ({}, {"token": ""}, {"token_type_hint": "access_token"}):
        assert oauth_error(ci.post(path, parameters)) == (400, "invalid_request")
    assert oauth_error(
        ci.client.post(
            path, b"token=a&token=b", {**ci.basic, "Content-Type": "application/x-www-form-urlencoded"}
        )
    ) == (400, "invalid_request")
    assert oauth_error(ci.post(f"{path}?token=x", {"token": "x"})) == (400, "invalid_request")


# -- introspection


def test_application_introspects_its_own_token(world: OAuthWorld, ci: ApplicationClient) -> None:
    issued = world.tokens()
    answer = ci.post(INTROSPECT, {"token": issued.access_token})
    issued_at = int(world.clock.now_s)
    assert answer.json == {
        "active": True,
        "client_id": "ci-bot",
        "username": "mira_k",
        "sub": str(world.account.id),
        "scope": "profile_read email_read",
        "token_type": "Bearer",
        "iat": issued_at,
        "exp": int(world.clock.now_s + 15552000),
    }
    assert answer.headers["Cache-Control"] == "no-store"


def test_trusted_application_introspects_every_token(world: OAuthWorld, ci: ApplicationClient) -> None:
    token = world.tokens().access_token
    trusted = application(world, ci, "trusted", is_trusted=True)
    assert trusted.post(INTROSPECT, {"token": token}).json["username"] == "mira_k"
    other = application(world, ci, "other")
    assert other.post(INTROSPECT, {"token": token}).json == {"active": False}


def test_invalid_token_is_inactive_without_details(world: OAuthWorld, ci: ApplicationClient) -> None:
    revoked, code = world.tokens(), world.code()
    world.grants.revoke_token(revoked.access_token, world.application)
    expired = world.tokens()
    world.clock.now_s += 15552000
    issued = world.tokens()
    tokens = [revoked.access_token, expired.access_token, issued.refresh_token, code, "x", "é", "a" * 30]
    for token in tokens:
        assert ci.post(INTROSPECT, {"token": token}).json == {"active": False}
    world.users.set_active("mira_k", False)
    assert ci.post(INTROSPECT, {"token": issued.access_token}).json == {"active": False}


def test_introspection_needs_authentication(world: OAuthWorld, ci: ApplicationClient) -> None:
    public = world.add("app", is_public=True)
    token = world.grants.redeem(world.code(application=public), public).access_token
    answers = [
        ci.post(INTROSPECT, {"token": token, "client_id": "app"}, {}),
        ci.post(INTROSPECT, {"token": token}, {}),
        ci.post(INTROSPECT, {"token": token}, basic("ci-bot", "wrong")),
        ci.post(INTROSPECT, {"token": token}, {"Authorization": f"Bearer {token}"}),
    ]
    assert [oauth_error(answer) for answer in answers] == [(401, "invalid_client")] * 4
    assert {answer.headers["WWW-Authenticate"] for answer in answers} == {'Basic realm="oauth"'}


# -- metadata


@pytest.mark.parametrize(
    "path", [METADATA, f"{METADATA}/", f"{ISSUER_PATH}/.well-known/oauth-authorization-server"]
)
def test_metadata_have_all_endpoints(world: OAuthWorld, path: str) -> None:
    app = world.another_app(public_url="https://hub.example.org")
    answer = Client(app).get(path)
    assert answer.headers["Content-Type"] == "application/json"
    document = answer.json
    assert document["issuer"] == "https://hub.example.org/api/v1.1/o"
    for name in ("authorization", "token", "revocation", "introspection"):
        address = document[f"{name}_endpoint"]
        assert address.startswith(f"{document['issuer']}/")
        method = "GET" if name == "authorization" else "POST"
        assert Client(app).request(method, address.removeprefix("https://hub.example.org")).status_int in (
            400,
            401,
        )
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["scopes_supported"] == [
        "profile_read",
        "profile_write",
        "email_read",
        "email_write",
        "repo_read",
        "repo_write",
    ]


@pytest.mark.parametrize(
    ("settings", "environ", "issuer"),
    [
        (
            {},
            {"wsgi.url_scheme": "https", "HTTP_HOST": "hub.example.org:8443"},
            "https://hub.example.org:8443/api/v1.1/o",
        ),
        (
            {},
            {"wsgi.url_scheme": "https", "HTTP_HOST": "x", "SCRIPT_NAME": "/registry"},
            "https://x/registry/api/v1.1/o",
        ),
        (
            {"trusted_proxies": ["10.0.0.1"]},
            {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_FORWARDED_HOST": "y"},
            "https://y/api/v1.1/o",
        ),
        ({"oauth_http": "allow"}, {"HTTP_HOST": "localhost:5000"}, "http://localhost:5000/api/v1.1/o"),
    ],
)
def test_issuer_is_the_public_url(
    world: OAuthWorld, settings: dict[str, Any], environ: dict[str, str], issuer: str
) -> None:
    answer = call(world.another_app(**{"oauth_http": "refuse", **settings}), "GET", METADATA, **environ)
    assert json.loads(answer.body)["issuer"] == issuer


def test_middleware_serves_the_metadata(world: OAuthWorld) -> None:
    def site(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"the site"]

    app = world.another_app().in_front_of(site)
    for path in (METADATA, f"{METADATA}/"):
        assert b"issuer" in call(app, "GET", path).body
    for path in (
        "/.well-known/oauth-authorization-server",
        "/.well-known/x",
        f"{METADATA}x",
        f"{METADATA}/x",
    ):
        assert call(app, "GET", path).body == b"the site"
    without_accounts = Registry(storage=MemoryStorage()).in_front_of(site)
    assert call(without_accounts, "GET", METADATA).body == b"the site"


@pytest.mark.parametrize("name", ["token/", "revoke_token/", "introspect/"])
def test_server_without_accounts_has_no_oauth(name: str) -> None:
    app = Registry(storage=MemoryStorage(), oauth_http="allow")
    assert call(app, "POST", f"{ISSUER_PATH}/{name}").status == 404
    assert call(app, "GET", METADATA).status == 404
