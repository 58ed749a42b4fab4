"""Old folders below a server with accounts: repositories are adopted when a request or a token names them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from support.accounts_world import READ, WRITE, AccountsWorld, image_of
from support.backends import People
from support.engine_client import Image

from v1registry import FileStorage, MemoryStorage, Storage
from v1registry.cli.main import main
from v1registry.rights import User

ALICE, BOB = User("alice"), User("bob")
BASE = image_of("base")
TOP = image_of("top", BASE)


def write_image(storage: Storage, image: Image, *parents: Image, is_finished: bool = True) -> None:
    """Write an image as docker-registry does."""
    folder = f"images/{image.image_id}"
    if not is_finished:
        storage.write(f"{folder}/_inprogress", b"true")
    storage.write(f"{folder}/json", image.json)
    ids = [image.image_id, *(parent.image_id for parent in parents)]
    storage.write(f"{folder}/ancestry", json.dumps(ids).encode())
    storage.write(f"{folder}/layer", image.layer)
    storage.write(f"{folder}/_checksum", json.dumps([image.payload_checksum]).encode())


def write_tag(storage: Storage, repository: str, image: Image, tag: str = "latest") -> None:
    storage.write(f"repositories/{repository}/tag_{tag}", image.image_id.encode())


def old_world(storage: Storage | None = None) -> AccountsWorld:
    """Return a server with accounts over a folder in which alice/app has two images."""
    storage = MemoryStorage() if storage is None else storage
    write_image(storage, BASE)
    write_image(storage, TOP, BASE)
    write_tag(storage, "alice/app", TOP)
    return AccountsWorld(People.of(ALICE, BOB), storage)


def test_a_token_shows_the_images_that_the_tags_reach() -> None:
    world = old_world()
    reader = world.bearer("alice/app", READ, BOB)
    assert [reader.image(image, "layer") for image in (TOP, BASE)] == [200, 200]
    assert reader.image(TOP, "diff") == 200


def test_images_without_token_are_seen_after_their_repository() -> None:
    world = old_world()
    assert world.nobody().image(TOP) == 401
    assert world.bearer("alice/app", READ, None).image(TOP) == 200
    assert [world.nobody().image(image) for image in (TOP, BASE)] == [200, 200]


def test_tags_that_an_old_server_sets_later_count_too() -> None:
    world = old_world()
    reader = world.bearer("alice/app", READ, BOB)
    assert reader.image(TOP) == 200
    late = image_of("late")
    assert reader.image(late) == 404
    write_image(world.storage, late)
    write_tag(world.storage, "alice/app", late, "late")
    assert reader.image(late) == 200


def test_announced_images_of_a_tag_that_an_old_server_set_are_held() -> None:
    world = old_world()
    alice = world.person("alice")
    late = image_of("late")
    assert alice.announce("alice/app", TOP) == 200
    write_image(world.storage, late)
    write_tag(world.storage, "alice/app", late, "late")
    assert alice.announce("alice/app", image_of("unknown"), BASE, late) == 200
    world.storage.delete("repositories/alice/app/tag_late")
    assert world.bearer("alice/app", READ, ALICE).image(late) == 200


def test_old_tag_does_not_reach_a_later_push_of_another_user() -> None:
    world = old_world()
    unfinished = image_of("unfinished")
    write_image(world.storage, unfinished, is_finished=False)
    write_tag(world.storage, "bob/old", unfinished)
    alice = world.person("alice")
    alice.make_private("alice/app")
    alice.push("alice/app", unfinished)
    assert alice.image(unfinished) == 200
    assert world.bearer("bob/old", READ, BOB).image(unfinished) == 404
    assert world.person("bob").image(unfinished) == 404


def test_a_tag_that_is_pushed_reaches_no_further_than_its_push() -> None:
    """The parent is old and private. Who guesses its JSON can tag a child, and does not get the parent."""
    world = old_world()
    world.person("alice").make_private("alice/app")
    bob, child = world.person("bob"), image_of("child", BASE)
    bob.announce("bob/x", BASE, child)
    assert [bob.put_json(BASE), bob.put_json(child), bob.put_layer(child), bob.put_checksum(child)] == [
        200
    ] * 4
    assert bob.tag("bob/x", child) == 200
    for _ in range(2):
        assert world.bearer("bob/x", READ, BOB).image(BASE) == 400  # bob's own push
        assert world.bearer("bob/x", READ, BOB).image(TOP) == 404


def test_a_deleted_repository_is_not_adopted_again() -> None:
    world = old_world()
    alice = world.person("alice")
    assert world.bearer("alice/app", READ, ALICE).image(TOP) == 200
    assert alice.delete("alice/app").status_int == 200
    assert not list(world.storage.list("repositories/"))
    write_tag(world.storage, "alice/app", TOP)  # as a request that was on its way
    assert world.bearer("alice/app", READ, ALICE).image(TOP) == 404
    alice.announce("alice/app", BASE)
    assert world.bearer("alice/app", WRITE, ALICE).image(TOP) == 404


def test_old_data_of_a_name_that_was_deleted_days_ago_is_adopted(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path, durable=False)
    world = old_world(storage)
    alice = world.person("alice")
    assert alice.delete("alice/app").status_int == 200
    write_tag(storage, "alice/app", TOP)
    reader = world.bearer("alice/app", READ, ALICE)
    assert reader.image(TOP) == 404

    days_ago = time.time() - 2 * 24 * 3600
    os.utime(tmp_path / "uploads/_deleted/alice/app", (days_ago, days_ago))

    assert reader.image(TOP) == 200


@pytest.mark.parametrize("is_named_before", [True, False])
def test_marks_of_an_earlier_version_count_for_what_was_there_then(is_named_before: bool) -> None:
    world = old_world()
    late = image_of("late")
    write_image(world.storage, late)
    world.storage.write(f"images/{late.image_id}/_held_by/alice/app", b"")
    if is_named_before:
        assert world.bearer("alice/app", READ, ALICE).image(TOP) == 200
    assert world.bearer("alice/app", READ, ALICE).image(late) == 200
    world.person("alice").delete("alice/app")
    world.person("alice").announce("alice/app")
    assert world.bearer("alice/app", READ, ALICE).image(late) == 404


def test_adopt_does_all_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = old_world(FileStorage(tmp_path, durable=False))
    write_tag(world.storage, "bob/copy", BASE)
    for expected in ("2 repositories adopted", "0 repositories adopted"):
        assert main(["adopt", "--storage", tmp_path.as_uri()]) == 0
        assert capsys.readouterr().out == f"{expected}\n"
    assert [world.nobody().image(image) for image in (TOP, BASE)] == [200, 200]
