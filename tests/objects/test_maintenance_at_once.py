"""Runs of maintenance over an object store, which makes several calls at once, and over one that does not."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any, Final, TypeVar

import obstore
import pytest
from obstore.store import MemoryStore
from support.converted import store_image
from support.engine_client import Image, make_image, random_layer
from support.v2_client import V2Client
from support.wsgi_client import Client
from v1registry_fakes.clock import FakeClock

from v1registry import Registry
from v1registry.housekeeping.retention import Retention
from v1registry.housekeeping.service import Housekeeping
from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.storage.at_once import _one_by_one
from v1registry.storage.base import StorageUnavailable
from v1registry.storage.objects import Groups, ObjectStorage
from v1registry.storage.objects.parallel import THREADS

S = TypeVar("S")
T = TypeVar("T")

REPOSITORIES: Final = 12
IN_CHAIN: Final = 5
DAMAGED: Final = {1: "json", 3: "layer", 5: "tag", 7: "blob"}


class OneByOne(ObjectStorage):
    """Makes one call after the other."""

    def at_once(self, call: Callable[[S], T], items: Iterable[S]) -> Generator[T, None, None]:
        return _one_by_one(call, items)


def fill(storage: ObjectStorage, clock: FakeClock) -> None:
    """Store images of v1 and of ``/v2/``, some of them damaged, and unfinished uploads."""
    app = Registry(storage, clock=clock)
    client, v2 = Client(app), V2Client(app)
    for number in range(REPOSITORIES):
        name, above = f"team{number % 3}/app{number}", list[Image]()
        for place in range(IN_CHAIN):
            parent = above[0].image_id if above else None
            image = make_image(random_layer(20_000, number * 10 + place), parent, name=f"{number} {place}")
            store_image(storage, image, *above)
            storage.write(f"repositories/{name}/tag_v{place}", image.image_id.encode())
            above.insert(0, image)
        v2.put_manifest(name, "new", v2.image(name, f"content {number}"))
        upload = client.request("POST", f"/v2/{name}/blobs/uploads/").headers["Location"]
        client.request("PATCH", upload, b"u" * 30_000)
        damage(storage, DAMAGED.get(number), name, above[2].image_id)


def damage(storage: ObjectStorage, kind: str | None, name: str, image_id: str) -> None:
    if kind == "json":
        storage.write(f"images/{image_id}/json", b"{")
    elif kind == "layer":
        storage.write(f"images/{image_id}/layer", b"other bytes")
    elif kind == "tag":
        storage.write(f"repositories/{name}/tag_v0", b"")
    elif kind == "blob":
        keys = [stat.key for stat in storage.list("blobs/sha256/") if stat.key.endswith("/data")]
        storage.write(keys[0], b"other bytes")


def copied(store: MemoryStore) -> MemoryStore:
    """Return a store with the same objects."""
    copy = MemoryStore()
    for page in obstore.list(store):
        for meta in page:
            obstore.put(copy, meta["path"], obstore.get(store, meta["path"]).bytes().to_bytes())
    return copy


class World:
    """A store, and storages over copies of it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.clock.freeze()
        self._store = MemoryStore()
        fill(ObjectStorage(self._store, groups=Groups(KEY_GROUPS), clock=self.clock), self.clock)
        self.clock.advance(days=2)

    def open(self, kind: type[ObjectStorage] = ObjectStorage) -> ObjectStorage:
        return kind(copied(self._store), groups=Groups(KEY_GROUPS), clock=self.clock)

    def housekeeping(self, storage: ObjectStorage) -> Housekeeping:
        return Housekeeping(storage, clock=self.clock)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def usage(housekeeping: Housekeeping) -> object:
    return housekeeping.usage()


def verify(housekeeping: Housekeeping) -> object:
    run = housekeeping.verify(quarantines=True)
    found = [(*map(str, vars(finding).values()),) for finding in run.findings()]
    return found, run.images, run.blobs, run.repositories, run.read_bytes, run.skipped


