"""What old folders cost: an image that a repository does not hold makes no request read all tags again."""

from __future__ import annotations

import json

import pytest
from support.accounts_world import READ, AccountsWorld, Person, image_of
from support.backends import People
from support.engine_client import Image
from support.faulty_storage import FaultyStorage

from v1registry.rights import User

ALICE, BOB = User("alice"), User("bob")
OLD, OTHER, MISSING = image_of("old"), image_of("other"), image_of("missing")
TAGS = 30


def write_image(storage: FaultyStorage, image: Image) -> None:
    """Write an image as docker-registry does."""
    folder = f"images/{image.image_id}"
    storage.write(f"{folder}/json", image.json)
    storage.write(f"{folder}/ancestry", json.dumps([image.image_id]).encode())
    storage.write(f"{folder}/layer", image.layer)
    storage.write(f"{folder}/_checksum", json.dumps([image.payload_checksum]).encode())


def write_tag(storage: FaultyStorage, repository: str, image: Image, tag: str) -> None:
    storage.write(f"repositories/{repository}/tag_{tag}", image.image_id.encode())


@pytest.fixture
def storage() -> FaultyStorage:
    storage = FaultyStorage()
    write_image(storage, OLD)
    for number in range(TAGS):
        write_tag(storage, "alice/app", OLD, f"v{number}")
    return storage


def reader_of(storage: FaultyStorage, repository: str = "alice/app") -> Person:
    """Return a reader of a repository at a process that was just started."""
    return AccountsWorld(People.of(ALICE, BOB), storage).bearer(repository, READ, None)


def reads(storage: FaultyStorage, key: str, reader: Person, image: Image, status: int) -> int:
    """Return how many keys that fit a pattern are read when an image is asked for."""
    before = storage.count("read", key=key)
    assert reader.image(image) == status
    return storage.count("read", key=key) - before


def test_missing_image_reads_the_tags_once(storage: FaultyStorage) -> None:
    reader = reader_of(storage)
    assert reads(storage, "repositories/alice/app/tag_*", reader, MISSING, 404) >= TAGS

    assert reads(storage, "repositories/alice/app/*", reader, MISSING, 404) <= 3


def test_missing_image_reads_no_tags_in_a_new_process(storage: FaultyStorage) -> None:
    reader_of(storage).image(MISSING)

    # one tag tells that the repository exists
    assert reads(storage, "repositories/alice/app/tag_*", reader_of(storage), MISSING, 404) <= 1


def test_tag_that_is_moved_by_an_old_server_counts(storage: FaultyStorage) -> None:
    reader = reader_of(storage)
    assert reader.image(OTHER) == 404
    write_image(storage, OTHER)

    write_tag(storage, "alice/app", OTHER, "v7")

    assert reader.image(OTHER) == 200


def test_record_of_an_earlier_version_is_read(storage: FaultyStorage) -> None:
    assert reader_of(storage).image(OLD) == 200
    tags = {f"v{number}": OLD.image_id for number in range(TAGS)}
    storage.write("repositories/alice/app/_adopted", json.dumps(tags).encode())
    write_image(storage, OTHER)
    write_tag(storage, "alice/app", OTHER, "v7")

    assert reader_of(storage).image(OTHER) == 200


@pytest.mark.parametrize("value", [b"", b"[]", b'{"tags": {}, "listing": 1}', b'{"tags": {'])
def test_damaged_record_is_no_record(storage: FaultyStorage, value: bytes) -> None:
    assert reader_of(storage).image(OLD) == 200
    storage.write("repositories/alice/app/_adopted", value)
    write_image(storage, OTHER)
    write_tag(storage, "alice/app", OTHER, "v7")

    assert reader_of(storage).image(OTHER) == 200


def test_marks_of_an_image_are_read_once_for_all_repositories(storage: FaultyStorage) -> None:
    for number in range(40):
        storage.write(f"images/{OLD.image_id}/_held_by/team/r{number}", b'{"incarnation": "x"}')
    for name in ("one", "two"):
        write_tag(storage, f"bob/{name}", OLD, "latest")
    world = AccountsWorld(People.of(ALICE, BOB), storage)
    marks = f"images/{OLD.image_id}/_held_by/*"

    first = reads(storage, marks, world.bearer("bob/one", READ, None), OLD, 200)
    second = reads(storage, marks, world.bearer("bob/two", READ, None), OLD, 200)

    assert first >= 40
    assert second <= 5
