"""Copies between storages: what a registry serves over the destination, and what a second run does."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from obstore.store import MemoryStore
from support.accounts_world import AccountsWorld, Person, image_of
from support.backends import People
from support.copied import assert_serves_the_same, copied, served, values
from support.engine_client import make_image
from support.faulty_storage import FaultyStorage
from support.oauth_world import ApplicationClient, OAuthWorld
from support.old_data import ROOT, SAMPLE, UNFINISHED, image_files, tree, write
from support.v2_client import V2Client, digest_of

from v1registry import FileStorage, MemoryStorage, Registry, Storage
from v1registry.housekeeping.copying import Deleted, copy_storage
from v1registry.housekeeping.service import Housekeeping
from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.rights import Action, User
from v1registry.storage.objects import ObjectStorage
from v1registry.storage.objects.groups import Groups

BASE = image_of("base")
TOP = image_of("top", BASE)

Make = Callable[[str], Storage]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a storage of a kind."""
    numbers = count()

    def made(kind: str) -> Storage:
        if kind == "folder":
            return FileStorage(tmp_path / f"folder{next(numbers)}", durable=False)
        if kind == "objects":
            return ObjectStorage(MemoryStore(), groups=Groups(KEY_GROUPS))
        return FaultyStorage() if kind == "without times" else MemoryStorage()

    return made


def with_sample(storage: Storage) -> None:
    """Write the sample of docker-registry 0.9.1 into a storage."""
    for key, value in tree(SAMPLE).items():
        storage.write(key, value)


def filled(storage: Storage) -> AccountsWorld:
    """Return a server on which alice has pushed through both APIs, and moved and deleted tags."""
    world = AccountsWorld(People.of(User("alice")), storage)
    alice, client = world.person("alice"), V2Client(world.app, "alice")
    alice.push("alice/app", BASE, TOP)
    alice.push("alice/private", BASE)
    alice.make_private("alice/private")
    for name, tag, content in (
        ("alice/two", "1.0", "one"),
        ("alice/two", "1.1", "two"),
        ("alice/app", "v2", "x"),
    ):
        assert client.put_manifest(name, tag, client.image(name, content)).status == 201
    assert client.put_manifest("alice/two", "chart", client.artifact("alice/two", "a chart")).status == 201
    assert client.put_manifest("alice/two", "gone", client.artifact("alice/two", "gone")).status == 201
    assert client.delete_manifest("alice/two", "gone").status == 202
    # what is converted is kept, with the etags of layers
    assert client.get_manifest("alice/app", "latest").status == 200
    world.repositories.set_stars(world.repositories.candidates().__next__(), 3)
    return world


@pytest.mark.parametrize(
    ("source_kind", "kind"),
    [
        ("folder", "folder"),
        ("folder", "memory"),
        ("memory", "folder"),
        ("memory", "without times"),
        ("folder", "objects"),
        ("objects", "folder"),
    ],
)
def test_copy_serves_what_the_source_serves(source_kind: str, kind: str, make: Make) -> None:
    source, destination = make(source_kind), make(kind)
    filled(source)

    report = copied(source, destination)

    stored, there = values(source), values(destination)
    assert there.keys() == stored.keys()
    assert report.copied + report.linked == len(stored)
    differing = {key for key, value in stored.items() if there[key] != value}
    assert differing == {key for key in stored if key.endswith(("/_v2", "/_adopted"))}
    again = copied(source, destination)
    assert (again.passes, again.copied, again.linked, again.deleted) == (1, 0, 0, 0)
    assert_serves_the_same(source, destination)


@pytest.mark.parametrize("kind", ["folder", "memory", "objects"])
def test_times_are_those_of_the_source(kind: str, make: Make) -> None:
    source, destination = make("folder"), make(kind)
    filled(source)

    copied(source, destination)

    for stat in source.list("repositories/"):
        assert destination.stat(stat.key).modified_ns == stat.modified_ns
    for stat in source.list("images/"):
        if "/_held_by/" in stat.key:
            assert destination.stat(stat.key).modified_ns == stat.modified_ns


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_shared_bytes_are_stored_once(kind: str, make: Make) -> None:
    source, destination = make("folder"), make(kind)
    filled(source)

    report = copied(source, destination)

    assert report.linked > 2
    totals, there = (Housekeeping(storage).usage().totals for storage in (source, destination))
    assert (there.images, there.blobs) == (totals.images, totals.blobs)
    for stat in source.list("images/"):
        if stat.key.endswith("/layer"):
            shares = {blob.etag for blob in source.list("blobs/")}
            shares_there = {blob.etag for blob in destination.list("blobs/")}
            assert (stat.etag in shares) == (destination.stat(stat.key).etag in shares_there)


