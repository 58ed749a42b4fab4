"""The token endpoint, by form and by JSON (oauth.md 3.2 to 3.4)."""

from __future__ import annotations

import pytest
from support.oauth_world import (
    BACK,
    CHALLENGE,
    TOKEN_PATH,
    VERIFIER,
    ApplicationClient,
    OAuthWorld,
    oauth_error,
)
from support.token_requests import FORM, KEYS, post
from support.wsgi_client import call
from webtest import TestResponse


@pytest.fixture
def world() -> OAuthWorld:
    return OAuthWorld()


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
    code = world.code()
    world.clock.now_s += 60
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
