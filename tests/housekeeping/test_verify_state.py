"""What a run of ``verify`` remembers of the layers and blobs that it has read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.faulty_storage import FaultyStorage

from v1registry import Clock, MemoryStorage
from v1registry.housekeeping.verify_state import ReadLately

KEYS = [f"images/{number:02}/layer" for number in range(12)]


class Ticking(Clock):
    """A clock that goes on with each question."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def time_s(self) -> float:
        self.now_s += 1
        return self.now_s

    def monotonic_s(self) -> float:
        return self.now_s


def read(lately: ReadLately, keys: list[str], modified_s: float = 0) -> list[str]:
    """Read the keys that were not read lately; return them."""
    found = []
    for key in keys:
        if lately.has(key, modified_s):
            lately.skip()
        else:
            lately.note(key, lately.now_s(), is_damaged=False)
            found.append(key)
    return found


def test_an_interrupted_run_goes_on_where_it_ended() -> None:
    storage, clock = MemoryStorage(), Ticking()
    first = ReadLately(storage, clock=clock)
    assert read(first, KEYS[:5]) == KEYS[:5]
    first.save(is_finished=False)

    second = ReadLately(storage, clock=clock)

    assert read(second, KEYS) == KEYS[5:]


def test_a_run_after_a_finished_one_reads_everything() -> None:
    storage, clock = MemoryStorage(), Ticking()
    first = ReadLately(storage, clock=clock)
    read(first, KEYS)
    first.save(is_finished=True)

    assert read(ReadLately(storage, clock=clock), KEYS) == KEYS


def test_a_restart_reads_what_an_interrupted_run_has_read() -> None:
    storage, clock = MemoryStorage(), Ticking()
    first = ReadLately(storage, clock=clock)
    read(first, KEYS[:5])
    first.save(is_finished=False)

    assert read(ReadLately(storage, restarts=True, clock=clock), KEYS) == KEYS


def test_only_old_ranges_are_read_again() -> None:
    storage, clock = MemoryStorage(), Ticking()
    for keys in (KEYS[:4], KEYS[4:8]):
        run = ReadLately(storage, older_than_s=10_000, clock=clock)
        assert read(run, keys) == keys
        run.save(is_finished=True)
        clock.now_s += 5000

    run = ReadLately(storage, older_than_s=7000, clock=clock)

    assert read(run, KEYS) == [*KEYS[:4], *KEYS[8:]]


def test_a_value_that_was_written_later_is_read() -> None:
    storage, clock = MemoryStorage(), Ticking()
    first = ReadLately(storage, clock=clock)
    read(first, KEYS)
    first.save(is_finished=True)

    run = ReadLately(storage, older_than_s=1000, clock=clock)

    assert not run.has(KEYS[3], modified_s=clock.now_s)
    assert run.has(KEYS[3], modified_s=900)


def test_a_damaged_value_is_read_by_each_run() -> None:
    storage, clock = MemoryStorage(), Ticking()
    first = ReadLately(storage, clock=clock)
    for key in KEYS:
        first.note(key, first.now_s(), is_damaged=key == KEYS[3])
    first.save(is_finished=True)

    run = ReadLately(storage, older_than_s=1000, clock=clock)
    assert read(run, KEYS) == [KEYS[3]]
    run.save(is_finished=True)

    assert read(ReadLately(storage, older_than_s=1000, clock=clock), KEYS) == []


@pytest.mark.parametrize(
    "stored",
    [
        {"ranges": 1, "damaged": 2, "began_at_s": "3"},
        {"ranges": [[1, 2, 3], ["b", "a", 1], ["a", "z"], "x"], "damaged": [1, None], "began_at_s": None},
        {"ranges": [["a", "z", "1"]], "began_at_s": 1e300},
    ],
)
def test_a_damaged_state_counts_as_missing(stored: dict[str, Any]) -> None:
    storage = MemoryStorage()
    storage.write("housekeeping/verify", json.dumps(stored).encode())

    assert read(ReadLately(storage), KEYS) == KEYS


def test_a_read_only_storage_is_read_without_a_state(caplog: pytest.LogCaptureFixture) -> None:
    storage = FaultyStorage()
    storage.fail("write")
    run = ReadLately(storage)
    assert read(run, KEYS) == KEYS

    run.save(is_finished=False)
    run.save(is_finished=True)

    assert caplog.text.count("the next run begins at the start") == 1


@given(
    runs=st.lists(
        st.tuples(
            st.integers(0, len(KEYS)),  # where the run ends
            st.one_of(st.none(), st.integers(0, 60)),  # older_than_s
            st.booleans(),  # restarts
            st.integers(0, 40),  # seconds until the next run
            st.integers(1, 5),  # how many are read at once
        ),
        max_size=8,
    ),
    written=st.dictionaries(st.sampled_from(KEYS), st.integers(1000, 1200)),
)
@settings(deadline=None)
def test_no_run_leaves_out_what_was_not_read_lately(
    runs: list[tuple[int, int | None, bool, int, int]], written: dict[str, int]
) -> None:
    storage, clock = MemoryStorage(), Ticking()
    read_at_s: dict[str, float] = {}
    for stop, older_than_s, restarts, pause_s, together in runs:
        began_at_s = clock.now_s
        run = ReadLately(storage, older_than_s=older_than_s, restarts=restarts, clock=clock)
        for first in range(0, stop, together):
            begun: dict[str, float] = {}
            keys = KEYS[first : min(first + together, stop)]
            # the last one begins first
            for key in reversed(keys):
                modified_s = written.get(key, 0)
                if modified_s > clock.now_s:
                    modified_s = 0  # it will be written later
                if run.has(key, modified_s):
                    assert key in read_at_s
                    assert not restarts
                    assert modified_s < read_at_s[key]
                    assert older_than_s is None or read_at_s[key] >= began_at_s - older_than_s
                else:
                    begun[key] = read_at_s[key] = run.now_s()
            for key in keys:
                if key in begun:
                    run.note(key, begun[key], is_damaged=False)
                else:
                    run.skip()
        run.save(is_finished=stop == len(KEYS))
        clock.now_s += pause_s
