"""Attacks during the push of the owner, or by writers of a repository, do not show a private image."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from support.accounts_world import READ, REPOSITORIES, WRITE, AccountsWorld, Person, image_of, list_of
from support.attacked import (
    ABSENT,
    BASE,
    CHILD,
    CONDITIONS,
    MALLORY,
    OWN,
    SECRET,
    announces,
    announces_and_builds_on_it,
    announces_and_tags,
    assert_hidden,
    assert_unharmed,
    deletes_and_begins_anew,
    fresh_world,
    sends_its_layer,
    sends_its_sum,
    told,
    with_other_json,
    with_secret,
)
from support.credentials import token_header
from support.engine_client import make_image, tar_layer

from v1registry.rights import Action

# -- while the owner's push is running


def alices_push(world: AccountsWorld) -> Iterator[str]:
    """Push the secret step by step, telling each that is done."""
    alice = world.person("alice")
    alice.make_private("alice/app")
    assert alice.announce("alice/app", BASE, SECRET) == 200
    yield "announced"
    for image in (BASE, SECRET):
        assert alice.put_json(image) == 200
        yield "json"
        assert alice.put_layer(image) == 200
        yield "layer"
        assert alice.put_checksum(image) == 200
        yield "complete"
    assert alice.tag("alice/app", SECRET) == 200


@pytest.mark.parametrize("moment", range(7))
@pytest.mark.parametrize(
    "attack",
    [announces, announces_and_tags, announces_and_builds_on_it, sends_its_layer, sends_its_sum,
    deletes_and_begins_anew],
)  # fmt: skip
def test_an_attack_while_the_push_is_running_gets_nothing(
    attack: Callable[[Person], list[int]], moment: int
) -> None:
    """Before and after each step of the owner's push, and to the end of the attack's own steps after it."""
    world = fresh_world()
    mallory = world.person("mallory")
    mallory.push("mallory/x", OWN)
    for number, _ in enumerate(alices_push(world)):
        if number == moment:
            attack(mallory)
    assert_hidden(world)
    assert_unharmed(world)
    attack(mallory)
    assert_hidden(world)
    assert_unharmed(world)


@pytest.mark.parametrize("first", ["json", "layer"])
def test_child_announced_before_its_parent_is_not_completed(first: str) -> None:
    """It would tell by its diff which files the parent has, and by its ancestry what that builds on."""
    world = fresh_world()
    mallory = world.person("mallory")
    mallory.push("mallory/x", OWN)
    assert announces(mallory) == [200]
    for step in alices_push(world):
        if step == first:
            assert mallory.announce("mallory/x", CHILD) == 200
            assert mallory.put_json(CHILD) == 400
    assert (mallory.put_layer(CHILD), mallory.put_checksum(CHILD)) == (404, 404)
    assert_hidden(world)


def test_child_of_a_guessed_parent_does_not_reach_the_parent() -> None:
    """The same JSON begins another push. Its layer is missing, even if the owner completes the first."""
    world = fresh_world()
    alice, mallory = world.person("alice"), world.person("mallory")
    alice.make_private("alice/app")
    child = image_of("child", BASE)
    alice.announce("alice/app", BASE)
    assert alice.put_json(BASE) == 200
    assert mallory.announce("mallory/x", BASE, child) == 200
    assert [mallory.put_json(BASE), mallory.put_json(child), mallory.put_layer(child)] == [200, 200, 200]
    assert mallory.tag("mallory/x", BASE, "base") == 404
    assert [alice.put_layer(BASE), alice.put_checksum(BASE)] == [200, 200]
    assert mallory.put_checksum(child) == 200
    assert mallory.tag("mallory/x", child) == 200
    for person in (mallory, AccountsWorld(world.people, world.storage).person("mallory")):
        # in progress: the push that mallory began
        assert [person.image(BASE, what) for what in ("json", "layer", "files")] == [400, 400, 400]
        assert [person.image(child), person.image(child, "diff")] == [200, 404]
    token = world.bearer("mallory/x", READ, MALLORY)
    assert [token.image(BASE, what) for what in ("json", "layer", "files")] == [400, 400, 400]


def test_child_completed_before_its_parent_shows_nothing_of_it() -> None:
    world = fresh_world()
    alice, mallory = world.person("alice"), world.person("mallory")
    alice.make_private("alice/app")
    child = make_image(tar_layer({"./etc/secret-base.conf": b"guessed"}), BASE.image_id)
    alice.announce("alice/app", BASE)
    alice.put_json(BASE)
    mallory.announce("mallory/x", BASE, child)
    for step in (mallory.put_json(BASE), mallory.put_json(child), mallory.put_layer(child),
    mallory.put_checksum(child)):  # fmt: skip
        assert step == 200
    assert mallory.tag("mallory/x", child) == 200
    assert [alice.put_layer(BASE), alice.put_checksum(BASE)] == [200, 200]
    for person in (mallory, AccountsWorld(world.people, world.storage).person("mallory")):
        assert person.image(child, "diff") == 404
        # in progress: the push that mallory began
        assert [person.image(BASE, what) for what in ("json", "layer", "files", "diff")] == [400] * 4
        assert person.image(child, "layer") == 200


def test_unfinished_image_of_another_user_looks_absent() -> None:
    world = fresh_world()
    alice, mallory = world.person("alice"), world.person("mallory")
    alice.make_private("alice/app")
    alice.announce("alice/app", BASE)
    alice.put_json(BASE)
    alice.put_layer(BASE)
    assert announces(mallory) == [200]
    assert told(mallory.get(f"/v1/images/{BASE.image_id}/json")) == told(
        mallory.get(f"/v1/images/{ABSENT.image_id}/json")
    )
    assert [mallory.put_layer(BASE), mallory.put_checksum(BASE)] == [404, 404]
    # JSON and sum together are known to whoever read a log, the layer is not
    assert mallory.put_json(BASE) == 200
    answer = mallory.checksum_answer(BASE)
    assert (answer.status_int, answer.json) == (400, {"error": "Image's layer is missing"})
    assert alice.put_checksum(BASE) == 200
    answer = mallory.checksum_answer(BASE)
    assert (answer.status_int, answer.json) == (400, {"error": "Image's layer is missing"})
    assert mallory.image(BASE) == 400
    assert alice.image(BASE, "layer") == 200


def test_other_json_of_an_unfinished_image_gets_no_layer() -> None:
    world = fresh_world()
    alice, mallory = world.person("alice"), world.person("mallory")
    alice.make_private("alice/app")
    alice.announce("alice/app", BASE)
    alice.put_json(BASE)
    alice.put_layer(BASE)
    announces(mallory)
    other = with_other_json(BASE)
    assert mallory.put_json(other) == 200
    assert mallory.put_checksum(other) == 400
    assert [mallory.image(BASE, what) for what in ("layer", "files", "diff")] == [400] * 3
    assert alice.put_checksum(BASE) == 200
    # the pushes are apart, and so are the contents
    assert [mallory.put_layer(other), mallory.put_checksum(other)] == [200, 200]
    assert mallory.get(f"/v1/images/{BASE.image_id}/json").body == other.json
    assert alice.get(f"/v1/images/{BASE.image_id}/layer").body == BASE.layer


# -- whose rights somebody else has


def test_push_of_an_administrator_is_for_the_announced_repository() -> None:
    """With Basic the paths of images name no repository, and an administrator may write every one of them."""
    world = fresh_world()
    root, mallory = world.person("root"), world.person("mallory")
    mallory.push("mallory/x", OWN)
    announces(mallory)
    root.make_private("library/app")
    root.push("library/app", BASE, SECRET)
    assert_hidden(world)
    # and when it is pushed once more, after its own push has ended
    announces(mallory)
    assert [root.put_layer(BASE), root.put_layer(SECRET)] == [200, 200]
    assert_hidden(world)
    assert root.image(SECRET) == 200


def test_push_to_one_group_is_not_for_another_that_listed_it() -> None:
    world = fresh_world()
    gina, mallory = world.person("gina"), world.person("mallory")
    for repository in ("team/app", "others/app"):
        gina.make_private(repository)
        gina.push(repository, OWN)
    world.grant("others/app", "mallory", WRITE)
    assert mallory.announce("others/app", BASE) == 200
    gina.push("team/app", BASE)
    assert mallory.image(BASE) == 404
    assert gina.image(BASE) == 200


def test_push_with_a_token_is_for_the_repository_of_the_token() -> None:
    world = fresh_world()
    root, mallory = world.person("root"), world.person("mallory")
    announces(mallory)
    root.make_private("library/app")
    assert root.announce("library/app", BASE) == 200
    token = root.wanted_token("PUT", f"{REPOSITORIES}/library/app/", list_of(BASE))
    bearer = Person(world.app, token_header(token))
    assert [bearer.put_json(BASE), bearer.put_layer(BASE), bearer.put_checksum(BASE)] == [200, 200, 200]
    assert mallory.image(BASE) == 404
    assert root.image(BASE) == 200


@pytest.mark.parametrize("right", [READ, WRITE])
def test_removed_collaborator_reads_nothing(right: Action) -> None:
    world = with_secret()
    world.grant("alice/app", "mallory", right)
    mallory = world.person("mallory")
    token = mallory.wanted_token("GET", f"{REPOSITORIES}/alice/app/images")
    bearer = Person(world.app, {"Authorization": f"Token {token}"})
    assert mallory.image(SECRET) == bearer.image(SECRET) == 200
    etag = mallory.get(f"/v1/images/{SECRET.image_id}/json").headers["ETag"]
    world.grant("alice/app", "mallory", None)
    assert_hidden(world, CONDITIONS)
    for person in (mallory, bearer):
        answer = person.get(f"/v1/images/{SECRET.image_id}/json", {"If-None-Match": etag})
        assert answer.status_int == 404
        assert person.get(f"{REPOSITORIES}/alice/app/images").status_int == 404


def test_write_token_of_a_removed_collaborator_is_rejected() -> None:
    world = with_secret()
    world.grant("alice/app", "mallory", WRITE)
    mallory = world.person("mallory")
    token = mallory.wanted_token("PUT", f"{REPOSITORIES}/alice/app/", list_of(CHILD))
    bearer = Person(world.app, {"Authorization": f"Token {token}"})
    assert bearer.put_json(CHILD) == 200
    world.grant("alice/app", "mallory", None)
    assert [bearer.put_layer(CHILD), bearer.put_checksum(CHILD), bearer.put_json(CHILD)] == [403, 403, 403]
    assert bearer.tag("alice/app", SECRET, "mine") == 403
    assert_hidden(world)
