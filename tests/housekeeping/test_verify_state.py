"""What a run of ``verify`` remembers of the layers and blobs that it has read."""

from __future__ import annotations

import json
import random
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.faulty_storage import FaultyStorage

from v1registry import Clock, MemoryStorage
from v1registry.housekeeping import verify_state
from v1registry.housekeeping.verify_state import ReadLately

DAY_S: Final = 86_400

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
            lately.skip(key, modified_s)
        else:
            lately.note(key, lately.now_s(), modified_s, is_damaged=False)
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
    assert run.has(KEYS[3], modified_s=0)


def test_a_damaged_value_is_read_by_each_run() -> None:
    storage, clock = MemoryStorage(), Ticking()
    first = ReadLately(storage, clock=clock)
    for key in KEYS:
        first.note(key, first.now_s(), 0, is_damaged=key == KEYS[3])
    first.save(is_finished=True)

    run = ReadLately(storage, older_than_s=1000, clock=clock)
    assert read(run, KEYS) == [KEYS[3]]
    run.save(is_finished=True)

    assert read(ReadLately(storage, older_than_s=1000, clock=clock), KEYS) == []


def test_a_value_that_came_while_the_run_went_on_is_read_by_the_next_one() -> None:
    storage, clock = MemoryStorage(), Ticking()
    run = ReadLately(storage, older_than_s=1000, clock=clock)
    listed = [KEYS[0], KEYS[2]]
    clock.now_s += 100
    came_at_s = clock.now_s
    assert read(run, listed) == listed
    run.save(is_finished=True)

    assert not ReadLately(storage, older_than_s=1000, clock=clock).has(KEYS[1], came_at_s)


def test_more_damaged_values_than_are_kept_are_read_by_each_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_state, "_MOST_DAMAGED", 3)
    storage, clock = MemoryStorage(), Ticking()
    for _ in range(3):
        run = ReadLately(storage, older_than_s=1000, clock=clock)
        for number, key in enumerate(KEYS):
            if run.has(key, 0):
                run.skip(key, 0)
                assert number % 2
            else:
                run.note(key, run.now_s(), 0, is_damaged=number % 2 == 0)
        run.save(is_finished=True)
    assert len(json.loads(storage.read("housekeeping/verify")[0])["damaged"]) == 3


def test_damaged_values_that_are_gone_for_a_run_are_read_when_they_come_back() -> None:
    storage, clock = MemoryStorage(), Ticking()
    run = ReadLately(storage, older_than_s=1000, clock=clock)
    for key in KEYS:
        run.note(key, run.now_s(), 0, is_damaged=key == KEYS[3])
    run.save(is_finished=True)
    others = [key for key in KEYS if key != KEYS[3]]
    run = ReadLately(storage, older_than_s=1000, clock=clock)
    assert read(run, others) == []
    run.save(is_finished=True)

    assert read(ReadLately(storage, older_than_s=1000, clock=clock), KEYS) == [KEYS[3]]


def test_damaged_values_that_are_gone_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_state, "_MOST_DAMAGED", 10)
    storage, clock = MemoryStorage(), Ticking()
    for keys, kept in ((KEYS[:10], 10), ([], 5), (KEYS[10:], 7)):
        run = ReadLately(storage, older_than_s=1000, clock=clock)
        for key in keys:
            run.note(key, run.now_s(), 0, is_damaged=True)
        run.save(is_finished=not keys)
        damaged = json.loads(storage.read("housekeeping/verify")[0])["damaged"]
        assert len(damaged) == kept
        assert {*keys} <= {*damaged}


def test_a_value_that_could_not_be_read_is_read_by_a_later_run() -> None:
    storage, clock = MemoryStorage(), Ticking()
    run = ReadLately(storage, older_than_s=1000, clock=clock)
    for key in KEYS:
        if key == KEYS[3]:
            run.note_unread(key)
        else:
            run.note(key, run.now_s(), 0, is_damaged=False)
    run.save(is_finished=True)

    assert read(ReadLately(storage, older_than_s=1000, clock=clock), KEYS) == [KEYS[3]]


@pytest.mark.parametrize("is_finished", [True, False])
def test_a_value_that_is_seen_later_than_it_was_written_is_read(is_finished: bool) -> None:
    """An upload takes a day, and its blob has the time of its bytes."""
    storage, clock = MemoryStorage(), Ticking()
    clock.now_s = 10 * DAY_S
    old, young, late = KEYS[0], KEYS[2], KEYS[1]
    written_s = {old: 0.0, young: clock.now_s, late: clock.now_s}
    clock.now_s += 100
    for _ in range(3):
        run = ReadLately(storage, older_than_s=30 * DAY_S, clock=clock)
        found = [key for key in (old, young) if not run.has(key, written_s[key])]
        for key in (old, young):
            if key in found:
                run.note(key, run.now_s(), written_s[key], is_damaged=False)
            else:
                run.skip(key, written_s[key])
        run.save(is_finished=is_finished)
        assert not ReadLately(storage, older_than_s=30 * DAY_S, clock=clock).has(late, written_s[late])
        clock.now_s += 100
    assert found == []


