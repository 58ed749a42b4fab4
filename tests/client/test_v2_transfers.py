"""Push and pull by the distribution API, at a small registry whose answers can be spoiled."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.archives import layer_sums, make_layer, make_manifest_archive, members
from support.small_v2 import Reply, SmallV2, image_of
from v1registry_fakes.server import LiveServer

from v1registry.archives.documents import DOCKER_MANIFEST, OCI_INDEX
from v1registry.client import (
    ApiNotOffered,
    BadReference,
    Client,
    NotFoundInRegistry,
    ProtocolError,
    TransferFailed,
)


@pytest.fixture
def small() -> SmallV2:
    return SmallV2()


@pytest.fixture
def server(small: SmallV2, serve: Callable[..., LiveServer]) -> LiveServer:
    return serve(small)


@pytest.fixture
def client(connect: Callable[..., Client]) -> Client:
    return connect(api="auto")


HISTORY = [{"created_by": "one"}, {"created_by": "ENV a=b", "empty_layer": True}, {"created_by": "two"}]


@pytest.fixture
def today(tmp_path: Path) -> Path:
    """An archive of today's engines with two layers, the second one of 300 kB."""
    layers = [gzip.compress(make_layer("a")), make_layer("b", 300_000)]
    make_manifest_archive(tmp_path / "today.tar", layers, history=HISTORY)
    return tmp_path / "today.tar"


def config_of(archive: Path) -> bytes:
    found = members(archive)
    (entry,) = json.loads(found["manifest.json"])
    return found[entry["Config"]]


class TestRoundTrips:
    def test_config_and_history_survive(self, client: Client, reference: str, today: Path) -> None:
        pushed = client.push(today, reference)
        pulled = client.pull(reference, today.with_name("pulled.tar"))

        assert config_of(today.with_name("pulled.tar")) == config_of(today)
        assert pulled.engine_image_id == f"sha256:{hashlib.sha256(config_of(today)).hexdigest()}"
        assert pulled.digest == pushed.digest
        assert (len(pushed.pushed), len(pulled.image_ids)) == (3, 2)

    def test_second_push_sends_nothing(self, client: Client, reference: str, today: Path) -> None:
        client.push(today, reference)
        client.pull(reference, today.with_name("pulled.tar"))

        again = client.push(today, reference)
        assert (again.pushed, len(again.skipped), again.sent_bytes) == ((), 3, 0)

    def test_archive_of_old_engines_gets_the_config_of_new_ones(
        self, client: Client, reference: str, archive: Path, small: SmallV2, tmp_path: Path
    ) -> None:
        client.push(archive, reference)

        _, manifest = small.manifests["foo/bar", "v1"]
        assert small.blobs[json.loads(manifest)["config"]["digest"]] == config_of(archive)
        client.pull(reference, tmp_path / "pulled.tar")
        assert sorted(layer_sums(tmp_path / "pulled.tar").values()) == sorted(layer_sums(archive).values())

    def test_pulled_archive_is_pushed_by_v1_with_ids_of_the_config(
        self, client: Client, reference: str, today: Path, serve: Callable[..., LiveServer], script: Any
    ) -> None:
        client.push(today, reference)
        client.pull(reference, today.with_name("pulled.tar"))
        old = serve(script)
        with Client(f"http://{old.host}", api="v1") as other:
            one = other.push(today, f"{old.host}/foo/one")
            two = other.push(today.with_name("pulled.tar"), f"{old.host}/foo/two")
        assert one.image_id == two.image_id
        assert (len(one.pushed), len(two.pushed)) == (2, 0)

    def test_image_without_layers_survives(self, client: Client, reference: str, tmp_path: Path) -> None:
        make_manifest_archive(tmp_path / "empty.tar", [])
        client.push(tmp_path / "empty.tar", reference)

        client.pull(reference, tmp_path / "pulled.tar")
        assert config_of(tmp_path / "pulled.tar") == config_of(tmp_path / "empty.tar")

    def test_name_is_sent_as_written(
        self, client: Client, server: LiveServer, small: SmallV2, today: Path
    ) -> None:
        client.push(today, f"{server.host}/busybox")
        assert ("busybox", "latest") in small.manifests

    def test_blob_of_an_earlier_push_is_mounted(
        self, client: Client, server: LiveServer, small: SmallV2, today: Path
    ) -> None:
        client.push(today, f"{server.host}/foo/one")
        for _ in range(3):
            small.when("HEAD", "/v2/foo/two/blobs/.*", lambda reply: Reply(404))
        assert client.push(today, f"{server.host}/foo/two").sent_bytes == 0