def test_facts_of_layers_count_in_the_copy(make: Make) -> None:
    source, destination = make("folder"), FaultyStorage()
    filled(source)
    copied(source, destination)
    key = f"images/{TOP.image_id}/_v2"
    assert (
        json.loads(destination.read(key)[0])["etag"] == destination.stat(f"images/{TOP.image_id}/layer").etag
    )
    before = destination.count("open", key="images/*/layer")

    client = V2Client(AccountsWorld(People.of(User("alice")), destination).app, "alice")
    assert client.get_manifest("alice/app", "latest").status == 200

    assert destination.count("open", key="images/*/layer") == before


def test_facts_of_a_layer_that_was_replaced_are_not_copied(make: Make) -> None:
    source, destination = make("folder"), make("memory")
    filled(source)
    key = f"images/{TOP.image_id}/_v2"
    source.write(key, json.dumps({**json.loads(source.read(key)[0]), "etag": "another"}).encode())

    copied(source, destination)

    assert key not in values(destination)


def test_accounts_and_grants_go_along(make: Make) -> None:
    source, destination = make("folder"), make("folder")
    world = OAuthWorld(source)
    issued = world.tokens()

    copied(source, destination)

    there = Registry(storage=destination, auth="users:", oauth_http="allow", clock=world.clock)
    client = ApplicationClient(there, "ci-bot", world.secret)
    answer = client.refresh(issued.refresh_token)
    assert answer.status_int == 200, answer
    assert answer.json["access_token"]
    assert (Path(destination.path) / "accounts").stat().st_mode & 0o777 == 0o700  # type: ignore[attr-defined]


def test_adopted_tags_are_not_adopted_again(make: Make) -> None:
    source, destination = make("folder"), FaultyStorage()
    with_sample(source)
    key = "repositories/library/busybox/_adopted"
    assert old_reader(source).get(f"/v1/images/{ROOT}/json").status_int == 200
    adopted = json.loads(source.read(key)[0])
    assert adopted["listing"]

    copied(source, destination)

    assert json.loads(destination.read(key)[0]) == {"listing": "", "tags": adopted["tags"]}
    marks = destination.count("write", key="images/*")
    assert old_reader(destination).get(f"/v1/images/{ROOT}/json").status_int == 200
    assert destination.count("write", key="images/*") == marks


def test_tag_from_before_a_publication_does_not_reach_it_in_the_copy(make: Make) -> None:
    """An old tag of an image that was missing must not read what alice has published in private since."""
    source, destination = make("folder"), make("folder")
    source.write("repositories/team/old/tag_latest", TOP.image_id.encode())
    alice = AccountsWorld(People.of(User("alice")), source).person("alice")
    alice.push("alice/secret", BASE, TOP)
    alice.make_private("alice/secret")
    world = AccountsWorld(People.of(User("alice")), destination)

    copied(source, destination)

    reader = world.bearer("team/old", Action.READ, None)
    assert reader.get(f"/v1/images/{TOP.image_id}/json").status_int == 404


def old_reader(storage: Storage) -> Person:
    """Return a reader of a repository of the sample, at a new process."""
    return AccountsWorld(People.of(User("alice")), storage).bearer("library/busybox", Action.READ, None)


def test_folder_of_docker_registry_is_a_source(make: Make) -> None:
    source, destination = make("folder"), make("folder")
    with_sample(source)

    copied(source, destination)

    assert values(destination) == values(source)
    assert served(destination) == served(source)


def test_image_that_an_old_server_completes_is_complete_in_the_copy(make: Make) -> None:
    source, destination = make("folder"), make("folder")
    with_sample(source)
    copied(source, destination)
    assert f"images/{UNFINISHED}/_inprogress" in values(destination)
    source.write(f"images/{UNFINISHED}/layer", b"the layer")
    source.delete(f"images/{UNFINISHED}/_inprogress")

    copied(source, destination)

    assert values(destination) == values(source)


