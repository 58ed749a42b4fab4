"""Copies of a registry to which clients push, and in which they move and delete tags, through both APIs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.accounts_world import AccountsWorld, image_of
from support.backends import People
from support.copied import assert_serves_the_same, copied, served
from support.interfering import Interfering
from support.pushing import pushing

from v1registry import FileStorage, MemoryStorage, Storage
from v1registry.housekeeping.copying import copy_storage
from v1registry.housekeeping.service import Housekeeping
from v1registry.rights import User

#: How many runs there are beside the pushes; more by hand.
ROUNDS = int(os.environ.get("HOUSEKEEPING_ROUNDS", "4"))


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_copies_beside_pushes_are_consistent(kind: str, storage: Storage, tmp_path: Path) -> None:
    destination: Storage = (
        MemoryStorage() if kind == "memory" else FileStorage(tmp_path / "copy", durable=False)
    )
    world = AccountsWorld(People.of(User("alice")), storage)
    with pushing(world) as wait_for_step:
        for _ in range(10):
            wait_for_step()
        for _ in range(ROUNDS):
            copy_storage(storage, destination, passes=2)
            assert list(Housekeeping(destination).verify(restarts=True).findings()) == []
            wait_for_step()

    copied(storage, destination, deletes=True)

    assert served(storage)
    assert_serves_the_same(storage, destination)


def test_passes_end_if_pushes_do_not(storage: Storage) -> None:
    world = AccountsWorld(People.of(User("alice")), storage)
    world.person("alice").push("alice/app", image_of("first"))
    destination = MemoryStorage()

    report = copy_storage(storage, destination, passes=2, progress=Interfering(world))

    assert report.passes == 2
    assert not report.is_settled
    copied(storage, destination)
    assert_serves_the_same(storage, destination)
