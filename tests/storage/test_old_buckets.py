"""Buckets that docker-registry 0.9.1 wrote: the objects of its folder, under the same names."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timezone
from pathlib import Path

import obstore
import pytest
from obstore.store import MemoryStore
from support.clock import Clock
from support.old_data import CHILD, IMAGE, PLAIN, ROOT, SAMPLE, tree
from support.wsgi_client import Client
from v1registry_fakes.contracts.storage_sharing import at_once

from v1registry import FileStorage, Registry
from v1registry.registry.key_groups import KEY_GROUPS, OLD_FOLDERS
from v1registry.storage import ABSENT, KeyConflict, KeyNotFound, StorageFull, StorageUnavailable
from v1registry.storage.objects import Groups, ObjectStorage, adoption
from v1registry.storage.objects.adoption import MARKER
from v1registry.storage.objects.store import ObjectAccess, Version

HOUR_S = 3600


def over(store: MemoryStore, clock: Clock | None = None) -> ObjectStorage:
    """Return a storage as the setting ``storage`` gives it."""
    options = {} if clock is None else {"clock": clock}
    return ObjectStorage(store, groups=Groups(KEY_GROUPS), old_folders=OLD_FOLDERS, **options)


def old_objects(store: MemoryStore) -> dict[str, bytes]:
    return {
        meta["path"]: bytes(obstore.get(store, meta["path"]).bytes())
        for folder in OLD_FOLDERS
        for meta in obstore.list(store, folder).collect()
    }


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return {name: value for name, value in tree(SAMPLE).items() if name.startswith(OLD_FOLDERS)}


@pytest.fixture
def store(files: dict[str, bytes]) -> MemoryStore:
    store = MemoryStore()
    for name, value in files.items():
        obstore.put(store, name, value)
    return store


def test_old_objects_are_adopted_before_the_first_write(store: MemoryStore, files: dict[str, bytes]) -> None:
    storage = over(store)
    name = next(name for name in files if name.endswith("/ancestry"))
    with pytest.raises(KeyConflict):
        storage.write(name, b"new", expect=ABSENT)
    assert storage.read(name)[0] == files[name]


def test_old_objects_are_keys(store: MemoryStore, files: dict[str, bytes]) -> None:
    storage = over(store)
    stats = list(storage.list(""))
    assert [(stat.key, stat.size) for stat in stats] == [(key, len(files[key])) for key in sorted(files)]
    for stat in stats:
        assert storage.read(stat.key) == (files[stat.key], stat)
        assert stat.modified == obstore.head(store, stat.key)["last_modified"]
    assert len({stat.etag for stat in stats}) == len(stats)
    assert list(storage.list_folders("")) == list(OLD_FOLDERS)


def test_old_bucket_is_served_as_the_old_folder(store: MemoryStore, tmp_path: Path) -> None:
    folder = FileStorage(tmp_path / "data", durable=False)
    for name, value in old_objects(store).items():
        folder.write(name, value)
    clients = [Client(Registry(storage=storage)) for storage in (over(store), folder)]
    repositories = [stat.key.split("/")[1:3] for stat in folder.list("repositories/")]
    paths = [f"/v1/repositories/{'/'.join(names)}/tags" for names in repositories]
    parts = ("json", "layer", "ancestry", "files")
    paths += [f"/v1/images/{image_id}/{part}" for image_id in (ROOT, CHILD, PLAIN) for part in parts]
    for path in paths:
        answer, expected = (client.get(path) for client in clients)
        assert (answer.status, answer.body) == (expected.status, expected.body), path
    assert clients[0].get(f"/v1/images/{ROOT}/layer").status == "200 OK"


def test_pushes_and_deletions_leave_old_objects_as_they_are(
    store: MemoryStore, files: dict[str, bytes]
) -> None:
    storage = over(store)
    client = Client(Registry(storage=storage), HTTP_AUTHORIZATION="Token signature=one")
    client.push(IMAGE)
    storage.write(f"images/{ROOT}/json", b"other")
    storage.delete(f"images/{CHILD}/json")
    storage.delete_tree(f"images/{PLAIN}")
    assert old_objects(store) == files
    again = over(store)
    assert again.read(f"images/{ROOT}/json")[0] == b"other"
    assert list(again.list(f"images/{PLAIN}")) == []
    with pytest.raises(KeyNotFound):
        again.read(f"images/{CHILD}/json")


def test_old_objects_without_keys_are_swept(store: MemoryStore, files: dict[str, bytes]) -> None:
    clock = Clock(datetime.now(timezone.utc).timestamp())
    storage = over(store, clock)
    storage.delete_tree(f"images/{PLAIN}")
    for _ in range(2):
        clock.now_s += 2 * HOUR_S
        storage.sweep(older_than_s=HOUR_S)
    left = {name for name, value in files.items() if value and not name.startswith(f"images/{PLAIN}/")}
    assert left <= old_objects(store).keys()
    assert not any(name.startswith(f"images/{PLAIN}/") for name in old_objects(store))
    assert [stat.key for stat in storage.list("")] == sorted(
        name for name in files if not name.startswith(f"images/{PLAIN}/")
    )
    assert storage.read(f"images/{ROOT}/json")[0] == files[f"images/{ROOT}/json"]


def test_interrupted_adoption_is_repeated(
    store: MemoryStore, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    put = ObjectAccess.put
    calls = 0

    def failing(access: ObjectAccess, name: str, data: bytes, expected: Version | None) -> Version:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise StorageUnavailable(name, "the store is gone")
        return put(access, name, data, expected)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectAccess, "put", failing)
        storage = over(store)
        with pytest.raises(StorageUnavailable):
            storage.read(f"images/{ROOT}/json")
    assert storage.read(f"images/{ROOT}/json")[0] == files[f"images/{ROOT}/json"]
    assert [stat.key for stat in over(store).list("")] == sorted(files)


def test_no_request_waits_for_all_of_an_adoption(
    store: MemoryStore, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    put = ObjectAccess.put
    go_on = threading.Event()

    def waiting(access: ObjectAccess, name: str, data: bytes, expected: Version | None) -> Version:
        go_on.wait(60)
        return put(access, name, data, expected)

    monkeypatch.setattr(ObjectAccess, "put", waiting)
    monkeypatch.setattr(adoption, "WAIT_S", 0)
    storage = over(store)
    for _ in range(3):
        with pytest.raises(StorageUnavailable, match="try again"):
            storage.read(f"images/{ROOT}/json")
    go_on.set()
    monkeypatch.setattr(adoption, "WAIT_S", 60)
    assert [stat.key for stat in storage.list("")] == sorted(files)


def test_several_processes_adopt_a_bucket_at_once(store: MemoryStore, files: dict[str, bytes]) -> None:
    etags = at_once(lambda _: {stat.key: stat.etag for stat in over(store).list("")}, threads=4)
    assert [*etags[0]] == sorted(files)
    assert etags == [etags[0]] * 4


def test_new_bucket_is_marked_and_adopts_nothing_later() -> None:
    store = MemoryStore()
    assert list(over(store).list("")) == []
    assert not json.loads(bytes(obstore.get(store, MARKER).bytes()))["has_old_objects"]
    obstore.put(store, f"images/{ROOT}/json", b"{}")
    assert list(over(store).list("")) == []


@pytest.mark.parametrize("marker", [None, b'{"has_old_objects": false}'])
def test_bucket_of_a_different_table_of_groups_is_refused(marker: bytes | None) -> None:
    store = MemoryStore()
    ObjectStorage(store, groups=Groups(["images/*"]), old_folders=OLD_FOLDERS).write("images/0/json", b"{}")
    if marker is not None:
        obstore.put(store, MARKER, marker)
    for ask in (lambda: over(store).read("images/0/json"), lambda: over(store).write("images/1/json", b"{}")):
        with pytest.raises(StorageUnavailable, match="arranges keys differently"):
            ask()


def test_object_whose_name_cannot_be_a_key_is_left_out(store: MemoryStore, files: dict[str, bytes]) -> None:
    obstore.put(store, "images/.x.tmp/json", b"{}")
    assert [stat.key for stat in over(store).list("")] == sorted(files)


@pytest.mark.parametrize(
    "name",
    [
        "repositories/library/app/tag_caf\u00e9",
        "images/backup\u00fc/json",
        f"images/{'x' * 256}/json",
        f"repositories/{'Z' * 250}/{'Z' * 250}/tag_latest",
    ],
    ids=["tag", "folder", "long segment", "long name of a document"],
)
def test_sweeps_leave_objects_alone_whose_names_cannot_be_keys(
    store: MemoryStore, files: dict[str, bytes], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    obstore.put(store, name, b"value")
    clock = Clock(datetime.now(timezone.utc).timestamp())
    storage = over(store, clock)
    assert [stat.key for stat in storage.list("")] == sorted(files)
    assert "1 objects of an old registry were left alone" in caplog.text
    for _ in range(3):
        clock.now_s += 2 * HOUR_S
        storage.sweep(older_than_s=HOUR_S)
    assert bytes(obstore.get(store, name).bytes()) == b"value"


@pytest.mark.parametrize(
    "error", [RuntimeError("can't start new thread"), TimeoutError(), StorageFull("k", "full")]
)
def test_adoption_that_failed_is_tried_again(
    store: MemoryStore, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_args: object) -> None:
        raise error

    storage = over(store)
    with monkeypatch.context() as patch:
        patch.setattr(adoption, "adopt", fail)
        for _ in range(2):
            with pytest.raises(StorageUnavailable, match=r"not adopted|full"):
                storage.read(f"images/{ROOT}/json")
    assert [stat.key for stat in storage.list("")] == sorted(files)


def test_adoption_without_a_thread_is_tried_again(
    store: MemoryStore, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    storage = over(store)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(StorageUnavailable, match="not adopted"):
            storage.read(f"images/{ROOT}/json")
    assert [stat.key for stat in storage.list("")] == sorted(files)


def test_damaged_marker_makes_the_storage_unavailable(store: MemoryStore) -> None:
    obstore.put(store, MARKER, b"{}")
    with pytest.raises(StorageUnavailable, match="not one of this storage"):
        over(store).read("images/a/json")
