"""Several processes over one object store, each with an ObjectStorage of its own."""

from __future__ import annotations

import itertools

import pytest
from obstore.store import MemoryStore
from v1registry_fakes.contracts.storage_sharing import SharingRules, at_once, listed
from v1registry_fakes.contracts.storage_steps import ConditionalDeletionRules, LinkRules, PublicationRules

from v1registry.storage import KeyConflict, KeyNotFound, Storage, update
from v1registry.storage.objects import ObjectStorage


class ManyProcesses:
    """Passes each call to the next one of several storages, which know nothing of each other."""

    shared_by_processes = True

    def __init__(self, store: MemoryStore):
        storages = [ObjectStorage(store) for _ in range(4)]
        self._next = itertools.cycle(storages)

    def __getattr__(self, name: str) -> object:
        return getattr(next(self._next), name)


class TestOneStoreOfManyProcesses(SharingRules, ConditionalDeletionRules, PublicationRules, LinkRules):
    @pytest.fixture
    def storage(self) -> Storage:
        return ManyProcesses(MemoryStore())  # type: ignore[return-value]

    def test_folder_is_published_once(self, storage: Storage) -> None:
        """Replace a rule that ObjectStorage keeps within one process only."""
        storage.write("uploads/x/1", b"value")
        storage.publish("uploads/x", "images/1")
        with pytest.raises(KeyNotFound):
            storage.publish("uploads/x", "images/2")
        assert listed(storage) == ["images/1/1"]

    def test_folders_that_change_places_do_not_wait_for_each_other(self, storage: Storage) -> None:
        """Replace a rule: between processes a key may be in both folders."""
        storage.write("a/x", b"value")

        def swap(number: int) -> None:
            for _ in range(20):
                try:
                    storage.publish(*(("a", "b") if number % 2 else ("b", "a")))
                except (KeyNotFound, KeyConflict):
                    continue

        at_once(swap, threads=4)
        assert set(listed(storage)) <= {"a/x", "b/x"}
        assert listed(storage)


def test_no_update_of_four_processes_is_lost():
    store = MemoryStore()
    storages = [ObjectStorage(store) for _ in range(4)]

    def count(number: int) -> None:
        for _ in range(25):
            update(storages[number], "counters/one", lambda old: str(int(old or b"0") + 1).encode())
            storages[number].write(f"counters/{number}", b"beside it")

    at_once(count, threads=4)
    assert ObjectStorage(store).read("counters/one")[0] == b"100"


def test_change_of_another_process_is_seen_at_once():
    store = MemoryStore()
    one, other = ObjectStorage(store), ObjectStorage(store)
    one.write("a/b", b"first")
    assert other.read("a/b")[0] == b"first"
    one.write("a/b", b"second")
    assert other.read("a/b")[0] == b"second"
    one.delete("a/b")
    with pytest.raises(KeyNotFound):
        other.read("a/b")
