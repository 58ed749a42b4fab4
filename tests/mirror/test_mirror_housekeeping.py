"""What is fetched is a normal content for maintenance (DST-047)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.mirrored import MirrorOf, blobs_of
from support.wsgi_client import Client
from v1registry_fakes import FakeRegistry

from v1registry.distribution.layout import blob_key
from v1registry.housekeeping.findings import HurtTag
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
