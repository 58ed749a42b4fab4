"""Small blobs that a process keeps in memory over an object store: what may change is asked each time."""

from __future__ import annotations

import pytest
from obstore.store import MemoryStore
from support.v2_client import V2Client, digest_of

from v1registry import MemoryStorage, Registry
from v1registry.distribution import blobs as blobs_module
from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.storage.base import Storage
from v1registry.storage.objects import Groups, ObjectStorage

NAME = "team/app"
DATA = b"small blob"


class Instances:
    """Two registries over one bucket. The first one has sent a blob and a manifest, and keeps both."""

    def __init__(self) -> None:
        store = MemoryStore()
        self.storage, other = (ObjectStorage(store, groups=Groups(KEY_GROUPS)) for _ in range(2))
        self.first, self.second = (V2Client(Registry(storage)) for storage in (self.storage, other))
        self.manifest = self.first.artifact(NAME, "artifact")
        assert self.first.put_manifest(NAME, "1.0", self.manifest).status == 201
        self.first.put_blob(NAME, DATA)
        self.paths = [
            f"/v2/{NAME}/blobs/{digest_of(DATA)}",
            f"/v2/{NAME}/manifests/{digest_of(self.manifest)}",
            f"/v2/{NAME}/manifests/1.0",
        ]
        assert self.bodies() == [DATA, self.manifest, self.manifest]

    def bodies(self) -> list[bytes]:
        return [self.first.get(path).body for path in self.paths]

    def statuses(self, method: str) -> list[int]:
        return [self.first.ask(method, path).status for path in self.paths]

    def remove_bytes(self) -> None:
        """Remove the bytes of both, as the administrator may do with damaged ones."""
        for data in (DATA, self.manifest):
            digits = digest_of(data).removeprefix("sha256:")
            self.storage.delete(f"blobs/sha256/{digits[:2]}/{digits}/data")


@pytest.fixture
def instances() -> Instances:
    return Instances()


def test_blob_and_manifest_that_another_instance_deletes_are_unknown(instances: Instances) -> None:
    for path in instances.paths:
        assert instances.second.ask("DELETE", path).status == 202 or path.endswith("/1.0")
    assert instances.statuses("GET") == instances.statuses("HEAD") == [404, 404, 404]


def test_repository_that_does_not_contain_the_kept_blob_does_not_show_it(instances: Instances) -> None:
    instances.second.put_manifest("team/other", "1.0", instances.second.artifact("team/other", "other"))
    other_paths = [path.replace(NAME, "team/other") for path in instances.paths[:2]]
    assert [instances.first.get(path).status for path in other_paths] == [404, 404]


def test_head_asks_whether_the_bytes_are_stored(instances: Instances) -> None:
    assert instances.statuses("HEAD") == [200, 200, 200]
    instances.remove_bytes()
    assert instances.statuses("HEAD") == [404, 404, 404]
    # what a client gets is right in any case
    assert instances.bodies() == [DATA, instances.manifest, instances.manifest]


def test_client_sends_bytes_again_that_are_kept_but_not_stored(instances: Instances) -> None:
    instances.remove_bytes()
    instances.first.put_blob(NAME, DATA)
    assert instances.first.put_manifest(NAME, "1.0", instances.manifest).status == 201
    assert instances.statuses("HEAD") == [200, 200, 200]
    assert [instances.second.get(path).body for path in instances.paths] == instances.bodies()


def test_range_of_a_kept_blob_is_sent(instances: Instances) -> None:
    answer = instances.first.ask("GET", instances.paths[0], Range="bytes=2-4")
    assert (answer.status, answer.body) == (206, DATA[2:5])


def test_damaged_bytes_are_not_kept(instances: Instances) -> None:
    instances.remove_bytes()
    storage, digits = instances.storage, digest_of(DATA).removeprefix("sha256:")
    blobs = blobs_module.Blobs(storage)
    for data in (b"damaged", DATA):
        storage.write(f"blobs/sha256/{digits[:2]}/{digits}/data", data)
        assert blobs.read_to_send(digits) == data
    storage.write(f"blobs/sha256/{digits[:2]}/{digits}/data", b"damaged")
    assert (blobs.read_to_send(digits), blobs.read(digits)) == (DATA, b"damaged")


def test_large_bytes_are_not_kept(instances: Instances) -> None:
    blobs = blobs_module.Blobs(instances.storage)
    for size, is_kept in ((blobs_module.SMALL_BYTES, True), (blobs_module.SMALL_BYTES + 1, False)):
        digest = blobs.put(bytes(size))
        assert blobs.read_to_send(digest.hex) == bytes(size)
        assert (blobs.kept(digest.hex) is not None) == is_kept


@pytest.mark.parametrize("is_far", [True, False])
def test_memory_for_blobs_is_bounded(is_far: bool) -> None:
    storage: Storage = ObjectStorage(MemoryStore()) if is_far else MemoryStorage()
    blobs = blobs_module.Blobs(storage)
    most = blobs_module.KEPT_BYTES // blobs_module.SMALL_BYTES
    digests = [blobs.put(number.to_bytes(blobs_module.SMALL_BYTES, "big")) for number in range(most + 10)]
    for digest in digests:
        blobs.read_to_send(digest.hex)
    kept = [digest for digest in digests if blobs.kept(digest.hex) is not None]
    assert (most * 0.9 < len(kept) <= most) if is_far else not kept
