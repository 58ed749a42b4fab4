"""Expired counters count nothing, and a request removes few of them, however many there are."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import pytest
from obstore.store import MemoryStore
from support.clock import Clock
from support.counted_objects import CountedObjects, count_calls
from support.wsgi_client import Client

from v1registry import MemoryStorage, Registry, errors
from v1registry.registry import quotas as quotas_module
from v1registry.registry.expiry import EXPIRY_S, Expiry
from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.registry.sent import Facts
from v1registry.registry.staging import Staging
from v1registry.rights import PushKey
from v1registry.storage.base import Stat, Storage
from v1registry.storage.objects import Groups, ObjectStorage

ALICE = PushKey.of("token of alice", owner="alice", is_token=True)
UPLOADS = "/v2/team/app/blobs/uploads/"


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time())


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> CountedObjects:
    return count_calls(monkeypatch)


def image_id(number: int) -> str:
    return f"{number:064x}"


def begin(storage: Storage, clock: Clock, number: int, *, most: int = 500, key: PushKey = ALICE) -> None:
    """Send the JSON of an image."""
    staging = Staging(storage, most_pushes=most, clock=clock)
    push = staging.find_or_expire(image_id(number), key)
    staging.add_json(push, b"{}", Facts((image_id(number),), ()))


def pushes_in(storage: Storage) -> int:
    """Return how many pushes of images are stored."""
    return sum(not name.startswith("_") for name in storage.list_folders("uploads"))


def test_request_after_many_abandoned_uploads_makes_few_calls(counted: CountedObjects, clock: Clock):
    storage = ObjectStorage(MemoryStore(), groups=Groups(KEY_GROUPS), clock=clock)
    client = Client(Registry(storage, clock=clock))
    for _ in range(150):
        assert client.post(UPLOADS, "").status_int == 202
    clock.now_s += EXPIRY_S + 60
    costs, stored = [], [pushes_in(storage)]
    for _ in range(40):
        with counted.counting() as calls:
            assert client.post(UPLOADS, "").status_int == 202
        costs.append(len(calls))
        stored.append(pushes_in(storage))
    # four pushes by the walk, two of the user and two of the repository
    assert max(costs) <= 60
    assert max(before - after for before, after in itertools.pairwise(stored)) <= 8
    # the new ones
    assert stored[-1] == 40


def test_json_of_an_image_that_many_abandoned_makes_few_calls(counted: CountedObjects, clock: Clock):
    storage = ObjectStorage(MemoryStore(), groups=Groups(KEY_GROUPS), clock=clock)
    for number in range(60):
        key = PushKey.of(f"token {number}", owner=f"user {number}", is_token=True)
        begin(storage, clock, 1, key=key)
    begin(storage, clock, 1)
    clock.now_s += EXPIRY_S + 60
    with counted.counting() as calls:
        begin(storage, clock, 1)
    assert len(calls) <= 40


@pytest.mark.parametrize("expires", ["the push", "its counters"])
def test_counter_that_is_written_again_while_others_are_removed_stays(clock: Clock, expires: str):
    class Renewing(MemoryStorage):
        """Another request renews a counter between a listing and what follows."""

        renewed = ""

        def list(self, prefix: str, *, after: str = "") -> Iterator[Stat]:
            found = list(super().list(prefix, after=after))
            if prefix == f"{self.renewed.rpartition('/')[0]}/":
                self.write(self.renewed, b"")
            return iter(found)

    storage = Renewing(clock=clock)
    begin(storage, clock, 1)
    (counter,) = [stat.key for stat in storage.list("uploads/_bytes/")]
    clock.now_s += EXPIRY_S + 60
    storage.renewed = counter
    if expires == "the push":
        assert Expiry(storage, clock=clock).expire_all()
    else:
        storage.delete_tree(f"uploads/{image_id(1)}")
        Expiry(storage, clock=clock).expire_counter(counter.rpartition("/")[0])
    assert [stat.key for stat in storage.list("uploads/_bytes/")] == [counter]


def test_expired_pushes_leave_room_for_as_many_new_ones(clock: Clock):
    storage = MemoryStorage(clock=clock)
    for number in range(20):
        begin(storage, clock, number, most=20)
    with pytest.raises(errors.TooManyUnfinishedPushes):
        begin(storage, clock, 20, most=20)
    clock.now_s += EXPIRY_S + 60
    for number in range(100, 120):
        begin(storage, clock, number, most=20)
    with pytest.raises(errors.TooManyUnfinishedPushes):
        begin(storage, clock, 120, most=20)


def test_expired_push_that_begins_again_is_counted(clock: Clock):
    storage = MemoryStorage(clock=clock)
    for number in range(20):
        begin(storage, clock, number, most=20)
    clock.now_s += EXPIRY_S + 60
    for number in range(20):
        begin(storage, clock, number, most=20)
    with pytest.raises(errors.TooManyUnfinishedPushes):
        begin(storage, clock, 20, most=20)


def test_push_that_goes_on_with_other_facts_is_counted_on(clock: Clock):
    storage = MemoryStorage(clock=clock)
    user = PushKey.of("user alice", owner="alice")
    for parent in (image_id(8), image_id(9), image_id(8)):
        clock.now_s += EXPIRY_S - 60
        for number in range(6):
            staging = Staging(storage, most_pushes=6, clock=clock)
            push = staging.find_or_expire(image_id(number), user)
            # as long as the facts before
            staging.add_json(push, b"{}", Facts((image_id(number), parent), ()))
    with pytest.raises(errors.TooManyUnfinishedPushes):
        begin(storage, clock, 7, most=6, key=user)


def test_layer_that_arrives_is_counted_while_its_push_goes_on(clock: Clock):
    storage = MemoryStorage(clock=clock)
    staging = Staging(storage, most_bytes=30_000_000, clock=clock)
    begin(storage, clock, 1)
    push = staging.find(image_id(1), ALICE)
    refused = []

    def chunks() -> Iterator[bytes]:
        yield bytes(10_000_000)
        clock.now_s += EXPIRY_S - 60
        staging.add_json(staging.find(image_id(1), ALICE), b"{}", Facts((image_id(1),), ("other/x",)))
        clock.now_s += 120
        other = PushKey.of("second token of alice", owner="alice", is_token=True)
        begin(storage, clock, 2, key=other)
        found = staging.find(image_id(2), other)
        with pytest.raises(errors.TooManyUnfinishedBytes) as raised:
            staging.add_layer(found, staging.payloads(found), [bytes(15_000_000)], 15_000_000)
        refused.append(raised.value)
        yield bytes(10_000_000)

    staging.add_layer(push, staging.payloads(push), chunks(), 20_000_000)
    assert len(refused) == 1


def test_too_many_counters_of_one_user_are_too_many_bytes(clock: Clock, monkeypatch: pytest.MonkeyPatch):
    storage = MemoryStorage(clock=clock)
    for number in range(5):
        begin(storage, clock, number)
    monkeypatch.setattr(quotas_module, "_MOST_COUNTERS", 5)
    with pytest.raises(errors.TooManyUnfinishedBytes):
        begin(storage, clock, 5)


def test_expiry_of_a_push_leaves_the_others_of_its_image(clock: Clock):
    storage = MemoryStorage(clock=clock)
    other = PushKey.of("token of bob", owner="bob", is_token=True)
    begin(storage, clock, 1)
    begin(storage, clock, 1, key=other)
    clock.now_s += EXPIRY_S + 60
    assert Expiry(storage, clock=clock).expire(image_id(1), ALICE.owner, ALICE.name)
    assert len(Staging(storage).find(image_id(1), other).jsons) == 1
    assert Staging(storage).find(image_id(1), ALICE).jsons == ()
