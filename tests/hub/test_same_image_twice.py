"""One private image pushed by two users, and by users who know only a part of it (decisions.md 17)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from support.accounts_world import REPOSITORIES, AccountsWorld, Person, image_of, list_of
from support.attacked import BASE, OWN, SECRET, assert_unharmed, fresh_world, with_other_json, with_secret
from support.engine_client import Image, tar_layer
from support.wsgi_client import during, error_of

from v1registry.rights import User

EXISTS, OTHER = "Image already exists", "Image exists with other contents"


def json_answer(person: Person, image: Image) -> tuple[int, object]:
    answer = person.put(f"/v1/images/{image.image_id}/json", image.json)
    return answer.status_int, answer.json


def layer_answer(person: Person, image: Image) -> tuple[int, object]:
    answer = person.put(f"/v1/images/{image.image_id}/layer", image.layer)
    return answer.status_int, answer.json


def checksum_answer(person: Person, image: Image) -> tuple[int, object]:
    answer = person.checksum_answer(image)
    return answer.status_int, answer.json


# -- row 17, sentence by sentence


def test_to_other_users_it_looks_absent() -> None:
    bob = with_secret().person("bob")
    assert bob.announce("bob/app", BASE, SECRET) == 200
    assert [bob.image(BASE, what) for what in ("json", "layer", "ancestry", "files", "diff")] == [404] * 5
    assert bob.tag("bob/app", BASE) == 404
    child = image_of("child", BASE)
    bob.announce("bob/app", child)
    assert json_answer(bob, child) == (400, {"error": "Image depends on a non existing parent"})


@pytest.mark.parametrize(
    "other", [BASE, with_other_json(BASE), Image(BASE.image_id, BASE.json, tar_layer({"./other": b""}))]
)
def test_another_users_push_of_the_id_keeps_its_own_bytes(other: Image) -> None:
    world = with_secret()
    bob = world.person("bob")
    bob.announce("bob/app", BASE)
    assert [answer(bob, other) for answer in (json_answer, layer_answer, checksum_answer)] == [
        (200, True)
    ] * 3
    assert bob.tag("bob/app", BASE) == 200
    # and for good: whatever becomes of the repository from which it was hidden
    assert_unharmed(world)
    assert world.person("alice").delete("alice/app").status_int == 200
    bob = AccountsWorld(world.people, world.storage).person("bob")
    path = f"/v1/images/{BASE.image_id}"
    assert (bob.get(f"{path}/json").body, bob.get(f"{path}/layer").body) == (other.json, other.layer)
    contents = list(world.storage.list_folders(f"{path.removeprefix('/v1/')}/_contents"))
    assert len(contents) == (0 if other is BASE else 1)


@pytest.mark.parametrize("with_token", [True, False])
def test_push_of_a_private_image_of_another_user_succeeds(with_token: bool) -> None:
    world = with_secret()
    bob = world.person("bob")
    top = image_of("top of bob's", SECRET)
    bob.make_private("bob/app")
    if with_token:
        token = bob.wanted_token("PUT", f"{REPOSITORIES}/bob/app/", list_of(BASE, SECRET, top))
        bob = Person(world.app, {"Authorization": f"Token {token}"})
        for image in (BASE, SECRET, top):
            steps = [bob.put_json(image), bob.put_layer(image), bob.put_checksum(image)]
            assert steps == [200, 200, 200]
        assert bob.tag("bob/app", top) == 200
    else:
        bob.push("bob/app", BASE, SECRET, top)
    for image in (BASE, SECRET, top):
        assert bob.image(image) == 200
    assert world.person("alice").image(top) == 404
    assert world.nobody().image(BASE) == 401
    assert_unharmed(world)


def test_writer_skips_the_image_and_a_tag_adopts_it() -> None:
    world = with_secret()
    world.people.users["bob"] = User("bob", frozenset({"alice"}))
    bob = world.person("bob")
    bob.announce("bob/app", BASE)
    assert json_answer(bob, BASE) == json_answer(bob, with_other_json(BASE)) == (409, {"error": EXISTS})
    assert bob.tag("bob/app", BASE) == 200
    world.people.users["bob"] = User("bob")
    assert bob.image(BASE) == 200  # announced by a user who could write it (decisions.md 18)
    assert bob.image(SECRET) == 404


def test_what_is_merely_readable_elsewhere_is_uploaded_again() -> None:
    """A public repository of a stranger vouches for nothing (decisions.md 18)."""
    world = with_secret()
    bob, alice = world.person("bob"), world.person("alice")
    alice.make_private("alice/app", "public")
    assert bob.image(BASE) == 200
    bob.announce("bob/app", BASE)
    assert bob.image(BASE) == 404
    assert bob.tag("bob/app", BASE) == 404
    assert [answer(bob, BASE) for answer in (json_answer, layer_answer, checksum_answer)] == [(200, True)] * 3
    assert bob.tag("bob/app", BASE) == 200


def test_a_tag_takes_over_what_the_user_has_in_another_repository() -> None:
    world = with_secret()
    other = world.another_app()
    assert Person(other, {}).image(BASE) == 401
    alice = world.person("alice")
    assert alice.tag("alice/open", SECRET) == 200
    for app in (world.app, other):
        nobody = Person(app, {})
        assert [nobody.image(image, "layer") for image in (SECRET, BASE)] == [200, 200]


# -- two at once


def engine(person: Person, repository: str, *images: Image) -> Iterator[str]:
    """Push as an engine, yielding before each request: an assertion fails where an engine would give up."""
    yield "announce"
    assert person.announce(repository, *images) == 200
    for image in images:
        path = f"/v1/images/{image.image_id}"
        yield "look"
        if person.get(f"{path}/json").status_int == 200:
            continue
        yield "json"
        answer = person.put(f"{path}/json", image.json)
        if answer.status_int != 200:
            assert error_of(answer)[1] == EXISTS
            continue
        yield "layer"
        assert person.put_layer(image) == 200
        yield "checksum"
        answer = person.checksum_answer(image)
        assert answer.status_int == 200 or error_of(answer)[1] == EXISTS, answer
    yield "tag"
    assert person.tag(repository, images[-1]) == 200


def orders(length: int) -> list[tuple[bool, ...]]:
    """Return all orders in which two take ``length`` steps each, but for who of them begins."""
    chosen = itertools.combinations(range(1, 2 * length), length)
    return [tuple(number in second for number in range(2 * length)) for second in chosen]


@pytest.mark.parametrize("part", range(4))
def test_two_pushes_of_one_private_image_succeed_in_each_order(part: int) -> None:
    """All 462 orders of the six steps of each, in four parts."""
    template = fresh_world()
    for name in ("alice", "bob"):
        template.person(name).make_private(f"{name}/app")
    for order in orders(6)[part::4]:
        world = template.copy()
        people = world.person("alice"), world.person("bob")
        pushes = engine(people[0], "alice/app", BASE), engine(people[1], "bob/app", BASE)
        for push in pushes:
            assert next(push) == "announce"
        for is_bob in order:
            next(pushes[is_bob], None)
        for push in pushes:
            assert list(push) == [], order
        for person, repository in zip(people, ("alice/app", "bob/app"), strict=True):
            path = f"/v1/images/{BASE.image_id}"
            assert person.get(f"{REPOSITORIES}/{repository}/tags/latest").json == BASE.image_id
            assert (person.get(f"{path}/json").body, person.get(f"{path}/layer").body) == (
                BASE.json,
                BASE.layer,
            )
        assert Person(world.app, {}).image(BASE) == 401


@pytest.mark.parametrize("moment", ["before", "during", "after"])
def test_layer_that_arrives_during_a_completion_counts(moment: str) -> None:
    world = fresh_world()
    alice, bob = world.person("alice"), world.person("bob")
    for person, name in ((alice, "alice/app"), (bob, "bob/app")):
        person.make_private(name)
        person.announce(name, BASE)
        assert person.put_json(BASE) == 200
    assert alice.put_layer(BASE) == 200

    def complete() -> None:
        assert alice.put_checksum(BASE) == 200

    if moment == "before":
        complete()
    half = len(BASE.layer) // 2
    pieces = during(complete if moment == "during" else lambda: None, BASE.layer[:half], BASE.layer[half:])
    answer = bob.client.put_pieces(f"/v1/images/{BASE.image_id}/layer", pieces, bob.headers)
    assert answer.status_int == 200
    if moment == "after":
        complete()
    assert bob.put_checksum(BASE) == 200
    assert bob.tag("bob/app", BASE) == 200
    assert bob.image(BASE, "layer") == 200
    assert alice.image(BASE, "layer") == 200


# -- children and parents in parallel, as some clients push


@pytest.mark.parametrize(
    "order", list(itertools.permutations(["base layer", "base sum", "top layer", "top sum"]))
)
def test_layers_and_sums_of_one_push_come_in_any_order(order: tuple[str, ...]) -> None:
    world = fresh_world()
    alice = world.person("alice")
    alice.make_private("alice/app")
    alice.announce("alice/app", BASE, SECRET)
    assert [alice.put_json(BASE), alice.put_json(SECRET)] == [200, 200]
    steps: dict[str, Callable[[], int]] = {
        "base layer": lambda: alice.put_layer(BASE),
        "base sum": lambda: alice.put_checksum(BASE),
        "top layer": lambda: alice.put_layer(SECRET),
        "top sum": lambda: alice.put_checksum(SECRET),
    }
    sent: set[str] = set()
    for step in order:
        needed = step.replace("sum", "layer")
        assert steps[step]() == (200 if step == needed or needed in sent else 400), (order, step)
        sent.add(step)
    for image in (BASE, SECRET):
        assert alice.put_checksum(image) in (200, 409)
        assert alice.image(image, "layer") == 200
    assert alice.tag("alice/app", SECRET) == 200
    assert AccountsWorld(world.people, world.storage).person("alice").image(SECRET, "diff") == 200
    assert world.nobody().image(BASE) == 401


def test_a_push_with_passwords_is_its_users_own() -> None:
    world = fresh_world()
    world.people.users["hank"] = User("hank", frozenset({"team"}))
    gina, hank, root = (world.person(name) for name in ("gina", "hank", "root"))
    gina.make_private("team/app")
    assert gina.announce("team/app", OWN) == 200
    assert gina.put_json(OWN) == 200
    # an administrator may write everywhere, so nothing tells that the push is for this repository
    assert [root.put_json(OWN), root.put_layer(OWN)] == [400, 400]
    assert [hank.put_layer(OWN), hank.put_json(OWN)] == [404, 200]
    assert [hank.put_layer(OWN), hank.put_checksum(OWN)] == [200, 200]
    assert gina.image(OWN) == hank.image(OWN) == 200
