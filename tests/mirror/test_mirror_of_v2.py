"""A mirror of a registry with the distribution API, pulled by clients of that API (DST-035 to DST-037)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from support.mirrored import MirrorOf, blobs_of, large
from v1registry_fakes import FakeRegistry


@pytest.fixture
def origin() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def mirror(origin: FakeRegistry) -> MirrorOf:
    return MirrorOf(origin)


def test_DST_035_pull_gets_the_bytes_of_the_origin(origin: FakeRegistry, mirror: MirrorOf) -> None:
    image = origin.add_image("alice/app:1.0", files={"data": large()}, layers=3, api="v2")
    assert mirror.pull("alice/app", "1.0") == blobs_of(origin, image)
    answer = mirror.client.get_manifest("alice/app", "1.0")
    assert answer.body == image.document
    assert answer.header("Docker-Content-Digest") == image.digest
    assert answer.header("Content-Type") == image.media_type


def test_DST_035_second_pull_asks_the_origin_for_nothing(origin: FakeRegistry, mirror: MirrorOf) -> None:
    image = origin.add_image("alice/app:1.0", api="v2")
    mirror.pull("alice/app", "1.0")
    asked = mirror.asked()
    assert mirror.pull("alice/app", "1.0") == blobs_of(origin, image)
    assert mirror.asked() == asked


def test_DST_035_manifest_is_fetched_by_digest(origin: FakeRegistry, mirror: MirrorOf) -> None:
    image = origin.add_image("alice/app:1.0", api="v2")
    answer = mirror.client.get_manifest("alice/app", image.digest)
    assert (answer.status, answer.body) == (200, image.document)
    assert mirror.client.get_manifest("alice/app", "sha256:" + 64 * "0").status == 404


def test_DST_035_parts_of_an_index_are_fetched(origin: FakeRegistry, mirror: MirrorOf) -> None:
    parts = {
        f"linux/{name}": origin.add_image(f"alice/app:{name}", files={"a": name}, api="v2")
        for name in ("amd64", "arm64")
    }
    index = origin.add_index("alice/app:1.0", parts)
    answer = mirror.client.get_manifest("alice/app", "1.0")
    assert answer.body == index.document
    for entry in json.loads(answer.body)["manifests"]:
        assert mirror.client.get_manifest("alice/app", entry["digest"]).status == 200


def test_DST_035_official_image_has_two_names(origin: FakeRegistry, mirror: MirrorOf) -> None:
    image = origin.add_image("busybox:1.0", api="v2")
    assert mirror.client.get_manifest("library/busybox", "1.0").body == image.document
    assert mirror.pull("busybox", "1.0") == blobs_of(origin, image)


def test_head_of_a_blob_has_its_size_and_fetches_nothing(origin: FakeRegistry, mirror: MirrorOf) -> None:
    image = origin.add_image("alice/app:1.0", api="v2")
    for digest, data in blobs_of(origin, image).items():
        answer = mirror.client.ask("HEAD", f"/v2/alice/app/blobs/{digest}")
        assert (answer.status, answer.header("Content-Length")) == (200, str(len(data)))
        assert answer.header("Docker-Content-Digest") == digest
    assert mirror.asked("*/blobs/*", "GET") == 0


def test_range_of_a_blob_that_is_missing(origin: FakeRegistry, mirror: MirrorOf) -> None:
    image = origin.add_image("alice/app:1.0", files={"data": large()}, api="v2")
    digest, data = max(blobs_of(origin, image).items(), key=lambda pair: len(pair[1]))
    answer = mirror.blob("alice/app", digest, Range="bytes=1000-199999")
    assert (answer.status, answer.body) == (206, data[1000:200_000])
    assert answer.header("Content-Range") == f"bytes 1000-199999/{len(data)}"
    assert mirror.blob("alice/app", digest).body == data


def test_missing_things_are_missing(origin: FakeRegistry, mirror: MirrorOf) -> None:
    origin.add_image("alice/app:1.0", api="v2")
    for path in (
        "/v2/alice/app/manifests/2.0",
        "/v2/alice/other/manifests/1.0",
        "/v2/alice/other/tags/list",
        f"/v2/alice/app/blobs/sha256:{64 * '0'}",
    ):
        assert mirror.client.get(path).status == 404
    assert json.loads(mirror.client.get("/v2/_catalog").body) == {"repositories": []}


# -- tags


def test_DST_036_moved_tag_is_seen_after_its_age(origin: FakeRegistry, mirror: MirrorOf) -> None:
    first = origin.add_image("alice/app:1.0", files={"a": "1"}, api="v2")
    mirror.pull("alice/app", "1.0")
    second = origin.add_image("alice/app:1.0", files={"a": "2"}, api="v2")
    assert mirror.client.get_manifest("alice/app", "1.0").body == first.document
    mirror.clock.advance(61)
    assert mirror.client.get_manifest("alice/app", "1.0").body == second.document
    assert mirror.pull("alice/app", "1.0") == blobs_of(origin, second)


def test_DST_036_unchanged_tag_costs_one_question(origin: FakeRegistry, mirror: MirrorOf) -> None:
    origin.add_image("alice/app:1.0", api="v2")
    mirror.pull("alice/app", "1.0")
    mirror.clock.advance(61)
    asked = mirror.asked()
    mirror.pull("alice/app", "1.0")
    mirror.pull("alice/app", "1.0")
    assert mirror.asked() == asked + 1
    assert origin.requests[-1].method == "HEAD"


def test_DST_036_tag_that_the_origin_removed_stays(origin: FakeRegistry, mirror: MirrorOf) -> None:
    image = origin.add_image("alice/app:1.0", api="v2")
    mirror.pull("alice/app", "1.0")
    origin.reset()
    mirror.clock.advance(61)
    assert mirror.client.get_manifest("alice/app", "1.0").body == image.document


def test_DST_036_list_has_the_tags_of_the_origin(origin: FakeRegistry, mirror: MirrorOf) -> None:
    for tag in ("1.0", "2.0", "3.0"):
        origin.add_image(f"alice/app:{tag}", api="v2")
    assert mirror.client.tags("alice/app") == ["1.0", "2.0", "3.0"]
    answer = mirror.client.get("/v2/alice/app/tags/list?n=2")
    assert json.loads(answer.body)["tags"] == ["1.0", "2.0"]
    assert answer.header("Link") == '</v2/alice/app/tags/list?n=2&last=2.0>; rel="next"'
    answer = mirror.client.get("/v2/alice/app/tags/list?n=2&last=2.0")
    assert (json.loads(answer.body)["tags"], answer.header("Link")) == (["3.0"], None)


# -- what is local


def test_DST_037_local_repository_is_never_fetched(origin: FakeRegistry, mirror: MirrorOf) -> None:
    origin.add_image("alice/app:1.0", api="v2")
    origin.add_image("alice/app:2.0", api="v2")
    local = mirror.client.image("alice/app", "local")
    assert mirror.client.put_manifest("alice/app", "1.0", local).status == 201
    assert mirror.client.get_manifest("alice/app", "1.0").body == local
    assert mirror.client.get_manifest("alice/app", "2.0").status == 404
    assert mirror.client.tags("alice/app") == ["1.0"]
    assert mirror.asked("/v2/*") == 0


def test_DST_037_push_to_a_mirrored_repository_is_refused(origin: FakeRegistry, mirror: MirrorOf) -> None:
    image = origin.add_image("alice/app:1.0", api="v2")
    mirror.pull("alice/app", "1.0")
    answer = mirror.client.put_manifest("alice/app", "2.0", image.document, image.media_type)
    assert answer.status == 403
    assert json.loads(answer.body)["errors"][0]["code"] == "DENIED"
    assert mirror.client.ask("POST", "/v2/alice/app/blobs/uploads/").status == 403


def test_DST_037_deleted_tag_is_fetched_again(origin: FakeRegistry, mirror: MirrorOf) -> None:
    image = origin.add_image("alice/app:1.0", api="v2")
    mirror.pull("alice/app", "1.0")
    assert mirror.client.delete_manifest("alice/app", "1.0").status == 202
    assert mirror.client.get_manifest("alice/app", "1.0").body == image.document


def test_only_repositories_of_the_patterns_are_fetched(origin: FakeRegistry) -> None:
    origin.add_image("alice/app:1.0", api="v2")
    origin.add_image("busybox:1.0", api="v2")
    mirror = MirrorOf(origin, mirror_repositories="busy* bob/*")
    assert mirror.client.get_manifest("busybox", "1.0").status == 200
    assert mirror.client.get_manifest("alice/app", "1.0").status == 404
    assert mirror.asked("/v2/alice/*") == 0


# -- referrers


def referrers_of(mirror: MirrorOf, digest: str) -> list[str]:
    answer = mirror.client.get(f"/v2/alice/app/referrers/{digest}")
    assert answer.status == 200, answer
    return [entry["digest"] for entry in json.loads(answer.body)["manifests"]]


def test_DST_036_referrers_of_the_origin_are_listed(origin: FakeRegistry, mirror: MirrorOf) -> None:
    image = origin.add_image("alice/app:1.0", api="v2")
    signature = origin.add_artifact("alice/app", artifact_type="application/x.signature", subject=image)
    mirror.pull("alice/app", "1.0")
    assert referrers_of(mirror, image.digest) == [signature.digest]
    assert mirror.client.get_manifest("alice/app", signature.digest).body == signature.document
    asked = mirror.asked()
    assert referrers_of(mirror, image.digest) == [signature.digest]
    assert mirror.asked() == asked
    with origin.fail(refuse_connection=True):
        mirror.clock.advance(61)
        assert referrers_of(mirror, image.digest) == [signature.digest]


def test_DST_036_referrers_of_an_origin_without_the_list(origin: FakeRegistry, mirror: MirrorOf) -> None:
    image = origin.add_image("alice/app:1.0", api="v2")
    signature = origin.add_artifact("alice/app", artifact_type="application/x.signature", subject=image)
    origin.add_index(f"alice/app:{image.digest.replace(':', '-')}", {"linux/amd64": signature})
    mirror.pull("alice/app", "1.0")
    with origin.fail("GET", "*/referrers/*", status=404):
        assert referrers_of(mirror, image.digest) == [signature.digest]
