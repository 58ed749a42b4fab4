"""The authentication of applications at the token endpoint (oauth.md 3.2 to 3.4)."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from support.credentials import basic
from support.oauth_world import CHALLENGE, TOKEN_PATH, VERIFIER, ApplicationClient, OAuthWorld, oauth_error
from support.token_requests import CHALLENGED, FORM
from support.wsgi_client import Client, call


@pytest.fixture
def world() -> OAuthWorld:
    return OAuthWorld()


# -- PKCE


def test_code_with_a_challenge_needs_the_verifier(world: OAuthWorld, ci: ApplicationClient) -> None:
    code = world.code(challenge=CHALLENGE)
    assert oauth_error(ci.redeem(code)) == (400, "invalid_request")
    for wrong in (VERIFIER[:-1] + "x", "a" * 128):
        assert oauth_error(ci.redeem(code, code_verifier=wrong)) == (400, "invalid_grant")
    for none in (CHALLENGE[:-1], "a" * 42, "a" * 129, "é" * 43, VERIFIER + "\n", "a" * 43 + " "):
        assert oauth_error(ci.redeem(code, code_verifier=none)) == (400, "invalid_request")
    assert ci.redeem(code, code_verifier=VERIFIER).status_int == 200


def test_verifier_without_a_challenge_is_refused(world: OAuthWorld, ci: ApplicationClient) -> None:
    # RFC 9700, 2.1.1: else a code that was asked for without PKCE could be slipped into a flow with it
    assert oauth_error(ci.redeem(world.code(), code_verifier=VERIFIER)) == (400, "invalid_grant")


def test_public_application_needs_the_verifier_and_no_secret(
    world: OAuthWorld, ci: ApplicationClient
) -> None:
    public = world.add("app", is_public=True)
    app = ApplicationClient(ci.client.app, "app", None)
    for headers in ({}, app.basic):
        code = world.code(application=public, challenge=CHALLENGE)
        body = {"grant_type": "authorization_code", "code": code, "client_id": "app"}
        assert oauth_error(app.token(headers, **body)) == (400, "invalid_request")
        answer = app.token(headers, **body, code_verifier=VERIFIER)
        assert answer.status_int == 200
        refresh = {
            "grant_type": "refresh_token",
            "refresh_token": answer.json["refresh_token"],
            "client_id": "app",
        }
        assert app.token(headers, **refresh).status_int == 200
    # one that came by without a challenge, whatever way
    without = world.code(application=public)
    assert oauth_error(app.redeem(without)) == (400, "invalid_request")
    assert oauth_error(app.redeem(without, code_verifier=VERIFIER)) == (400, "invalid_grant")


# -- who asks


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !"},
        {"Authorization": "Basic Og=="},
        {"Authorization": "Bearer x"},
        {"Authorization": "Token signature=x"},
        {"Authorization": "Basic Y2ktYm90"},
        basic("nobody", "x"),
        basic("ci-bot", ""),
        basic("ci-bot", "wrong"),
        basic("ci-bot", "%"),
        basic("é", "é"),
        basic("mira_k", "correct-horse"),
        basic("../ci-bot", "x"),
        {"Authorization": "Basic /////w=="},
        {"Authorization": "Basic Y2ktYm90Ov8="},
    ],
)
def test_OAU_013_missing_or_wrong_credentials_are_401(
    world: OAuthWorld, ci: ApplicationClient, headers: dict[str, str]
) -> None:
    code = world.code()
    answer = ci.token(headers, grant_type="authorization_code", code=code)
    assert oauth_error(answer) == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"] == CHALLENGED
    assert ci.redeem(code).status_int == 200


def test_OAU_013_wrong_header_with_a_right_body_is_401(world: OAuthWorld, ci: ApplicationClient) -> None:
    right = {"client_id": "ci-bot", "client_secret": world.secret}
    for headers in (basic("ci-bot", "wrong"), {"Authorization": "Bearer x"}):
        answer = ci.token(headers, grant_type="authorization_code", code=world.code(), **right)
        assert oauth_error(answer) == (401, "invalid_client")


def test_credentials_in_the_body_work_without_a_header(world: OAuthWorld, ci: ApplicationClient) -> None:
    right = {"client_id": "ci-bot", "client_secret": world.secret}
    assert ci.token({}, grant_type="code", code=world.code(), **right).status_int == 200
    for wrong in ({"client_secret": "x"}, {"client_secret": ""}, {"client_id": "nobody"}, {"client_id": ""}):
        answer = ci.token({}, grant_type="code", code=world.code(), **{**right, **wrong})
        assert oauth_error(answer) == (401, "invalid_client")


def test_name_and_secret_are_form_encoded_inside_basic(world: OAuthWorld, ci: ApplicationClient) -> None:
    # RFC 6749, 2.3.1
    escaped = "".join(f"%{ord(character):02x}" for character in world.secret)
    assert ci.token(basic("ci%2Dbot", escaped), grant_type="code", code=world.code()).status_int == 200


def test_header_wins_over_credentials_in_the_body(world: OAuthWorld, ci: ApplicationClient) -> None:
    other = world.add("other")
    code = world.code(application=other)
    assert oauth_error(ci.redeem(code, client_id="other")) == (400, "invalid_grant")
    assert ci.redeem(world.code(), client_id="other").status_int == 200


def test_wrong_secrets_are_limited(world: OAuthWorld, ci: ApplicationClient) -> None:
    for _ in range(11):
        assert ci.token(basic("ci-bot", "wrong"), grant_type="code", code="x").status_int == 401
    answer = ci.redeem(world.code())
    assert oauth_error(answer) == (429, "temporarily_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    # it is a limit of its own: the names of users are others
    world.users.create("ci_bot", "correct-horse")
    assert ci.client.get("/v1/users/", basic("ci_bot", "correct-horse")).status_int == 200


def test_limit_does_not_block_other_addresses_or_public_clients(
    world: OAuthWorld,
) -> None:
    app = world.another_app()
    world.add("app", is_public=True)

    def status(address: str, credentials: dict[str, str], body: bytes) -> int:
        headers = {"HTTP_AUTHORIZATION": credentials["Authorization"], "CONTENT_TYPE": FORM}
        return call(app, "POST", TOKEN_PATH, body, REMOTE_ADDR=address, **headers).status

    body = b"grant_type=refresh_token&refresh_token=x"
    assert status("10.0.0.1", basic("ci-bot", world.secret), body) == 400
    for client_id in ("ci-bot", "app"):
        for _ in range(12):
            status("10.9.9.9", basic(client_id, "guess"), body)
    assert status("10.9.9.9", basic("ci-bot", "guess"), body) == 429
    assert status("10.0.0.1", basic("ci-bot", world.secret), body) == 400
    assert status("10.0.0.1", basic("app", ""), body) == 400


# -- https


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", TOKEN_PATH),
        ("POST", "/api/v1.1/o/token"),
        ("POST", "/api/v1.1/o/revoke_token/"),
        ("POST", "/api/v1.1/o/introspect/"),
        ("GET", "/api/v1.1/o/.well-known/oauth-authorization-server"),
        ("GET", "/.well-known/oauth-authorization-server/api/v1.1/o"),
        ("GET", "/api/v1.1/o/authorize/?client_id=ci-bot&response_type=code"),
    ],
)
def test_OAU_026_plain_http_is_refused(world: OAuthWorld, method: str, path: str) -> None:
    app = world.another_app(oauth_http="refuse")
    answer = Client(app).request(method, path, b"", {"Content-Type": FORM} if method == "POST" else {})
    assert answer.status_int == 400
    if "authorize" not in path:
        assert oauth_error(answer) == (400, "invalid_request")
        for word in ("https", "public_url", "trusted_proxies"):
            assert word in answer.json["error_description"]


@pytest.mark.parametrize(
    ("settings", "environ", "is_taken"),
    [
        ({}, {"wsgi.url_scheme": "https"}, True),
        ({"public_url": "https://hub.example.org"}, {}, True),
        ({"public_url": "http://hub.example.org"}, {"wsgi.url_scheme": "https"}, False),
        (
            {"trusted_proxies": ["10.0.0.1"]},
            {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_PROTO": "https"},
            True,
        ),
        (
            {"trusted_proxies": ["10.0.0.1"]},
            {"REMOTE_ADDR": "10.0.0.2", "HTTP_X_FORWARDED_PROTO": "https"},
            False,
        ),
        (
            {"trusted_proxies": ["10.0.0.1"]},
            {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_PROTO": "http"},
            False,
        ),
        ({}, {"HTTP_X_FORWARDED_PROTO": "https"}, False),
        ({}, {"HTTPS": "on"}, False),
        ({"oauth_http": "allow"}, {}, True),
    ],
)
def test_OAU_026_scheme_is_the_one_of_the_client(
    world: OAuthWorld, settings: dict[str, Any], environ: dict[str, str], is_taken: bool
) -> None:
    app = world.another_app(**{"oauth_http": "refuse", **settings})
    body = f"grant_type=code&code={world.code()}".encode()
    authorization = basic("ci-bot", world.secret)["Authorization"]
    answer = call(
        app, "POST", TOKEN_PATH, body, CONTENT_TYPE=FORM, HTTP_AUTHORIZATION=authorization, **environ
    )
    assert answer.status == (200 if is_taken else 400), answer


# -- what is told to nobody


def test_secrets_are_not_logged(
    world: OAuthWorld, ci: ApplicationClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    code = world.code(challenge=CHALLENGE)
    ci.token(basic("ci-bot", "a-wrong-secret"), grant_type="code", code=code)
    ci.redeem(code)
    ci.redeem(code, code_verifier="a-wrong-verifier-of-43-characters-and-some-more")
    first = ci.redeem(code, code_verifier=VERIFIER).json
    second = ci.refresh(first["refresh_token"]).json
    ci.refresh(first["refresh_token"])
    ci.redeem(code, code_verifier=VERIFIER)
    ci.post("/api/v1.1/o/introspect/", {"token": second["access_token"]})
    ci.post("/api/v1.1/o/revoke_token/", {"token": second["refresh_token"]})
    told = "\n".join(record.getMessage() for record in caplog.records)
    assert "its secret is wrong" in told
    secrets = [world.secret, ci.basic["Authorization"], code, VERIFIER, "a-wrong-secret", "a-wrong-verifier"]
    secrets += [document[name] for document in (first, second) for name in ("access_token", "refresh_token")]
    assert [secret for secret in secrets if secret in told] == []
