"""What is counted of unfinished pushes exists, and what exists is counted (decisions.md 19)."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from v1registry import FileStorage, MemoryStorage, errors
from v1registry.registry import expiry as expiry_module
from v1registry.registry.expiry import EXPIRY_S, Expiry
from v1registry.registry.sent import Facts, StagedPush
from v1registry.registry.staging import Staging
from v1registry.rights import PushKey
from v1registry.storage.base import ANY, Stat, Storage, StorageFull
from v1registry.storage.many import write_in_order

IDS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(3)]
ALICE = PushKey.of("token of alice", owner="alice", is_token=True)


def begun(staging: Staging, image_id: str) -> StagedPush:
    """Return a push that has sent a JSON."""
    staging.add_json(staging.find(image_id, ALICE), b"{}", Facts((image_id,), ()))
    return staging.find(image_id, ALICE)


def send_layer(staging: Staging, push: StagedPush, layer: bytes) -> None:
    staging.add_layer(push, staging.payloads(push), [layer])


def counted_bytes(storage: Storage) -> int:
    """Return how many bytes are counted, for all users together."""
    return sum(int(stat.key.rpartition(".")[2]) for stat in storage.list("uploads/_bytes/"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a storage in which alice has sent a JSON and a layer, and no sum."""
    staging = Staging(FileStorage(tmp_path / "registry", durable=False))
    send_layer(staging, begun(staging, IDS[0]), b"x" * 1000)
    return tmp_path / "registry"


def make_older(folder: Path, pattern: str) -> None:
    """Let the matching files be older than a day."""
    changed_at = time.time() - EXPIRY_S - 60
    for path in folder.glob(pattern):
        os.utime(path, (changed_at, changed_at))


def test_old_layer_of_a_push_that_goes_on_is_still_counted(folder: Path) -> None:
    storage = FileStorage(folder, durable=False)
    make_older(folder, "uploads/_bytes/**/*")
    make_older(folder, "uploads/*/*/layers/**/*")
    before = counted_bytes(storage)
    begun(Staging(storage), IDS[1])
    assert counted_bytes(storage) > before
    with pytest.raises(errors.TooManyUnfinishedBytes):
        begun(Staging(storage, most_bytes=1000), IDS[2])


def test_next_request_of_the_user_removes_an_expired_push_with_its_count(folder: Path) -> None:
    storage = FileStorage(folder, durable=False)
    make_older(folder, "uploads/**/*")
    begun(Staging(storage), IDS[1])
    assert list(storage.list(f"uploads/{IDS[0]}/")) == []
    (sent,) = Staging(storage).find(IDS[1], ALICE).jsons
    assert counted_bytes(storage) == sent.size


def test_expired_push_is_removed_with_its_count(folder: Path) -> None:
    storage = FileStorage(folder, durable=False)
    make_older(folder, "uploads/**/*")
    assert Expiry(storage).expire(IDS[0], ALICE.owner, ALICE.name)
    assert list(storage.list("uploads/")) == []


def test_count_without_a_push_is_removed_after_a_day(folder: Path) -> None:
    storage = FileStorage(folder, durable=False)
    storage.delete_tree(f"uploads/{IDS[0]}")
    make_older(folder, "uploads/**/*")
    Expiry(storage).tidy_at_start()
    assert list(storage.list("uploads/")) == []


def test_push_of_which_not_all_keys_were_seen_does_not_expire(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileStorage(folder, durable=False)
    make_older(folder, "uploads/*/*/layers/**/*")
    monkeypatch.setattr(expiry_module, "_MOST_KEYS", 2)
    Expiry(storage).tidy_at_start()
    assert len(Staging(storage).find(IDS[0], ALICE).layers) == 1


class FullStorage(MemoryStorage):
    """Stores no key that ends in a text: it receives the value, and then has no room for it."""

    full = ""

    def write(self, key: str, data: bytes | Iterable[bytes], *, expect: str = ANY) -> Stat:
        if self.full and key.endswith(self.full):
            for _ in () if isinstance(data, bytes) else data:
                pass
            raise StorageFull(key, "no room is left")
        return super().write(key, data, expect=expect)

    def write_many(self, values: Mapping[str, bytes]) -> None:
        write_in_order(self.write, values)


def test_json_that_does_not_fit_on_the_disk_is_not_counted() -> None:
    storage = FullStorage()
    staging = Staging(storage, most_pushes=1)
    for image_id in IDS:
        storage.full = hashlib.sha256(b"{}").hexdigest()
        with pytest.raises(StorageFull):
            begun(staging, image_id)
    storage.full = ""
    assert begun(staging, IDS[0]).jsons


def test_layer_that_does_not_fit_on_the_disk_is_not_counted() -> None:
    storage = FullStorage()
    staging = Staging(storage)
    push = begun(staging, IDS[0])
    before = counted_bytes(storage)
    storage.full = "/layer"
    with pytest.raises(StorageFull):
        send_layer(staging, push, b"x" * 1000)
    assert counted_bytes(storage) == before
