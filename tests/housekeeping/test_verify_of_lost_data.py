"""``verify`` over an object store that has lost data objects: it reports their values, and goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from support.accounts_world import AccountsWorld, image_of
from support.backends import People
from support.engine_client import Image
from support.lost_data import LosingStorage
from support.v2_client import V2Client, digest_of

from v1registry import Registry
from v1registry.housekeeping.findings import Problem
from v1registry.housekeeping.service import Housekeeping
from v1registry.rights import User
from v1registry.storage import StorageUnavailable

BASE = image_of("base")
TOP = image_of("top", BASE)
OTHER = image_of("other")

RESTORE = "restore it from a backup"
MOVE = "run v1registry verify --quarantine, then push the image again"


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> LosingStorage:
    return LosingStorage(monkeypatch)


@pytest.fixture
def world(storage: LosingStorage) -> AccountsWorld:
    """Return a server with a chain of alice, an image of bob, and a damaged tag."""
    world = AccountsWorld(People.of(User("alice"), User("bob")), storage)
    world.person("alice").push("alice/app", BASE, TOP)
    world.person("bob").push("bob/app", OTHER)
    storage.write("repositories/zoo/app/tag_x", b"")
    return world


@pytest.fixture
def client(storage: LosingStorage) -> V2Client:
    return V2Client(Registry(storage=storage))


def verify(storage: LosingStorage, **options: bool) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Return key -> text of the problems, and tag -> keys of the hurt tags."""
    problems: dict[str, str] = {}
    hurt: dict[str, tuple[str, ...]] = {}
    for finding in Housekeeping(storage).verify(restarts=True, **options).findings():
        if isinstance(finding, Problem):
            assert finding.key not in problems
            problems[finding.key] = finding.text
        else:
            hurt[finding.tag] = finding.keys
    return problems, hurt


def reason(name: str) -> str:
    return f"its data is missing in the object store, which has no object {name}"


def in_image(image: Image, name: str) -> str:
    return f"images/{image.image_id}/{name}"


LOST = {
    "json": (in_image(BASE, "json"), MOVE),
    "layer": (in_image(BASE, "layer"), MOVE),
    "sum": (in_image(BASE, "_checksum"), ""),
    "ancestry": (in_image(TOP, "ancestry"), ""),
    "mark": (in_image(TOP, "_held_by/alice/app"), ""),
    "tag": ("repositories/alice/app/tag_latest", ""),
    "incarnation": ("repositories/alice/app/_incarnation", ""),
    "list": ("repositories/alice/app/_index_images", ""),
}


@pytest.mark.parametrize("what", LOST)
def test_lost_value_is_reported_and_the_damage_behind_it_too(
    world: AccountsWorld, storage: LosingStorage, what: str
) -> None:
    key, repair = LOST[what]
    name = storage.object_of(key)
    storage.lose(key)

    problems, hurt = verify(storage, reads_layers=True)

    text = f"{reason(name)}: {RESTORE}" + (f", or {repair}" if repair else "")
    assert problems[key] == text
    assert problems["repositories/zoo/app/tag_x"] == "the tag is empty or cut: push it again"
    assert "bob/app:latest" not in hurt
    assert ("alice/app:latest" in hurt) == (what in ("json", "layer", "ancestry", "tag"))


def test_lost_values_do_not_hide_others_of_their_repository(
    world: AccountsWorld, storage: LosingStorage
) -> None:
    for number in range(40):
        storage.write(f"repositories/alice/app/tag_{number:02}", TOP.image_id.encode())
    storage.write("repositories/alice/app/tag_07", b"cut")
    lost = [f"repositories/alice/app/tag_{number:02}" for number in (5, 9, 35)]
    storage.lose(*lost, in_image(OTHER, "json"))
    storage.write("repositories/alice/app/tag_other", OTHER.image_id.encode())

    problems, hurt = verify(storage)

    damaged = {key for key in problems if key.startswith("repositories/alice/app/")}
    assert damaged == {
        *lost,
        "repositories/alice/app/tag_07",
        "repositories/alice/app/tag_other",
    }
    named = f"the tag names the image {OTHER.image_id}, which cannot be read: see {in_image(OTHER, 'json')}"
    assert problems["repositories/alice/app/tag_other"] == named
    assert {tag.rpartition(":")[2] for tag in hurt if tag.startswith("alice/app:")} >= {"05", "09", "35"}
    assert hurt["bob/app:latest"] == (f"images/{OTHER.image_id}",)


