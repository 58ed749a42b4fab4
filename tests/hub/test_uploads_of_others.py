"""A user who knows ids and layers of images of other users still does not read them (decisions.md 17)."""

from __future__ import annotations

import json

import pytest
from support.accounts_world import AccountsWorld, Person
from support.backends import People
from support.engine_client import Image

from v1registry.rights import User

SECRET = "PASSWORD=hunter2"
LAYER = b"a layer that many images have"


def image_of(number: int, parent: Image | None = None) -> Image:
    """Return an image whose JSON is secret and whose layer is not."""
    image_id = f"{number:064x}"
    fields = {"id": image_id, "config": {"Env": [SECRET]}} | ({"parent": parent.image_id} if parent else {})
    return Image(image_id, json.dumps(fields).encode(), LAYER)


def send(person: Person, image: Image) -> None:
    """Send all of an image."""
    assert [person.put_json(image), person.put_layer(image), person.put_checksum(image)] == [200, 200, 200]


def reads(person: Person, image: Image) -> bool:
    """Tell whether an answer shows something of an image."""
    answers = [
        person.get(f"/v1/images/{image.image_id}/{what}") for what in ("json", "layer", "ancestry", "files")
    ]
    return any(answer.status_int == 200 or SECRET in answer.text for answer in answers)


@pytest.fixture
def world() -> AccountsWorld:
    return AccountsWorld(People.of(User("owner"), User("stranger")))


@pytest.fixture
def owner(world: AccountsWorld) -> Person:
    return world.person("owner")


@pytest.fixture
def stranger(world: AccountsWorld) -> Person:
    return world.person("stranger")


def test_equal_layer_without_the_json_opens_nothing(owner: Person, stranger: Person) -> None:
    image = image_of(1)
    assert owner.announce("owner/app", image) == 200
    owner.make_private("owner/app")
    send(owner, image)

    assert stranger.announce("stranger/app", image) == 200
    stranger.put_layer(image)

    assert not reads(stranger, image)
    assert stranger.tag("stranger/app", image) == 404


def test_json_and_layer_together_make_a_holder(owner: Person, stranger: Person) -> None:
    image = image_of(1)
    assert owner.announce("owner/app", image) == 200
    owner.make_private("owner/app")
    send(owner, image)

    assert stranger.announce("stranger/app", image) == 200
    send(stranger, image)

    assert reads(stranger, image)
    assert stranger.tag("stranger/app", image) == 200


def test_child_of_an_unfinished_parent_does_not_open_the_parent(owner: Person, stranger: Person) -> None:
    parent = image_of(1)
    child = image_of(2, parent)
    assert owner.announce("owner/app", parent) == 200
    owner.make_private("owner/app")
    assert owner.put_json(parent) == 200

    assert stranger.announce("stranger/app", parent, child) == 200
    stranger.put_json(child)
    assert (owner.put_layer(parent), owner.put_checksum(parent)) == (200, 200)
    stranger.put_layer(child)
    stranger.put_checksum(child)

    stranger.tag("stranger/app", child)
    assert not reads(stranger, parent)
    assert reads(owner, parent)


def test_tag_set_during_the_push_of_another_user_opens_nothing(owner: Person, stranger: Person) -> None:
    image = image_of(1)
    assert owner.announce("owner/app", image) == 200
    owner.make_private("owner/app")
    assert owner.put_json(image) == 200
    assert stranger.announce("stranger/one", image) == 200

    stranger.tag("stranger/two", image)
    assert (owner.put_layer(image), owner.put_checksum(image)) == (200, 200)

    assert not reads(stranger, image)
    assert reads(owner, image)