def test_content_that_another_one_replaced_is_replaced(make: Make) -> None:
    source, destination = make("folder"), make("folder")
    filled(source)
    copied(source, destination)
    for name, value in (("json", BASE.json + b" "), ("layer", b"another layer")):
        source.write(f"images/{BASE.image_id}/{name}", value)
    source.delete(f"images/{BASE.image_id}/_checksum")

    copied(source, destination, deletes=True)

    for name in ("json", "layer"):
        key = f"images/{BASE.image_id}/{name}"
        assert destination.read(key)[0] == source.read(key)[0]


def test_what_the_source_loses_goes_with_delete_alone(make: Make) -> None:
    source, destination = make("folder"), make("folder")
    world, deleted = filled(source), list[Deleted]()
    copied(source, destination)
    before = values(destination)
    assert world.person("alice").delete("alice/app").status_int == 200

    report = copied(source, destination)
    assert (report.deleted, values(destination)) == (0, before)
    assert report.extra > 5
    destination.write("repositories/alice/app/_description", b"written there after the copy")
    report = copied(source, destination, deletes=True, deleted=deleted.append)

    assert values(destination).keys() - {"repositories/alice/app/_description"} == values(source).keys()
    assert report.deleted == len(deleted) > 5
    assert report.extra == 1


def test_copy_that_was_never_complete_follows_deletions(make: Make) -> None:
    source, destination = make("folder"), make("folder")
    world = filled(source)
    first = copy_storage(source, destination, passes=1)
    assert not first.is_settled
    assert world.person("alice").delete("alice/app").status_int == 200

    copied(source, destination)

    assert values(destination).keys() == values(source).keys()


def test_tag_that_leaves_v1_leaves_it_in_the_copy(make: Make) -> None:
    source, destination = make("folder"), make("folder")
    world = filled(source)
    copied(source, destination)
    client = V2Client(world.app, "alice")
    assert client.put_manifest("alice/app", "latest", client.artifact("alice/app", "no image")).status == 201

    copied(source, destination)

    assert served(destination) == served(source)


def test_repository_that_was_made_again_has_its_new_tags(make: Make) -> None:
    source, destination = make("folder"), make("folder")
    world = filled(source)
    copied(source, destination)
    alice = world.person("alice")
    assert alice.delete("alice/app").status_int == 200
    alice.push("alice/app", image_of("later"), tag="new")

    copied(source, destination)

    assert served(destination) == served(source)


def test_into_existing_keeps_what_is_there(make: Make) -> None:
    source, destination = make("folder"), make("folder")
    filled(source)
    other = AccountsWorld(People.of(User("bob")), destination)
    other.person("bob").push("bob/app", image_of("of bob"))
    before = values(destination)

    copied(source, destination, into_existing=True)
    copied(source, destination)

    assert before.items() <= values(destination).items()
    assert served(destination).items() >= served(source).items()


def test_dry_run_writes_nothing(make: Make) -> None:
    source, destination = make("folder"), FaultyStorage()
    filled(source)

    report = copy_storage(source, destination, is_dry_run=True)

    assert destination.count("write", "link", "delete") == 0
    assert list(destination.list("")) == []
    assert report.copied == len(values(source))
    copied(source, destination)
    assert copy_storage(source, destination, is_dry_run=True).copied == 0


def test_unknown_folders_are_named(make: Make) -> None:
    source = make("folder")
    filled(source)
    source.write("backup/images/x", b"x")
    source.write("uploads/x/y", b"x")
    source.write("quarantine/x/y", b"x")

    report = copied(source, make("folder"))

    assert report.left_out_folders == ("backup",)


def test_large_layers_share_bytes_in_an_object_store_too(make: Make) -> None:
    source, destination = make("folder"), make("objects")
    world = AccountsWorld(People.of(User("alice")), source)
    large = make_image(bytes(range(256)) * 400, name="large")
    blob, layer = f"blobs/sha256/{digest_of(large.layer)[7:]}/data", f"images/{large.image_id}/layer"
    blob = blob.replace("sha256/", f"sha256/{digest_of(large.layer)[7:9]}/")
    write(Path(source.path), image_files(large))  # type: ignore[attr-defined]
    source.delete(layer)
    source.write(blob, large.layer)
    source.link(blob, layer)
    world.person("alice").push("alice/app", BASE)

    report = copied(source, destination)

    assert report.linked == 1
    (there,) = destination.list("blobs/")
    assert destination.stat(layer).etag == there.etag
    again = copied(source, destination)
    assert (again.passes, again.copied, again.linked) == (1, 0, 0)
