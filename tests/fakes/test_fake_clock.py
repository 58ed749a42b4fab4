"""FakeClock: the system's time until a test moves it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from v1registry_fakes import FakeClock

MAY = datetime(2014, 5, 1, tzinfo=timezone.utc)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def frozen() -> FakeClock:
    """Return a clock that stands at the first of May, 2014."""
    clock = FakeClock()
    clock.freeze()
    clock.set(MAY)
    return clock


def test_unmoved_clock_tells_the_time_of_the_system(clock: FakeClock) -> None:
    before = time.time(), time.monotonic()
    told = clock.time_s(), clock.monotonic_s()
    after = time.time(), time.monotonic()
    assert before[0] <= told[0] <= after[0]
    assert before[1] <= told[1] <= after[1]
    assert clock.now().tzinfo is timezone.utc


def test_advance_moves_both_times_and_adds_the_units(frozen: FakeClock) -> None:
    monotonic_s = frozen.monotonic_s()
    frozen.advance(1, minutes=2, hours=3, days=4)
    moved = timedelta(days=4, hours=3, minutes=2, seconds=1)
    assert frozen.now() == MAY + moved
    assert frozen.monotonic_s() - monotonic_s == pytest.approx(moved.total_seconds())


def test_many_steps_end_where_their_sum_does(frozen: FakeClock) -> None:
    for _ in range(10_000):
        frozen.advance(0.1)
    assert frozen.now() == MAY + timedelta(seconds=1000)


def test_advanced_clock_runs_on(clock: FakeClock) -> None:
    clock.advance(hours=1)
    before_s = clock.time_s()
    later_s = clock.time_s()
    assert 3599 < before_s - time.time() < 3601
    assert later_s >= before_s
    assert not clock.is_frozen


def test_set_tells_the_moment_in_utc(frozen: FakeClock) -> None:
    frozen.set(datetime(2013, 7, 1, 14, tzinfo=timezone(timedelta(hours=2))))
    assert frozen.now() == datetime(2013, 7, 1, 12, tzinfo=timezone.utc)
    assert frozen.time_s() == frozen.now().timestamp()


def test_monotonic_seconds_never_go_back(frozen: FakeClock) -> None:
    monotonic_s = frozen.monotonic_s()
    frozen.set(MAY - timedelta(days=1))
    assert frozen.monotonic_s() == monotonic_s
    frozen.set(MAY)
    assert frozen.monotonic_s() - monotonic_s == pytest.approx(86400)


def test_frozen_clock_stands_still(clock: FakeClock) -> None:
    clock.freeze()
    clock.freeze()
    assert clock.is_frozen
    assert {(clock.time_s(), clock.monotonic_s()) for _ in range(1000)} == {
        (clock.time_s(), clock.monotonic_s())
    }


def test_unfrozen_clock_runs_on_from_where_it_stood(frozen: FakeClock) -> None:
    monotonic_s = frozen.monotonic_s()
    frozen.unfreeze()
    frozen.unfreeze()
    assert not frozen.is_frozen
    assert timedelta() <= frozen.now() - MAY < timedelta(minutes=1)
    assert 0 <= frozen.monotonic_s() - monotonic_s < 60


def test_reset_returns_to_the_time_of_the_system(frozen: FakeClock) -> None:
    frozen.reset()
    assert not frozen.is_frozen
    assert abs(frozen.time_s() - time.time()) < 60
    assert abs(frozen.monotonic_s() - time.monotonic()) < 60


def test_shift_ends_with_its_block_even_after_an_error(frozen: FakeClock) -> None:
    with pytest.raises(KeyError), frozen.shifted(3600), frozen.shifted(-60):
        assert frozen.now() == MAY + timedelta(minutes=59)
        raise KeyError
    assert frozen.now() == MAY


def test_shift_leaves_monotonic_seconds_other_threads_and_clocks(frozen: FakeClock) -> None:
    other, monotonic_s = FakeClock(), frozen.monotonic_s()
    with ThreadPoolExecutor(1) as pool, frozen.shifted(10**6):
        assert pool.submit(frozen.now).result(timeout=5) == MAY
        assert frozen.monotonic_s() == monotonic_s
        assert abs(other.time_s() - time.time()) < 60


def test_negative_step_is_rejected(clock: FakeClock) -> None:
    with pytest.raises(ValueError, match=r"0 seconds or more, not -1\.0; set\(\) moves the time back"):
        clock.advance(-1)


@pytest.mark.parametrize("arguments", [{"days": 4_000_000}, {"days": 10**9}, {"seconds": 1e300}])
def test_step_beyond_the_year_9999_is_rejected(clock: FakeClock, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="before the year 10000"):
        clock.advance(**arguments)
    assert abs(clock.time_s() - time.time()) < 60


def test_moment_without_a_time_zone_is_rejected(clock: FakeClock) -> None:
    with pytest.raises(ValueError, match=r"must have a time zone, such as tzinfo=timezone\.utc"):
        clock.set(datetime(2014, 5, 1))  # noqa: DTZ001  that is the error


def test_repr_tells_the_time_and_whether_it_stands(frozen: FakeClock) -> None:
    assert repr(frozen) == "<FakeClock at 2014-05-01 00:00:00+00:00, frozen>"
