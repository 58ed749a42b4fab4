"""When a layer with a length is counted as a stored one at once, and when its counter is written again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from support.clock import Clock

from v1registry import MemoryStorage
from v1registry.errors import TooManyUnfinishedBytes
from v1registry.registry.expiry import EXPIRY_S, Expiry
from v1registry.registry.sent import Facts, StagedPush
from v1registry.registry.staging import Staging
from v1registry.rights import PushKey
from v1registry.storage.base import Storage

IMAGE_ID: Final = "0" * 64
#: more than any storage has in memory
SIZE: Final = 9 << 20
KEYS: Final = {
    "shared": PushKey.of("shared", is_shared=True),
    "password": PushKey.of("password", owner="alice"),
    "token": PushKey.of("token", owner="alice", is_token=True),
}
WITHOUT_TOKEN: Final = pytest.mark.parametrize("kind", ["shared", "password"])


class World:
    """A push that has sent a JSON."""

    def __init__(self, kind: str, most_bytes: int = 1 << 30):
        self.clock = Clock()
        self.storage: Storage = MemoryStorage(clock=self.clock)
        self.staging = Staging(self.storage, most_bytes=most_bytes, clock=self.clock)
        self.key = KEYS[kind]
        self.staging.add_json(self.staging.find(IMAGE_ID, self.key), b"{}", Facts((IMAGE_ID,), ()))

    @property
    def push(self) -> StagedPush:
        return self.staging.find(IMAGE_ID, self.key)

    def send(self, chunks: Iterator[bytes]) -> None:
        push = self.push
        self.staging.add_layer(push, self.staging.payloads(push), chunks, SIZE)

    def counters(self) -> list[tuple[bool, int, int]]:
        """Return of each counter of a layer: whether it is that of a stored one, its bytes, its age."""
        found = []
        for stat in self.storage.list("uploads/_bytes/"):
            folder, _, name = stat.key.rpartition("/")
            entry, _, size = name.rpartition(".")
            if int(size) >= SIZE:
                age_s = self.clock.time_s() - stat.modified.timestamp()
                found.append((not folder.endswith(f".{entry}"), int(size), round(age_s)))
        return found


def total_of(world: World) -> int:
    """Return the bytes of the layer with the JSON that is stored beside it."""
    return SIZE + world.push.jsons[0].size


@pytest.mark.parametrize("kind", KEYS)
def test_layer_with_a_length_is_counted_once_unless_its_push_may_end(kind: str) -> None:
    world, seen = World(kind), []

    def chunks() -> Iterator[bytes]:
        yield bytes(SIZE)
        seen.extend(world.counters())

    world.send(chunks())
    total = total_of(world)
    assert seen == [(kind != "token", total, 0)]
    assert world.counters() == [(True, total, 0)]


@WITHOUT_TOKEN
@pytest.mark.parametrize(("took_s", "age_s"), [(10, 10), (20, 0), (3 * 3600, 0)])
def test_counter_is_as_new_as_a_layer_that_took_long(kind: str, took_s: int, age_s: int) -> None:
    world = World(kind)

    def chunks() -> Iterator[bytes]:
        yield bytes(SIZE // 2)
        world.clock.now_s += took_s
        yield bytes(SIZE // 2)

    world.send(chunks())
    assert world.counters() == [(True, total_of(world), age_s)]


@WITHOUT_TOKEN
def test_layer_that_takes_long_is_counted_as_long_as_it_arrives(kind: str) -> None:
    world = World(kind)
    total, seen = total_of(world), []

    def chunks() -> Iterator[bytes]:
        yield bytes(SIZE // 3)
        world.clock.now_s += EXPIRY_S - 60
        yield bytes(SIZE // 3)
        # it has a counter that stays if the push expires
        seen.extend(world.counters())
        world.clock.now_s += 120
        Expiry(world.storage, clock=world.clock).expire_all()
        assert not world.push.jsons
        seen.extend(world.counters())
        yield bytes(SIZE // 3)

    world.send(chunks())
    assert seen == [(False, total, 0), (False, total, 120)]


@WITHOUT_TOKEN
def test_fresh_counter_outlives_the_expired_push(kind: str) -> None:
    world = World(kind)
    total = total_of(world)

    def chunks() -> Iterator[bytes]:
        yield bytes(SIZE // 2)
        world.clock.now_s += 120
        Expiry(world.storage, clock=world.clock).expire_all()
        assert (world.push.jsons, world.counters()) == ((), [(True, total, 120)])
        yield bytes(SIZE // 2)

    push = world.push
    world.clock.now_s += EXPIRY_S - 60
    world.staging.add_layer(push, world.staging.payloads(push), chunks(), SIZE)
    # that of a shared key is kept for other clients
    assert world.counters() == ([(True, total, 0)] if kind == "shared" else [])


@pytest.mark.parametrize("kind", KEYS)
def test_layer_with_a_length_beyond_the_bound_is_neither_read_nor_counted(kind: str) -> None:
    world = World(kind, most_bytes=SIZE)
    with pytest.raises(TooManyUnfinishedBytes):
        world.send(iter(lambda: pytest.fail("it was read"), b""))
    assert world.counters() == []


@pytest.mark.parametrize("kind", KEYS)
def test_layer_that_breaks_off_is_not_counted(kind: str) -> None:
    world = World(kind)

    def chunks() -> Iterator[bytes]:
        yield bytes(SIZE // 2)
        raise TooManyUnfinishedBytes(1)

    with pytest.raises(TooManyUnfinishedBytes):
        world.send(chunks())
    assert world.counters() == []