@pytest.mark.parametrize("name", ["json", "layer"])
def test_lost_content_is_moved_away_and_a_push_restores_it(
    world: AccountsWorld, storage: LosingStorage, name: str
) -> None:
    key = in_image(OTHER, name)
    lost = storage.object_of(key)
    storage.lose(key)

    problems, hurt = verify(storage, quarantines=True)

    assert problems[key] == f"{reason(lost)}: push the image again"
    assert hurt == {"bob/app:latest": (f"images/{OTHER.image_id}",)}
    world.person("bob").push("bob/app", OTHER)
    assert verify(storage, reads_layers=True)[0].keys() == {"repositories/zoo/app/tag_x"}


def test_lost_manifest_is_reported_without_reading_layers(client: V2Client, storage: LosingStorage) -> None:
    manifest = client.image("team/app", "one")
    for tag in ("1", "2"):
        assert client.put_manifest("team/app", tag, manifest).status == 201
    sha256 = digest_of(manifest).partition(":")[2]
    key = f"blobs/sha256/{sha256[:2]}/{sha256}/data"
    name = storage.object_of(key)
    storage.lose(key)

    problems, hurt = verify(storage)

    assert problems == {key: f"{reason(name)}: {RESTORE}, or {MOVE}"}
    assert hurt == {"team/app:1": (key,), "team/app:2": (key,)}


def test_lost_blob_is_moved_away_and_a_push_restores_it(client: V2Client, storage: LosingStorage) -> None:
    data = b"bytes" * 100
    client.put_blob("team/app", data)
    sha256 = digest_of(data).partition(":")[2]
    key = f"blobs/sha256/{sha256[:2]}/{sha256}/data"
    name = storage.object_of(key)
    storage.lose(key)

    assert verify(storage, reads_layers=True)[0] == {key: f"{reason(name)}: {RESTORE}, or {MOVE}"}
    assert verify(storage, quarantines=True)[0][key] == f"{reason(name)}: push the image again"
    client.put_blob("team/app", data)
    assert verify(storage, reads_layers=True)[0] == {}


def test_lost_pointer_to_a_blob_is_reported(client: V2Client, storage: LosingStorage) -> None:
    client.put_blob("team/app", b"bytes", "sha512")
    [key] = [stat.key for stat in storage.list("blobs/sha512/")]
    storage.lose(key)
    assert verify(storage)[0].keys() == {key}


def test_lost_record_is_reported_with_a_damaged_one(storage: LosingStorage) -> None:
    for name in ("alice", "bob", "carol"):
        storage.write(f"accounts/users/{name}", json.dumps({"name": name}).encode())
    storage.write("accounts/users/bob", b"{")
    storage.lose("accounts/users/alice")
    assert verify(storage)[0].keys() == {"accounts/users/alice", "accounts/users/bob"}


def test_run_begins_at_the_start_if_it_lost_where_it_was(
    world: AccountsWorld, storage: LosingStorage
) -> None:
    findings = Housekeeping(storage).verify(reads_layers=True).findings()
    next(findings)
    findings.close()
    storage.lose("housekeeping/verify")
    verification = Housekeeping(storage).verify(reads_layers=True)
    assert [finding.key for finding in verification.findings() if isinstance(finding, Problem)]
    assert verification.skipped == 0


def test_store_that_fails_ends_the_run(
    world: AccountsWorld, storage: LosingStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> Iterator[bytes]:
        raise StorageUnavailable("data", "the object store failed")

    monkeypatch.setattr(storage._access, "stream", failing)
    with pytest.raises(StorageUnavailable, match="the object store failed"):
        verify(storage)
