"""Threads that push, move tags and delete through both APIs, for runs of maintenance beside them."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from support.accounts_world import AccountsWorld, Person, image_of
from support.v2_client import V2Client

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
