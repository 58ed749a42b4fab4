"""Images that a repository takes over or holds already when a push names them: damaged ones, and ancestors
(decisions.md 18, 22).
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.accounts_world import READ, REPOSITORIES, AccountsWorld, Person, image_of, list_of
from support.backends import People
from support.credentials import token_header
from support.engine_client import Image
from support.push_requests import checksum_of

from v1registry import MemoryStorage
from v1registry.rights import User

ALICE, BOB = User("alice", groups=frozenset({"team"})), User("bob", groups=frozenset({"team"}))
BASE = image_of("base")
TOP = image_of("top", BASE)
OTHER_BASE = Image(BASE.image_id, BASE.json, TOP.layer)
NAME = "alice/app"

DAMAGES: dict[str, Callable[[MemoryStorage, str], object]] = {
    "empty": lambda storage, key: storage.write(key, b""),
    "cut": lambda storage, key: storage.write(key, storage.read(key)[0][:40]),
    "missing": lambda storage, key: storage.delete(key),
}


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def world(storage: MemoryStorage) -> AccountsWorld:
    return AccountsWorld(People.of(ALICE, BOB), storage)


def layer_in(world: AccountsWorld, repository: str, image: Image) -> bytes:
    answer = world.bearer(repository, READ, None).get(f"/v1/images/{image.image_id}/layer")
    assert answer.status_int == 200
    layer: bytes = answer.body
    return layer


# -- damaged images


@pytest.mark.parametrize(
    ("name", "kind"),
    [("json", "empty"), ("json", "cut"), ("json", "missing"), ("layer", "empty"), ("layer", "missing")],
)
@pytest.mark.parametrize("has_token", [True, False])
def test_tag_on_a_damaged_image_is_404(
    world: AccountsWorld, storage: MemoryStorage, name: str, kind: str, has_token: bool
) -> None:
    alice = world.person("alice")
    alice.push(NAME, BASE, TOP)
    DAMAGES[kind](storage, f"images/{TOP.image_id}/{name}")
    token = alice.wanted_token("PUT", f"{REPOSITORIES}/{NAME}/", list_of(BASE, TOP))
    pusher = Person(world.app, token_header(token)) if has_token else alice

    assert [pusher.tag(NAME, TOP, tag) for tag in ("latest", "new")] == [404, 404]

    assert alice.get(f"{REPOSITORIES}/{NAME}/tags").json == {"latest": TOP.image_id}
    pusher.push(NAME, BASE, TOP, tag="new")
    assert layer_in(world, NAME, TOP) == TOP.layer


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_sums_are_restored_by_a_push_of_the_same_bytes(
    world: AccountsWorld, storage: MemoryStorage, kind: str
) -> None:
    world.person("alice").push(NAME, BASE)
    key = f"images/{BASE.image_id}/_checksum"
    whole = storage.read(key)[0]
    DAMAGES[kind](storage, key)

    world.person("bob").push("bob/app", BASE)

    assert storage.read(key)[0] == whole
    assert json.loads(whole) == [checksum_of(BASE).headers["X-Docker-Checksum-Payload"]]
    assert list(storage.list_folders(f"images/{BASE.image_id}/_contents")) == []


def test_sums_of_an_old_server_stay_if_the_same_bytes_are_pushed(
    world: AccountsWorld, storage: MemoryStorage
) -> None:
    world.person("alice").push(NAME, BASE)
    old = b"tarsum+sha256:" + b"3" * 64
    storage.write(f"images/{BASE.image_id}/_checksum", old)

    world.person("bob").push("bob/app", BASE)

    assert storage.read(f"images/{BASE.image_id}/_checksum")[0] == old


# -- ancestors


def test_ancestors_come_from_the_holder_of_the_image(world: AccountsWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    alice.push("alice/base", OTHER_BASE)
    bob.push("team/app", BASE, TOP)

    assert alice.tag("alice/new", TOP) == 200

    assert [layer_in(world, "alice/new", image) for image in (BASE, TOP)] == [BASE.layer, TOP.layer]
    assert layer_in(world, "alice/base", BASE) == OTHER_BASE.layer


def test_ancestors_that_the_repository_holds_stay(world: AccountsWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    alice.push(NAME, OTHER_BASE)
    bob.push("team/app", BASE, TOP)

    assert alice.tag(NAME, TOP) == 200

    assert [layer_in(world, NAME, image) for image in (BASE, TOP)] == [OTHER_BASE.layer, TOP.layer]


def test_image_on_a_damaged_ancestor_is_not_taken_over(world: AccountsWorld, storage: MemoryStorage) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    alice.push("alice/base", OTHER_BASE)
    bob.push("team/app", BASE, TOP)
    (variant,) = storage.list_folders(f"images/{BASE.image_id}/_contents")
    storage.delete(f"images/{BASE.image_id}/_contents/{variant}/layer")

    assert alice.tag("alice/new", TOP) == 404
