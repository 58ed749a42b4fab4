"""A mirror whose storage is an object store: what it fetches, keeps and serves without its origin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from obstore.store import MemoryStore
from support.garbage import collect, keys
from support.mirrored import MirrorOf, blobs_of, large
from support.object_stores import ObjectStore
from support.wsgi_client import call
from v1registry_fakes import FakeRegistry

from v1registry import Storage
from v1registry.distribution import layout
from v1registry.housekeeping.verify import Verification
from v1registry.names import RepositoryName
from v1registry.openers import open_storage
from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.storage.base import KeyNotFound, Stat
from v1registry.storage.objects import Groups, ObjectStorage

IMAGES = 12
TAG = "/v1/repositories/alice/app/tags"


@pytest.fixture
def origin() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture(
    params=["memory", pytest.param("ceph", marks=[pytest.mark.real, pytest.mark.process, pytest.mark.stores])]
)
def storages(request: pytest.FixtureRequest) -> tuple[Storage, Storage]:
    """Two instances' storages over one store."""
    if request.param == "memory":
        store = MemoryStore()
        first, second = (ObjectStorage(store, groups=Groups(KEY_GROUPS)) for _ in range(2))
        return first, second
    ceph: ObjectStore = request.getfixturevalue("ceph")
    url = ceph.url(ceph.new_bucket(), "mirror")
    return open_storage(url), open_storage(url)


def whole(storage: Storage) -> bool:
    """Tell whether nothing in a storage is damaged."""
    return list(Verification(storage, reads_layers=True).findings()) == []


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_images_are_fetched_once_and_served_by_each_instance(
    origin: FakeRegistry, storages: tuple[Storage, Storage], api: str
) -> None:
    for number in range(IMAGES):
        layer = {f"file{number}": large(number, 40_000)}
        origin.add_image(f"alice/app:{number}", files=layer, api=api)
    first, second = (MirrorOf(origin, storage, mirror_api=api) for storage in storages)

    with ThreadPoolExecutor(4) as pool:
        pulled = dict(enumerate(pool.map(lambda tag: first.pull("alice/app", str(tag)), range(IMAGES))))

    asked = first.asked("*/layer") + first.asked("*/blobs/*")
    assert asked >= IMAGES
    with origin.fail(refuse_connection=True):
        for number, blobs in pulled.items():
            assert second.pull("alice/app", str(number)) == blobs
    assert first.asked("*/layer") + first.asked("*/blobs/*") == asked
    assert sorted(json.loads(call(second.app, "GET", TAG).body)) == sorted(map(str, range(IMAGES)))
    assert whole(storages[0])


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_first_pulls_of_a_repository_that_meet_both_succeed(origin: FakeRegistry, api: str) -> None:
    """Another instance makes the repository while the first one looks whether it is there."""
    store, name = MemoryStore(), RepositoryName("alice", "app")
    key = layout.repository_key(name, layout.MIRROR, layout.MIRROR_ORIGIN)
    for number in range(2):
        origin.add_image(f"alice/app:{number}", files={"a": large(number, 40_000)}, api=api)
    second = MirrorOf(origin, ObjectStorage(store, groups=Groups(KEY_GROUPS)), mirror_api=api)
    looks = 0

    class Interrupted(ObjectStorage):
        def read(self, wanted: str) -> tuple[bytes, Stat]:
            nonlocal looks
            try:
                return super().read(wanted)
            except KeyNotFound:
                looks += wanted == key
                if wanted == key and looks == 1:
                    second.pull("alice/app", "1")
                raise

    first = MirrorOf(origin, Interrupted(store, groups=Groups(KEY_GROUPS)), mirror_api=api)
    assert len(first.pull("alice/app", "0")) == 2
    assert looks > 0
    assert sorted(json.loads(call(second.app, "GET", TAG).body)) == ["0", "1"]
    pulled = [first.pull("alice/app", "1"), second.pull("alice/app", "0")]
    with origin.fail(refuse_connection=True):
        assert [first.pull("alice/app", "1"), second.pull("alice/app", "0")] == pulled
    assert whole(second.storage)


def test_one_large_blob_that_two_instances_fetch_is_whole(
    origin: FakeRegistry, storages: tuple[Storage, Storage]
) -> None:
    image = origin.add_image("alice/app:1.0", files={"a": large(1, 12_000_000)}, api="v2")
    expected = blobs_of(origin, image)
    mirrors = [MirrorOf(origin, storage) for storage in storages]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda mirror: mirror.pull("alice/app", "1.0"), mirrors * 2))

    assert found == [expected] * 4
    assert whole(storages[0])


def test_collection_takes_what_a_moved_tag_left(
    origin: FakeRegistry, storages: tuple[Storage, Storage]
) -> None:
    first, second = (MirrorOf(origin, storage, mirror_tag_age_s=0) for storage in storages)
    old = origin.add_image("alice/app:1.0", files={"a": large(1, 40_000)}, api="v2")
    first.pull("alice/app", "1.0")
    new = origin.add_image("alice/app:1.0", files={"a": large(2, 40_000)}, api="v2")
    assert second.pull("alice/app", "1.0") == blobs_of(origin, new)

    collect(storages[0], takes_untagged=True)

    left = " ".join(keys(storages[0], "blobs/"))
    assert [digest for digest in blobs_of(origin, old) if digest.removeprefix("sha256:") in left] == []
    with origin.fail(refuse_connection=True):
        assert first.pull("alice/app", "1.0") == blobs_of(origin, new)
