"""A mirror whose storage takes no writes, because the disk is full: what is here is served (DST-040)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from support.mirrored import MirrorOf, blobs_of, whole_of
from support.wsgi_client import call
from v1registry_fakes import FakeRegistry

from v1registry import MemoryStorage
from v1registry.storage.base import ANY, Stat, StorageFull


class FullStorage(MemoryStorage):
    """A storage in memory that can become full."""

    is_full = False

    def write(self, key: str, data: bytes | Iterable[bytes], *, expect: str = ANY) -> Stat:
        if self.is_full:
            raise StorageFull(key, "No space left on device")
        return super().write(key, data, expect=expect)


@pytest.fixture(params=["v2", "v1"])
def origin(request: pytest.FixtureRequest) -> Iterator[FakeRegistry]:
    with FakeRegistry(v2="on" if request.param == "v2" else "absent") as registry:
        registry.add_image("alice/app:1.0", api=request.param)
        yield registry


def test_full_mirror_serves_what_is_here(origin: FakeRegistry) -> None:
    storage = FullStorage()
    mirror = MirrorOf(origin, storage, mirror_tag_age_s=0)
    pulled = mirror.pull("alice/app", "1.0")
    v1 = call(mirror.app, "GET", "/v1/repositories/alice/app/tags/1.0")
    assert v1.status == 200
    storage.is_full = True
    assert mirror.pull("alice/app", "1.0") == pulled
    assert call(mirror.app, "GET", "/v1/repositories/alice/app/tags/1.0").body == v1.body
    assert mirror.client.tags("alice/app") == ["1.0"]


def test_full_mirror_gives_nothing_whole_of_what_is_missing() -> None:
    with FakeRegistry() as origin:
        image = origin.add_image("alice/app:1.0", api="v2")
        storage = FullStorage()
        mirror = MirrorOf(origin, storage)
        storage.is_full = True
        assert mirror.client.get_manifest("alice/app", "1.0").status == 507
        digest = next(iter(blobs_of(origin, image)))
        assert whole_of(lambda: mirror.blob("alice/app", digest)) is None
