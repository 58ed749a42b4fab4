"""Copies of damaged sources, into destinations that fail or have other data, and copies that end early."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.accounts_world import AccountsWorld, image_of
from support.backends import People
from support.copied import assert_serves_the_same, copied, served, values
from support.faulty_storage import FaultyStorage
from support.v2_client import V2Client

from v1registry import FileStorage, MemoryStorage, Storage
from v1registry.housekeeping.copying import CopyRefused, CopyRunning, LeftOutTag, copy_storage
from v1registry.housekeeping.findings import HurtTag
from v1registry.housekeeping.service import Housekeeping
from v1registry.rights import User
from v1registry.storage.base import StorageFull, StorageUnavailable

BASE = image_of("base")
TOP = image_of("top", BASE)


@pytest.fixture
def source(tmp_path: Path) -> FileStorage:
    """What alice has pushed: two images of v1, one tag without a broken part, an image of v2, an artifact."""
    storage = FileStorage(tmp_path / "source", durable=False)
    world = AccountsWorld(People.of(User("alice")), storage)
    alice, client = world.person("alice"), V2Client(world.app, "alice")
    alice.push("alice/app", BASE, TOP)
    alice.push("alice/whole", image_of("whole"))
    assert client.put_manifest("alice/two", "1.0", client.image("alice/two", "one")).status == 201
    assert client.put_manifest("alice/two", "chart", client.artifact("alice/two", "chart")).status == 201
    return storage


def damaged_layer(source: Storage) -> tuple[str, set[str]]:
    source.write(f"images/{BASE.image_id}/layer", BASE.layer[:-1] + b"x")
    return f"images/{BASE.image_id}", {"alice/app:latest"}


def cut_json(source: Storage) -> tuple[str, set[str]]:
    source.write(f"images/{TOP.image_id}/json", TOP.json[:10])
    return f"images/{TOP.image_id}", {"alice/app:latest"}


def missing_layer(source: Storage) -> tuple[str, set[str]]:
    source.delete(f"images/{TOP.image_id}/layer")
    return f"images/{TOP.image_id}", {"alice/app:latest"}


def damaged_blob(source: Storage) -> tuple[str, set[str]]:
    (key,) = (stat.key for stat in source.list("blobs/") if stat.size == len(b"chart"))
    source.delete(key)
    source.write(key, b"trahc")
    return key, {"alice/two:chart"}


@pytest.mark.parametrize("damage", [damaged_layer, cut_json, missing_layer, damaged_blob])
def test_damaged_values_and_their_tags_are_named(source: FileStorage, damage: Any) -> None:
    key, tags = damage(source)
    destination = MemoryStorage()

    report = copy_storage(source, destination)

    assert report.is_settled
    assert not report.is_whole
    assert [problem.key for problem in report.problems] == [key]
    assert {left_out.tag for left_out in report.left_out_tags} == tags
    assert served(destination).keys() == {name for name in served(source) if name[3:] not in tags}
    assert list(Housekeeping(destination).verify().findings()) == []


def test_source_that_is_repaired_is_copied(source: FileStorage) -> None:
    damaged_layer(source)
    destination = MemoryStorage()
    copy_storage(source, destination)
    source.write(f"images/{BASE.image_id}/layer", BASE.layer)

    copied(source, destination)

    assert_serves_the_same(source, destination)


def test_value_that_cannot_be_read_is_named(source: FileStorage) -> None:
    faulty, destination = FaultyStorage(source), MemoryStorage()
    key = f"images/{TOP.image_id}/layer"
    faulty.fail("open", key=key, error=StorageUnavailable(key, "the disk has a bad block"))

    report = copy_storage(faulty, destination)

    assert [(problem.key, problem.text) for problem in report.problems] == [
        (key, "it cannot be read: the disk has a bad block")
    ]
    assert [left_out.tag for left_out in report.left_out_tags] == ["alice/app:latest"]


def test_source_that_fails_ends_the_copy(source: FileStorage) -> None:
    faulty, destination = FaultyStorage(source), MemoryStorage()
    faulty.fail("open", "read", "stat", "list", key="images/*")

    with pytest.raises(StorageUnavailable):
        copy_storage(faulty, destination)

    faulty.heal()
    copied(faulty, destination)
    assert_serves_the_same(source, destination)


def test_tag_of_a_missing_image_is_left_out(source: FileStorage) -> None:
    source.write("repositories/alice/app/tag_dangling", b"9" * 64)

    report = copy_storage(source, MemoryStorage())

    assert report.left_out_tags == [
        LeftOutTag("alice/app:dangling", f"the image {'9' * 64} is missing or damaged")
    ]
    assert report.problems == []


def test_each_moment_of_a_copy_is_consistent_and_resumable(source: FileStorage) -> None:
    writes = copied(source, MemoryStorage()).copied
    faulty = FaultyStorage()
    for most in range(0, writes, 7):
        faulty.storage = MemoryStorage()
        faulty.heal()
        faulty.fail("write", "link", skip=most)
        with pytest.raises(StorageUnavailable):
            copy_storage(source, faulty, threads=1 + most % 3)
        faulty.heal()

        hurt = [
            each
            for each in Housekeeping(faulty.storage).verify(reads_layers=False).findings()
            if isinstance(each, HurtTag)
        ]
        assert hurt == []
        resumed = copied(source, faulty)
        assert resumed.copied + most >= writes - 8
        assert values(faulty.storage).keys() == values(source).keys()


def test_full_destination_is_named_and_the_next_run_goes_on(source: FileStorage) -> None:
    destination = FaultyStorage()
    full = StorageFull("blobs/x", "No space left on device")
    destination.fail("write", error=full, skip=20)

    with pytest.raises(StorageFull, match="the destination is full: No space left on device"):
        copy_storage(source, destination)

    before = len(values(destination))
    assert before > 5
    destination.heal()
    report = copied(source, destination)
    assert report.copied + report.linked <= len(values(source)) - before + 8
    assert_serves_the_same(source, destination)


def test_destination_that_changes_bytes_ends_the_copy(source: FileStorage) -> None:
    destination = FaultyStorage()
    key = f"images/{TOP.image_id}/ancestry"
    destination.after(lambda: destination.storage.write(key, b"other bytes"), "write", key=key)

    with pytest.raises(StorageUnavailable, match="other bytes than were written"):
        copy_storage(source, destination)

    copied(source, destination)
    assert_serves_the_same(source, destination)


# -- refused


def test_destination_with_other_data_is_refused(source: FileStorage) -> None:
    destination = MemoryStorage()
    destination.write("repositories/bob/app/tag_latest", b"0" * 64)
    before = values(destination, without=())

    with pytest.raises(CopyRefused, match="has data of its own"):
        copy_storage(source, destination)

    assert values(destination, without=()) == before


def test_copy_of_another_source_is_refused(source: FileStorage, tmp_path: Path) -> None:
    destination, other = MemoryStorage(), FileStorage(tmp_path / "other", durable=False)
    copied(source, other)
    copied(source, destination)

    with pytest.raises(CopyRefused, match=f"is a copy of {source.path}"):
        copy_storage(other, destination)


def test_delete_is_refused_beside_other_data(source: FileStorage) -> None:
    destination = MemoryStorage()
    destination.write("repositories/bob/app/tag_latest", b"0" * 64)
    copy_storage(source, destination, into_existing=True)

    with pytest.raises(CopyRefused, match="leave out --delete"):
        copy_storage(source, destination, deletes=True)


def test_source_without_a_registry_is_refused(source: FileStorage, tmp_path: Path) -> None:
    destination = MemoryStorage()
    copied(source, destination)
    before = values(destination)

    with pytest.raises(CopyRefused, match="look whether it is mounted"):
        copy_storage(FileStorage(tmp_path / "missing"), destination, deletes=True)

    assert values(destination) == before


@pytest.mark.parametrize("inside", ["", "images"])
def test_folder_in_the_other_one_is_refused(source: FileStorage, inside: str) -> None:
    folder = FileStorage(Path(source.path) / inside)
    for one, two in ((source, folder), (folder, source)):
        with pytest.raises(CopyRefused, match="is in the other one"):
            copy_storage(one, two)


def test_second_copy_to_a_destination_is_refused(source: FileStorage) -> None:
    destination, refused = FaultyStorage(), list[type[Exception]]()

    def copy_too() -> None:
        with pytest.raises(CopyRunning):
            copy_storage(source, destination.storage)
        refused.append(CopyRunning)

    destination.before(copy_too, "write", key="images/*", skip=2)

    copied(source, destination)

    assert refused == [CopyRunning]
