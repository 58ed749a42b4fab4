"""The index on a server with accounts: who announces, reads and deletes repositories (hub.md 3, 4)."""

from __future__ import annotations

import json

import pytest
from support.backends import People
from support.credentials import basic
from webtest import TestApp, TestResponse

from v1registry import MemoryStorage, Registry
from v1registry.rights import User

ID = "0123456789abcdef" * 4
LISTED = json.dumps([{"id": ID}]).encode()
CHALLENGE = 'Basic realm="auth required",Token'


PEOPLE = (
    User("alice"),
    User("robert"),
    User("idle", is_active=False),
    User("admin", is_administrator=True),
)


@pytest.fixture
def client() -> TestApp:
    return TestApp(Registry(storage=MemoryStorage(), auth=People.of(*PEOPLE)))


def ask(
    client: TestApp,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes = b"",
    *,
    token: bool = False,
) -> TestResponse:
    wanted = {"X-Docker-Token": "true"} if token else {}
    return client.request(
        f"/v1/repositories/{path}",
        method=method,
        body=body,
        headers={**headers, **wanted},
        expect_errors=True,
    )


def announce(client: TestApp, path: str, name: str) -> TestResponse:
    return ask(client, "PUT", f"{path}/", basic(name), LISTED, token=True)


def token_of(answer: TestResponse) -> dict[str, str]:
    return {"Authorization": f"Token {answer.headers['X-Docker-Token']}"}


def test_HUB_012_library_push_needs_an_administrator(client: TestApp) -> None:
    answer = announce(client, "busybox", "admin")

    assert answer.status_int == 200
    assert 'repository="library/busybox",access=write' in answer.headers["X-Docker-Token"]
    assert announce(client, "busybox", "alice").status_int == 403
    assert announce(client, "library/other", "alice").status_int == 403


def test_HUB_013_strangers_and_inactive_users_are_403_others_401(client: TestApp) -> None:
    assert announce(client, "alice/app", "robert").status_int == 403
    assert announce(client, "alice/app", "idle").status_int == 403
    for headers in ({}, basic("alice", "wrong"), {"Authorization": "Basic Og=="}):
        answer = ask(client, "PUT", "alice/app/", headers, LISTED, token=True)
        assert answer.status_int == 401
        assert answer.headers["WWW-Authenticate"] == CHALLENGE
        assert "X-Docker-Token" not in answer.headers


def test_HUB_019_hidden_repository_has_the_answer_of_an_unknown(client: TestApp) -> None:
    announce(client, "alice/app", "alice")
    announce(client, "alice/open", "alice")
    ask(client, "PUT", "alice/app/properties", basic("alice"), b'{"access": "private"}')

    for headers, status, text in (
        ({}, 401, "Requires authorization"),
        (basic("robert"), 404, "images not found"),
    ):
        unknown = ask(client, "GET", "alice/none/images", headers, token=True)
        hidden = ask(client, "GET", "alice/app/images", headers, token=True)
        assert unknown.status_int == hidden.status_int == status
        assert hidden.json == unknown.json == {"error": text}
        challenge = hidden.headers.get("WWW-Authenticate")
        assert challenge == (None if headers else 'Basic realm="auth required",Token')
        assert "X-Docker-Token" not in hidden.headers
        assert ask(client, "GET", "alice/open/images", headers).status_int == 200
    assert ask(client, "GET", "alice/app/images", basic("alice")).json == [{"id": ID}]
    assert ask(client, "GET", "alice/open/images", basic("alice", "wrong")).status_int == 401


def test_HUB_022_a_repository_is_deleted_in_two_steps(client: TestApp) -> None:
    announce(client, "alice/app", "alice")

    first = ask(client, "DELETE", "alice/app/", basic("alice"), token=True)
    assert first.status_int == 202
    assert 'repository="alice/app",access=delete' in first.headers["X-Docker-Token"]
    assert first.headers["X-Docker-Endpoints"] == "localhost:80"
    assert ask(client, "GET", "alice/app/tags", basic("alice")).status_int == 404
    assert ask(client, "GET", "alice/app/images", basic("alice")).status_int == 404
    assert ask(client, "GET", "alice/app/images", token_of(first)).status_int == 200

    assert ask(client, "DELETE", "alice/app/", basic("alice"), token=True).status_int == 200
    assert ask(client, "DELETE", "alice/app/", basic("alice"), token=True).status_int == 404


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_HUB_022_new_push_starts_an_empty_repository(client: TestApp, steps: int) -> None:
    announce(client, "alice/app", "alice")
    ask(client, "PUT", "alice/app/properties", basic("alice"), b'{"access": "private"}')
    for _ in range(steps):
        ask(client, "DELETE", "alice/app/", basic("alice"), token=True)

    assert ask(client, "PUT", "alice/app/", basic("alice"), b"[]", token=True).status_int == 200

    assert ask(client, "GET", "alice/app/images", {}).json == []
    assert ask(client, "GET", "alice/app/tags", {}).json == {}


def test_HUB_022_token_of_the_first_step_removes_everything(client: TestApp) -> None:
    announce(client, "alice/app", "alice")
    first = ask(client, "DELETE", "alice/app/", basic("alice"), token=True)

    assert ask(client, "DELETE", "alice/app/", token_of(first)).json is True
    assert ask(client, "DELETE", "alice/app/", basic("alice"), token=True).status_int == 404


def test_HUB_023_a_token_is_judged_for_its_repository(client: TestApp) -> None:
    write = token_of(announce(client, "alice/app", "alice"))
    other = token_of(announce(client, "alice/other", "alice"))

    good = ask(client, "PUT", "alice/app/auth", write)
    assert (good.status_int, good.json) == (200, "OK")
    forged = {"Authorization": write["Authorization"].replace("signature=W", "signature=X")}
    assert forged != write
    for headers in (other, forged, {}, basic("alice")):
        assert ask(client, "PUT", "alice/app/auth", headers).status_int == 403
    ask(client, "DELETE", "alice/app/", basic("alice"))
    assert ask(client, "PUT", "alice/app/auth", write).status_int == 404
