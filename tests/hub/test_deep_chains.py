"""GET diff of an image with many ancestors costs little, once it was computed (decisions.md 19)."""

from __future__ import annotations

from typing import Any, cast

import pytest
from support.accounts_world import READ, AccountsWorld, Person
from support.backends import People
from support.engine_client import Image, make_chain, tar_layer
from support.faulty_storage import FaultyStorage

from v1registry import MemoryStorage, Registry, errors
from v1registry.registry.images import Images
from v1registry.rights import Content, ImageState, Rights, User

CHAIN = make_chain([tar_layer({f"etc/{number}": b"layer"}) for number in range(30)], name="deep")
TOP = CHAIN[-1]


def account_world(storage: FaultyStorage) -> AccountsWorld:
    world = AccountsWorld(People.of(User("alice"), User("mallory")), storage)
    world.person("alice").push("alice/app", *CHAIN)
    return world


def reader_of(storage: FaultyStorage, who: str) -> Person:
    """Return one who may read the chain: on an open server, or on one with accounts."""
    if who == "open":
        opened = Person(Registry(storage=storage), {})
        opened.push("alice/app", *CHAIN)
        return opened
    world = account_world(storage)
    if who == "token":
        return world.bearer("alice/app", READ, None)
    return world.person("alice") if who == "password" else world.nobody()


@pytest.mark.parametrize("who", ["open", "token", "password", "nobody"])
def test_kept_diff_of_a_deep_chain_costs_few_storage_calls(who: str) -> None:
    storage = FaultyStorage()
    reader = reader_of(storage, who)
    assert reader.image(TOP, "diff") == 200
    before = storage.count()
    assert reader.image(TOP, "diff") == 200
    assert storage.count() - before <= 14


def test_remembered_chain_is_not_shown_to_others() -> None:
    world = account_world(FaultyStorage())
    alice, mallory = world.person("alice"), world.person("mallory")
    alice.make_private("alice/app")
    assert alice.image(TOP, "diff") == 200
    assert mallory.image(TOP, "diff") == 404
    assert world.nobody().image(TOP, "diff") == 401


def test_remembered_chain_ends_with_its_repository() -> None:
    world = account_world(FaultyStorage())
    mallory = world.person("mallory")
    root = Image(CHAIN[0].image_id, CHAIN[0].json, tar_layer({"etc/29": b"another root"}))
    reader = world.bearer("alice/app", READ, None)
    before = reader.get(f"/v1/images/{TOP.image_id}/diff").json
    # so the root of the chain stays, and the next one is stored beside it
    mallory.push("mallory/app", *CHAIN)
    world.person("alice").delete("alice/app")

    world.person("alice").push("alice/app", root, *CHAIN[1:])

    after = reader.get(f"/v1/images/{TOP.image_id}/diff").json
    assert [list(before["created"]), list(after["changed"])] == [["etc/29"], ["etc/29"]]


class RightsByAncestor:
    """Rights that depend on each ancestor, as those of an external index do."""

    is_open = False

    def __init__(self, *hidden: str):
        self._hidden = hidden

    def incarnation_of(self, repository: object) -> str:
        return ""

    def content_in(self, repository: object, image_id: str) -> Content | None:
        return None if image_id in self._hidden else Content(image_id)


def test_chain_without_a_repository_is_not_remembered() -> None:
    storage = MemoryStorage()
    Person(Registry(storage=storage), {}).push("alice/app", *CHAIN)
    chains, state = Images(storage).chains, ImageState(Content(TOP.image_id))

    def contents(rights: Any) -> tuple[Content, ...]:
        return chains.contents(cast(Rights, rights), state)

    assert len(contents(RightsByAncestor())) == len(CHAIN)
    with pytest.raises(errors.ImageNotFound):
        contents(RightsByAncestor(CHAIN[0].image_id))
