"""Copies of tags that v1 has deleted: their side of the distribution API is left, and their file is gone."""

from __future__ import annotations

import pytest
from support.accounts_world import AccountsWorld
from support.backends import People
from support.copied import copied, served
from support.v2_client import V2Client

from v1registry import MemoryStorage
from v1registry.housekeeping.copying import copy_storage
from v1registry.housekeeping.copying.gauge import Gauge
from v1registry.housekeeping.copying.values import Values
from v1registry.housekeeping.pace import UNLIMITED
from v1registry.rights import User

NAME = "alice/app"
FILE = f"repositories/{NAME}/tag_1.0"
SIDE = f"repositories/{NAME}/_v2/tags/1.0"


def client_of(storage: MemoryStorage) -> V2Client:
    """Return alice's client of a server over a storage."""
    return V2Client(AccountsWorld(People.of(User("alice")), storage).app, "alice")


def push(client: V2Client, tag: str, content: str) -> None:
    """Push an image, which v1 has too."""
    assert client.put_manifest(NAME, tag, client.image(NAME, content)).status == 201


def copied_pair() -> tuple[MemoryStorage, MemoryStorage]:
    """Return a source with two tags, and a complete copy of it."""
    source, destination = MemoryStorage(), MemoryStorage()
    client = client_of(source)
    push(client, "1.0", "one")
    push(client, "1.1", "two")
    copied(source, destination)
    assert "v1 alice/app:1.0" in served(destination)
    return source, destination


@pytest.mark.parametrize("deletes", [False, True])
def test_tag_that_v1_has_deleted_is_deleted_in_the_copy(deletes: bool) -> None:
    source, destination = copied_pair()
    source.delete(FILE)

    report = copied(source, destination, deletes=deletes)

    assert (report.passes, report.copied, report.deleted) == (2, 0, 2)
    assert served(destination) == served(source)
    assert not list(destination.list(FILE)) + list(destination.list(SIDE))
    assert copied(source, destination, deletes=deletes).deleted == 0


def test_artifact_that_became_a_deleted_image_is_deleted_in_the_copy() -> None:
    source, destination = copied_pair()
    client = client_of(source)
    assert client.put_manifest(NAME, "1.0", client.artifact(NAME, "chart")).status == 201
    copied(source, destination)
    assert "v2 alice/app:1.0" in served(destination)
    push(client, "1.0", "three")
    source.delete(FILE)

    report = copied(source, destination)

    assert report.deleted == 1
    assert served(destination) == served(source)


def test_dry_run_counts_a_deleted_tag_and_keeps_it() -> None:
    source, destination = copied_pair()
    source.delete(FILE)
    before = served(destination)

    assert copy_storage(source, destination, is_dry_run=True).deleted == 2

    assert served(destination) == before


def test_tag_that_no_copy_has_written_stays() -> None:
    source, destination = copied_pair()
    client = client_of(destination)
    source.delete(FILE)
    push(client, "1.0", "of another server")
    before = served(destination)

    report = copied(source, destination, into_existing=True)

    assert report.deleted == 0
    assert served(destination) == before


def test_value_that_was_replaced_since_it_was_listed_is_not_deleted() -> None:
    destination, gauge = MemoryStorage(), Gauge(UNLIMITED)
    listed = destination.write(FILE, b"a" * 64)
    destination.write(FILE, b"b" * 64)

    is_deleted = Values(MemoryStorage(), destination, gauge).delete(listed)

    assert not is_deleted
    assert destination.read(FILE)[0] == b"b" * 64
    assert (gauge.deleted, gauge.current.changes) == (0, 1)
