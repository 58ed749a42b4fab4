"""The removal of data objects that no document names, and of empty documents of uploads."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timezone

import obstore
import pytest
from obstore.store import MemoryStore
from support.clock import Clock

from v1registry.housekeeping.garbage import GarbageCollection
from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.storage import StorageUnavailable
from v1registry.storage.objects import Groups, ObjectStorage
from v1registry.storage.objects.documents import TOMBSTONE_BYTES
from v1registry.storage.objects.groups import FOLDER, Group
from v1registry.storage.objects.parallel import THREADS
from v1registry.storage.objects.store import Found, ObjectAccess

LARGE = b"x" * 50_000
HOUR_S = 3600


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def clock() -> Clock:
    # the store has the system's clock
    return Clock(datetime.now(timezone.utc).timestamp())


@pytest.fixture
def storage(store: MemoryStore, clock: Clock) -> ObjectStorage:
    return ObjectStorage(store, groups=Groups(KEY_GROUPS), clock=clock)


def objects(store: MemoryStore, folder: str) -> list[str]:
    return [meta["path"] for page in obstore.list(store, folder) for meta in page]


def sweep_twice(storage: ObjectStorage, clock: Clock) -> int:
    """Sweep, and again two hours later; return how many objects the second sweep removed."""
    clock.now_s += 2 * HOUR_S
    storage.sweep(older_than_s=HOUR_S)
    clock.now_s += 2 * HOUR_S
    return storage.sweep(older_than_s=HOUR_S).objects


@pytest.mark.parametrize("change", ["delete", "replace", "delete_tree"])
def test_value_without_a_key_is_removed_by_the_second_sweep(storage, store, clock, change):
    storage.write("images/a/layer", LARGE)
    {
        "delete": lambda: storage.delete("images/a/layer"),
        "replace": lambda: storage.write("images/a/layer", b"small"),
        "delete_tree": lambda: storage.delete_tree("images/a"),
    }[change]()
    clock.now_s += 2 * HOUR_S
    first = storage.sweep(older_than_s=HOUR_S)
    assert (first.objects, first.waiting, first.waiting_bytes) == (0, 1, len(LARGE))
    assert len(objects(store, "data")) == 1
    clock.now_s += 2 * HOUR_S
    second = storage.sweep(older_than_s=HOUR_S)
    assert (second.objects, second.bytes, second.waiting) == (1, len(LARGE), 0)
    assert objects(store, "data") == []


def test_second_sweep_within_an_hour_removes_nothing(storage, store, clock):
    storage.write("images/a/layer", LARGE)
    storage.delete("images/a/layer")
    clock.now_s += 2 * HOUR_S
    storage.sweep(older_than_s=HOUR_S)
    for _ in range(3):
        clock.now_s += HOUR_S / 4
        assert storage.sweep(older_than_s=HOUR_S).objects == 0
    clock.now_s += HOUR_S
    assert storage.sweep(older_than_s=HOUR_S).objects == 1


def test_hour_between_two_sweeps_begins_with_the_end_of_the_first(storage, store, clock):
    storage.write("images/a/layer", LARGE)
    storage.delete("images/a/layer")
    clock.now_s += 2 * HOUR_S

    def look(_number: int) -> None:
        clock.now_s += HOUR_S

    storage.sweep(older_than_s=HOUR_S, look=look)
    clock.now_s += HOUR_S / 2
    assert storage.sweep(older_than_s=HOUR_S).objects == 0
    clock.now_s += HOUR_S
    assert storage.sweep(older_than_s=HOUR_S).objects == 1


def test_young_value_without_a_key_stays(storage, store, clock):
    storage.write("images/a/layer", LARGE)
    storage.delete("images/a/layer")
    for _ in range(2):
        clock.now_s += 2 * HOUR_S
        assert storage.sweep(older_than_s=24 * HOUR_S).objects == 0
    assert len(objects(store, "data")) == 1


def test_value_that_got_a_key_again_after_the_first_sweep_stays(storage, store, clock):
    storage.write("images/a/layer", LARGE)
    entry = storage._find("images/a/layer")
    storage.delete("images/a/layer")
    clock.now_s += 2 * HOUR_S
    assert storage.sweep(older_than_s=HOUR_S).waiting == 1
    # a link that read the document before the deletion
    group = Group("images/b", FOLDER)
    storage._committer.commit("images/b/layer", group, lambda names: {**names, "/layer": entry})
    clock.now_s += 2 * HOUR_S
    assert storage.sweep(older_than_s=HOUR_S).objects == 0
    assert storage.read("images/b/layer")[0] == LARGE


def test_value_whose_key_moves_behind_the_first_walk_stays(storage, clock):
    storage.write("uploads/a/b/layer", LARGE)
    assert storage.sweep(older_than_s=-1).objects == 0
    is_moved = False

    def look(_number: int) -> None:
        nonlocal is_moved
        if not is_moved:
            is_moved = True
            storage.publish("uploads/a/b", "images/a")

    clock.now_s += 2 * HOUR_S
    storage.sweep(older_than_s=HOUR_S, look=look)
    assert storage.read("images/a/layer")[0] == LARGE


@pytest.mark.parametrize("other", ["link", "publish"])
def test_shared_and_moved_values_stay(storage, clock, other):
    storage.write("uploads/a/b/layer", LARGE)
    if other == "link":
        storage.link("uploads/a/b/layer", "images/a/layer")
        storage.delete("uploads/a/b/layer")
    else:
        storage.publish("uploads/a/b", "images/a")
    assert sweep_twice(storage, clock) == 0
    assert storage.read("images/a/layer")[0] == LARGE


def test_dry_run_changes_nothing(storage, store, clock):
    storage.write("images/a/layer", LARGE)
    storage.delete("images/a/layer")
    clock.now_s += 2 * HOUR_S
    storage.sweep(older_than_s=HOUR_S)
    clock.now_s += 2 * HOUR_S
    before = objects(store, "")
    swept = storage.sweep(older_than_s=HOUR_S, is_dry_run=True)
    assert (swept.objects, swept.bytes) == (1, len(LARGE))
    assert objects(store, "") == before


def test_old_empty_documents_of_uploads_are_removed_and_no_others(storage, store, clock):
    for key in ("uploads/a/b/info", "uploads/_deleted/n/r", "images/a/json"):
        storage.write(key, b"value")
        storage.delete(key)
    storage.write("uploads/c/d/info", b"value")
    storage.sweep(older_than_s=HOUR_S)
    assert len(objects(store, "folders")) == 4
    clock.now_s += 2 * HOUR_S
    storage.sweep(older_than_s=HOUR_S)
    assert objects(store, "folders") == [
        "folders/images/a!-f",
        "folders/uploads/_deleted/n!-f",
        "folders/uploads/c/d!-f",
    ]
    assert obstore.head(store, "folders/images/a!-f")["size"] == TOMBSTONE_BYTES


def test_empty_documents_are_removed_several_at_once(storage, store, clock, monkeypatch):
    for number in range(10):
        storage.write(f"uploads/{number}/b/info", b"value")
        storage.delete(f"uploads/{number}/b/info")
    clock.now_s += 2 * HOUR_S
    changed = threading.Condition()
    begun, running, most = 0, 0, 0
    real = ObjectAccess.head

    def head(access: ObjectAccess, name: str) -> Found | None:
        nonlocal begun, running, most
        with changed:
            begun += 1
            running += 1
            most = max(most, running)
            changed.notify_all()
            # one item alone costs no thread
            assert begun == 1 or changed.wait_for(lambda: most > 1, 60)
        found = real(access, name)
        with changed:
            running -= 1
        return found

    monkeypatch.setattr(ObjectAccess, "head", head)
    storage.sweep(older_than_s=HOUR_S)
    assert objects(store, "folders") == []
    assert 1 < most <= THREADS


def test_nothing_is_removed_if_a_document_cannot_be_read(storage, store, clock):
    storage.write("images/a/layer", LARGE)
    storage.delete("images/a/layer")
    clock.now_s += 2 * HOUR_S
    storage.sweep(older_than_s=HOUR_S)
    obstore.put(store, "folders/images/b!-f", b"no document")
    clock.now_s += 2 * HOUR_S
    with pytest.raises(StorageUnavailable, match="cannot be used"):
        storage.sweep(older_than_s=HOUR_S)
    assert len(objects(store, "data")) == 1


@pytest.mark.parametrize("hours", [48, float("nan")])
def test_sweep_with_a_wrong_clock_does_not_end_all_later_ones(storage, store, clock, hours):
    storage.write("images/one/layer", LARGE)
    storage.delete("images/one/layer")
    record = {"ended": clock.now_s + hours * HOUR_S, "names": []}
    obstore.put(store, "sweep/found", json.dumps(record).encode())
    assert sweep_twice(storage, clock) == 1
    assert objects(store, "data") == []


def test_damaged_record_of_the_last_sweep_removes_nothing(storage, store, clock):
    storage.write("images/a/layer", LARGE)
    storage.delete("images/a/layer")
    obstore.put(store, "sweep/found", b'{"ended": 0}')
    clock.now_s += 2 * HOUR_S
    assert storage.sweep(older_than_s=HOUR_S).objects == 0


def test_garbage_collection_sweeps(storage, store, clock):
    storage.write("images/a/layer", LARGE)
    storage.delete("images/a/layer")
    clock.now_s += 48 * HOUR_S
    report = GarbageCollection(storage, clock=clock).run()
    assert report.swept is not None
    assert report.swept.waiting == 1
    clock.now_s += 2 * HOUR_S
    report = GarbageCollection(storage, clock=clock).run()
    assert report.swept is not None
    assert (report.swept.objects, report.swept.bytes) == (1, len(LARGE))
    assert objects(store, "data") == []
