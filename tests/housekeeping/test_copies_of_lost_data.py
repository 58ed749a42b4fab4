"""Copies of an object store that has lost data objects: the values are reported, and the rest is copied."""

from __future__ import annotations

import pytest
from support.accounts_world import AccountsWorld, image_of
from support.backends import People
from support.lost_data import LosingStorage

from v1registry import MemoryStorage
from v1registry.housekeeping.copying import copy_storage
from v1registry.rights import User

BASE = image_of("base")
TOP = image_of("top", BASE)
OTHER = image_of("other")

FOLDER = f"images/{BASE.image_id}"


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> LosingStorage:
    storage = LosingStorage(monkeypatch)
    world = AccountsWorld(People.of(User("alice"), User("bob")), storage)
    world.person("alice").push("alice/app", BASE, TOP)
    world.person("bob").push("bob/app", OTHER)
    return storage


@pytest.mark.parametrize(
    "key",
    [
        f"{FOLDER}/json",
        f"{FOLDER}/layer",
        f"{FOLDER}/_checksum",
        "repositories/alice/app/_incarnation",
        "repositories/alice/app/tag_latest",
    ],
)
def test_lost_value_is_reported_and_the_rest_is_copied(source: LosingStorage, key: str) -> None:
    name, destination = source.object_of(key), MemoryStorage()
    source.lose(key)
    report = copy_storage(source, destination)
    text = f"it cannot be read: its data is missing in the object store, which has no object {name}"
    assert (key, text) in {(problem.key, problem.text) for problem in report.problems}
    assert destination.read("repositories/bob/app/tag_latest")[0].decode() == OTHER.image_id
    assert destination.read(f"images/{OTHER.image_id}/layer")[0] == OTHER.layer


@pytest.mark.parametrize("key", ["accounts/users/bob", "blobs/sha256/aa/x/data"])
def test_changed_value_that_the_destination_has_lost_is_written_again(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    source, destination = MemoryStorage(), LosingStorage(monkeypatch)
    keys = [key, *(f"accounts/users/{name}" for name in ("alice", "carol"))]
    for value in (b'{"number": 1}', b'{"number": 2}'):
        for changed in keys:
            source.write(changed, value)
        assert copy_storage(source, destination).problems == []
        assert {destination.read(changed)[0] for changed in keys} == {value}
        destination.lose(key)
