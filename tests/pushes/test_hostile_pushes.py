"""Attacks on contents of other repositories, and deletions that race a push (decisions.md 14, 17, 18)."""

from __future__ import annotations

import json

import pytest
from support.accounts_world import READ, AccountsWorld, People, image_of
from support.engine_client import Image
from support.faulty_storage import FaultyStorage

from v1registry import MemoryStorage
from v1registry.rights import User

BASE = image_of("base")


def world_over(storage: FaultyStorage | MemoryStorage) -> AccountsWorld:
    return AccountsWorld(People.of(User("alice"), User("mallory")), storage)


def write_old_image(storage: MemoryStorage, image: Image, **more: bytes) -> None:
    """Store an image of a mirror that has not fetched the layer, and a tag of ``library/base`` on it."""
    folder = f"images/{image.image_id}"
    values = {"json": image.json, "ancestry": json.dumps([image.image_id]).encode(), **more}
    for name, value in values.items():
        storage.write(f"{folder}/{name}", value)
    storage.write("repositories/library/base/tag_latest", image.image_id.encode())


@pytest.mark.parametrize(
    ("more", "status"),
    [({}, 409), ({"_checksum": json.dumps([BASE.payload_checksum]).encode()}, 404)],
    ids=["without a sum", "with a sum"],
)
def test_missing_layer_of_a_shared_image_cannot_be_sent(more: dict[str, bytes], status: int) -> None:
    """With a sum the image is damaged, and counts as incomplete (decisions.md 22)."""
    storage = MemoryStorage()
    write_old_image(storage, BASE, **more)
    world = world_over(storage)
    world.nobody().get("/v1/repositories/library/base/images")
    mallory = world.person("mallory")
    assert mallory.announce("mallory/app", BASE) == 200

    assert mallory.put_layer(Image(BASE.image_id, BASE.json, b"evil")) == status

    assert world.bearer("library/base", READ, None).image(BASE, "layer") == 404


def test_push_beside_the_end_of_a_deletion_is_not_lost() -> None:
    """A second request makes the deleted repository again while a first one is clearing it away."""
    storage = FaultyStorage()
    world = world_over(storage)
    alice, other = world.person("alice"), world.person("alice")
    first, second = image_of("first"), image_of("second")
    alice.push("alice/app", first)
    assert alice.delete("alice/app", wants_token=True).status_int == 202
    storage.before(
        lambda: other.push("alice/app", second), "write", key="uploads/_deleted/alice/app", times=1
    )

    assert alice.announce("alice/app", first) == 200

    assert alice.get("/v1/repositories/alice/app/tags").json == {"latest": second.image_id}
    assert world.bearer("alice/app", READ, User("alice")).image(second) == 200


@pytest.mark.parametrize("variant", ["../..", "/", "\x00", "x" * 800, "é", "0" * 64 + "-" + "g" * 16])
def test_mark_with_an_invalid_content_counts_for_nothing(variant: str) -> None:
    storage = MemoryStorage()
    world = world_over(storage)
    alice = world.person("alice")
    alice.push("alice/app", BASE)
    key = f"images/{BASE.image_id}/_held_by/alice/app"
    mark = json.loads(storage.read(key)[0])
    storage.write(key, json.dumps(mark | {"variant": variant}).encode())
    reader = world.bearer("alice/app", READ, User("alice"))
    for what in ("json", "layer", "ancestry", "files", "diff"):
        assert reader.image(BASE, what) == 404


def test_announcement_walks_the_tags_once() -> None:
    storage = FaultyStorage()
    world = world_over(storage)
    alice = world.person("alice")
    alice.push("alice/app", BASE)
    counts = []
    for number in (2, 40):
        images = [Image(f"{n:064x}", b"", b"") for n in range(number)]
        before = storage.count("list", key="repositories/alice/app/tag_*")
        assert alice.announce("alice/app", *images) == 200
        counts.append(storage.count("list", key="repositories/alice/app/tag_*") - before)
    assert counts[0] == counts[1]
