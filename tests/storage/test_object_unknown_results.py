"""Writes of documents whose result the store does not tell: they happen once, or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable

import obstore
import pytest
from obstore.store import MemoryStore

from v1registry.storage import ABSENT, KeyConflict, KeyNotFound, StorageUnavailable, update
from v1registry.storage.objects import ObjectStorage
from v1registry.storage.objects import store as store_calls
from v1registry.storage.objects.documents import REMEMBERED_WRITERS, parse
from v1registry.storage.objects.store import Conflict, ObjectAccess, Version

LARGE = b"x" * 50_000

#: What a put does instead: gets the real put, as a function without arguments.
Fault = Callable[[Callable[[], Version]], Version]


class FaultyPuts:
    """Lets the next conditional writes of a storage have faults."""

    def __init__(self, access: ObjectAccess) -> None:
        self._put = access.put
        self.faults: list[Fault] = []
        self.calls = 0
        access.put = self.put  # type: ignore[method-assign]

    def put(self, name: str, data: bytes, expected: Version | None) -> Version:
        self.calls += 1
        if not self.faults:
            return self._put(name, data, expected)
        return self.faults.pop(0)(lambda: self._put(name, data, expected))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def storage(store: MemoryStore) -> ObjectStorage:
    return ObjectStorage(store)


@pytest.fixture
def puts(storage: ObjectStorage) -> FaultyPuts:
    return FaultyPuts(storage._access)


def sent_twice(put: Callable[[], Version]) -> Version:
    """Store, and answer as a store does that got the call again: 412."""
    put()
    raise Conflict


def answer_lost(put: Callable[[], Version]) -> Version:
    put()
    raise StorageUnavailable("key", "timed out")


def not_received(_put: Callable[[], Version]) -> Version:
    raise StorageUnavailable("key", "timed out")


@pytest.mark.parametrize("fault", [sent_twice, answer_lost, not_received])
def test_new_value_is_stored_once(storage, puts, fault):
    puts.faults = [fault]
    stat = storage.write("a/b", b"value", expect=ABSENT)
    assert storage.read("a/b") == (b"value", stat)


@pytest.mark.parametrize("fault", [sent_twice, answer_lost, not_received])
def test_expected_value_is_replaced_once(storage, puts, fault):
    etag = storage.write("a/b", b"old").etag
    puts.faults = [fault]
    stat = storage.write("a/b", b"new", expect=etag)
    assert storage.read("a/b") == (b"new", stat)


@pytest.mark.parametrize("fault", [sent_twice, answer_lost, not_received])
def test_counter_is_increased_once(storage, puts, fault):
    for number in range(1, 6):
        puts.faults = [fault]
        update(storage, "a/counter", lambda old: str(int(old or b"0") + 1).encode())
        assert storage.read("a/counter")[0] == str(number).encode()


@pytest.mark.parametrize("fault", [sent_twice, answer_lost, not_received])
def test_deletion_happens_once_and_is_no_error(storage, puts, fault):
    storage.write("a/b", b"value")
    puts.faults = [fault]
    storage.delete("a/b")
    with pytest.raises(KeyNotFound):
        storage.read("a/b")


@pytest.mark.parametrize("fault", [sent_twice, answer_lost, not_received])
@pytest.mark.parametrize("folder", ["staged/y", "images/x"])
def test_folder_is_published_once(storage, puts, fault, folder):
    storage.write("staged/x/layer", LARGE)
    puts.faults = [fault, fault]
    storage.publish("staged/x", folder)
    assert [stat.key for stat in storage.list("")] == [f"{folder}/layer"]
    assert storage.read(f"{folder}/layer")[0] == LARGE


@pytest.mark.parametrize("fault", [sent_twice, answer_lost, not_received])
def test_value_is_linked_once(storage, puts, fault):
    etag = storage.write("a/layer", LARGE).etag
    puts.faults = [fault]
    assert storage.link("a/layer", "b/layer").etag == etag
    assert storage.read("b/layer")[0] == LARGE


def test_write_that_another_one_follows_is_found(storage, store, puts):
    def overtaken(put: Callable[[], Version]) -> Version:
        put()
        ObjectStorage(store).write("a/b", b"later")
        raise StorageUnavailable("key", "timed out")

    puts.faults = [overtaken]
    storage.write("a/b", b"earlier", expect=ABSENT)
    assert storage.read("a/b")[0] == b"later"
    assert puts.calls == 1


def test_write_that_arrives_after_its_time_out_happens_once(storage, puts):
    late: list[Callable[[], Version]] = []

    def delayed(put: Callable[[], Version]) -> Version:
        late.append(put)
        raise StorageUnavailable("key", "timed out")

    def overtaken(put: Callable[[], Version]) -> Version:
        late.pop()()
        return put()

    storage.write("a/counter", b"1")
    puts.faults = [delayed, overtaken]
    update(storage, "a/counter", lambda old: str(int(old or b"0") + 1).encode())
    assert storage.read("a/counter")[0] == b"2"
    assert puts.calls == 3


def test_result_that_cannot_be_known_is_no_conflict(storage, store, puts):
    def forgotten(put: Callable[[], Version]) -> Version:
        put()
        for number in range(REMEMBERED_WRITERS):
            ObjectStorage(store).write("a/c", str(number).encode())
        raise StorageUnavailable("key", "timed out")

    puts.faults = [forgotten]
    with pytest.raises(StorageUnavailable, match="unknown"):
        storage.write("a/b", b"value", expect=ABSENT)


@pytest.mark.parametrize("fault", [sent_twice, answer_lost, not_received])
def test_result_is_known_after_many_writes_of_another_process(storage, store, puts, fault):
    other = ObjectStorage(store)

    def busy(put: Callable[[], Version]) -> Version:
        try:
            return fault(put)
        finally:
            for number in range(3 * REMEMBERED_WRITERS):
                other.write("a/c", str(number).encode())

    storage.write("a/counter", b"1")
    puts.faults = [busy]
    update(storage, "a/counter", lambda old: str(int(old or b"0") + 1).encode())
    assert storage.read("a/counter")[0] == b"2"


def test_result_is_known_after_a_write_of_each_of_some_processes(storage, store, puts):
    def overtaken(put: Callable[[], Version]) -> Version:
        for _ in range(REMEMBERED_WRITERS - 1):
            ObjectStorage(store).write("a/c", b"value")
        return put()

    storage.write("a/b", b"value")
    puts.faults = [overtaken]
    storage.write("a/d", b"value")
    assert puts.calls == 3


def test_process_that_was_forked_is_another_writer(storage, store, monkeypatch):
    storage.write("a/b", b"value")
    [document] = obstore.list(store, "folders").collect()
    monkeypatch.setattr(os, "getpid", lambda: 1)
    monkeypatch.setattr(store_calls, "_process", None)
    for _ in range(2):
        storage.write("a/b", b"value")
    assert len(parse(bytes(obstore.get(store, document["path"]).bytes())).writes) == 2


def test_conflict_with_a_guess_that_is_much_too_old_is_tried_again(storage, store, puts):
    storage.write("a/b", b"value")
    for number in range(2 * REMEMBERED_WRITERS):
        ObjectStorage(store).write("a/c", str(number).encode())
    storage.write("a/d", b"value")
    assert [stat.key for stat in storage.list("")] == ["a/b", "a/c", "a/d"]


def test_store_that_fails_again_and_again_is_an_error_and_stores_nothing(storage, store, puts):
    puts.faults = [not_received] * 10
    with pytest.raises(StorageUnavailable, match="timed out"):
        storage.write("a/b", b"value")
    assert puts.calls == 3
    assert list(ObjectStorage(store).list("")) == []


def test_data_of_a_write_whose_result_is_unknown_stays(storage, store, puts):
    puts.faults = [not_received] * 10
    with pytest.raises(StorageUnavailable):
        storage.write("a/b", LARGE)
    assert len(obstore.list(store, "data").collect()) == 1


def test_data_of_a_write_that_is_rejected_is_removed(storage, store):
    storage.write("a/b", b"value")
    with pytest.raises(KeyConflict):
        storage.write("a/b", LARGE, expect=ABSENT)
    assert list(obstore.list(store, "data").collect()) == []


def test_rejection_by_a_guess_is_confirmed_by_the_store(storage, store):
    storage.write("a/b", b"value")
    ObjectStorage(store).delete("a/b")
    # this process still believes that the key exists
    storage.write("a/b", b"again", expect=ABSENT)
    assert storage.read("a/b")[0] == b"again"


def test_object_that_is_no_document_makes_the_storage_unavailable(storage, store):
    for data in (b"", b"[]", b'{"format": 2}', b'{"format": 1, "writes": [], "names": {"/b": 1}}', b"\xff"):
        obstore.put(store, "folders/a!-f", data)
        with pytest.raises(StorageUnavailable, match="cannot be used"):
            storage.read("a/b")
        with pytest.raises(StorageUnavailable, match="cannot be used"):
            storage.write("a/b", b"value")


def test_missing_data_object_makes_the_value_unavailable(storage, store):
    storage.write("a/b", LARGE)
    (meta,) = obstore.list(store, "data").collect()
    obstore.delete(store, meta["path"])
    for operation in (storage.read, storage.open):
        with pytest.raises(StorageUnavailable, match="missing"):
            operation("a/b")