def test_times_of_the_future_count_for_nothing() -> None:
    storage, clock = MemoryStorage(), Ticking()
    clock.now_s += 3650 * DAY_S
    run = ReadLately(storage, older_than_s=30 * DAY_S, clock=clock)
    read(run, KEYS)
    run.save(is_finished=True)
    clock.now_s -= 3650 * DAY_S

    assert read(ReadLately(storage, older_than_s=30 * DAY_S, clock=clock), KEYS) == KEYS


def test_second_looks_say_nothing_of_what_is_between_them() -> None:
    storage, clock = MemoryStorage(), Ticking()
    run = ReadLately(storage, older_than_s=1000, clock=clock)
    run.note_again(KEYS[1], is_damaged=False)
    run.note_again(KEYS[5], is_damaged=False)
    run.save(is_finished=True)

    assert read(ReadLately(storage, older_than_s=1000, clock=clock), KEYS) == KEYS


def test_many_new_values_between_others_do_not_let_these_be_read_again() -> None:
    storage, clock = MemoryStorage(), Ticking()
    clock.now_s = 10 * DAY_S
    keys = [f"images/{number:06}/layer" for number in range(10_000)]
    run = ReadLately(storage, older_than_s=10_000, clock=clock)
    assert read(run, keys[::2]) == keys[::2]
    run.save(is_finished=True)
    came_at_s = clock.now_s
    clock.now_s += DAY_S + 1

    run = ReadLately(storage, older_than_s=10 * DAY_S, clock=clock)
    for number, key in enumerate(keys):
        if number % 2:
            assert not run.has(key, came_at_s)
            run.note(key, run.now_s(), came_at_s, is_damaged=False)
        else:
            assert run.has(key, 0)
            run.skip(key, 0)
    run.save(is_finished=True)

    again = ReadLately(storage, older_than_s=10 * DAY_S, clock=clock)
    assert all(again.has(key, came_at_s if number % 2 else 0) for number, key in enumerate(keys))
    assert len(storage.read("housekeeping/verify")[0]) < 200_000


def test_everything_is_read_in_turn_by_short_runs_beside_pushes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each night reads a tenth of all layers, and pushes bring new ones between the others."""
    monkeypatch.setattr(verify_state, "_MOST_RANGES", 20)
    storage, clock, source = MemoryStorage(), Ticking(), random.Random(1)

    def new_key() -> str:
        return f"images/{source.getrandbits(64):016x}/layer"

    written = {new_key(): 0.0 for _ in range(400)}
    read_at_s: dict[str, float] = {}
    nights = 90
    for night in range(nights):
        written.update({new_key(): clock.now_s for _ in range(3)})
        clock.now_s += DAY_S
        run, left = ReadLately(storage, older_than_s=30 * DAY_S, clock=clock), 50
        for key in sorted(written):
            if run.has(key, written[key]):
                run.skip(key, written[key])
                assert written[key] < read_at_s[key]
                assert read_at_s[key] >= clock.now_s - 31 * DAY_S
                continue
            read_at_s[key] = run.now_s()
            run.note(key, read_at_s[key], written[key], is_damaged=False)
            left -= 1
            if not left:
                break
        run.save(is_finished=left > 0)
        if night > 12:
            # the time within which a value is not read again, and as long as it takes to read all
            assert all(read_at_s.get(key, 0) > clock.now_s - 45 * DAY_S for key in list(written)[:400])
    # most nights had little to do
    assert left > 40


@pytest.mark.parametrize(
    "stored",
    [
        {"ranges": 1, "damaged": 2, "began_at_s": "3"},
        {"ranges": [[1, 2, 3], ["b", "a", 1], ["a", "z"], "x"], "damaged": [1, None], "began_at_s": None},
        {"ranges": [["a", "z", "1", 2, 3], ["a", "z", 1, 2]], "began_at_s": 1e300},
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
            begun, times = dict[str, float](), dict[str, float]()
            keys = KEYS[first : min(first + together, stop)]
            # the last one begins first
            for key in reversed(keys):
                modified_s = written.get(key, 0)
                if modified_s > clock.now_s:
                    modified_s = 0  # it will be written later
                times[key] = modified_s
                if run.has(key, modified_s):
                    assert key in read_at_s
                    assert not restarts
                    assert modified_s < read_at_s[key]
                    assert older_than_s is None or read_at_s[key] >= began_at_s - older_than_s
                else:
                    begun[key] = read_at_s[key] = run.now_s()
            for key in keys:
                modified_s = times[key]
                if key in begun:
                    run.note(key, begun[key], modified_s, is_damaged=False)
                else:
                    run.skip(key, modified_s)
        run.save(is_finished=stop == len(KEYS))
        clock.now_s += pause_s
