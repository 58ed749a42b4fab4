"""Small values that a copy stores together: few writes, each value verified, and none lost by the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from threading import Event

import pytest
from support.accounts_world import AccountsWorld, image_of
from support.backends import People
from support.copied import assert_serves_the_same, copied, values
from support.faulty_storage import FaultyStorage
from v1registry_fakes.clock import FakeClock

from v1registry import MemoryStorage, Storage
from v1registry.housekeeping.copying import copy_storage
from v1registry.housekeeping.copying.values import MOST_TOGETHER
from v1registry.housekeeping.pace import Pace
from v1registry.rights import User
from v1registry.storage import ANY, Blob, Stat, StorageFull, StorageUnavailable

TIME_NS = 1_430_000_000_123_456_789

RECORDS = [f"repositories/team/app/_x{number:03}" for number in range(3 * MOST_TOGETHER)]


class Noting(MemoryStorage):
    """Notes what is written and read, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, list[str]]] = []
        self.room = 10**6  #: how many values written together find room

    def write_many_dated(self, values: Mapping[str, tuple[bytes, int]]) -> None:
        self.calls.append(("together", list(values)))
        for key, (value, modified_ns) in values.items():
            if self.room == 0:
                raise StorageFull(key, "no room")
            self.room -= 1
            super().write_dated(key, value, modified_ns)

    def write_dated(self, key: str, data: bytes | Iterable[bytes], modified_ns: int) -> Stat:
        self.calls.append(("alone", [key]))
        return super().write_dated(key, data, modified_ns)

    def read_many(self, keys: Iterable[str]) -> Iterator[tuple[str, tuple[bytes, Stat] | None]]:
        names = list(keys)
        self.calls.append(("read", names))
        return super().read_many(names)

    @property
    def together(self) -> list[list[str]]:
        """The keys of each write of several values."""
        return [keys for name, keys in self.calls if name == "together"]


class Forgetful(Noting):
    """Loses one of the values that are written together."""

    def write_many_dated(self, values: Mapping[str, tuple[bytes, int]]) -> None:
        super().write_many_dated(values)
        if RECORDS[5] in values:
            self.delete(RECORDS[5])


class Wrong(Noting):
    """Stores other bytes of the same size, for each of some keys once."""

    def __init__(self, *keys: str) -> None:
        super().__init__()
        self.wrong = set(keys)

    def write(
        self, key: str, data: bytes | Iterable[bytes], *, expect: str = ANY, modified_ns: int | None = None
    ) -> Stat:
        if key in self.wrong:
            self.wrong.remove(key)
            data = bytes(len(data if isinstance(data, bytes) else b"".join(data)))
        return super().write(key, data, expect=expect, modified_ns=modified_ns)


def with_records() -> MemoryStorage:
    source = MemoryStorage()
    for number, key in enumerate(RECORDS):
        source.write_dated(key, b"value", TIME_NS + number)
    return source


def test_records_are_stored_together_with_their_times() -> None:
    source, destination = with_records(), Noting()
    copied(source, destination)
    assert sorted(destination.together) == [
        RECORDS[start : start + MOST_TOGETHER] for start in range(0, len(RECORDS), MOST_TOGETHER)
    ]
    assert [destination.stat(key).modified_ns for key in RECORDS] == [
        TIME_NS + number for number in range(len(RECORDS))
    ]


def test_values_stored_together_are_read_back() -> None:
    destination = Noting()
    copied(with_records(), destination)
    read = [key for name, keys in destination.calls if name == "read" for key in keys]
    assert set(RECORDS) <= set(read)
    with pytest.raises(StorageUnavailable, match=RECORDS[5]):
        copy_storage(with_records(), Forgetful())


def test_large_record_is_stored_alone() -> None:
    source, destination = with_records(), Noting()
    source.write(RECORDS[0], bytes(100_000))
    copied(source, destination)
    assert ("alone", [RECORDS[0]]) in destination.calls
    assert RECORDS[0] not in [key for keys in destination.together for key in keys]
    assert values(destination) == values(source)


def test_record_that_cannot_be_read_does_not_keep_the_others() -> None:
    source, destination = FaultyStorage(with_records()), Noting()
    source.fail("read", key=RECORDS[7])
    report = copy_storage(source, destination)
    assert [problem.key for problem in report.problems] == [RECORDS[7]]
    assert sorted(values(destination)) == sorted({*RECORDS} - {RECORDS[7]})


def test_only_records_that_changed_are_stored_again() -> None:
    source, destination = with_records(), Noting()
    copied(source, destination)
    destination.calls.clear()
    source.write_dated(RECORDS[1], b"new", TIME_NS - 1)
    copied(source, destination)
    assert [keys for keys in destination.together if keys != [RECORDS[1]]] == []
    assert destination.read(RECORDS[1])[0] == b"new"


def test_destination_that_is_full_in_between_keeps_the_first_and_goes_on() -> None:
    source, destination = with_records(), Noting()
    destination.room = 10
    with pytest.raises(StorageFull, match="the destination is full: no room"):
        copy_storage(source, destination, threads=1)
    assert sorted(values(destination)) == RECORDS[:10]
    destination.room = 10**6
    assert copied(source, destination).copied == len(RECORDS) - 10
    assert values(destination) == values(source)


