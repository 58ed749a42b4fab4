"""``verify``, ``usage`` and ``expire`` beside threads that push, move tags and delete through both APIs."""

from __future__ import annotations

import os
import random

import pytest
from support.accounts_world import AccountsWorld
from support.backends import People
from support.pushing import pushing, v1_step, v2_step
from support.v2_client import V2Client

from v1registry import Storage
from v1registry.housekeeping.service import Housekeeping
from v1registry.rights import User

#: How often each run is repeated; more by hand.
ROUNDS = int(os.environ.get("HOUSEKEEPING_ROUNDS", "6"))


def test_runs_beside_pushes_find_no_damage(storage: Storage) -> None:
    world = AccountsWorld(People.of(User("alice")), storage)
    housekeeping = Housekeeping(storage)
    with pushing(world) as wait_for_step:
        for number in range(ROUNDS):
            findings = list(housekeeping.verify(restarts=number % 2 == 0, quarantines=True).findings())
            assert findings == []
            usage = housekeeping.usage()
            assert all(row.own_bytes >= 0 and row.shared_bytes >= 0 for row in usage.repositories)
            housekeeping.expire()
            wait_for_step()
    assert list(storage.list("quarantine/")) == []

    assert list(housekeeping.verify(restarts=True).findings()) == []
    totals, rows = housekeeping.usage().totals, housekeeping.usage().repositories
    own_bytes = sum(row.own_bytes for row in rows)
    assert own_bytes + totals.shared_bytes + totals.unreachable_bytes == totals.stored_bytes


@pytest.mark.parametrize("seed", range(3))
def test_steps_of_pushes_do_what_they_say(seed: int, storage: Storage) -> None:
    """They must not all be refused, or the test above would say nothing."""
    world = AccountsWorld(People.of(User("alice")), storage)
    chance, alice, client = random.Random(seed), world.person("alice"), V2Client(world.app, "alice")

    for _ in range(20):
        v1_step(alice, chance)
        v2_step(client, chance)

    usage = Housekeeping(storage).usage()
    assert usage.totals.images > 2
    assert usage.totals.blobs > 5
    assert usage.repositories


@pytest.mark.parametrize("seed", range(2))
def test_what_usage_calls_unreachable_is_collected(seed: int, storage: Storage) -> None:
    world = AccountsWorld(People.of(User("alice")), storage)
    chance, alice, client = random.Random(seed), world.person("alice"), V2Client(world.app, "alice")
    for _ in range(15):
        v1_step(alice, chance)
        v2_step(client, chance)
    housekeeping = Housekeeping(storage)
    before = housekeeping.usage()

    housekeeping.collect_garbage(grace_s=0)

    after = housekeeping.usage()
    assert after.totals.unreachable_bytes == 0
    assert before.totals.unreachable_bytes > 0
    assert {row.name for row in after.repositories} == {row.name for row in before.repositories}
    assert list(housekeeping.verify(restarts=True).findings()) == []
