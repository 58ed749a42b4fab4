"""Changes that an object store makes in one step, and other storages one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore
from support.counted_objects import CountedObjects, count_calls

from v1registry import FileStorage, Storage
from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.storage.base import ABSENT, KeyConflict, KeyNotFound, Stat, StorageFull
from v1registry.storage.combined import Combining, exchange, publish_left, write_and_link, write_with
from v1registry.storage.objects import Groups, ObjectStorage

FOLDER = f"uploads/{'a' * 32}/u-n"
KEY, BESIDE, ELSEWHERE = f"{FOLDER}/layer", f"{FOLDER}/sum", f"uploads/{'b' * 32}/u-n/other"
BLOB = f"blobs/sha256/ab/{'ab' * 32}/data"
LARGE = 300_000 * b"x"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> CountedObjects:
    return count_calls(monkeypatch)


@pytest.fixture
def objects(counted: CountedObjects) -> ObjectStorage:
    storage = ObjectStorage(MemoryStore(), groups=Groups(KEY_GROUPS))
    # probes are not counted
    storage.conditions()
    return storage


@pytest.fixture(params=["folder", "objects"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, objects: ObjectStorage) -> Storage:
    return objects if request.param == "objects" else FileStorage(tmp_path, durable=False)


def keys_of(storage: Storage) -> list[str]:
    return [stat.key for stat in storage.list("")]


def data_objects(storage: Any) -> list[Any]:
    return list(storage._access.list("data"))


@pytest.mark.parametrize("value", [b"small", LARGE], ids=["small", "large"])
def test_values_beside_a_value_are_stored(storage: Storage, value: bytes) -> None:
    def beside(stat: Stat) -> dict[str, bytes]:
        return {BESIDE: f"{stat.key} {stat.size}".encode(), ELSEWHERE: b"other"}

    stat = write_with(storage, KEY, iter([value]), beside, expect=ABSENT)
    assert storage.read(KEY) == (value, stat)
    assert storage.read(BESIDE)[0] == f"{KEY} {len(value)}".encode()
    assert storage.read(ELSEWHERE)[0] == b"other"


def test_values_beside_one_that_is_not_expected_are_not_stored(storage: Storage) -> None:
    storage.write(KEY, b"first")
    with pytest.raises(KeyConflict):
        write_with(storage, KEY, LARGE, lambda _: {BESIDE: b"sum"}, expect=ABSENT)
    assert keys_of(storage) == [KEY]
    assert storage.read(KEY)[0] == b"first"


def test_large_value_and_those_beside_it_are_two_calls(
    objects: ObjectStorage, counted: CountedObjects
) -> None:
    with counted.counting() as calls:
        objects.write_with(KEY, iter([LARGE]), lambda _: {BESIDE: b"sum"}, expect=ABSENT)
    assert [call.split()[0] for call in calls] == ["open_writer", "put"]


def test_error_of_values_beside_leaves_nothing_in_an_object_store(objects: ObjectStorage) -> None:
    def fail(_: Stat) -> dict[str, bytes]:
        raise StorageFull(KEY, "no room is left")

    with pytest.raises(StorageFull):
        objects.write_with(KEY, iter([LARGE]), fail)
    assert keys_of(objects) == []
    assert data_objects(objects) == []


def test_refused_value_leaves_no_data_object(objects: ObjectStorage) -> None:
    objects.write(KEY, b"first")
    with pytest.raises(KeyConflict):
        objects.write_with(KEY, iter([LARGE]), lambda _: {BESIDE: LARGE}, expect=ABSENT)
    assert data_objects(objects) == []


class WithoutRoomBeside(FileStorage):
    """Has room for the value, and none for those beside it."""

    def write_many(self, values: Any) -> None:
        raise StorageFull(KEY, "no room is left")


def test_value_beside_fails_only_if_it_is_needed(tmp_path: Path) -> None:
    storage = WithoutRoomBeside(tmp_path, durable=False)
    write_with(storage, KEY, b"piece", lambda _: {BESIDE: b"sum"}, is_needed=False)
    with pytest.raises(StorageFull):
        write_with(storage, KEY, b"piece", lambda _: {BESIDE: b"sum"})


def test_exchanged_keys_are_there_and_the_others_are_gone(storage: Storage) -> None:
    storage.write_many({f"{FOLDER}/{name}": b"" for name in "abc"})
    exchange(storage, {f"{FOLDER}/d": b"new"}, iter([f"{FOLDER}/a", f"{FOLDER}/missing", f"{FOLDER}/b"]))
    assert keys_of(storage) == [f"{FOLDER}/c", f"{FOLDER}/d"]


def test_keys_of_several_groups_are_exchanged(storage: Storage) -> None:
    storage.write(ELSEWHERE, b"")
    exchange(storage, {KEY: b"new"}, [ELSEWHERE])
    assert keys_of(storage) == [KEY]


@pytest.mark.parametrize("removed", [[], [f"{FOLDER}/a"], [f"{FOLDER}/missing"]])
def test_exchange_within_a_group_is_one_call(
    objects: ObjectStorage, counted: CountedObjects, removed: list[str]
) -> None:
    objects.write(f"{FOLDER}/a", b"")
    with counted.counting() as calls:
        objects.exchange({KEY: b""}, removed)
    assert [call.split()[0] for call in calls] == ["put"]
    assert KEY in keys_of(objects)


def test_exchange_of_nothing_writes_nothing(objects: ObjectStorage, counted: CountedObjects) -> None:
    objects.write(KEY, b"")
    with counted.counting() as calls:
        objects.exchange({}, [f"{FOLDER}/missing"])
    assert [call.split()[0] for call in calls] == ["get"]
    assert keys_of(objects) == [KEY]


@pytest.mark.parametrize("value", [b"small", LARGE], ids=["small", "large"])
def test_exact_link_has_the_value(objects: ObjectStorage, value: bytes) -> None:
    written = objects.write(KEY, value)
    linked = objects.link_exactly(KEY, BLOB, written.etag)
    assert objects.read(BLOB) == (value, linked)


def test_exact_link_of_a_replaced_value_is_refused(objects: ObjectStorage) -> None:
    etag = objects.write(KEY, LARGE).etag
    objects.write(KEY, LARGE)
    with pytest.raises(KeyConflict):
        objects.link_exactly(KEY, BLOB, etag)
    assert keys_of(objects) == [KEY]


def test_exact_link_over_a_value_is_refused(objects: ObjectStorage) -> None:
    objects.write(BLOB, b"other")
    with pytest.raises(KeyConflict):
        objects.link_exactly(KEY, BLOB, objects.write(KEY, LARGE).etag)
    assert objects.read(BLOB)[0] == b"other"


def test_exact_link_of_a_missing_value_fails(objects: ObjectStorage) -> None:
    with pytest.raises(KeyNotFound):
        objects.link_exactly(KEY, BLOB, "etag")


IMAGE = f"images/{'c' * 64}"


@pytest.mark.parametrize("is_own", [True, False])
@pytest.mark.parametrize("value", [b"small", LARGE], ids=["small", "large"])
def test_left_folder_is_published(storage: Storage, value: bytes, is_own: bool) -> None:
    storage.write(KEY, value)
    publish_left(storage, FOLDER, IMAGE, is_own=is_own)
    storage.delete_tree(FOLDER)
    assert keys_of(storage) == [f"{IMAGE}/layer"]
    assert storage.read(f"{IMAGE}/layer")[0] == value


@pytest.mark.parametrize("is_own", [True, False])
def test_left_folder_is_not_published_over_keys(storage: Storage, is_own: bool) -> None:
    storage.write(KEY, b"new")
    storage.write(f"{IMAGE}/layer", b"old")
    with pytest.raises(KeyConflict):
        publish_left(storage, FOLDER, IMAGE, is_own=is_own)
    assert storage.read(f"{IMAGE}/layer")[0] == b"old"
    assert storage.read(KEY)[0] == b"new"


@pytest.mark.parametrize("is_own", [True, False])
def test_left_folder_without_keys_is_not_published(storage: Storage, is_own: bool) -> None:
    with pytest.raises(KeyNotFound):
        publish_left(storage, FOLDER, IMAGE, is_own=is_own)


def test_own_folder_is_published_in_one_call(objects: ObjectStorage, counted: CountedObjects) -> None:
    objects.write(KEY, b"value")
    with counted.counting() as calls:
        objects.publish_left(FOLDER, IMAGE, is_own=True)
    assert [call.split()[0] for call in calls] == ["put"]


def test_left_folder_of_others_is_published_as_it_is_now(
    objects: ObjectStorage, others: ObjectStorage
) -> None:
    objects.write(KEY, b"first")
    others.write(KEY, b"second")
    objects.publish_left(FOLDER, IMAGE, is_own=False)
    assert objects.read(f"{IMAGE}/layer")[0] == b"second"


def test_only_object_stores_combine_changes(tmp_path: Path, objects: ObjectStorage) -> None:
    assert isinstance(objects, Combining)
    assert not isinstance(FileStorage(tmp_path), Combining)


@pytest.fixture
def others(objects: ObjectStorage) -> ObjectStorage:
    """Return the storage of another process, which has seen nothing of the bucket yet."""
    other = ObjectStorage(objects._access.store, groups=Groups(KEY_GROUPS))
    other.conditions()
    return other


def test_new_group_is_written_without_a_look(objects: ObjectStorage, counted: CountedObjects) -> None:
    with counted.counting() as calls:
        objects.write(KEY, b"first", expect=ABSENT)
    assert [call.split()[0] for call in calls] == ["put"]


@pytest.mark.parametrize("key", [KEY, BESIDE], ids=["same key", "other key"])
def test_group_that_another_process_wrote_is_not_overwritten(
    objects: ObjectStorage, others: ObjectStorage, key: str
) -> None:
    objects.write(BESIDE, b"first")
    if key == BESIDE:
        with pytest.raises(KeyConflict):
            others.write(key, b"second", expect=ABSENT)
    else:
        others.write(key, b"second", expect=ABSENT)
    assert objects.read(BESIDE)[0] == b"first"
    assert (key == KEY) == (KEY in keys_of(objects))


@pytest.mark.parametrize("value", [b"small", LARGE], ids=["small", "large"])
def test_values_and_links_are_stored(storage: Storage, value: bytes) -> None:
    storage.write("other/source", value)
    write_and_link(storage, {KEY: b"value"}, {BESIDE: "other/source", ELSEWHERE: "other/source"})
    assert [storage.read(key)[0] for key in (KEY, BESIDE, ELSEWHERE)] == [b"value", value, value]


def test_values_and_links_of_one_group_are_one_change(
    objects: ObjectStorage, counted: CountedObjects
) -> None:
    for name in ("first", "second"):
        objects.write(f"{name}/source", LARGE)
    links = {f"{KEY}-{name}": f"{name}/source" for name in ("first", "second")}
    with counted.counting() as calls:
        objects.write_and_link({KEY: b"value"}, links)
    assert sorted(call.split()[0] for call in calls) == ["get", "get", "put"]
    assert len(data_objects(objects)) == 2


def test_nothing_is_stored_in_an_object_store_if_a_linked_value_is_missing(objects: ObjectStorage) -> None:
    with pytest.raises(KeyNotFound):
        objects.write_and_link({KEY: LARGE}, {BESIDE: "other/missing"})
    assert keys_of(objects) == data_objects(objects) == []


def test_link_replaces_no_value(objects: ObjectStorage) -> None:
    objects.write("other/source", b"new")
    objects.write(BESIDE, b"old")
    with pytest.raises(KeyConflict):
        objects.write_and_link({KEY: LARGE}, {BESIDE: "other/source"})
    assert objects.read(BESIDE)[0] == b"old"
    assert KEY not in keys_of(objects)
    assert data_objects(objects) == []
