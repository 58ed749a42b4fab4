"""Objects of other programs among the documents of a storage in an object store."""

from __future__ import annotations

from datetime import datetime, timezone

import obstore
import pytest
from obstore.store import MemoryStore
from support.clock import Clock

from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.storage.objects import Groups, ObjectStorage
from v1registry.storage.objects.documents import TOMBSTONE_BYTES

LARGE = b"x" * 50_000
HOUR_S = 3600

#: Names below ``folders/`` that no group has.
NAMES = [
    "readme.txt",
    "images",
    "images/a!-f.bak",
    "images/a!-x",
    "images/Zebra!-f",
    "repositories/n/Zebra/x!-f",
    "repositories/n/notes.txt",
    "repositories/n/r/readme.txt",
    "repositories/n/other/readme.txt",
    "repositories/other/r/readme.txt",
    "repositories/n/r/x!-f",
    "accounts/users/bob!-f",
    "images/abc!-p",
    "uploads/readme.txt",
    "uploads/a b/c!-f",
]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def clock() -> Clock:
    # the store has the system's clock
    return Clock(datetime.now(timezone.utc).timestamp())


@pytest.fixture
def storage(store: MemoryStore, clock: Clock) -> ObjectStorage:
    """Return a storage with some keys, and an object without a key."""
    storage = ObjectStorage(store, groups=Groups(KEY_GROUPS), clock=clock)
    storage.write("images/a/layer", LARGE)
    storage.write("images/b/layer", LARGE)
    storage.delete("images/b/layer")
    storage.write("repositories/n/r/tag_latest", b"x")
    storage.write("uploads/a/b/info", b"x")
    return storage


def put_foreign(store: MemoryStore, size: int) -> list[str]:
    names = [f"folders/{name}" for name in NAMES]
    for name in names:
        obstore.put(store, name, b"f" * size)
    return names


def folders_of(storage: ObjectStorage) -> list[list[str]]:
    places = ("", "images", "repositories", "repositories/n", "uploads")
    return [list(storage.list_folders(place)) for place in places]


def objects(store: MemoryStore, folder: str) -> list[str]:
    return sorted(meta["path"] for page in obstore.list(store, folder) for meta in page)


@pytest.mark.parametrize("size", [0, 100, TOMBSTONE_BYTES])
def test_listings_leave_out_objects_of_other_programs(storage, store, size):
    keys = [stat.key for stat in storage.list("")]
    folders = folders_of(storage)
    put_foreign(store, size)
    assert [stat.key for stat in storage.list("")] == keys
    assert [stat.key for stat in storage.list("repositories/")] == ["repositories/n/r/tag_latest"]
    assert folders_of(storage) == folders


@pytest.mark.parametrize("size", [0, 100, TOMBSTONE_BYTES])
def test_sweep_leaves_objects_of_other_programs_alone(storage, store, clock, size):
    foreign = put_foreign(store, size)
    for _ in range(2):
        clock.now_s += 2 * HOUR_S
        swept = storage.sweep(older_than_s=HOUR_S)
    assert swept.objects == 1
    assert storage.read("images/a/layer")[0] == LARGE
    assert set(foreign) <= set(objects(store, "folders"))


@pytest.mark.parametrize("folder", ["images", "repositories/n", "uploads"])
def test_removed_folder_leaves_objects_of_other_programs_alone(storage, store, folder):
    foreign = put_foreign(store, 100)
    storage.delete_tree(folder)
    assert list(storage.list(f"{folder}/")) == []
    assert set(foreign) <= set(objects(store, "folders"))
