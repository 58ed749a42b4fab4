"""Two pushes of one image id, interleaved at every step (decisions.md 5, 17, 18).

Genuine engines send different bytes for one id, even from two machines with one version. Every push has to
succeed. A later pull gets the bytes of one push, never the JSON of one and the layer of the other.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from support.accounts_world import AccountsWorld
from support.backends import People
from support.engine_client import Image, make_chain, tar_layer
from support.strict_engine import StrictEngine, pull
from support.wsgi_client import call

from v1registry import MemoryStorage, Registry
from v1registry.rights import Action, User


def other_json(image: Image) -> Image:
    """Return the image with the same id and layer, and with JSON of another engine."""
    document = json.loads(image.json) | {"docker_version": "1.3.3"}
    return Image(image.image_id, json.dumps(document).encode(), image.layer)


def other_layer(image: Image) -> Image:
    """Return the image with the same id and JSON, and with a layer that was packed on another machine."""
    return Image(image.image_id, image.json, tar_layer({"etc/other": image.layer[:20]}))


#: what the second engine makes of the image of the first
PAIRS = {
    "equal": lambda image: image,
    "other JSON": other_json,
    "other layer": other_layer,
    "both different": lambda image: other_layer(other_json(image)),
}


@dataclass(frozen=True)
class Setting:
    """Who pushes where."""

    has_accounts: bool
    repositories: tuple[str, str]
    users: tuple[str, str]
    uses_token: bool = True

    def app(self) -> Registry:
        if not self.has_accounts:
            return Registry(storage=MemoryStorage())
        world = AccountsWorld(People.of(User("alice"), User("bob")))
        for repository, user in zip(self.repositories, self.users, strict=True):
            namespace = repository.partition("/")[0]
            if user != namespace:
                world.person(namespace).announce(repository)
                world.grant(repository, user, Action.WRITE)
        return world.app

    def engines(self, app: Registry, chains: Sequence[list[Image]]) -> list[StrictEngine]:
        return [
            StrictEngine(
                app,
                repository,
                chain,
                login=f"{user}:pw-{user}" if self.has_accounts else "",
                uses_token=self.uses_token,
            )
            for repository, user, chain in zip(self.repositories, self.users, chains, strict=True)
        ]


SETTINGS = {
    "open, one repository": Setting(False, ("foo/app", "foo/app"), ("", "")),
    "open, two repositories": Setting(False, ("foo/app", "bar/app"), ("", "")),
    "open, without tokens": Setting(False, ("foo/app", "bar/app"), ("", ""), uses_token=False),
    "one repository, one user": Setting(True, ("alice/app", "alice/app"), ("alice", "alice")),
    "one repository, two users": Setting(True, ("alice/app", "alice/app"), ("alice", "bob")),
    "two repositories, one user": Setting(True, ("alice/app", "alice/two"), ("alice", "alice")),
    "two repositories, two users": Setting(True, ("alice/app", "bob/app"), ("alice", "bob")),
}


def interleavings(first: int, second: int) -> Iterator[tuple[int, ...]]:
    """Yield every order of ``first`` steps of push 0 and ``second`` steps of push 1."""
    for places in itertools.combinations(range(first + second), first):
        yield tuple(0 if place in places else 1 for place in range(first + second))


def run(engines: Sequence[StrictEngine], order: Sequence[int]) -> None:
    """Run the pushes in an order of steps. The first step of each comes first, the rest comes last."""
    pushes = [engine.steps() for engine in engines]
    for push in pushes:
        next(push)
    for number in order:
        next(pushes[number], None)
    for push in pushes:
        for _ in push:
            pass


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=list(SETTINGS))
@pytest.mark.parametrize("pair", PAIRS.values(), ids=list(PAIRS))
def test_both_pushes_succeed_in_every_order(setting: Setting, pair) -> None:
    (image,) = make_chain([tar_layer({"etc/base": b"base"})], name="base")
    chains = [[image], [pair(image)]]
    for order in interleavings(4, 4):
        app = setting.app()
        engines = setting.engines(app, chains)
        run(engines, order)
        pulled = [engine.pull() for engine in engines]
        assert all(chain in chains for chain in pulled), order
        if setting.repositories[0] == setting.repositories[1] or not setting.has_accounts:
            assert pulled[0] == pulled[1], order
        elif setting.users[0] != setting.users[1]:
            assert pulled == chains, order


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=list(SETTINGS))
def test_chains_keep_their_own_bytes_in_sampled_orders(setting: Setting) -> None:
    layers = [tar_layer({f"etc/{number}": bytes([number])}) for number in range(2)]
    chain = make_chain(layers, name="chain")
    others = [other_layer(other_json(image)) for image in chain]
    for number, order in enumerate(interleavings(8, 8)):
        if number % 131:
            continue
        app = setting.app()
        engines = setting.engines(app, [chain, others])
        run(engines, order)
        for engine in engines:
            for image, pushed in zip(engine.pull(), zip(chain, others, strict=True), strict=True):
                assert image in pushed, order
        if setting.users[0] != setting.users[1] and setting.repositories[0] != setting.repositories[1]:
            assert [engine.pull() for engine in engines] == [chain, others], order


def test_nothing_of_an_unfinished_push_is_below_images() -> None:
    storage = MemoryStorage()
    app = Registry(storage=storage)
    (image,) = make_chain([tar_layer({"etc/base": b"base"})])
    push = StrictEngine(app, "foo/app", [image]).steps()
    for step in push:
        if step == "checksum":
            break
        assert list(storage.list("images/")) == [], step
    assert {stat.key.rpartition("/")[2] for stat in storage.list("images/")} == {
        "json",
        "layer",
        "ancestry",
        "_checksum",
    }
    assert call(app, "GET", f"/v1/images/{image.image_id}/json").body == image.json


def test_completed_push_leaves_nothing_below_uploads() -> None:
    storage = MemoryStorage()
    app = Registry(storage=storage)
    chain = make_chain([tar_layer({f"etc/{number}": b"base"}) for number in range(3)])
    StrictEngine(app, "foo/app", chain).push()
    assert list(storage.list("uploads/")) == []


def test_image_of_a_private_repository_blocks_nobody() -> None:
    world = AccountsWorld(People.of(User("alice"), User("bob")))
    chain = make_chain([tar_layer({f"etc/{number}": b"base"}) for number in range(3)])
    others = [other_layer(other_json(image)) for image in chain]
    StrictEngine(world.app, "alice/app", chain, login="alice:pw-alice").push()
    world.person("alice").make_private("alice/app")

    engine = StrictEngine(world.app, "bob/app", others, login="bob:pw-bob").push()

    assert engine.skipped == set()
    assert engine.pull() == others
    assert pull(world.app, "alice/app", login="alice:pw-alice") == chain


def test_public_image_of_another_user_is_uploaded_again() -> None:
    """A guessed id in a stranger's public repository vouches for nothing (decisions.md 18)."""
    world = AccountsWorld(People.of(User("mallory"), User("bob")))
    (image,) = make_chain([tar_layer({"bin/sh": b"genuine"})], name="base")
    StrictEngine(world.app, "mallory/base", [other_layer(image)], login="mallory:pw-mallory").push()

    engine = StrictEngine(world.app, "bob/app", [image], login="bob:pw-bob").push()

    assert engine.skipped == set()
    assert engine.pull() == [image]


