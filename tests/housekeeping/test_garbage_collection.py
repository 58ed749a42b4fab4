"""What ``gc`` removes and keeps of images of v1, while nothing else happens."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copytree

import pytest
from support.accounts_world import AccountsWorld, image_of
from support.backends import People
from support.clock import Clock
from support.engine_client import Image
from support.garbage import (
    BASE,
    OTHER_ROOT,
    OTHER_TOP,
    TOP,
    collect,
    everything,
    images_in,
    keys,
    push_openly,
)
from support.wsgi_client import call

from v1registry import FileStorage, MemoryStorage, Registry, Storage
from v1registry.cli.main import main
from v1registry.housekeeping.garbage_report import Freed
from v1registry.housekeeping.service import Housekeeping
from v1registry.housekeeping.sweep import CollectionRunning, Sweep
from v1registry.registry.keeping import DEAD_AFTER_S
from v1registry.rights import User

OTHER_BASE = Image(BASE.image_id, BASE.json, TOP.layer)  # other bytes under the same id
SAMPLE = Path(__file__).parents[1] / "data" / "docker-registry-0.9.1-data"


@pytest.fixture
def world(storage: Storage) -> AccountsWorld:
    return AccountsWorld(People.of(User("alice"), User("bob")), storage)


# -- API v1


def test_gc_of_an_empty_storage_removes_nothing(storage: Storage) -> None:
    report = collect(storage)

    assert (report.freed, report.total, keys(storage, "")) == ([], Freed(""), [])


def test_gc_keeps_what_tags_reach(world: AccountsWorld) -> None:
    world.person("alice").push("alice/app", BASE, TOP)
    before = everything(world.storage)

    assert collect(world.storage).freed == []
    assert everything(world.storage) == before


def test_gc_removes_images_without_a_tag(world: AccountsWorld) -> None:
    alice = world.person("alice")
    alice.push("alice/app", BASE, TOP)
    alice.push("alice/app", BASE, OTHER_TOP)

    report = collect(world.storage)

    assert images_in(world.storage) == {BASE.image_id, OTHER_TOP.image_id}
    (row,) = report.freed
    assert (row.repository, row.images, row.tags) == ("alice/app", 1, 0)
    assert row.bytes > len(TOP.layer) + len(TOP.json)
    listed = json.loads(world.storage.read("repositories/alice/app/_index_images")[0])
    assert {item["id"] for item in listed} == {BASE.image_id, OTHER_TOP.image_id}
    assert alice.image(OTHER_TOP, "layer") == 200


def test_gc_on_an_open_server_names_the_repository(storage: Storage) -> None:
    app = Registry(storage=storage)
    for image in (TOP, OTHER_TOP):
        push_openly(app, "foo/bar", BASE, image)

    (row,) = collect(storage).freed

    assert (row.repository, row.images) == ("foo/bar", 1)
    assert images_in(storage) == {BASE.image_id, OTHER_TOP.image_id}


def test_gc_removes_what_a_deleted_repository_held(world: AccountsWorld) -> None:
    alice = world.person("alice")
    alice.push("alice/app", BASE, TOP)
    alice.push("alice/other", BASE)
    alice.delete("alice/app")

    collect(world.storage)

    assert images_in(world.storage) == {BASE.image_id}
    assert alice.image(BASE, "layer") == 200


def test_gc_keeps_each_content_that_is_held(world: AccountsWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    alice.push("alice/app", BASE)
    bob.push("bob/app", OTHER_BASE)
    alice.push("alice/app", OTHER_ROOT)

    collect(world.storage)

    contents = keys(world.storage, f"images/{BASE.image_id}/")
    assert [key for key in contents if key.endswith("/layer")] == [
        f"images/{BASE.image_id}/_contents/{OTHER_BASE.payload_checksum[7:]}/layer"
    ]
    assert bob.image(BASE, "layer") == 200


def test_a_mark_of_publication_stays_with_its_content(world: AccountsWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    alice.push("alice/app", BASE)
    world.grant("alice/app", "bob", None)
    bob.push("bob/app", BASE)
    alice.push("alice/app", OTHER_ROOT)

    collect(world.storage)

    mark = json.loads(world.storage.read(f"images/{BASE.image_id}/_held_by/alice/app")[0])
    assert (mark["is_published"], mark["incarnation"]) == (True, "collected")
    assert bob.image(BASE, "layer") == 200
    assert collect(world.storage).freed == []


def test_a_removed_image_can_be_pushed_again(world: AccountsWorld) -> None:
    alice = world.person("alice")
    alice.push("alice/app", BASE, TOP)
    alice.push("alice/app", OTHER_ROOT)
    collect(world.storage)
    assert images_in(world.storage) == {OTHER_ROOT.image_id}

    alice.push("alice/app", BASE, TOP)

    assert [alice.image(image, "layer") for image in (BASE, TOP)] == [200, 200]


def test_what_is_younger_than_the_grace_time_stays(world: AccountsWorld) -> None:
    alice = world.person("alice")
    alice.push("alice/app", BASE, TOP, tag=None)
    before = everything(world.storage)

    assert collect(world.storage, grace_s=3600).freed == []
    assert everything(world.storage) == before
    collect(world.storage)
    assert images_in(world.storage) == set()


def test_parents_of_young_images_and_pushes_stay() -> None:
    clock = Clock()
    storage = MemoryStorage(clock=clock)
    world = AccountsWorld(People.of(User("alice")), storage, clock=clock)
    alice = world.person("alice")
    alice.push("alice/app", BASE, TOP, tag=None)
    clock.now_s += 30 * 3600
    child = image_of("child", TOP)
    assert alice.announce("alice/app", child) == 200
    assert alice.put_json(child) == 200

    Housekeeping(storage, clock=clock).collect_garbage()
    assert images_in(storage) == {BASE.image_id, TOP.image_id}
    assert [alice.put_layer(child), alice.put_checksum(child)] == [200, 200]
    Housekeeping(storage, clock=clock).collect_garbage()
    assert images_in(storage) == {BASE.image_id, TOP.image_id, child.image_id}
    clock.now_s += 30 * 3600
    Housekeeping(storage, clock=clock).collect_garbage()
    assert images_in(storage) == set()


def test_gc_of_an_old_folder_keeps_its_tags(tmp_path: Path) -> None:
    copytree(SAMPLE, tmp_path / "data")
    storage = FileStorage(tmp_path / "data", durable=False)

    report = collect(storage)

    left = {image_id[:8] for image_id in images_in(storage)}
    assert left == {"cae66217", "28720365", "a116c9ed"}
    assert report.total.images == 1  # the push that was never finished
    assert call(Registry(storage=storage), "GET", "/v1/repositories/foo/bar/tags").status == 200


# -- running


def test_a_dry_run_changes_nothing(world: AccountsWorld) -> None:
    alice = world.person("alice")
    alice.push("alice/app", BASE, TOP)
    alice.push("alice/app", OTHER_ROOT)
    before = everything(world.storage)

    dry = collect(world.storage, is_dry_run=True)
    assert everything(world.storage) == before

    assert collect(world.storage).freed == dry.freed
    assert dry.is_dry_run


def test_a_second_collection_is_rejected(storage: Storage) -> None:
    sweep = Sweep(storage)
    with pytest.raises(CollectionRunning):
        collect(storage)
    sweep.end()

    assert collect(storage).freed == []
    assert keys(storage, "") == []


def test_a_collection_that_was_stopped_for_long_gives_way() -> None:
    clock = Clock()
    storage = MemoryStorage(clock=clock)
    stopped = Sweep(storage, clock=clock)
    stopped.check()
    clock.now_s += DEAD_AFTER_S + 1
    Sweep(storage, clock=clock)

    with pytest.raises(CollectionRunning):
        stopped.check()


def test_a_second_command_exits_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = Sweep(FileStorage(tmp_path))

    assert main(["gc", "--storage", f"file://{tmp_path}"]) == 3
    assert "another garbage collection runs" in capsys.readouterr().err
    sweep.end()


def test_gc_prints_what_it_freed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage = FileStorage(tmp_path / "data")
    push_openly(Registry(storage=storage), "foo/bar", BASE, TOP)
    push_openly(Registry(storage=storage), "foo/bar", BASE)
    options = ["gc", "--storage", f"file://{tmp_path}/data", "--grace", "0"]

    assert main([*options, "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("foo/bar: 0 tags, 0 manifests, 1 images, 0 blobs, ")
    assert main([*options, "--json"]) == 0

    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["kind"], row["images"]) for row in rows] == [("repository", 1), ("total", 1)]
    assert main(options) == 0
    assert capsys.readouterr().out == (
        "1 repositories, 1 images and 0 blobs looked at, removed: "
        "0 tags, 0 manifests, 0 images, 0 blobs, 0 B\n"
    )


def test_rules_that_would_remove_all_tags_are_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gc", "--storage", f"file://{tmp_path}", "--keep", "v*"]) == 2
    assert "--keep-newest or --keep-younger" in capsys.readouterr().err
    assert main(["gc", "--storage", f"file://{tmp_path}", "--keep-younger", "0", "--keep", "v*"]) == 2
    assert "--keep-younger must be more than 0" in capsys.readouterr().err
