"""What a token of the distribution API is good for, and when it ends (DST-027)."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.backends import UnavailableBackend
from support.clock import Clock
from support.credentials import basic, token_header
from support.token_world import (
    DIGEST,
    PRIVATE,
    PUBLIC,
    TokenWorld,
    bearer,
    challenge_of,
    error_code,
)

from v1registry.access.distribution_tokens import DistributionTokens, Scope
from v1registry.names import RepositoryName
from v1registry.rights import Action, User

REALM = "http://localhost/v2/token"


@pytest.fixture
def world() -> TokenWorld:
    return TokenWorld().fill()


def pull(name: str) -> str:
    return f"repository:{name}:pull"


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
