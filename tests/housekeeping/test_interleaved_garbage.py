"""Collections and requests that take turns at each call of the storage, in random order.

What a server has accepted must be whole afterwards, also after kills. Grace is 0 and the clock stands
still, so nothing is kept because it is young. ``GARBAGE_ROUNDS=500`` runs more rounds than the suite does.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from contextlib import suppress

import pytest
from support.accounts_world import AccountsWorld, Person, image_of
from support.backends import People
from support.clock import Clock
from support.engine_client import Image
from support.interleaved import SteppedStorage, Turns
from support.v2_client import V2Client, digest_of

from v1registry import MemoryStorage, Registry
from v1registry.distribution.manifests import OCI_MANIFEST
from v1registry.housekeeping.service import Housekeeping
from v1registry.housekeeping.sweep import CollectionRunning
from v1registry.registry import keeping
from v1registry.rights import User

ROUNDS = int(os.environ.get("GARBAGE_ROUNDS", "50"))

BASE = image_of("base")
IMAGES = [BASE, *(image_of(f"top{number}", BASE) for number in range(3))]
TAGS = ("latest", "old")

#: Stands for what a killed or failed request may have left.
UNKNOWN = "unknown"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that waits for a removal gives turns to the others, and time stands still."""
    monkeypatch.setattr(keeping, "_WAIT_S", 0.01)
    monkeypatch.setattr(keeping, "_LOOK_EACH_S", 0.0005)


def chain_of(image: Image) -> list[Image]:
    return [image] if image.parent is None else [BASE, image]


