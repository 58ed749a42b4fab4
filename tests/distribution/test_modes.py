"""The modes of the distribution API, and the form of its failures (DST-033, DST-034)."""

from __future__ import annotations

import pytest
from support.credentials import basic
from support.token_world import (
    DIGEST,
    PUBLIC,
    TokenWorld,
    error_code,
)

REALM = "http://localhost/v2/token"


@pytest.fixture
def world() -> TokenWorld:
    return TokenWorld().fill()


def pull(name: str) -> str:
    return f"repository:{name}:pull"


def test_DST_033_pull_mode_refuses_every_change(world: TokenWorld) -> None:
    app = world.another_app(v2="pull")
    uploads = f"/v2/{PUBLIC}/blobs/uploads/"
    for method, path in (
        ("POST", uploads),
        ("PATCH", f"{uploads}0123"),
        ("PUT", f"{uploads}0123"),
        ("DELETE", f"{uploads}0123"),
        ("DELETE", f"/v2/{PUBLIC}/blobs/{DIGEST}"),
        ("PUT", f"/v2/{PUBLIC}/manifests/latest"),
        ("DELETE", f"/v2/{PUBLIC}/manifests/latest"),
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
