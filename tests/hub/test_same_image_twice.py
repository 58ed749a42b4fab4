"""The same private image pushed by two who do not know of each other, and by whoever only knows a part of it (decisions.md 17)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator

import pytest
from support.accounts_world import REPOSITORIES, WRITE, Person, World, image_of, list_of
from support.attacked import BASE, OWN, SECRET, assert_unharmed, fresh_world, with_other_json, with_secret
from support.engine_client import Image, tar_layer
from support.wsgi_client import during, error_of

from v1registry import MemoryStorage
from v1registry.rights import User
from v1registry.storage.base import ANY, Stat

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


def test_to_somebody_else_it_looks_absent() -> None:
    bob = with_secret().person("bob")
    assert bob.announce("bob/app", BASE, SECRET) == 200
    assert [bob.image(BASE, what) for what in ("json", "layer", "ancestry", "files", "diff")] == [404] * 5
    assert bob.tag("bob/app", BASE) == 404
    child = image_of("child", BASE)
    bob.announce("bob/app", child)
    assert json_answer(bob, child) == (400, {"error": "Image depends on a non existing parent"})


def test_the_stored_json_is_accepted_and_changes_nothing() -> None:
    world = with_secret()
    bob = world.person("bob")
    bob.announce("bob/app", BASE)
    before = {stat.key: stat.etag for stat in world.storage.list(f"images/{BASE.image_id}/")}
    assert json_answer(bob, BASE) == (200, True)
    after = {stat.key: stat.etag for stat in world.storage.list(f"images/{BASE.image_id}/")}
    announced = f"images/{BASE.image_id}/_announced_by/bob/app"
    assert before.pop(announced) != after.pop(announced)
    assert before == after
    assert bob.image(BASE) == 404
    assert_unharmed(world)


def test_other_json_is_409_with_a_text_that_no_engine_takes_for_done() -> None:
    world = with_secret()
    bob = world.person("bob")
    bob.announce("bob/app", BASE)
    for other in (with_other_json(BASE), Image(BASE.image_id, BASE.json + b" ", BASE.layer)):
        assert json_answer(bob, other) == (409, {"error": OTHER})
    assert_unharmed(world)


def test_the_equal_layer_makes_the_repository_hold_the_image() -> None:
    world = with_secret()
    bob = world.person("bob")
    bob.announce("bob/app", BASE)
    assert json_answer(bob, BASE) == (200, True)
    assert bob.image(BASE) == 404
    assert layer_answer(bob, BASE) == (200, True)
    assert bob.image(BASE) == 200
    assert checksum_answer(bob, BASE) == (409, {"error": EXISTS})
    assert bob.tag("bob/app", BASE) == 200
    # and for good: whatever becomes of the repository from which it was hidden
    assert world.person("alice").delete("alice/app").status_int == 200
    assert (
        World(world.people, world.storage).person("bob").get(f"/v1/images/{BASE.image_id}/layer").body
        == BASE.layer
    )


def test_another_layer_is_409_and_holds_nothing() -> None:
    world = with_secret()
    bob = world.person("bob")
    bob.announce("bob/app", BASE)
    other = Image(BASE.image_id, BASE.json, tar_layer({"./other": b""}))
    assert json_answer(bob, other) == (200, True)
    assert layer_answer(bob, other) == (409, {"error": EXISTS})
    assert checksum_answer(bob, other) == (409, {"error": "Cannot set this image checksum"})
    assert checksum_answer(bob, BASE) == (409, {"error": EXISTS})
    assert bob.tag("bob/app", BASE) == 404
    assert bob.image(BASE) == 404
    assert_unharmed(world)


@pytest.mark.parametrize("with_token", [True, False])
def test_a_whole_push_of_what_somebody_else_has_in_private_ends_well(with_token: bool) -> None:
    world = with_secret()
    bob = world.person("bob")
    top = image_of("top of bob's", SECRET)
    bob.make_private("bob/app")
    if with_token:
        token = bob.wanted_token("PUT", f"{REPOSITORIES}/bob/app/", list_of(BASE, SECRET, top))
        bob = Person(world.app, {"Authorization": f"Token {token}"})
    bob.push("bob/app", BASE, SECRET, top)
    for image in (BASE, SECRET, top):
        assert bob.image(image) == 200
    assert world.person("alice").image(top) == 404
    assert world.nobody().image(BASE) == 404
    assert_unharmed(world)


def test_whoever_can_read_it_is_told_that_it_exists_and_engines_skip_it() -> None:
    world = with_secret()
    world.grant("alice/app", "bob", WRITE)
    bob = world.person("bob")
    bob.announce("bob/app", BASE)
    assert json_answer(bob, BASE) == json_answer(bob, with_other_json(BASE)) == (409, {"error": EXISTS})
    assert bob.tag("bob/app", BASE) == 200
    world.grant("alice/app", "bob", None)
    assert bob.image(BASE) == 200  # announced by a user who could read it
    assert bob.image(SECRET) == 404


def test_what_is_announced_while_it_is_hidden_is_held_once_it_may_be_read() -> None:
    world = with_secret()
    bob, alice = world.person("bob"), world.person("alice")
    bob.announce("bob/app", BASE)
    alice.make_private("alice/app", "public")
    assert json_answer(bob, BASE) == (409, {"error": EXISTS})
    assert bob.tag("bob/app", BASE) == 200
    alice.make_private("alice/app")
    assert world.nobody().image(BASE) == 200  # bob/app is public, and holds it


def test_to_tag_what_may_be_read_elsewhere_is_to_announce_it() -> None:
    """No engine does it, scripts do; the tag's readers have to get the image in this process and in others."""
    world = with_secret()
    other = world.another_app()
    assert Person(other, {}).image(BASE) == 404
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
def test_two_strangers_who_push_the_same_private_image_both_end_well_in_every_order(part: int) -> None:
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
        assert Person(world.app, {}).image(BASE) == 404


