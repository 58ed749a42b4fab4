"""``verify``, ``usage`` and ``expire`` beside threads that push, move tags and delete through both APIs."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from support.accounts_world import AccountsWorld, Person, image_of
from support.backends import People
from support.v2_client import V2Client

from v1registry import Storage
from v1registry.housekeeping.service import Housekeeping
from v1registry.rights import User

#: How often each run is repeated; more by hand.
ROUNDS = int(os.environ.get("HOUSEKEEPING_ROUNDS", "6"))

NAMES = [f"alice/app{number}" for number in range(4)]
IMAGES = [image_of(f"image{number}") for number in range(6)]


def v1_step(person: Person, chance: random.Random) -> None:
    """Push an image with one of few names and contents, or delete a repository."""
    name = chance.choice(NAMES)
    if chance.random() < 0.25:
        person.delete(name)
        return
    base = chance.choice(IMAGES)
    top = image_of(f"top of {base.image_id[:6]} {chance.randrange(4)}", base)
    if person.announce(name, base, top) != 200:
        return
    for image in (base, top):
        if person.put_json(image) == 200:
            person.put_layer(image)
            person.put_checksum(image)
    person.tag(name, top, chance.choice(["latest", "1.0"]))


def v2_step(client: V2Client, chance: random.Random) -> None:
    """Push an image or an artifact with one of few names and contents, or delete it."""
    name, content = chance.choice(NAMES), f"content {chance.randrange(6)}"
    try:
        make = client.artifact if chance.random() < 0.3 else client.image
        manifest = make(name, content)
    except AssertionError:
        return  # the repository was deleted during the upload of a blob
    client.put_manifest(name, chance.choice(["latest", "2.0"]), manifest)
    if chance.random() < 0.2:
        client.ask("DELETE", f"/v2/{name}/manifests/2.0")


@contextmanager
def pushing(world: AccountsWorld) -> Iterator[Callable[[], bool]]:
    """Push in three threads during a block; gives a function that waits for a further step."""
    is_over, steps, failures = threading.Event(), threading.Semaphore(0), list[BaseException]()

    def work(seed: int) -> None:
        chance, alice = random.Random(seed), world.person("alice")
        client = V2Client(world.app, "alice")
        try:
            while not is_over.is_set():
                if seed % 2:
                    v1_step(alice, chance)
                else:
                    v2_step(client, chance)
                steps.release()
        except Exception as failure:  # noqa: BLE001 (it fails the test)
            failures.append(failure)
            steps.release(100)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield steps.acquire
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert failures == []


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
