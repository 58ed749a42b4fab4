"""Anonymous callers of a server with accounts: 401 for all that is not public (decisions.md 11)."""

from __future__ import annotations

import json

import pytest
from support.accounts_world import AccountsWorld, Person, image_of
from support.backends import People
from webtest import TestResponse

from v1registry import MemoryStorage, Registry
from v1registry.rights import User

CHALLENGE = 'Basic realm="auth required",Token'
PUBLIC, SECRET, UNKNOWN = image_of("public"), image_of("secret"), image_of("unknown")
IMAGE_PATHS = ("json", "layer", "ancestry", "files", "diff")


@pytest.fixture(scope="module")
def world() -> AccountsWorld:
    made = AccountsWorld(People.of(User("alice"), User("robert"), User("root", is_administrator=True)))
    alice = made.person("alice")
    alice.push("alice/open", PUBLIC, tag="1")
    alice.make_private("alice/hidden")
    alice.push("alice/hidden", SECRET, tag="1")
    made.person("root").push("library/base", PUBLIC, tag="1")
    return made


def told(answer: TestResponse) -> tuple[int, list[tuple[str, str]], bytes]:
    headers = [header for header in answer.headerlist if header[0] != "X-Request-Id"]
    return answer.status_int, headers, answer.body


def repository_paths(name: str, image_id: str) -> tuple[str, ...]:
    return tuple(
        f"/v1/repositories/{name}/{what}"
        for what in (
            "images", "tags", "tags/1", "tags/none", "tags/1/json", "json", "properties",
            "tags/images", f"layer/{image_id}/access",
        )
    )  # fmt: skip


@pytest.mark.parametrize("number", range(9))
def test_repository_that_is_hidden_or_missing_needs_a_login(world: AccountsWorld, number: int) -> None:
    hidden = repository_paths("alice/hidden", SECRET.image_id)[number]
    missing = repository_paths("alice/absent", UNKNOWN.image_id)[number]
    for headers in ({}, {"Authorization": "Basic Og=="}, {"Authorization": "Token"}):
        asking = Person(world.app, headers)
        answer = asking.get(hidden)
        assert answer.status_int == 401
        assert answer.headers["WWW-Authenticate"] == CHALLENGE
        assert answer.json == {"error": "Requires authorization"}
        assert told(asking.get(missing)) == told(answer)
        assert asking.ask("HEAD", hidden).status_int == asking.ask("HEAD", missing).status_int == 401


@pytest.mark.parametrize("what", IMAGE_PATHS)
def test_REG_007_image_that_is_not_public_needs_a_login(world: AccountsWorld, what: str) -> None:
    answers = [
        world.nobody().get(f"/v1/images/{image_id}/{what}")
        for image_id in (SECRET.image_id, UNKNOWN.image_id, "x", "0" * 63)
    ]
    assert answers[0].status_int == 401
    assert answers[0].headers["WWW-Authenticate"] == CHALLENGE
    assert {json.dumps(told(answer), default=repr) for answer in answers} == {
        json.dumps(told(answers[0]), default=repr)
    }


def test_what_is_public_needs_no_login(world: AccountsWorld) -> None:
    nobody = world.nobody()
    for what in IMAGE_PATHS:
        assert nobody.get(f"/v1/images/{PUBLIC.image_id}/{what}").status_int == 200
    for name in ("alice/open", "base"):
        for path in ("images", "tags", "tags/1", "tags/1/json", "json", "properties"):
            assert nobody.get(f"/v1/repositories/{name}/{path}").status_int == 200


@pytest.mark.parametrize("path", ["alice/open/tags/none", "base/tags/none", "alice/open/tags/images"])
def test_missing_tag_of_a_public_repository_is_404_for_all(world: AccountsWorld, path: str) -> None:
    for asking in (world.nobody(), world.person("robert"), world.person("alice")):
        answer = asking.get(f"/v1/repositories/{path}")
        assert (answer.status_int, answer.json) == (404, {"error": "Tag not found"})


def test_stranger_with_credentials_gets_404_as_for_a_missing_one(world: AccountsWorld) -> None:
    robert = world.person("robert")
    for hidden, missing in zip(
        repository_paths("alice/hidden", SECRET.image_id),
        repository_paths("alice/absent", SECRET.image_id),
        strict=True,
    ):
        answer = robert.get(hidden)
        assert answer.status_int in (200, 404)
        assert told(answer) == told(robert.get(missing))
    assert robert.image(SECRET) == robert.image(UNKNOWN) == 404


def test_image_list_of_a_repository_named_tags_is_found_without_login(world: AccountsWorld) -> None:
    there = world.copy()
    there.person("alice").push("alice/x/tags", PUBLIC)
    assert there.nobody().get("/v1/repositories/alice/x/tags/images").status_int == 200


def test_open_server_answers_404() -> None:
    nobody = Person(Registry(storage=MemoryStorage()), {})
    assert nobody.get("/v1/repositories/a/b/tags").status_int == 404
    assert nobody.get("/v1/repositories/a/b/json").status_int == 200
    assert nobody.get(f"/v1/images/{UNKNOWN.image_id}/json").status_int == 404


@pytest.mark.parametrize("repository", ["project/base", "library/base", "absent"])
def test_refused_write_says_where_the_user_may_push(repository: str) -> None:
    world = AccountsWorld(People.of(User("Mira.K", frozenset({"team", "library"}))))
    answer = world.person("Mira.K").put(f"/v1/repositories/{repository}/", "[]")
    assert (answer.status_int, answer.json["error"]) == (
        403,
        "Access denied: this account has no right to do that; "
        "it may push to repositories below mira.k/, team/",
    )


def test_refused_write_names_ten_namespaces_at_most() -> None:
    groups = frozenset(f"group-{number:02}" for number in range(30))
    world = AccountsWorld(People.of(User("mira", groups)))
    text = world.person("mira").put("/v1/repositories/project/base/", "[]").json["error"]
    assert text.endswith("below mira/, " + ", ".join(f"group-{number:02}/" for number in range(9)))


def test_refusal_of_a_policy_of_its_own_names_no_namespace() -> None:
    world = AccountsWorld(People.of(User("mira")), policy=lambda *asked: False)
    answer = world.person("mira").put("/v1/repositories/mira/base/", "[]")
    assert answer.json["error"] == "Access denied: this account has no right to do that"


@pytest.mark.parametrize(
    ("path", "body", "begins", "says"),
    [
        ("MyTeam/app/", "[]", "Invalid repository name: ", "lower-case"),
        ("my/a$b/", "[]", "Invalid repository name: ", "letters, digits"),
        (f"alice/open/tags/{'x' * 129}", f'"{PUBLIC.image_id}"', "Invalid tag name: ", "1 to 128"),
        ("alice/open/tags/2", PUBLIC.image_id, "Invalid data: ", "JSON string"),
    ],
)
def test_REG_035_refusals_say_what_is_allowed(
    world: AccountsWorld, path: str, body: str, begins: str, says: str
) -> None:
    answer = world.person("alice").put(f"/v1/repositories/{path}", body)
    assert answer.status_int == 400
    assert answer.json["error"].startswith(begins)
    assert says in answer.json["error"]