def test_dry_run_counts_records_and_stores_none() -> None:
    destination = Noting()
    assert copy_storage(with_records(), destination, is_dry_run=True).copied == len(RECORDS)
    assert list(destination.list("")) == []


def test_destination_without_times_gets_each_record_once() -> None:
    source, destination = with_records(), FaultyStorage()
    copied(source, destination)
    assert values(destination) == values(source)
    assert destination.count("write", key="repositories/*") == len(RECORDS)


def test_json_of_an_image_is_stored_after_its_other_values_were_read_back() -> None:
    source, destination = filled(), Noting()
    copied(source, destination)
    image = f"images/{image_of('base').image_id}"
    names = {stat.key for stat in source.list(f"{image}/") if "/_held_by/" not in stat.key}
    before = destination.calls[: destination.calls.index(("alone", [f"{image}/json"]))]
    stored = {key for name, keys in before if name != "read" for key in keys}
    read = {key for name, keys in before if name == "read" for key in keys}
    assert names - {f"{image}/json"} <= stored
    assert names - {f"{image}/json", f"{image}/layer"} <= read
    assert_serves_the_same(source, destination)


def filled() -> Storage:
    """Return the storage of a server to which alice has pushed an image."""
    storage = MemoryStorage()
    AccountsWorld(People.of(User("alice")), storage).person("alice").push("alice/app", image_of("base"))
    return storage


@pytest.mark.parametrize("size", [5, 100_000, 2_000_000])
def test_value_that_was_stored_wrongly_is_copied_again(size: int) -> None:
    source, wrong = with_records(), RECORDS[5:7]
    for key in wrong:
        source.write_dated(key, b"v" * size, TIME_NS)
    destination = Wrong(*wrong)
    for _ in range(2 if size > 5 else 1):
        with pytest.raises(StorageUnavailable, match="other bytes than were written"):
            copy_storage(source, destination)
    # the time that a copy keeps does not hide it
    copy_storage(source, destination)
    assert destination.wrong == set()
    assert values(destination).items() >= values(source).items()


class Killed(BaseException):
    """Ends a run as SIGKILL does: nothing is stored after it."""


class Dying(Wrong):
    """Stores other bytes for a key, and lets the process die before it can read them."""

    is_dead = False

    def write(
        self, key: str, data: bytes | Iterable[bytes], *, expect: str = ANY, modified_ns: int | None = None
    ) -> Stat:
        self.die()
        is_wrong = key in self.wrong
        stat = super().write(key, data, expect=expect, modified_ns=modified_ns)
        self.is_dead = self.is_dead or is_wrong
        return stat

    def read(self, key: str) -> tuple[bytes, Stat]:
        self.die()
        return super().read(key)

    def open(self, key: str, start: int = 0, stop: int | None = None) -> Blob:
        self.die()
        return super().open(key, start, stop)

    def die(self) -> None:
        if self.is_dead:
            raise Killed


@pytest.mark.parametrize("size", [5, 100_000, 2_000_000])
def test_value_that_a_killed_run_did_not_compare_is_copied_again(size: int) -> None:
    source = with_records()
    source.write_dated(RECORDS[5], b"v" * size, TIME_NS)
    destination = Dying(RECORDS[5])
    with pytest.raises(Killed):
        copy_storage(source, destination)
    destination.is_dead = False
    assert values(destination)[RECORDS[5]] == bytes(size)
    copy_storage(source, destination)
    assert values(destination).items() >= values(source).items()


@pytest.mark.parametrize("name", ["json", "ancestry", "_checksum", "tag_latest"])
def test_value_of_an_image_that_a_killed_run_did_not_compare_is_copied_again(name: str) -> None:
    source = filled()
    key = next(stat.key for stat in source.list("") if stat.key.endswith(f"/{name}"))
    destination, clock = Dying(key), FakeClock()
    clock.advance(hours=1)
    with pytest.raises(Killed):
        copy_storage(source, destination, clock=clock)
    destination.is_dead = False
    copy_storage(source, destination, clock=clock)
    assert values(destination)[key] == values(source)[key]


class Reading(Noting):
    """Notes which values are read one by one, and when some were read together."""

    def __init__(self) -> None:
        super().__init__()
        self.read_keys: list[str] = []
        self.has_compared = Event()

    def read(self, key: str) -> tuple[bytes, Stat]:
        self.read_keys.append(key)
        return super().read(key)

    def read_many(self, keys: Iterable[str]) -> Iterator[tuple[str, tuple[bytes, Stat] | None]]:
        found = list(super().read_many(keys))
        self.has_compared.set()
        return iter(found)


def test_interrupted_run_has_compared_what_it_stored() -> None:
    source, destination, pauses = with_records(), Reading(), list[float]()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > MOST_TOGETHER:
            assert destination.has_compared.wait(30)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_storage(source, destination, pace=Pace(objects_per_s=10, sleep=pause))
    stored = values(destination).keys() & set(RECORDS)
    assert 0 < len(stored) < len(RECORDS)
    destination.read_keys.clear()
    copy_storage(source, destination)
    assert stored.isdisjoint(destination.read_keys)
    assert values(destination).items() >= values(source).items()
