"""Expiry of abandoned pushes, uploads and announcements: from Python and by ``v1registry expire``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.accounts_world import AccountsWorld, image_of
from support.backends import People
from support.v2_client import V2Client
from v1registry_fakes.clock import FakeClock

from v1registry import FileStorage, MemoryStorage, Registry, Storage
from v1registry.cli.main import main
from v1registry.housekeeping.pace import Pace
from v1registry.housekeeping.service import Housekeeping
from v1registry.registry.expiry import EXPIRY_S, Expired
from v1registry.rights import User


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def storage(clock: FakeClock) -> MemoryStorage:
    return MemoryStorage(clock=clock)


@pytest.fixture
def world(storage: MemoryStorage, clock: FakeClock) -> AccountsWorld:
    return AccountsWorld(People.of(User("alice")), storage)


def begin_pushes(world: AccountsWorld, *numbers: int) -> None:
    """Begin pushes of alice, and finish none."""
    alice = world.person("alice")
    for number in numbers:
        image = image_of(f"unfinished{number}")
        assert alice.announce(f"alice/app{number}", image) == 200
        assert [alice.put_json(image), alice.put_layer(image)] == [200, 200]


def uploads(storage: Storage) -> list[str]:
    return [stat.key for stat in storage.list("uploads/")]


def test_all_abandoned_pushes_and_announcements_are_removed(world: AccountsWorld, clock: FakeClock) -> None:
    begin_pushes(world, 1, 2)
    stored = {stat.key: stat.size for stat in world.storage.list("uploads/")}
    clock.advance(EXPIRY_S + 1)

    expired = Housekeeping(world.storage, clock=clock).expire()

    assert (expired.pushes, expired.records) == (2, 2)
    assert expired.push_bytes == sum(size for key, size in stored.items() if not key.startswith("uploads/_"))
    assert uploads(world.storage) == []


def test_pushes_that_go_on_stay(world: AccountsWorld, clock: FakeClock) -> None:
    begin_pushes(world, 1)
    clock.advance(EXPIRY_S - 10)
    begin_pushes(world, 2)
    clock.advance(20)

    expired = Housekeeping(world.storage, clock=clock).expire()

    assert (expired.pushes, expired.records) == (1, 1)
    alice, image = world.person("alice"), image_of("unfinished2")
    assert alice.put_checksum(image) == 200


def test_more_than_a_server_looks_at_is_removed(storage: MemoryStorage, clock: FakeClock) -> None:
    for number in range(1100):
        storage.write(f"uploads/{number:032x}/{'a' * 32}-{'b' * 32}/json", b"{}")
        storage.write(f"uploads/_announced/{number:032x}/alice/app", b"[]")
    clock.advance(EXPIRY_S + 1)

    assert Housekeeping(storage, clock=clock).expire() == Expired(1100, 2200, 1100)
    assert uploads(storage) == []


def test_many_pushes_of_one_image_are_removed(storage: MemoryStorage, clock: FakeClock) -> None:
    for number in range(1100):
        storage.write(f"uploads/{'0' * 32}/{number:032x}-{'b' * 32}/json", b"{}")
    clock.advance(EXPIRY_S + 1)

    assert Housekeeping(storage, clock=clock).expire().pushes == 1100


def test_abandoned_uploads_of_blobs_are_removed(storage: MemoryStorage, clock: FakeClock) -> None:
    client = V2Client(Registry(storage=storage, clock=clock))
    answer = client.ask("POST", "/v2/team/app/blobs/uploads/")
    assert client.ask("PATCH", dict(answer.headers)["Location"], b"part").status == 202
    assert uploads(storage)
    clock.advance(EXPIRY_S + 1)

    expired = Registry(storage=storage, clock=clock).housekeeping.expire()

    assert expired.pushes == 1
    assert uploads(storage) == []


def test_expiry_keeps_its_pace(storage: MemoryStorage, clock: FakeClock) -> None:
    for number in range(3):
        storage.write(f"uploads/{number:032x}/{'a' * 32}-{'b' * 32}/json", b"{}")
    pauses: list[float] = []
    clock.freeze()

    Housekeeping(storage, clock=clock).expire(pace=Pace(objects_per_s=1, clock=clock, sleep=pauses.append))

    assert len(pauses) == 3


def test_the_command_says_what_it_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage = FileStorage(tmp_path / "store", durable=False)
    begin_pushes(AccountsWorld(People.of(User("alice")), storage), 1)
    for path in (tmp_path / "store").rglob("*"):
        os.utime(path, (1, 1))
    options = ["--storage", (tmp_path / "store").as_uri()]

    assert main(["expire", "--json", *options]) == 0
    assert json.loads(capsys.readouterr().out)["pushes"] == 1

    assert main(["expire", *options]) == 0
    assert capsys.readouterr().out == (
        "removed 0 unfinished pushes of 0 B, 0 records of pushes and deletions\n"
    )
