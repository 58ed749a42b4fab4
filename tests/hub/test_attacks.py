"""Somebody who knows the id of a private image does not get it, in any of these ways."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

import pytest
from support.accounts_world import DELETE, READ, REPOSITORIES, WRITE, AccountsWorld, Person, list_of
from support.attacked import (
    ABSENT,
    ALICE,
    BASE,
    CONDITIONS,
    MALLORY,
    OWN,
    PRIVATE_BYTES,
    SECRET,
    announces,
    announces_and_builds_on_it,
    announces_and_tags,
    announces_at_the_end,
    asks_for_tokens,
    assert_hidden,
    assert_unharmed,
    builds_on_it,
    deletes_and_begins_anew,
    fresh_world,
    look,
    sends_another_layer,
    sends_its_json,
    sends_its_layer,
    sends_its_sum,
    sends_other_json,
    sends_other_json_with_its_layer,
    spies,
    tags,
    told,
    with_secret,
    writes_to_the_repository,
)

from v1registry.names import RepositoryName

#: Each attack on an image that is complete, with the statuses that its steps get.
ATTACKS: list[tuple[Callable[[Person], list[int]], list[int]]] = [
    (announces, [200]),
    (announces_at_the_end, [204]),
    (tags, [404, 404]),
    (announces_and_tags, [200, 404, 404]),
    (builds_on_it, [200, 400, 404, 404, 404]),
    (announces_and_builds_on_it, [200, 200, 400, 404, 404, 404]),
    (sends_its_json, [200, 200, 400, 404]),
    (sends_its_layer, [200, 404, 404, 404]),
    (sends_its_sum, [200, 404, 404]),
    (sends_other_json, [200, 200, 200, 200]),
    (sends_another_layer, [200, 200, 200, 200]),
    (sends_other_json_with_its_layer, [200, 200, 200, 400]),
    (deletes_and_begins_anew, [200, 404, 404, 202, 200, 404, 404, 200, 200, 404, 404]),
    (asks_for_tokens, [404, 403, 403, 403, 403]),
    (writes_to_the_repository, [403, 403, 403, 403, 403]),
]
BY_NAME = [pytest.param(*attack, id=attack[0].__name__) for attack in ATTACKS]


@pytest.mark.parametrize(("attack", "statuses"), BY_NAME)
def test_an_attack_on_a_private_image_gets_nothing(
    attack: Callable[[Person], list[int]], statuses: list[int]
) -> None:
    world, control = with_secret(), fresh_world()
    for each in (world, control):
        each.person("mallory").push("mallory/x", OWN)
        answered = attack(each.person("mallory"))
        if each is world:
            assert answered == statuses
    assert_hidden(world, control=control)
    assert_unharmed(world)
    # and so after a restart, and after the attack was repeated on what it left
    again = AccountsWorld(world.people, world.storage)
    for each in (again, control):
        attack(each.person("mallory"))
    assert_hidden(again, control=control)


@pytest.mark.parametrize("attack", [None, announces_and_tags, sends_its_json])
def test_no_range_and_no_condition_gets_anything(attack: Callable[[Person], list[int]] | None) -> None:
    world, control = with_secret(), fresh_world()
    for each in (world, control):
        if attack is not None:
            attack(each.person("mallory"))
    assert_hidden(world, CONDITIONS, control)


@pytest.mark.parametrize(("attack", "statuses"), BY_NAME)
def test_rejected_attack_gets_the_answer_of_an_absent_image(
    attack: Callable[[Person], list[int]], statuses: list[int]
) -> None:
    there, elsewhere = with_secret(), fresh_world()
    answers = []
    for world in (there, elsewhere):
        mallory = world.person("mallory")
        mallory.push("mallory/x", OWN)
        attack(mallory)
        answers.append([told(answer) for answer in mallory.answers])
    assert not any(private in repr(answers).encode() for private in PRIVATE_BYTES)
    assert answers[0] == answers[1]


# -- what was open once


def test_validators_do_not_show_a_repository_that_became_private() -> None:
    world = with_secret()
    alice = world.person("alice")
    alice.make_private("alice/app", "public")
    path = f"/v1/images/{SECRET.image_id}/layer"
    answer = world.nobody().get(path)
    assert answer.status_int == 200
    assert answer.headers["Cache-Control"] == "private, no-cache"
    alice.make_private("alice/app")
    assert_hidden(world, CONDITIONS)
    for headers in (
        {"If-None-Match": answer.headers["ETag"]},
        {"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
    ):
        assert world.nobody().get(path, headers).status_int == 401
    assert alice.get(path, {"If-None-Match": answer.headers["ETag"]}).status_int == 304
    assert alice.get(path).headers["Cache-Control"] == "private, no-cache"


def test_no_shared_cache_keeps_images_of_a_server_with_accounts() -> None:
    """One path may have different contents for different callers (decisions.md 12)."""
    world = with_secret()
    alice = world.person("alice")
    alice.push("alice/open", BASE)
    for image in (BASE, SECRET):
        for what in ("json", "layer", "ancestry", "files", "diff"):
            answer = alice.get(f"/v1/images/{image.image_id}/{what}")
            assert answer.headers["Cache-Control"] == "private, no-cache"
            assert not {"Last-Modified", "Expires"} & set(answer.headers)
            since = {"If-Modified-Since": "Thu, 01 Jan 2026 00:00:00 GMT"}
            assert alice.get(f"/v1/images/{image.image_id}/{what}", since).status_int == 200


@pytest.mark.parametrize("wants_token", [True, False])
@pytest.mark.parametrize("who", ["alice", "root"])
def test_repository_created_again_holds_no_old_images(wants_token: bool, who: str) -> None:
    """The new one is public, and whoever begins it may be somebody else."""
    world = with_secret()
    assert world.person("alice").delete("alice/app",
    wants_token=wants_token).status_int == (202 if wants_token else 200)  # fmt: skip
    assert_hidden(world)
    person = world.person(who)
    assert person.announce("alice/app", OWN) == 200
    assert_hidden(world)
    assert AccountsWorld(world.people, world.storage).person("alice").image(SECRET) == 404
    assert person.tag("alice/app", SECRET) == 404
    person.push("alice/app", OWN)
    assert world.nobody().image(OWN) == 200
    assert_hidden(world)


@pytest.mark.parametrize("begin", ["tags", "properties", "images"])
def test_each_way_to_begin_anew_begins_with_nothing(begin: str) -> None:
    world = with_secret()
    alice = world.person("alice")
    alice.push("alice/open", OWN)
    assert alice.delete("alice/app", wants_token=True).status_int == 202
    if begin == "tags":
        assert alice.tag("alice/app", OWN) == 200
    elif begin == "properties":
        alice.make_private("alice/app")
        alice.make_private("alice/app", "public")
    else:
        assert alice.put(f"{REPOSITORIES}/alice/app/images", list_of(OWN)).status_int == 204
    assert_hidden(world)
    assert alice.image(SECRET) == 404


def test_interrupted_deletion_leaves_nothing_to_a_new_repository() -> None:
    """The process died right after the repository vanished, before its marks did."""
    world = with_secret()
    world.storage.write("repositories/alice/app/_deleted", b"")
    assert_hidden(world)
    world.person("root").push("alice/app", OWN)
    assert_hidden(world)
    assert world.person("alice").image(SECRET) == 404


# -- other ways to ask


@pytest.mark.parametrize(
    "path",
    [
        "/v1/images/{upper}/json",
        "/v1/images/{id}/json/",
        "/v1/images/{id}%2Fjson",
        "/v1//images/{id}/json",
        "/v1/images/./{id}/json",
        "/v1/images/{id}/../{id}/json",
        "/v1/images/{id}%00/json",
        "/v1/images/{id}/JSON",
        "/V1/images/{id}/json",
        "/v1/private_images/{id}/json",
        "/v1/images/{id}/_checksum",
        "/v1/images/{id}/_held_by/alice/app",
        "/v1/images/{short}/json",
        "/v1/repositories/alice/app",
        "/v1/repositories/alice%2Fapp/images",
        "/v1/repositories/alice/app/images/",
        "/v1/repositories/ALICE/app/images",
        "/v1/repositories/alice//app/images",
        "/v1/repositories/alice/app%2Fimages/images",
        "/v1/repositories/alice%252Fapp/images",
        "/v1/repositories/./alice/app/images",
        "/v1/repositories/mallory/../alice/app/images",
        "/v1/repositories/alice/app/tags/latest",
        "/v1/repositories/alice/app/tags/../tags/latest",
        "/v1/repositories/alice/app/_index_images",
        "/images/{id}/json",
        "/repositories/alice/app/tag_latest",
    ],
)
def test_other_spellings_of_a_path_show_nothing(path: str) -> None:
    world = with_secret()
    world.person("mallory").push("mallory/x", OWN)
    path = path.format(id=SECRET.image_id, upper=SECRET.image_id.upper(), short=SECRET.image_id[:16])
    for spy in spies(world):
        for method in ("GET", "HEAD"):
            answer = look(spy, method, unquote(path), {})
            assert answer.status in (401, 404, 405), (path, answer)
            assert not any(private in answer.body for private in (*PRIVATE_BYTES, SECRET.image_id.encode()))


@pytest.mark.parametrize("method", ["POST", "PATCH", "OPTIONS", "PROPFIND", "get", "TRACE", "CONNECT"])
def test_other_methods_show_nothing(method: str) -> None:
    world = with_secret()
    for spy in spies(world):
        hidden, absent = (
            look(spy, method, f"/v1/images/{image.image_id}/json", {"X-HTTP-Method-Override": "GET"})
            for image in (SECRET, ABSENT)
        )
        assert hidden.status == 405
        assert told(hidden) == told(absent)


@pytest.mark.parametrize(
    "query",
    ["q=app", "q=alice", "q=", "", "q=secret", f"q={SECRET.image_id}", "q=alice/app", "n=100", "page=1&n=1",
    "q=latest"],
)  # fmt: skip
def test_HUB_029_search_finds_and_counts_what_the_caller_may_see(query: str) -> None:
    there, elsewhere = with_secret(), fresh_world()
    there.repositories.describe(name := RepositoryName("alice", "app"), "secret words")
    for world in (there, elsewhere):
        world.person("mallory").push("mallory/x", OWN)
    for spy, other in zip(spies(there), spies(elsewhere), strict=True):
        assert spy.get(f"/v1/search?{query}").json == other.get(f"/v1/search?{query}").json
    assert there.repositories.description(name) == "secret words"
    assert there.person("alice").get("/v1/search?q=words").json["num_results"] == 1


# -- tokens


def test_token_of_another_repository_reads_what_that_holds() -> None:
    world = with_secret()
    world.person("mallory").push("mallory/x", OWN)
    alice = world.person("alice")
    alice.push("alice/open", OWN)
    for access in (READ, WRITE):
        # what alice may write elsewhere a push of hers may name (decisions.md 18)
        assert world.bearer("alice/open", access, ALICE).image(SECRET) == (404 if access is READ else 200)
        assert world.bearer("mallory/x", access, MALLORY).image(SECRET) == 404
        assert world.bearer("alice/app", access, MALLORY).image(SECRET) == 404
        assert world.bearer("alice/app", access, None).image(SECRET) == 404
    assert world.bearer("alice/app", DELETE, ALICE).image(SECRET) == 401
    for end in ("images", "tags", "tags/latest", "properties", "json"):
        assert (
            world.bearer("alice/open", READ, ALICE).get(f"{REPOSITORIES}/alice/app/{end}").status_int == 401
        )


def test_an_attackers_token_beside_the_owners_fields_is_refused() -> None:
    world = with_secret()
    world.person("mallory").push("mallory/x", OWN)
    token = world.person("mallory").wanted_token("GET", f"{REPOSITORIES}/mallory/x/images")
    for forged in (
        token.replace("mallory/x", "alice/app"),
        f'{token},repository="alice/app"',
        f'repository="alice/app",{token}',
        f'signature=x,repository="alice/app",access=read,{token}',
        f'{token},signature=x,repository="alice/app",access=read',
        token.replace("access=read", "access=write"),
        token.replace("access=read", "access=read,access=delete"),
    ):
        for prefix in ("Token ", "Token Token ", "token "):
            spy = Person(world.app, {"Authorization": prefix + forged})
            assert spy.image(SECRET) in (401, 404)
            assert spy.get(f"{REPOSITORIES}/alice/app/images").status_int == 401
            assert spy.delete("alice/app").status_int == 401
            assert spy.announce("alice/app", SECRET) == 401
