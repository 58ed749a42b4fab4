"""The token endpoint, by form and by JSON (oauth.md 3.2 to 3.4)."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from support.credentials import basic
from support.oauth_world import (
    BACK,
    CHALLENGE,
    TOKEN_PATH,
    VERIFIER,
    ApplicationClient,
    OAuthWorld,
    oauth_error,
)
from support.wsgi_client import Client, call
from webtest import TestResponse

FORM = "application/x-www-form-urlencoded"
KEYS = {"username", "user_id", "access_token", "expires_in", "token_type", "scope", "refresh_token"}
CHALLENGED = 'Basic realm="oauth"'


@pytest.fixture
def world() -> OAuthWorld:
    """A world with the real clock, as the server has it."""
    made = OAuthWorld()
    made.clock.now_s = time.time()
    return made


def post(app: Any, body: bytes, content_type: str = FORM, **headers: str) -> TestResponse:
    return Client(app).post(TOKEN_PATH, body, {"Content-Type": content_type, **headers})


# -- answers


@pytest.mark.parametrize("path", [TOKEN_PATH, TOKEN_PATH.rstrip("/")])
@pytest.mark.parametrize("grant_type", ["authorization_code", "code"])
@pytest.mark.parametrize("is_json", [False, True])
def test_OAU_008_code_is_exchanged_by_form_and_by_json(
    world: OAuthWorld, ci: ApplicationClient, path: str, grant_type: str, is_json: bool
) -> None:
    parameters = {"grant_type": grant_type, "code": world.code(), "redirect_uri": BACK}
    answer = (ci.post_json if is_json else ci.post)(path, parameters)
    assert answer.status_int == 200
    bearer = world.grants.verify(answer.json["access_token"])
    assert bearer is not None
    assert (bearer.user.name, bearer.scopes) == ("mira_k", {"profile_read", "email_read"})


def test_OAU_009_answer_has_seven_keys_and_no_store(world: OAuthWorld, ci: ApplicationClient) -> None:
    answer = ci.redeem(world.code(("email_read", "profile_read")))
    document = answer.json
    assert set(document) == KEYS
    assert document["username"] == "mira_k"
    assert document["user_id"] == world.account.id
    assert (document["expires_in"], document["token_type"]) == (15552000, "Bearer")
    assert document["scope"] == "email_read profile_read"
    for name in ("access_token", "refresh_token"):
        assert (len(document[name]), document[name].isalnum(), document[name].isascii()) == (30, True, True)
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert "Expires" not in answer.headers


def test_OAU_010_code_works_once(world: OAuthWorld, ci: ApplicationClient) -> None:
    code = world.code()
    first = ci.redeem(code)
    assert oauth_error(ci.redeem(code)) == (400, "invalid_grant")
    assert world.grants.verify(first.json["access_token"]) is None
    assert oauth_error(ci.refresh(first.json["refresh_token"])) == (400, "invalid_grant")


@pytest.mark.parametrize("is_public", [True, False])
def test_OAU_010_used_code_without_its_verifier_ends_nothing(
    world: OAuthWorld, ci: ApplicationClient, is_public: bool
) -> None:
    """Otherwise a party that reads a redirect in a log could end the grant of a public application."""
    application, secret = world.applications.add("App", [BACK], client_id="app", is_public=is_public)
    app = ApplicationClient(ci.client.app, "app", secret)
    who = {"client_id": "app"} if is_public else {}
    code = world.code(application=application, challenge=CHALLENGE)

    def redeem(**parameters: str) -> TestResponse:
        headers = {} if is_public else None
        return app.token(headers, grant_type="authorization_code", code=code, **who, **parameters)

    token = redeem(code_verifier=VERIFIER).json["access_token"]
    for parameters in ({}, {"code_verifier": "a" * 43}, {"code_verifier": CHALLENGE}):
        assert oauth_error(redeem(**parameters)) == (400, "invalid_grant")
        assert world.grants.verify(token) is not None
    # two who have the verifier cannot both be the application
    assert oauth_error(redeem(code_verifier=VERIFIER)) == (400, "invalid_grant")
    assert world.grants.verify(token) is None


def test_OAU_011_code_of_a_minute_ago_is_refused(world: OAuthWorld, ci: ApplicationClient) -> None:
    world.clock.now_s -= 60
    code = world.code()
    assert oauth_error(ci.redeem(code)) == (400, "invalid_grant")


def test_OAU_012_code_of_a_different_application_is_refused(world: OAuthWorld, ci: ApplicationClient) -> None:
    _, secret = world.applications.add("Other", [BACK], client_id="other")
    other = ApplicationClient(ci.client.app, "other", secret)
    code = world.code()
    assert oauth_error(other.redeem(code)) == (400, "invalid_grant")
    assert ci.redeem(code).status_int == 200


@pytest.mark.parametrize(
    ("is_given", "redirect_uri", "is_good"),
    [
        (True, BACK, True),
        (True, None, False),
        (True, "", False),
        (True, f"{BACK}/", False),
        (True, "https://evil.org/", False),
        (True, "é", False),
        (False, None, True),
        (False, BACK, True),
        (False, f"{BACK}/", False),
    ],
)
def test_OAU_012_different_redirect_uri_is_refused(
    world: OAuthWorld, ci: ApplicationClient, is_given: bool, redirect_uri: str | None, is_good: bool
) -> None:
    code = world.code(is_redirect_given=is_given)
    answer = ci.redeem(code, **({} if redirect_uri is None else {"redirect_uri": redirect_uri}))
    if is_good:
        assert answer.status_int == 200
    else:
        assert oauth_error(answer) == (400, "invalid_grant")
        # a mistake costs nothing
        assert ci.redeem(code, **({"redirect_uri": BACK} if is_given else {})).status_int == 200


def test_OAU_014_refresh_gives_new_tokens_and_works_once(world: OAuthWorld, ci: ApplicationClient) -> None:
    first = ci.redeem(world.code()).json
    answer = ci.refresh(first["refresh_token"])
    second = answer.json
    assert set(second) == KEYS
    assert answer.headers["Cache-Control"] == "no-store"
    assert not {first["access_token"], first["refresh_token"]} & {
        second["access_token"],
        second["refresh_token"],
    }
    assert {**first, "access_token": "", "refresh_token": ""} == {
        **second,
        "access_token": "",
        "refresh_token": "",
    }
    assert world.grants.verify(first["access_token"]) is not None

    assert oauth_error(ci.refresh(first["refresh_token"])) == (400, "invalid_grant")
    assert world.grants.verify(second["access_token"]) is None


def test_OAU_015_refresh_with_narrower_scope_works_wider_fails(
    world: OAuthWorld, ci: ApplicationClient
) -> None:
    token = ci.redeem(world.code()).json["refresh_token"]
    for wider in ("email_read email_write", "repo_read", "all", "é"):
        assert oauth_error(ci.refresh(token, scope=wider)) == (400, "invalid_scope")
    narrow = ci.refresh(token, scope="email_read").json
    assert narrow["scope"] == "email_read"
    whole = ci.refresh(narrow["refresh_token"]).json
    assert whole["scope"] == "profile_read email_read"
    again = ci.refresh(whole["refresh_token"], scope="email_read  profile_read email_read").json
    assert again["scope"] == "profile_read email_read"


@pytest.mark.parametrize(
    "grant_type",
    [
        "password",
        "client_credentials",
        "implicit",
        "CODE",
        "token",
        "openid",
        "refresh_token ",
        "é",
        "urn:ietf:params:oauth:grant-type:device_code",
    ],
)
def test_OAU_016_other_grant_types_are_refused(
    world: OAuthWorld, ci: ApplicationClient, grant_type: str
) -> None:
    parameters = {"grant_type": grant_type, "code": world.code(), "refresh_token": "x", "username": "mira_k"}
    assert oauth_error(ci.token(**parameters, password="correct-horse")) == (400, "unsupported_grant_type")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
@pytest.mark.parametrize("name", ["token", "revoke_token", "introspect"])
def test_endpoints_accept_only_post(ci: ApplicationClient, method: str, name: str) -> None:
    answer = ci.client.request(method, f"/api/v1.1/o/{name}/")
    assert (answer.status_int, answer.headers["Allow"]) == (405, "POST")


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


# -- bodies


@pytest.mark.parametrize("leave_out", ["grant_type", "code", "refresh_token"])
def test_missing_or_empty_parameter_is_refused(
    world: OAuthWorld, ci: ApplicationClient, leave_out: str
) -> None:
    grant_type = "refresh_token" if leave_out == "refresh_token" else "authorization_code"
    parameters = {"grant_type": grant_type, "code": world.code(), "refresh_token": "x"}
    for absent in ({}, {leave_out: ""}):
        rest = {name: value for name, value in parameters.items() if name != leave_out}
        assert oauth_error(ci.token(**rest, **absent)) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b"grant_type=code&grant_type=code"),
        (FORM, b"grant_type=code&code=a&code=b"),
        (FORM, b"grant_type=code&code=&code=a"),
        (FORM, b"grant_type=code&x=1&x=2"),
        (FORM, b"grant_type=%ff"),
        (FORM, b"\xff"),
        (FORM, b"a=b&" * 101),
        (FORM, b""),
        (FORM, b"{}"),
        ("application/json", b""),
        ("application/json", b"{"),
        ("application/json", b"[]"),
        ("application/json", b'"code"'),
        ("application/json", b"null"),
        ("application/json", b'{"grant_type": "refresh_token", "refresh_token": "x",}'),
        ("application/json", b'{"grant_type": "code", "grant_type": "code"}'),
        ("application/json", b'{"grant_type": NaN}'),
        ("application/json", b'{"grant_type": 1}'),
        ("application/json", b'{"grant_type": null}'),
        ("application/json", b'{"grant_type": ["code"]}'),
        ("application/json", b'{"grant_type": "code", "code": {"a": 1}}'),
        ("application/json", b'{"grant_type": "\\ud800"}'),
        ("application/json", b'{"\\ud800": "x"}'),
        ("application/json", b'{"grant_type": "\xff"}'),
        ("application/json", b"[" * 5000),
        ("application/json", b'{"a":' * 5000),
        ("application/json", b'{"a": ' + b"9" * 5000 + b"}"),
        ("application/json", b'\xef\xbb\xbf{"grant_type": "code"}'),
        ("application/json", b"grant_type=code&code=x"),
        (FORM, b'{"grant_type": "code", "code": "x"}'),
        ("", b"grant_type=code&code=x"),
        ("text/plain", b"grant_type=code&code=x"),
        ("application/jsonx", b"{}"),
        ("application/ld+json", b'{"grant_type": "code", "code": "x"}'),
        ("multipart/form-data; boundary=x", b"--x--"),
    ],
)
def test_invalid_body_is_refused(
    world: OAuthWorld, ci: ApplicationClient, content_type: str, body: bytes
) -> None:
    answer = post(ci.client.app, body, content_type, **ci.basic)
    assert oauth_error(answer) == (400, "invalid_request")


@pytest.mark.parametrize(
    "content_type",
    [
        FORM.upper(),
        f"{FORM}; charset=UTF-8",
        f" {FORM} ;charset=utf-8",
        "application/json;charset=UTF-8",
        "Application/JSON",
    ],
)
def test_content_type_is_parsed_with_case_and_parameters(
    world: OAuthWorld, ci: ApplicationClient, content_type: str
) -> None:
    code = world.code()
    is_json = "json" in content_type.lower()
    body = f'{{"grant_type": "code", "code": "{code}"}}' if is_json else f"grant_type=code&code={code}"
    assert post(ci.client.app, body.encode(), content_type, **ci.basic).status_int == 200


@pytest.mark.parametrize(("size", "status"), [(64 << 10, 200), ((64 << 10) + 1, 413)])
def test_body_is_bounded(world: OAuthWorld, ci: ApplicationClient, size: int, status: int) -> None:
    body = f"grant_type=code&code={world.code()}&x=".encode()
    answer = post(ci.client.app, body + b"x" * (size - len(body)), **ci.basic)
    assert answer.status_int == status
    if status != 200:
        assert oauth_error(answer) == (413, "invalid_request")


def test_parameters_in_the_query_are_refused(world: OAuthWorld, ci: ApplicationClient) -> None:
    code = world.code()
    answer = ci.client.post(
        f"{TOKEN_PATH}?grant_type=code&code={code}", b"", {"Content-Type": FORM, **ci.basic}
    )
    assert oauth_error(answer) == (400, "invalid_request")
    assert ci.post(f"{TOKEN_PATH}?x=1", {"grant_type": "code", "code": code}).status_int == 400
    assert ci.redeem(code).status_int == 200


def test_parameters_of_oauthlib_alone_are_ignored(world: OAuthWorld, ci: ApplicationClient) -> None:
    world.users.create("robert", "correct-horse")
    more = {
        "scopes": "repo_write",
        "scope": "repo_write",
        "user": "robert",
        "client": "x",
        "extra_credentials": "x",
        "expires_in": "99999999999",
        "claims": "x",
        "code_challenge": CHALLENGE,
        "response_type": "token",
        "state": "s",
    }
    document = ci.redeem(world.code(), **more).json
    assert set(document) == KEYS
    assert (document["username"], document["scope"], document["expires_in"]) == (
        "mira_k",
        "profile_read email_read",
        15552000,
    )


def test_body_without_a_length_is_refused(world: OAuthWorld, ci: ApplicationClient) -> None:
    environ = {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": "", "CONTENT_TYPE": FORM}
    answer = call(ci.client.app, "POST", TOKEN_PATH, b"grant_type=code", **environ)
    assert answer.status == 411
    assert b'"error": "invalid_request"' in answer.body


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
