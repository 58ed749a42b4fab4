"""How fast maintenance works, and what it keeps of an interrupted run."""

from __future__ import annotations

import pytest

from v1registry import Clock, MemoryStorage, Registry
from v1registry.cli.housekeeping_options import duration, positive, size
from v1registry.housekeeping.checkpoints import SAVED_EACH_S, Checkpoint
from v1registry.housekeeping.pace import UNLIMITED, Pace
from v1registry.housekeeping.service import Housekeeping


class SleepingClock(Clock):
    """A clock that only sleep moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.slept_s += seconds


def test_a_pace_waits_until_bytes_are_due() -> None:
    clock = SleepingClock()
    pace = Pace(bytes_per_s=1000, clock=clock, sleep=clock.sleep)

    for _ in range(100):
        pace.spend(size_bytes=100)

    assert clock.slept_s == pytest.approx(10, abs=0.2)


def test_the_stricter_limit_of_a_pace_decides() -> None:
    clock = SleepingClock()
    pace = Pace(bytes_per_s=1000, objects_per_s=2, clock=clock, sleep=clock.sleep)

    for _ in range(20):
        pace.spend(size_bytes=10, objects=1)

    assert clock.slept_s == pytest.approx(10, abs=0.2)


def test_idle_time_is_not_made_up_for() -> None:
    clock = SleepingClock()
    pace = Pace(objects_per_s=10, clock=clock, sleep=clock.sleep)
    pace.spend(objects=1)
    clock.now_s += 3600
    clock.slept_s = 0

    for _ in range(100):
        pace.spend(objects=1)

    assert clock.slept_s == pytest.approx(10, abs=0.2)


def test_an_unlimited_pace_does_not_wait() -> None:
    UNLIMITED.spend(size_bytes=1 << 60, objects=1 << 30)


@pytest.mark.parametrize("limits", [(0, None), (None, -1), (float("nan"), None)])
def test_a_limit_that_is_not_positive_is_rejected(limits: tuple[float | None, float | None]) -> None:
    with pytest.raises(ValueError, match=r"must be more than 0, not (0|-1|nan)"):
        Pace(*limits)


def test_a_checkpoint_is_read_by_a_later_run() -> None:
    storage = MemoryStorage()
    Checkpoint(storage, "verify").save({"after": "images/0"})

    assert Checkpoint(storage, "verify").read() == {"after": "images/0"}

    Checkpoint(storage, "verify").remove()
    Checkpoint(storage, "verify").remove()
    assert Checkpoint(storage, "verify").read() == {}


@pytest.mark.parametrize("stored", [b"", b"{", b"[]", b"\xff"])
def test_a_damaged_checkpoint_counts_as_missing(stored: bytes) -> None:
    storage = MemoryStorage()
    storage.write("housekeeping/verify", stored)

    assert Checkpoint(storage, "verify").read() == {}


def test_a_checkpoint_is_due_some_time_after_each_write() -> None:
    clock = SleepingClock()
    checkpoint = Checkpoint(MemoryStorage(), "verify", clock=clock)
    assert not checkpoint.is_due

    clock.now_s += SAVED_EACH_S
    assert checkpoint.is_due

    checkpoint.save({})
    assert not checkpoint.is_due


def test_a_registry_has_its_housekeeping() -> None:
    assert isinstance(Registry(MemoryStorage()).housekeeping, Housekeeping)


def test_options_of_maintenance_are_parsed() -> None:
    assert [size("1"), size("3K"), size("2G")] == [1, 3072, 2 << 30]
    assert [duration("0"), duration("90s"), duration("2d")] == [0, 90, 172800]
    assert positive("7") == 7
