"""A sweep of an object store needs the same memory for any number of documents and data objects."""

from __future__ import annotations

import gc
import random
import tracemalloc
from datetime import datetime, timezone

import obstore
import pytest
from obstore.store import MemoryStore
from support.clock import Clock

from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.storage.objects import Groups, ObjectStorage, sweep
from v1registry.storage.objects import groups as groups_module
from v1registry.storage.objects import store as store_module
from v1registry.storage.objects.documents import Document, Writer, data_entry
from v1registry.storage.objects.groups import FOLDER, Group
from v1registry.storage.objects.name_filter import NameFilter
from v1registry.storage.objects.store import ObjectAccess, Version

HOUR_S = 3600


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def clock() -> Clock:
    # the store has the system's clock
    return Clock(datetime.now(timezone.utc).timestamp())


def storage_in(store: MemoryStore, clock: Clock) -> ObjectStorage:
    return ObjectStorage(store, groups=Groups(KEY_GROUPS), clock=clock)


def add_images(store: MemoryStore, numbers: range) -> None:
    """Store documents of images, each with a data object that it names and one that nothing names."""
    for number in numbers:
        name = f"data/00/{number:032x}"
        document = Document({}).followed_by({"/layer": data_entry(name, 1, 1)}, Writer())
        obstore.put(store, Group(f"images/{number:08}", FOLDER).object_name, document.dump())
        for data in (name, f"data/ff/{number:032x}"):
            obstore.put(store, data, b"x")


def peak_bytes(storage: ObjectStorage) -> int:
    """Return the peak of Python's memory during a sweep, without what was there before.

    It depends on how the threads of a sweep run, so it is the least one of some sweeps.
    """
    peaks = []
    for _ in range(4):
        gc.collect()
        tracemalloc.start()
        try:
            storage.sweep(older_than_s=HOUR_S)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return min(peaks)


def test_memory_of_a_sweep_does_not_grow_with_the_store(store, clock, monkeypatch):
    monkeypatch.setattr(sweep, "_LISTED_AT_ONCE", 100)
    monkeypatch.setattr(sweep, "_MOST_FOUND", 100)
    monkeypatch.setattr(sweep, "NameFilter", lambda: NameFilter(1 << 12))
    monkeypatch.setattr(store_module, "PAGE_NAMES", 100)
    # what the process remembers of keys is bounded too, but takes longer to become full
    monkeypatch.setattr(groups_module, "_REMEMBERED", 100)
    monkeypatch.setattr(groups_module, "check_key", lambda key: key)
    clock.now_s += 2 * HOUR_S
    storage = storage_in(store, clock)
    add_images(store, range(400))
    peak_bytes(storage)  # loads modules
    of_400 = peak_bytes(storage)
    add_images(store, range(400, 1600))
    of_1600 = peak_bytes(storage)
    # the names of 1,200 documents take 120 kB, and those of the data objects twice as much
    assert of_1600 < of_400 + 60_000


def test_second_walk_reads_documents_in_reverse_order_page_by_page(store, clock, monkeypatch):
    monkeypatch.setattr(sweep, "_LISTED_AT_ONCE", 3)
    # one thread after the other, so that the order of calls is that of the walk
    monkeypatch.setattr(sweep, "in_parallel", lambda call, items: map(call, items))
    add_images(store, range(0, 20, 2))
    read: list[str] = []
    real = ObjectAccess.get

    def get(access: ObjectAccess, name: str, known: Version | None = None) -> tuple[bytes, Version] | None:
        if name.startswith("folders/"):
            read.append(name)
            if len(read) == 10:
                # a document within the second page, and one after the last page
                add_images(store, range(7, 8))
                add_images(store, range(99, 100))
        return real(access, name, known)

    monkeypatch.setattr(ObjectAccess, "get", get)
    clock.now_s += 2 * HOUR_S
    storage_in(store, clock).sweep(older_than_s=HOUR_S)
    numbers = [int(name.removesuffix("!-f")[-8:]) for name in read]
    assert numbers == [*range(0, 20, 2), 99, 18, 16, 14, 12, 10, 8, 7, 6, 4, 2, 0]


def test_values_that_move_behind_the_first_walk_stay_in_any_page(store, clock, monkeypatch):
    monkeypatch.setattr(sweep, "_LISTED_AT_ONCE", 2)
    storage = storage_in(store, clock)
    keys = [f"{number:02}" for number in range(8)]
    for name in keys:
        storage.write(f"uploads/{name}/b/layer", b"x" * 50_000)
        storage.write(f"images/{name}-other/json", b"{}")
    real = ObjectAccess.get
    is_moved = False

    def get(access: ObjectAccess, name: str, known: Version | None = None) -> tuple[bytes, Version] | None:
        nonlocal is_moved
        if name.startswith("folders/uploads/") and not is_moved:
            is_moved = True
            for key in keys:
                storage.publish(f"uploads/{key}/b", f"images/{key}")
        return real(access, name, known)

    monkeypatch.setattr(ObjectAccess, "get", get)
    clock.now_s += 2 * HOUR_S
    swept = storage.sweep(older_than_s=HOUR_S)
    assert is_moved
    assert (swept.objects, swept.waiting) == (0, 0)


def test_value_whose_key_was_made_after_the_first_walk_stays(store, clock):
    storage = storage_in(store, clock)
    obstore.put(store, "data/00/value", b"x")
    is_named = False

    def look(_number: int) -> None:
        nonlocal is_named
        # the only object is that of the value, so the first walk is over
        if not is_named:
            is_named = True
            document = Document({}).followed_by({"/layer": data_entry("data/00/value", 1, 1)}, Writer())
            obstore.put(store, Group("images/a", FOLDER).object_name, document.dump())

    clock.now_s += 2 * HOUR_S
    swept = storage.sweep(older_than_s=HOUR_S, look=look)
    assert is_named
    assert (swept.objects, swept.waiting) == (0, 0)


def test_sweeps_find_a_bounded_number_of_objects_each(store, clock, monkeypatch):
    monkeypatch.setattr(sweep, "_MOST_FOUND", 3)
    add_images(store, range(5))
    storage = storage_in(store, clock)
    results = []
    for _ in range(4):
        clock.now_s += 2 * HOUR_S
        swept = storage.sweep(older_than_s=HOUR_S)
        results.append((swept.objects, swept.waiting))
    assert results == [(0, 3), (3, 2), (2, 0), (0, 0)]
    names = [meta["path"] for page in obstore.list(store, "data") for meta in page]
    assert names == [f"data/00/{number:032x}" for number in range(5)]


def test_name_filter_knows_all_added_names_and_few_others():
    names = [f"images/{random.getrandbits(128):x}/layer" for _ in range(2000)]
    added, others = names[:1000], names[1000:]
    known = NameFilter(1 << 12)
    for name in added:
        known.add(name)
    assert all(known.may_have(name) for name in added)
    # one of 500 is expected
    assert sum(known.may_have(name) for name in others) < 50


def test_name_filters_err_in_different_names():
    names = [f"name-{number}" for number in range(200)]
    wrong = []
    for _ in range(2):
        known = NameFilter(64)
        for number in range(100):
            known.add(f"other-{number}")
        wrong.append({name for name in names if known.may_have(name)})
    assert wrong[0] != wrong[1]