@pytest.mark.parametrize("moment", ["before", "during", "after"])
def test_a_layer_that_comes_in_while_somebody_else_completes_the_image_counts(moment: str) -> None:
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
    answer = bob.checksum_answer(BASE)
    assert error_of(answer) == (409, EXISTS)
    assert bob.tag("bob/app", BASE) == 200
    assert bob.image(BASE, "layer") == 200
    assert alice.image(BASE, "layer") == 200


def begun_and_sent(world: World) -> Person:
    """Let alice push the private image, but for its sum."""
    alice = world.person("alice")
    alice.make_private("alice/app")
    alice.announce("alice/app", BASE, SECRET)
    assert [alice.put_json(BASE), alice.put_layer(BASE)] == [200, 200]
    return alice


def test_a_crash_between_the_completion_and_the_mark_hides_nothing_from_who_sent_it() -> None:
    world = fresh_world()
    alice, mallory = begun_and_sent(world), world.person("mallory")
    mallory.announce("mallory/x", BASE)
    assert mallory.put_json(BASE) == 200  # whoever knows the JSON does not have the layer
    world.storage.delete(f"images/{BASE.image_id}/_inprogress")  # and the process died
    assert [alice.image(BASE, "layer"), mallory.image(BASE), world.nobody().image(BASE)] == [200, 404, 404]
    assert error_of(alice.checksum_answer(BASE)) == (409, EXISTS)
    assert world.storage.read(f"images/{BASE.image_id}/_held_by/alice/app")[0] == b""
    assert [alice.image(BASE, "layer"), mallory.image(BASE)] == [200, 404]


class InterruptedStorage(MemoryStorage):
    """Does something once, right after a look at a key or its deletion."""

    def __init__(self) -> None:
        super().__init__()
        self.after: dict[tuple[str, str], Callable[[], object]] = {}

    def stat(self, key: str) -> Stat:
        try:
            return super().stat(key)
        finally:
            self.after.pop(("stat", key), lambda: None)()

    def delete(self, key: str, *, expect: str = ANY) -> None:
        super().delete(key, expect=expect)
        self.after.pop(("delete", key), lambda: None)()


def test_a_child_may_come_between_the_completion_of_its_parent_and_the_mark_of_that() -> None:
    storage = InterruptedStorage()
    world = World(fresh_world().people, storage)
    alice, statuses = begun_and_sent(world), []

    def look() -> None:
        statuses.extend([alice.image(BASE), alice.put_json(SECRET), world.person("mallory").image(BASE)])

    storage.after["delete", f"images/{BASE.image_id}/_inprogress"] = look
    assert alice.put_checksum(BASE) == 200
    assert statuses == [200, 200, 404]


def test_a_parent_may_be_completed_while_it_is_looked_whether_a_child_may_build_on_it() -> None:
    storage = InterruptedStorage()
    world = World(fresh_world().people, storage)
    alice, statuses = begun_and_sent(world), []
    storage.after["stat", f"images/{BASE.image_id}/_inprogress"] = lambda: statuses.append(
        alice.put_checksum(BASE)
    )
    assert alice.put_json(SECRET) == 200
    assert statuses == [200]


def test_what_is_told_of_a_push_is_not_read_once_that_has_ended() -> None:
    """Who guessed the JSON is told that the image is being pushed, and gets no byte of it when its owner completes it then."""
    storage = InterruptedStorage()
    world = World(fresh_world().people, storage)
    alice, mallory = begun_and_sent(world), world.person("mallory")
    mallory.announce("mallory/x", BASE)
    assert mallory.put_json(BASE) == 200
    statuses: list[int] = []
    for what in ("json", "layer", "ancestry", "files"):
        storage.after["stat", f"images/{BASE.image_id}/_inprogress"] = lambda: statuses.append(
            alice.put_checksum(BASE)
        )
        assert mallory.image(BASE, what) in (400, 404)
    assert statuses[0] == 200
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
    assert World(world.people, world.storage).person("alice").image(SECRET, "diff") == 200
    assert world.nobody().image(BASE) == 404


def test_a_push_that_is_begun_by_one_member_of_a_group_is_ended_by_another() -> None:
    world = fresh_world()
    world.people.users["hank"] = User("hank", frozenset({"team"}))
    gina, hank, root = (world.person(name) for name in ("gina", "hank", "root"))
    gina.make_private("team/app")
    assert gina.announce("team/app", OWN) == 200
    assert gina.put_json(OWN) == 200
    # an administrator may write everywhere, so nothing tells that the push is for this repository
    assert [root.put_json(OWN), root.put_layer(OWN)] == [400, 400]
    assert [hank.put_layer(OWN), hank.put_checksum(OWN)] == [200, 200]
    assert gina.image(OWN) == hank.image(OWN) == 200


def test_an_odd_mark_of_a_push_is_none() -> None:
    world = fresh_world()
    alice = world.person("alice")
    alice.announce("alice/app", BASE)
    assert alice.put_json(BASE) == 200
    key = f"images/{BASE.image_id}/_announced_by/alice/app"
    for odd in (
        b"",
        b"[]",
        b'{"users": 1, "document": [], "layer": null}',
        b"{",
        json.dumps({"users": [1, None]}).encode(),
    ):
        world.storage.write(key, odd)
        assert alice.put_layer(BASE) == 404
        assert alice.image(BASE) == 404
        assert alice.put_json(BASE) == 200
        assert alice.put_layer(BASE) == 200
