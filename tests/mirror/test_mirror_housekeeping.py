"""What is fetched is a normal content for maintenance (DST-047)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.garbage import collect, keys
from support.mirrored import MirrorOf, blobs_of
from support.wsgi_client import Client
from v1registry_fakes import FakeRegistry

from v1registry.distribution.layout import blob_key
from v1registry.housekeeping.findings import HurtTag
from v1registry.housekeeping.retention import Retention
from v1registry.housekeeping.verify import Verification


@pytest.fixture
def origin() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


def findings(mirror: MirrorOf) -> list[object]:
    return list(Verification(mirror.storage, reads_layers=True).findings())


def test_DST_047_blobs_that_are_not_fetched_yet_are_no_damage(origin: FakeRegistry) -> None:
    mirror = MirrorOf(origin)
    parts = {
        f"linux/{name}": origin.add_image(f"alice/app:{name}", files={"a": name}, api="v2")
        for name in ("amd64", "arm64")
    }
    origin.add_index("alice/app:1.0", parts)
    mirror.client.get_manifest("alice/app", "1.0")
    mirror.client.get_manifest("alice/app", parts["linux/amd64"].digest)
    assert findings(mirror) == []
    mirror.pull("alice/app", "amd64")
    assert findings(mirror) == []


def test_DST_047_lost_blob_is_damage_and_is_fetched_again(origin: FakeRegistry) -> None:
    mirror = MirrorOf(origin)
    image = origin.add_image("alice/app:1.0", api="v2")
    blobs = mirror.pull("alice/app", "1.0")
    digest = list(blobs_of(origin, image))[1]
    mirror.storage.delete(blob_key(digest.removeprefix("sha256:")))
    hurt = [finding for finding in findings(mirror) if isinstance(finding, HurtTag)]
    assert [tag.tag for tag in hurt] == ["alice/app:1.0"]
    assert mirror.pull("alice/app", "1.0") == blobs
    assert findings(mirror) == []


def test_DST_047_images_of_v1_are_whole(origin: FakeRegistry) -> None:
    mirror = MirrorOf(origin, mirror_api="v1")
    origin.add_image("alice/app:1.0", layers=3)
    mirror.pull("alice/app", "1.0")
    assert findings(mirror) == []


def test_DST_047_mirrored_repository_is_found(origin: FakeRegistry) -> None:
    mirror = MirrorOf(origin)
    origin.add_image("alice/app:1.0", api="v2")
    mirror.pull("alice/app", "1.0")
    client = Client(mirror.app)
    assert [found["name"] for found in client.get("/v1/search?q=app").json["results"]] == ["alice/app"]
    assert "alice/app" in client.get("/", headers={"Accept": "text/html"}).text
    assert mirror.client.get("/v2/_catalog").body == b'{"repositories": ["alice/app"]}'


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_DST_047_collection_keeps_what_tags_of_a_mirror_need(origin: FakeRegistry, api: str) -> None:
    mirror = MirrorOf(origin, mirror_api=api)
    origin.add_image("alice/app:1.0", files={"a": "1"}, layers=2)
    blobs = mirror.pull("alice/app", "1.0")
    collect(mirror.storage)
    with origin.fail(refuse_connection=True):
        assert mirror.pull("alice/app", "1.0") == blobs
    assert findings(mirror) == []


def test_DST_047_collection_takes_what_a_moved_tag_left(origin: FakeRegistry) -> None:
    mirror = MirrorOf(origin)
    old = origin.add_image("alice/app:1.0", files={"a": "1"}, api="v2")
    mirror.pull("alice/app", "1.0")
    origin.add_image("alice/app:1.0", files={"a": "2"}, api="v2")
    mirror.clock.advance(61)
    blobs = mirror.pull("alice/app", "1.0")
    collect(mirror.storage, takes_untagged=True)
    left = " ".join(keys(mirror.storage, "blobs/"))
    assert [digest for digest in blobs_of(origin, old) if digest.removeprefix("sha256:") in left] == []
    assert mirror.pull("alice/app", "1.0") == blobs


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_DST_047_tag_that_a_collection_removed_is_fetched_again(origin: FakeRegistry, api: str) -> None:
    mirror = MirrorOf(origin, mirror_api=api)
    origin.add_image("alice/app:1.0", files={"a": "1"}, layers=2)
    blobs = mirror.pull("alice/app", "1.0")
    collect(mirror.storage, takes_untagged=True, retention=Retention(newest=0))
    assert keys(mirror.storage, "blobs/", "images/") == []
    assert mirror.pull("alice/app", "1.0") == blobs