class TestChoiceOfTheApi:
    def test_registry_without_v2_is_used_by_v1(
        self, connect: Callable[..., Client], small: SmallV2, reference: str, tmp_path: Path
    ) -> None:
        small.when("GET", "/v2/", lambda reply: Reply(404))
        told: list[str] = []
        with pytest.raises(NotFoundInRegistry, match="no repository"):
            connect(api="auto", notify=told.append).pull(reference, tmp_path / "x.tar")
        assert told == []
        assert small.requests("GET", "/v1/.*")

    def test_registry_with_the_ping_alone_is_used_by_v1_and_one_line_says_so(
        self, connect: Callable[..., Client], small: SmallV2, reference: str, tmp_path: Path
    ) -> None:
        small.when("GET", "/v2/foo/bar/manifests/v1", lambda reply: Reply.failure(404, "UNSUPPORTED"))
        told: list[str] = []
        with pytest.raises(NotFoundInRegistry, match="no repository"):
            connect(api="auto", notify=told.append).pull(reference, tmp_path / "x.tar")
        (line,) = told
        assert line.endswith("offers only the ping of the distribution API (v2): v1 is used")

    def test_v2_that_takes_no_pushes_is_left_for_v1(
        self, connect: Callable[..., Client], small: SmallV2, reference: str, today: Path
    ) -> None:
        for _ in range(3):
            small.when("POST", ".*/uploads/", lambda reply: Reply.failure(405, "UNSUPPORTED"))
        told: list[str] = []
        with pytest.raises(ProtocolError, match="v1 registry"):
            connect(api="auto", notify=told.append).push(today, reference)
        assert "accepts no pushes" in told[0]

    def test_missing_v2_is_refused_if_it_was_asked_for(
        self, connect: Callable[..., Client], small: SmallV2, reference: str, tmp_path: Path
    ) -> None:
        small.when("GET", "/v2/", lambda reply: Reply(404))
        with pytest.raises(ApiNotOffered, match="--api v1"):
            connect(api="v2").pull(reference, tmp_path / "x.tar")

    def test_name_with_capitals_is_refused_by_v2(
        self, connect: Callable[..., Client], server: LiveServer, tmp_path: Path
    ) -> None:
        with pytest.raises(BadReference, match="lower-case"):
            connect(api="v2").pull(f"{server.host}/foo/Bar", tmp_path / "x.tar")

    def test_invalid_api_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="auto, v1 or v2"):
            Client("localhost", api="v3")  # type: ignore[arg-type]


class TestInterruptions:
    def test_upload_continues_at_the_offset_of_the_registry(
        self, client: Client, reference: str, today: Path, small: SmallV2
    ) -> None:
        small.cut_after = [100_000, 100_000]
        pushed = client.push(today, reference)

        assert len(pushed.pushed) == 3
        parts = [seen.headers.get("content-range", "") for seen in small.requests("PATCH")]
        assert any(part.startswith("100000-") for part in parts)
        assert client.pull(reference, today.with_name("pulled.tar")).digest == pushed.digest

    def test_lost_upload_begins_again(
        self, client: Client, reference: str, today: Path, small: SmallV2
    ) -> None:
        small.when("PUT", ".*/uploads/.*", lambda reply: Reply.failure(404, "BLOB_UPLOAD_UNKNOWN"))
        assert len(client.push(today, reference).pushed) == 3

    def test_upload_without_progress_fails(
        self, client: Client, reference: str, today: Path, small: SmallV2
    ) -> None:
        for _ in range(30):
            small.when("PATCH", ".*", lambda reply: Reply(503))
            small.when("GET", ".*/uploads/.*", lambda reply: Reply(404))
        with pytest.raises(TransferFailed, match="push again"):
            client.push(today, reference)
        assert ("foo/bar", "v1") not in small.manifests

    def test_download_continues_with_a_range(
        self, client: Client, reference: str, tmp_path: Path, small: SmallV2
    ) -> None:
        layer = os.urandom(300_000)
        image_of(small, "foo/bar", layer)
        small.when("GET", "/v2/foo/bar/blobs/.*", lambda reply: reply)  # the config
        small.when(
            "GET",
            "/v2/foo/bar/blobs/.*",
            lambda reply: Reply(
                200, {"Content-Length": str(len(reply.body)), "Connection": "close"}, reply.body[:200_000]
            ),
        )
        pulled = client.pull(reference, tmp_path / "pulled.tar")
        assert pulled.fetched_bytes < 2 * len(layer)
        assert [
            seen.headers["range"].partition("-")[0]
            for seen in small.requests("GET")
            if "range" in seen.headers
        ] == ["bytes=131072"]

    def test_manifest_in_the_making_is_waited_for(
        self, client: Client, reference: str, tmp_path: Path, small: SmallV2, pauses: list[float]
    ) -> None:
        image_of(small, "foo/bar", make_layer("a"))
        for _ in range(5):
            small.when("GET", ".*/manifests/v1", lambda reply: Reply(503, {"Retry-After": "7"}))
        client.pull(reference, tmp_path / "pulled.tar")
        assert 7 in pauses


class TestPlatforms:
    @pytest.fixture
    def index(self, small: SmallV2) -> dict[str, str]:
        """The tag v1 is an index of two platforms; the digests of its manifests by architecture."""
        digests = {
            name: image_of(small, "foo/bar", make_layer(name), place=name, architecture=name)
            for name in ("amd64", "s390x")
        }
        entries = [
            {
                "mediaType": DOCKER_MANIFEST,
                "digest": digest,
                "size": len(small.manifests["foo/bar", digest][1]),
                "platform": {"os": "linux", "architecture": name},
            }
            for name, digest in digests.items()
        ]
        small.add_manifest("foo/bar", "v1", OCI_INDEX, {"schemaVersion": 2, "manifests": entries})
        return digests

    def test_named_platform_is_pulled(
        self, client: Client, reference: str, tmp_path: Path, index: dict[str, str]
    ) -> None:
        pulled = client.pull(reference, tmp_path / "x.tar", platform="linux/s390x")
        assert pulled.digest == index["s390x"]

    @pytest.mark.usefixtures("index")
    def test_missing_platform_is_reported_with_the_others(
        self, client: Client, reference: str, tmp_path: Path
    ) -> None:
        with pytest.raises(NotFoundInRegistry, match="but for: linux/amd64, linux/s390x"):
            client.pull(reference, tmp_path / "x.tar", platform="windows/amd64")

    def test_image_of_another_platform_is_refused(
        self, client: Client, reference: str, tmp_path: Path, small: SmallV2
    ) -> None:
        image_of(small, "foo/bar", make_layer("a"))
        with pytest.raises(NotFoundInRegistry, match="not for linux/arm64, but for linux/amd64"):
            client.pull(reference, tmp_path / "x.tar", platform="linux/arm64")
