"""A mirror of an origin that fails: down, slow, broken, wrong (DST-040 to DST-042)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.mirrored import MirrorOf, blobs_of, large, whole_of
from support.wsgi_client import Answer, Client, call
from v1registry_fakes import FakeManifest, FakeRegistry

from v1registry import FileStorage


@pytest.fixture
def origin() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def mirror(origin: FakeRegistry) -> MirrorOf:
    return MirrorOf(origin)


def layer_of(origin: FakeRegistry, image: FakeManifest) -> tuple[str, bytes]:
    """Return digest and bytes of the only layer."""
    return list(blobs_of(origin, image).items())[1]


def code_of(answer: Answer) -> tuple[int, str]:
    (error,) = json.loads(answer.body)["errors"]
    return answer.status, error["code"]


def blobs_stored(mirror: MirrorOf) -> list[str]:
    """Return the keys of layers and blobs, and of what is on its way."""
    return [stat.key for prefix in ("blobs/", "images/", "uploads/") for stat in mirror.storage.list(prefix)]


# -- down


def test_DST_040_origin_that_is_down_is_not_needed(origin: FakeRegistry, mirror: MirrorOf) -> None:
    image = origin.add_image("alice/app:1.0", api="v2")
    mirror.pull("alice/app", "1.0")
    mirror.clock.advance(3600)
    with origin.fail(refuse_connection=True):
        assert mirror.pull("alice/app", "1.0") == blobs_of(origin, image)
        assert mirror.client.tags("alice/app") == ["1.0"]


@pytest.mark.parametrize("fault", [{"refuse_connection": True}, {"status": 503}, {"status": 500}])
def test_DST_040_what_is_missing_is_503_while_the_origin_is_down(
    origin: FakeRegistry, mirror: MirrorOf, fault: dict[str, Any]
) -> None:
    image = origin.add_image("alice/app:1.0", api="v2")
    with origin.fail(**fault):
        answer = mirror.client.get_manifest("alice/app", "1.0")
        assert code_of(answer) == (503, "UNAVAILABLE")
        assert 0 < int(answer.header("Retry-After") or "") <= 60
        assert mirror.client.get("/v2/alice/app/tags/list").status == 503
        assert Client(mirror.app).get("/v1/repositories/alice/app/tags/1.0").status_int == 503
    mirror.clock.advance(61)
    assert mirror.client.get_manifest("alice/app", "1.0").body == image.document


def test_DST_040_silent_origin_is_not_asked_again_at_once(origin: FakeRegistry, mirror: MirrorOf) -> None:
    origin.add_image("alice/app:1.0", api="v2")
    with origin.fail(refuse_connection=True) as fault:
        mirror.client.get_manifest("alice/app", "1.0")
        tried = fault.count
        assert mirror.client.get_manifest("alice/app", "1.0").status == 503
        assert fault.count == tried


def test_DST_040_origin_that_answers_429_is_left_alone(origin: FakeRegistry, mirror: MirrorOf) -> None:
    image = origin.add_image("alice/app:1.0", api="v2")
    with origin.fail("GET", "*/manifests/*", status=429, retry_after_s=40) as fault:
        answer = mirror.client.get_manifest("alice/app", "1.0")
        assert (answer.status, answer.header("Retry-After")) == (503, "40")
        tried = fault.count
    mirror.clock.advance(30)
    assert mirror.client.get_manifest("alice/app", "1.0").status == 503
    assert fault.count == tried
    mirror.clock.advance(11)
    assert mirror.client.get_manifest("alice/app", "1.0").body == image.document


def test_DST_040_slow_answer_is_503_and_comes_later(origin: FakeRegistry) -> None:
    mirror = MirrorOf(origin, mirror_wait_s=1)
    image = origin.add_image("alice/app:1.0", api="v2")
    with origin.fail("GET", "*/manifests/*", delay_s=30, times=1) as fault:
        answer = mirror.client.get_manifest("alice/app", "1.0")
        assert code_of(answer) == (503, "UNAVAILABLE")
        assert answer.header("Retry-After") == "10"
        fault.undo()
    assert mirror.client.get_manifest("alice/app", "1.0").body == image.document


# -- broken and wrong


@pytest.mark.parametrize("fault", [{"cut_after_bytes": 10_000}, {"corrupt_byte": 1000}, {"corrupt_byte": -1}])
def test_DST_041_bad_blob_cuts_the_connection_and_is_not_kept(
    origin: FakeRegistry, mirror: MirrorOf, fault: dict[str, Any]
) -> None:
    image = origin.add_image("alice/app:1.0", files={"data": large()}, api="v2")
    digest, data = layer_of(origin, image)
    mirror.client.get_manifest("alice/app", "1.0")
    kept = blobs_stored(mirror)
    with origin.fail("GET", "*/blobs/*", **fault):
        assert whole_of(lambda: mirror.blob("alice/app", digest)) is None
    assert blobs_stored(mirror) == kept
    assert mirror.blob("alice/app", digest).body == data


def test_DST_041_blob_that_breaks_off_goes_on(origin: FakeRegistry, mirror: MirrorOf) -> None:
    image = origin.add_image("alice/app:1.0", files={"data": large()}, api="v2")
    digest, data = layer_of(origin, image)
    with origin.fail("GET", "*/blobs/*", cut_after_bytes=200_000, times=1):
        assert whole_of(lambda: mirror.blob("alice/app", digest)) == data
    ranges = [request.headers.get("Range") for request in origin.requests.matching("GET", "*/blobs/*")]
    assert len(ranges) == 2
    assert str(ranges[1]).startswith("bytes=")


def test_DST_041_rest_of_a_different_blob_is_not_kept(origin: FakeRegistry, mirror: MirrorOf) -> None:
    image = origin.add_image("alice/app:1.0", files={"data": large()}, api="v2")
    digest, data = layer_of(origin, image)
    with (
        origin.fail("GET", "*/blobs/*", cut_after_bytes=200_000, times=1),
        origin.fail("GET", "*/blobs/*", corrupt_byte=5, after=1),
    ):
        assert whole_of(lambda: mirror.blob("alice/app", digest)) is None
    assert mirror.blob("alice/app", digest).body == data


@pytest.mark.parametrize(
    "fault", [{"cut_after_bytes": 100_000}, {"corrupt_byte": 1000}, {"corrupt_byte": -1}]
)
def test_DST_041_bad_layer_of_v1_cuts_the_connection_and_is_not_kept(fault: dict[str, Any]) -> None:
    with FakeRegistry(v2="absent") as origin:
        image = origin.add_image("alice/app:1.0", files={"data": large()})
        mirror = MirrorOf(origin)
        client = Client(mirror.app)
        assert client.get("/v1/repositories/alice/app/tags/1.0").json == image.id
        with origin.fail("GET", "*/layer", **fault):
            assert whole_of(lambda: call(client.app, "GET", f"/v1/images/{image.id}/layer")) is None
        assert blobs_stored(mirror) == []
        assert client.get(f"/v1/images/{image.id}/layer").body == image.layer


@pytest.mark.parametrize(
    "fault",
    [
        {"corrupt_byte": 20},
        {"wrong_checksum": True},
        {"body": "no JSON"},
        {"body": json.dumps({"schemaVersion": 1, "fsLayers": []})},
        {"body": b"[" * 100_000},
        {"body": b" " * (5 << 20)},
        {"redirect": "ftp://example.com/"},
        {"status": 302},
    ],
)
def test_DST_041_bad_manifest_is_502_and_not_kept(
    origin: FakeRegistry, mirror: MirrorOf, fault: dict[str, Any]
) -> None:
    image = origin.add_image("alice/app:1.0", api="v2")
    with origin.fail("GET", "*/manifests/*", **fault):
        assert code_of(mirror.client.get_manifest("alice/app", "1.0")) == (502, "UNAVAILABLE")
    assert blobs_stored(mirror) == []
    assert mirror.client.get_manifest("alice/app", "1.0").body == image.document


def test_DST_041_bad_answer_leaves_what_is_here(origin: FakeRegistry, mirror: MirrorOf) -> None:
    image = origin.add_image("alice/app:1.0", files={"a": "1"}, api="v2")
    mirror.pull("alice/app", "1.0")
    origin.add_image("alice/app:1.0", files={"a": "2"}, api="v2")
    mirror.clock.advance(61)
    with origin.fail("GET", "*/manifests/*", body="no JSON"):
        assert mirror.pull("alice/app", "1.0") == blobs_of(origin, image)


def test_DST_041_blob_beyond_the_limit_is_not_fetched(origin: FakeRegistry) -> None:
    mirror = MirrorOf(origin, max_mirror_blob_bytes="100k")
    image = origin.add_image("alice/app:1.0", files={"data": large()}, api="v2")
    digest, _ = layer_of(origin, image)
    assert code_of(mirror.blob("alice/app", digest)) == (502, "UNAVAILABLE")
    assert blobs_stored(mirror) == []


@pytest.mark.parametrize("answer", [b"[]", b'"x"', b"{", b'["0000000000000000"]', b"[1]"])
def test_DST_041_bad_ancestry_of_v1_is_502(answer: bytes) -> None:
    with FakeRegistry(v2="absent") as origin:
        image = origin.add_image("alice/app:1.0", layers=2)
        client = Client(MirrorOf(origin).app)
        with origin.fail("GET", "*/ancestry", body=answer):
            assert client.get("/v1/repositories/alice/app/tags/1.0").status_int == 502
        assert client.get("/v1/repositories/alice/app/tags/1.0").json == image.id


# -- many clients


def test_DST_042_many_clients_cause_one_fetch(origin: FakeRegistry, mirror: MirrorOf) -> None:
    image = origin.add_image("alice/app:1.0", files={"data": large()}, layers=2, api="v2")
    with origin.fail("GET", "*/blobs/*", bytes_per_second=1_000_000), ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: mirror.pull("alice/app", "1.0"), range(16)))
    assert found == [blobs_of(origin, image)] * 16
    paths = [request.path for request in origin.requests.matching("GET", "/v2/alice/*")]
    assert len(paths) == len(set(paths))


def test_DST_042_many_clients_of_v1_cause_one_fetch() -> None:
    with FakeRegistry(v2="absent") as origin:
        image = origin.add_image("alice/app:1.0", files={"data": large()})
        client = Client(MirrorOf(origin).app)
        client.get("/v1/repositories/alice/app/tags/1.0")
        app = client.app
        with origin.fail("GET", "*/layer", bytes_per_second=1_000_000), ThreadPoolExecutor(16) as pool:
            answers = pool.map(lambda _: Client(app).get(f"/v1/images/{image.id}/layer").body, range(16))
            assert list(answers) == [image.layer] * 16
        assert len(origin.requests.matching("GET", "*/layer")) == 1


def test_DST_042_all_clients_of_a_broken_fetch_are_cut(origin: FakeRegistry, mirror: MirrorOf) -> None:
    image = origin.add_image("alice/app:1.0", files={"data": large()}, api="v2")
    digest, data = layer_of(origin, image)
    together = threading.Barrier(8)

    def ask(_: int) -> bytes | None:
        together.wait(20)
        return whole_of(lambda: mirror.blob("alice/app", digest))

    fault = origin.fail("GET", "*/blobs/*", corrupt_byte=200_000, bytes_per_second=1_000_000)
    with fault, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [None] * 8
    assert mirror.blob("alice/app", digest).body == data


def test_full_disk_cuts_the_pull_and_keeps_nothing(origin: FakeRegistry, tmp_path: Any) -> None:
    class Full(FileStorage):
        is_full = True

        def write(self, key: str, data: Any, **options: Any) -> Any:
            if self.is_full and "/whole/" in key:
                next(iter(data))
                raise OSError(28, "No space left on device")
            return super().write(key, data, **options)

    storage = Full(tmp_path, durable=False)
    mirror = MirrorOf(origin, storage)
    image = origin.add_image("alice/app:1.0", files={"data": large()}, api="v2")
    digest, data = layer_of(origin, image)
    assert whole_of(lambda: mirror.blob("alice/app", digest)) is None
    storage.is_full = False
    assert mirror.blob("alice/app", digest).body == data