class Round:
    """One server over a storage, a collection beside it, and what was accepted.

    :param has_accounts: whether images belong to the repositories that hold them.
    """

    def __init__(self, seed: int, *, has_accounts: bool):
        self.random = random.Random(seed)
        self.turns = Turns(self.random, kill_each=self.random.choice((0, 400)))
        self.clock = Clock()
        self.stored = MemoryStorage(clock=self.clock)
        self.storage = SteppedStorage(self.stored, self.turns)
        users = [User("alice"), User("bob")]
        self.world = AccountsWorld(People.of(*users), self.storage, clock=self.clock)
        self.app = self.world.app if has_accounts else Registry(storage=self.storage, clock=self.clock)
        self.people = {user.name: Person(self.app, self.headers(user.name)) for user in users}
        login = {name: (name, f"pw-{name}") if has_accounts else () for name in self.people}
        self.v2 = {name: V2Client(self.app, *login[name]) for name in self.people}
        self.accepted: dict[tuple[str, str], str | None] = {}
        self.manifests: dict[tuple[str, str], str | None] = {}
        self.documents: dict[str, bytes] = {}

    def headers(self, name: str) -> dict[str, str]:
        return dict(self.world.person(name).headers)

    # -- API v1

    def push(self, name: str, image: Image, tag: str) -> None:
        """Push an image as an engine does, and go on after failures."""
        person, repository = self.people[name], f"{name}/app"
        person.announce(repository, *chain_of(image))
        for each in chain_of(image):
            if person.put_json(each) == 200:
                person.put_layer(each)
                person.put_checksum(each)
        self.tag(name, image, tag)

    def tag(self, name: str, image: Image, tag: str) -> None:
        place = (name, tag)
        self.accepted[place] = UNKNOWN
        if self.people[name].tag(f"{name}/app", image, tag) == 200:
            self.accepted[place] = image.image_id

    def untag(self, name: str, tag: str) -> None:
        self.accepted[name, tag] = UNKNOWN
        answer = self.people[name].ask("DELETE", f"/v1/repositories/{name}/app/tags/{tag}")
        self.accepted[name, tag] = None if answer.status_int in (200, 404) else UNKNOWN

    def pull(self, name: str, tag: str) -> None:
        """Convert an image of v1."""
        self.v2[name].get_manifest(f"{name}/app", tag)

    # -- distribution API

    def push_manifest(self, name: str, content: str, tag: str) -> None:
        repository, client = f"{name}/art", self.v2[name]
        place = (name, tag)
        self.manifests[place] = UNKNOWN
        try:
            data = client.artifact(repository, content)
        except AssertionError:
            return  # an upload failed, as all requests of this round may
        digest = digest_of(data)
        self.documents[digest] = data
        if client.put_manifest(repository, tag, data, OCI_MANIFEST).status == 201:
            self.manifests[place] = digest

    def repeat_manifest(self, name: str, tag: str) -> None:
        """Set a tag on a manifest that was pushed before, without its blobs."""
        if self.documents:
            digest = self.random.choice(sorted(self.documents))
            self.manifests[name, tag] = UNKNOWN
            answer = self.v2[name].put_manifest(f"{name}/art", tag, self.documents[digest], OCI_MANIFEST)
            if answer.status == 201:
                self.manifests[name, tag] = digest

    def delete_manifest(self, name: str, tag: str) -> None:
        self.manifests[name, tag] = UNKNOWN
        if self.v2[name].delete_manifest(f"{name}/art", tag).status in (202, 404):
            self.manifests[name, tag] = None

    # -- all together

    def requests(self, name: str, count: int) -> Callable[[], None]:
        """Return an action that makes random requests."""
        chosen = [self._request(name) for _ in range(count)]

        def run() -> None:
            for request in chosen:
                request()

        return run

    def _request(self, name: str) -> Callable[[], None]:
        tag, image, content = (self.random.choice(of) for of in (TAGS, IMAGES, ("one", "two")))
        assert isinstance(image, Image)
        return self.random.choice(
            (
                lambda: self.push(name, image, tag),
                lambda: self.push(name, image, tag),
                lambda: self.tag(name, image, tag),
                lambda: self.untag(name, tag),
                lambda: self.pull(name, tag),
                lambda: self.push_manifest(name, content, tag),
                lambda: self.repeat_manifest(name, tag),
                lambda: self.delete_manifest(name, tag),
            )
        )

    def collect(self) -> None:
        with suppress(CollectionRunning):
            Housekeeping(self.storage, clock=self.clock).collect_garbage(grace_s=0, takes_untagged=True)

    def check(self) -> None:
        """Check that all that was accepted is whole."""
        for (name, tag), image_id in self.accepted.items():
            person, repository = self.people[name], f"{name}/app"
            answer = person.get(f"/v1/repositories/{repository}/tags/{tag}")
            if image_id is None:
                assert answer.status_int == 404
            elif image_id != UNKNOWN:
                assert (answer.status_int, answer.json) == (200, image_id)
                self._check_images(person, next(each for each in IMAGES if each.image_id == image_id))
        for (name, tag), digest in self.manifests.items():
            if digest == UNKNOWN:
                continue
            shown = self.v2[name].shown(f"{name}/art", tag)
            assert shown == digest
            for blob in self._blobs(digest):
                assert digest_of(self.v2[name].get(f"/v2/{name}/art/blobs/{blob}").body) == blob

    def _check_images(self, person: Person, top: Image) -> None:
        for image in chain_of(top):
            found = person.get(f"/v1/images/{image.image_id}/layer")
            assert (found.status_int, found.body == image.layer) == (200, True)
            assert person.get(f"/v1/images/{image.image_id}/json").body == image.json

    def _blobs(self, digest: str | None) -> list[str]:
        document = {} if digest is None else json.loads(self.documents[digest])
        return [each["digest"] for each in (document.get("config"), *document.get("layers", ())) if each]


@pytest.mark.parametrize("has_accounts", [False, True], ids=["open", "accounts"])
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_what_was_accepted_survives_collections(seed: int, has_accounts: bool) -> None:
    round_ = Round(seed, has_accounts=has_accounts)
    for _ in range(2):
        for name in ("alice", "bob"):
            round_.requests(name, 4)()

    round_.turns.run(round_.collect, round_.requests("alice", 5), round_.requests("bob", 5), round_.collect)

    round_.check()
    # a killed collection is dead after a while
    round_.clock.now_s += 700
    round_.collect()
    round_.check()
    report = Housekeeping(round_.stored, clock=round_.clock).collect_garbage(
        grace_s=0, is_dry_run=True, takes_untagged=True
    )
    assert report.freed == []
    assert not [stat.key for stat in round_.stored.list("") if stat.key.endswith("/_kept")]
