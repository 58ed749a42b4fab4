"""ObjectStorage: what is asked within a moment, and what other processes change meanwhile is seen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from obstore.store import MemoryStore
from v1registry_fakes.clock import FakeClock

from v1registry.storage import KeyConflict, KeyNotFound
from v1registry.storage.objects import Groups, ObjectStorage
from v1registry.storage.objects.moments import USED_FOR_S

GROUPS = Groups(["images/*"])


class Processes:
    """Two storages over one store, which know nothing of each other."""

    def __init__(self) -> None:
        store = MemoryStore()
        self.clock = FakeClock()
        self.clock.freeze()
        self.storage = ObjectStorage(store, groups=GROUPS, clock=self.clock)
        self.other = ObjectStorage(store, groups=GROUPS)


@pytest.fixture
def processes() -> Processes:
    """Return two processes; the group ``images/1`` has two keys."""
    made = Processes()
    made.other.write("images/1/a", b"old")
    made.other.write("images/1/b", b"old")
    return made


def test_calls_that_follow_each_other_show_one_state(processes: Processes) -> None:
    storage = processes.storage
    with storage.moment():
        storage.stat("images/1/a")
        processes.other.write("images/1/b", b"new")
        assert storage.read("images/1/b")[0] == b"old"
        assert [stat.size for stat in storage.list("images/1/")] == [3, 3]


def test_each_call_outside_of_a_moment_shows_the_state_of_now(processes: Processes) -> None:
    storage = processes.storage
    with storage.moment():
        storage.stat("images/1/a")
    processes.other.write("images/1/b", b"new")
    assert storage.read("images/1/b")[0] == b"new"


def test_next_moment_begins_with_the_state_of_now(processes: Processes) -> None:
    storage = processes.storage
    with storage.moment():
        storage.stat("images/1/a")
    processes.other.write("images/1/b", b"new")
    with storage.moment():
        assert storage.read("images/1/b")[0] == b"new"


BETWEEN: dict[str, Callable[[ObjectStorage], object]] = {
    "other group": lambda storage: list(storage.read_many(["images/2/a"])),
    "write elsewhere": lambda storage: storage.write("images/2/a", b"value"),
    "several groups": lambda storage: list(storage.read_many(["images/1/a", "images/2/a"])),
    "list of all": lambda storage: list(storage.list("images/")),
    "list of nothing": lambda storage: list(storage.list("uploads/")),
    "folders": lambda storage: list(storage.list_folders("images")),
    "deleted tree": lambda storage: storage.delete_tree("images/2"),
}


@pytest.mark.parametrize("call", BETWEEN.values(), ids=BETWEEN)
def test_state_is_read_again_after_a_call_elsewhere(
    processes: Processes, call: Callable[[ObjectStorage], object]
) -> None:
    storage = processes.storage
    with storage.moment():
        storage.stat("images/1/a")
        processes.other.write("images/1/b", b"new")
        call(storage)
        assert storage.read("images/1/b")[0] == b"new"


def test_state_is_read_again_after_some_milliseconds(processes: Processes) -> None:
    storage = processes.storage
    with storage.moment():
        storage.stat("images/1/a")
        processes.other.write("images/1/b", b"new")
        processes.clock.advance(seconds=2 * USED_FOR_S)
        assert storage.read("images/1/b")[0] == b"new"


def test_write_within_a_moment_shows_what_others_wrote_before_it(processes: Processes) -> None:
    storage = processes.storage
    with storage.moment():
        storage.stat("images/1/a")
        processes.other.write("images/1/b", b"new")
        storage.write("images/1/a", b"own")
        assert storage.read("images/1/b")[0] == b"new"


def test_conflict_with_another_process_is_found_within_a_moment(processes: Processes) -> None:
    storage = processes.storage
    with storage.moment():
        etag = storage.stat("images/1/b").etag
        processes.other.write("images/1/b", b"new")
        with pytest.raises(KeyConflict):
            storage.write("images/1/b", b"own", expect=etag)
        with pytest.raises(KeyConflict):
            storage.delete("images/1/b", expect=etag)
        processes.other.delete("images/1/b")
        with pytest.raises(KeyConflict):
            storage.write("images/1/b", b"own", expect=etag)
    with pytest.raises(KeyNotFound):
        storage.stat("images/1/b")


def test_listed_values_are_those_of_the_store(processes: Processes) -> None:
    storage = processes.storage
    processes.other.write("images/2/a", b"old")
    assert [stat.size for stat in storage.list("images/")] == [3, 3, 3]
    processes.other.write("images/1/b", b"other")
    processes.other.write("images/2/a", b"value")
    assert [stat.size for stat in storage.list("images/")] == [3, 5, 5]
    processes.other.delete_tree("images/1")
    assert [stat.key for stat in storage.list("images/")] == ["images/2/a"]
