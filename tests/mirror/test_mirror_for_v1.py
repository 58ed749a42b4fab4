"""A mirror pulled by clients of v1, of an origin of v1 and of one with the distribution API (DST-038,
DST-039).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.mirrored import MirrorOf, blobs_of, large
from support.v2_client import V2Client
from support.wsgi_client import Client
from v1registry_fakes import FakeImage, FakeRegistry

from v1registry import Registry


@pytest.fixture
def origin() -> Iterator[FakeRegistry]:
    with FakeRegistry(v2="absent") as registry:
        yield registry


@pytest.fixture
def origin_v2() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


def pull(mirror: MirrorOf, repository: str, tag: str) -> dict[str, tuple[bytes, bytes]]:
    """Pull a tag as an engine does; return JSON and layer of each image by id."""
    client = Client(mirror.app)
    listed = client.get(f"/v1/repositories/{repository}/images", headers={"X-Docker-Token": "true"})
    assert listed.status_int == 200, listed
    token = {"Authorization": f"Token {listed.headers['X-Docker-Token']}"}
    tags = client.get(f"/v1/repositories/{repository}/tags", headers=token)
    assert tags.status_int == 200, tags
    single = client.get(f"/v1/repositories/{repository}/tags/{tag}", headers=token)
    assert single.status_int == 200, single
    assert tags.json[tag] == single.json
    ancestry = client.get(f"/v1/images/{single.json}/ancestry", headers=token)
    assert ancestry.status_int == 200, ancestry
    found = {}
    for image_id in ancestry.json:
        document = client.get(f"/v1/images/{image_id}/json", headers=token)
        layer = client.get(f"/v1/images/{image_id}/layer", headers=token)
        assert (document.status_int, layer.status_int) == (200, 200)
        found[image_id] = document.body, layer.body
    return found


def images_of(origin: FakeRegistry, image: FakeImage) -> dict[str, tuple[bytes, bytes]]:
    return {found: (origin.images[found].document, origin.images[found].layer) for found in image.ancestry}


def test_DST_038_engine_of_v1_pulls_from_an_origin_of_v1(origin: FakeRegistry) -> None:
    mirror = MirrorOf(origin)
    image = origin.add_image("alice/app:1.0", files={"data": large()}, layers=3)
    assert pull(mirror, "alice/app", "1.0") == images_of(origin, image)


def test_DST_038_second_pull_asks_the_origin_for_nothing(origin: FakeRegistry) -> None:
    mirror = MirrorOf(origin)
    image = origin.add_image("alice/app:1.0", layers=2)
    pull(mirror, "alice/app", "1.0")
    asked = mirror.asked()
    assert pull(mirror, "alice/app", "1.0") == images_of(origin, image)
    assert mirror.asked() == asked


def test_DST_038_tag_is_set_when_all_images_are_here(origin: FakeRegistry) -> None:
    mirror = MirrorOf(origin)
    image = origin.add_image("alice/app:1.0", layers=2)
    pull(mirror, "alice/app", "1.0")
    alone = Client(MirrorOf(origin, mirror.storage, mirror="").app)
    assert alone.get("/v1/repositories/alice/app/tags").json == {"1.0": image.id}
    assert alone.get(f"/v1/images/{image.id}/ancestry").json == image.ancestry


def test_DST_038_moved_tag_is_seen_after_its_age(origin: FakeRegistry) -> None:
    mirror = MirrorOf(origin)
    origin.add_image("alice/app:1.0", files={"a": "1"})
    pull(mirror, "alice/app", "1.0")
    second = origin.add_image("alice/app:1.0", files={"a": "2"})
    mirror.clock.advance(61)
    assert pull(mirror, "alice/app", "1.0") == images_of(origin, second)


def test_DST_038_client_of_the_distribution_api_pulls_from_an_origin_of_v1(origin: FakeRegistry) -> None:
    mirror = MirrorOf(origin)
    origin.add_image("alice/app:1.0", files={"data": large()}, layers=3)
    manifest = mirror.client.get_manifest("alice/app", "1.0").body
    assert manifest == V2Client(Registry(origin.storage)).get_manifest("alice/app", "1.0").body
    assert len(mirror.pull("alice/app", "1.0")) == 4
    assert mirror.client.tags("alice/app") == ["1.0"]
    assert mirror.client.get_manifest("alice/app", "2.0").status == 404


def test_DST_038_official_image_has_two_names(origin: FakeRegistry) -> None:
    mirror = MirrorOf(origin)
    image = origin.add_image("busybox:1.0")
    assert pull(mirror, "busybox", "1.0") == pull(mirror, "library/busybox", "1.0")
    assert mirror.client.get_manifest("busybox", "1.0").status == 200
    assert image.is_complete


def test_DST_038_missing_things_are_missing(origin: FakeRegistry) -> None:
    client = Client(MirrorOf(origin).app)
    origin.add_image("alice/app:1.0")
    for path in (
        "/v1/repositories/alice/other/images",
        "/v1/repositories/alice/other/tags",
        "/v1/repositories/alice/app/tags/2.0",
        f"/v1/images/{64 * '0'}/json",
    ):
        assert client.get(path).status_int == 404
    assert client.get("/v1/search?q=").json["num_results"] == 0


def test_DST_038_range_of_a_layer_that_is_missing(origin: FakeRegistry) -> None:
    mirror = MirrorOf(origin)
    image = origin.add_image("alice/app:1.0", files={"data": large()})
    client = Client(mirror.app)
    client.get("/v1/repositories/alice/app/tags/1.0")
    answer = client.get(f"/v1/images/{image.id}/layer", headers={"Range": "bytes=100-199"})
    assert (answer.status_int, answer.body) == (206, image.layer[100:200])


def test_DST_037_push_by_v1_to_a_mirrored_repository_is_refused(origin: FakeRegistry) -> None:
    mirror = MirrorOf(origin)
    image = origin.add_image("alice/app:1.0")
    pull(mirror, "alice/app", "1.0")
    client = Client(mirror.app)
    assert client.put("/v1/repositories/alice/app/", b"[]").status_int == 403
    assert client.put("/v1/repositories/alice/app/tags/2.0", f'"{image.id}"').status_int == 403
    assert client.delete("/v1/repositories/alice/app/").status_int == 200
    assert client.put("/v1/repositories/alice/app/", b"[]").status_int == 200
    assert client.get("/v1/repositories/alice/app/tags/1.0").status_int == 404


# -- an origin with the distribution API


def test_DST_039_engine_of_v1_pulls_from_an_origin_with_v2(origin_v2: FakeRegistry) -> None:
    mirror = MirrorOf(origin_v2)
    image = origin_v2.add_image("alice/app:1.0", files={"data": large()}, layers=3, api="v2")
    found = pull(mirror, "alice/app", "1.0")
    layers = [layer for _, layer in reversed(found.values())]
    assert layers == list(blobs_of(origin_v2, image).values())[1:]


def test_DST_039_engine_of_v1_pulls_an_index(origin_v2: FakeRegistry) -> None:
    mirror = MirrorOf(origin_v2)
    parts = {
        f"linux/{name}": origin_v2.add_image(f"alice/app:{name}", files={"a": name}, api="v2")
        for name in ("arm64", "amd64")
    }
    origin_v2.add_index("alice/app:1.0", parts)
    found = pull(mirror, "alice/app", "1.0")
    assert [layer for _, layer in found.values()] == parts["linux/amd64"].layers


def test_DST_039_list_of_tags_needs_no_layers(origin_v2: FakeRegistry) -> None:
    mirror = MirrorOf(origin_v2)
    for tag in ("1.0", "2.0"):
        origin_v2.add_image(f"alice/app:{tag}", files={"a": tag}, api="v2")
    client = Client(mirror.app)
    tags = client.get("/v1/repositories/alice/app/tags").json
    assert sorted(tags) == ["1.0", "2.0"]
    assert mirror.asked("*/blobs/*") == 0
    assert client.get("/v1/repositories/alice/app/tags/1.0").json == tags["1.0"]
    # the id of a list leads to the image
    assert client.get(f"/v1/images/{tags['2.0']}/ancestry").json == [tags["2.0"]]


def test_DST_039_image_pulled_by_v2_is_shown_in_v1_without_the_origin(origin_v2: FakeRegistry) -> None:
    mirror = MirrorOf(origin_v2)
    origin_v2.add_image("alice/app:1.0", api="v2")
    mirror.pull("alice/app", "1.0")
    with origin_v2.fail(status=503):
        answer = Client(mirror.app).get("/v1/repositories/alice/app/tags/1.0")
    assert answer.status_int == 200


def test_mirror_api_decides_how_the_origin_is_asked(origin_v2: FakeRegistry) -> None:
    mirror = MirrorOf(origin_v2, mirror_api="v1")
    image = origin_v2.add_image("alice/app:1.0")
    assert pull(mirror, "alice/app", "1.0") == images_of(origin_v2, image)
    assert mirror.asked("/v2/*") == 0
    assert V2Client(mirror.app).get_manifest("alice/app", "1.0").status == 200