def test_image_of_a_library_repository_is_not_uploaded_again() -> None:
    world = AccountsWorld(People.of(User("root", is_administrator=True), User("bob")))
    chain = make_chain([tar_layer({"bin/sh": b"genuine"}), tar_layer({"etc/app": b""})], name="base")
    StrictEngine(world.app, "library/base", chain[:1], login="root:pw-root").push()

    engine = StrictEngine(world.app, "bob/app", chain, login="bob:pw-bob").push()

    assert engine.skipped == {chain[0].image_id}
    assert engine.pull() == chain
    world.person("root").delete("library/base")
    assert engine.pull() == chain


def test_image_of_a_private_library_repository_is_uploaded_again() -> None:
    world = AccountsWorld(People.of(User("root", is_administrator=True), User("bob")))
    (image,) = make_chain([tar_layer({"bin/sh": b"genuine"})], name="base")
    StrictEngine(world.app, "library/base", [image], login="root:pw-root").push()
    world.person("root").make_private("library/base")

    engine = StrictEngine(world.app, "bob/app", [image], login="bob:pw-bob").push()

    assert engine.skipped == set()
    assert engine.pull() == [image]


def test_image_of_an_own_repository_is_not_uploaded_again() -> None:
    world = AccountsWorld(People.of(User("alice")))
    chain = make_chain([tar_layer({f"etc/{number}": b"base"}) for number in range(2)])
    StrictEngine(world.app, "alice/one", chain, login="alice:pw-alice").push()
    world.person("alice").make_private("alice/one")

    engine = StrictEngine(world.app, "alice/two", chain, login="alice:pw-alice").push()

    assert engine.skipped == {image.image_id for image in chain}
    assert engine.pull() == chain


def test_repository_made_again_after_deletion_inherits_nothing() -> None:
    world = AccountsWorld(People.of(User("alice"), User("bob")))
    (image,) = make_chain([tar_layer({"etc/secret": b"secret"})])
    StrictEngine(world.app, "alice/app", [image], login="alice:pw-alice").push()
    assert world.person("alice").delete("alice/app").status_int in (200, 202)
    world.person("alice").announce("alice/app")
    token = world.bearer("alice/app", Action.READ, User("alice"))
    assert token.image(image) == 404


def test_deleted_image_can_be_pushed_with_other_bytes() -> None:
    """What no repository holds is in no push's way (decisions.md 18)."""
    world = AccountsWorld(People.of(User("mallory"), User("bob")))
    (image,) = make_chain([tar_layer({"bin/sh": b"genuine"})], name="base")
    StrictEngine(world.app, "mallory/base", [other_layer(image)], login="mallory:pw-mallory").push()
    assert world.person("mallory").delete("mallory/base").status_int in (200, 202)

    assert StrictEngine(world.app, "bob/app", [image], login="bob:pw-bob").push().pull() == [image]