def collect(housekeeping: Housekeeping, *, is_dry_run: bool = False) -> object:
    retention = Retention(newest=3, repositories=("team1/*",))
    return housekeeping.collect_garbage(takes_untagged=True, retention=retention, is_dry_run=is_dry_run)


RUNS: Final[dict[str, Callable[[Housekeeping], object]]] = {
    "usage": usage,
    "verify": verify,
    "gc": collect,
    "gc --dry-run": lambda housekeeping: collect(housekeeping, is_dry_run=True),
    "expire": lambda housekeeping: housekeeping.expire(),
}


def keys_of(storage: ObjectStorage) -> list[str]:
    """Return all keys, without the names that runs choose at random."""
    return [re.sub("^quarantine/[^/]+", "quarantine", stat.key) for stat in storage.list("")]


@pytest.mark.parametrize("name", RUNS)
def test_run_finds_and_leaves_what_a_serial_one_does(world: World, name: str) -> None:
    at_once, serial = world.open(), world.open(OneByOne)
    expected = RUNS[name](world.housekeeping(serial))
    found = RUNS[name](world.housekeeping(at_once))
    assert re.sub("quarantine/[^/']+", "quarantine", str(found)) == re.sub(
        "quarantine/[^/']+", "quarantine", str(expected)
    )
    assert sorted(keys_of(at_once)) == sorted(keys_of(serial))


class Gauge:
    """Counts the calls of a storage, and how many run at once.

    :param fails_from: the number of the first call that fails; all later ones fail too.
    """

    def __init__(self, storage: ObjectStorage, fails_from: float = float("inf")):
        self._lock = threading.Lock()
        self._overlapped = threading.Event()
        self._fails_from = fails_from
        self.calls = self.running = self.most = 0
        access: Any = storage._access
        self._look, access._look = access._look, self.look

    def look(self, name: str, call: Callable[[], Any], **options: Any) -> Any:
        with self._lock:
            self.calls += 1
            self.running += 1
            self.most = max(self.most, self.running)
            is_down = self.calls >= self._fails_from
            if self.running > 1:
                self._overlapped.set()
        try:
            # until some have met, each waits a little for others
            self._overlapped.wait(0.01)
            if is_down:
                raise StorageUnavailable(name, "the store is down")
            return self._look(name, call, **options)
        finally:
            with self._lock:
                self.running -= 1


@pytest.mark.parametrize("name", RUNS)
def test_run_makes_several_calls_at_once_within_the_bound(world: World, name: str) -> None:
    storage = world.open()
    gauge = Gauge(storage)
    RUNS[name](world.housekeeping(storage))
    assert 1 < gauge.most <= THREADS


@pytest.mark.parametrize("name", RUNS)
def test_failing_call_ends_the_run(world: World, name: str) -> None:
    storage = world.open()
    gauge = Gauge(storage)
    RUNS[name](world.housekeeping(storage))
    for share in (0.2, 0.6, 0.9):
        storage = world.open()
        failing = Gauge(storage, fails_from=int(gauge.calls * share))
        with pytest.raises(StorageUnavailable, match="the store is down"):
            RUNS[name](world.housekeeping(storage))
        assert failing.running == 0
        assert failing.calls < gauge.calls * (share + 0.1) + 10 * THREADS


def test_collection_after_a_failed_one_removes_the_rest(world: World) -> None:
    serial = world.open(OneByOne)
    collect(world.housekeeping(serial))
    storage = world.open()
    counted = Gauge(storage)
    collect(world.housekeeping(storage))
    for number in range(1, 12):
        storage = world.open()
        Gauge(storage, fails_from=counted.calls * number // 12)
        with pytest.raises(StorageUnavailable):
            collect(world.housekeeping(storage))
        with world.clock.shifted(3600):
            again = ObjectStorage(storage._access.store, groups=Groups(KEY_GROUPS), clock=world.clock)
            collect(world.housekeeping(again))
        left = [key for key in keys_of(again) if not key.startswith("housekeeping/")]
        assert left == [key for key in keys_of(serial) if not key.startswith("housekeeping/")], number
