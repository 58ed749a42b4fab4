"""Push and pull by the distribution API at hostile registries, and at those that ask for tokens."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.archives import make_layer, make_manifest_archive
from support.small_v2 import Reply, SmallV2, image_of
from v1registry_fakes.server import LiveServer

from v1registry.archives.documents import DOCKER_LIST, DOCKER_MANIFEST
from v1registry.client import (
    Client,
    NotAuthorized,
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


@pytest.fixture
def today(tmp_path: Path) -> Path:
    """An archive of today's engines with two layers."""
    layers = [gzip.compress(make_layer("a")), make_layer("b", 300_000)]
    make_manifest_archive(tmp_path / "today.tar", layers)
    return tmp_path / "today.tar"


class TestHostileRegistries:
    def test_wrong_manifest_is_refused(
        self, client: Client, reference: str, tmp_path: Path, small: SmallV2
    ) -> None:
        image_of(small, "foo/bar", make_layer("a"))
        wrong = f"sha256:{'0' * 64}"
        small.when(
            "GET",
            ".*/manifests/v1",
            lambda reply: Reply(200, reply.headers | {"Docker-Content-Digest": wrong}, reply.body),
        )
        with pytest.raises(ProtocolError, match="with the digest"):
            client.pull(reference, tmp_path / "x.tar")

    def test_wrong_blob_is_refused(
        self, client: Client, reference: str, tmp_path: Path, small: SmallV2
    ) -> None:
        image_of(small, "foo/bar", make_layer("a"))
        for digest, data in small.blobs.items():
            small.blobs[digest] = data[:-1] + b"?"
        with pytest.raises(ProtocolError, match="with the digest"):
            client.pull(reference, tmp_path / "x.tar")

    def test_wrong_layer_is_refused(
        self, client: Client, reference: str, tmp_path: Path, small: SmallV2
    ) -> None:
        image_of(small, "foo/bar", make_layer("a"))
        layer = next(digest for digest, data in small.blobs.items() if data[:1] == b"\x1f")
        small.blobs[layer] = small.blobs[layer][:-1] + b"?"
        with pytest.raises(TransferFailed, match="checksum"):
            client.pull(reference, tmp_path / "x.tar")

    def test_layer_with_another_diff_id_is_refused(
        self, client: Client, reference: str, tmp_path: Path, small: SmallV2
    ) -> None:
        rootfs = {"type": "layers", "diff_ids": [f"sha256:{'0' * 64}"]}
        image_of(small, "foo/bar", make_layer("a"), rootfs=rootfs)
        with pytest.raises(ProtocolError, match="diff id"):
            client.pull(reference, tmp_path / "x.tar")

    def test_endless_indexes_are_refused(
        self, client: Client, reference: str, tmp_path: Path, small: SmallV2
    ) -> None:
        digest = image_of(small, "foo/bar", make_layer("a"))
        for number in range(6):
            size = len(small.manifests["foo/bar", digest][1])
            entry = {"mediaType": DOCKER_LIST, "digest": digest, "size": size}
            index = {"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [entry], "n": number}
            digest = small.add_manifest("foo/bar", "v1", DOCKER_LIST, index)
        with pytest.raises(ProtocolError, match="nested"):
            client.pull(reference, tmp_path / "x.tar")
        with pytest.raises(ProtocolError, match="nested"):
            client.pull_layout(reference, tmp_path / "layout", all_platforms=True)

    @pytest.mark.parametrize(
        ("document", "problem"),
        [
            (b"[]", "must be a JSON object"),
            (b"{", "not JSON"),
            (b'{"schemaVersion": 1}', "schema 1"),
            (json.dumps({"mediaType": DOCKER_MANIFEST, "config": {}, "layers": []}).encode(), "mediaType"),
            (json.dumps({"mediaType": DOCKER_LIST, "manifests": [], "layers": []}).encode(), "one document"),
            (json.dumps({"mediaType": DOCKER_LIST, "manifests": [{}] * 1001}).encode(), "at most 1000"),
            (b"[" * 100_000, "not JSON"),
        ],
        ids=range(7),
    )
    def test_invalid_manifest_is_refused(
        self, client: Client, reference: str, tmp_path: Path, small: SmallV2, document: bytes, problem: str
    ) -> None:
        small.add_manifest("foo/bar", "v1", "text/plain", document)
        with pytest.raises(ProtocolError, match=problem):
            client.pull(reference, tmp_path / "x.tar")

    def test_layer_that_is_larger_than_announced_is_cut(
        self, client: Client, reference: str, tmp_path: Path, small: SmallV2
    ) -> None:
        image_of(small, "foo/bar", make_layer("a"))
        layer = next(digest for digest, data in small.blobs.items() if data[:1] == b"\x1f")
        small.blobs[layer] += bytes(1_000_000)
        with pytest.raises(TransferFailed, match="larger than"):
            client.pull(reference, tmp_path / "x.tar")

    def test_upload_that_stores_another_manifest_is_an_error(
        self, client: Client, reference: str, today: Path, small: SmallV2
    ) -> None:
        wrong = f"sha256:{'0' * 64}"
        small.when("PUT", ".*/manifests/.*", lambda reply: Reply(201, {"Docker-Content-Digest": wrong}))
        with pytest.raises(ProtocolError, match="not the one sent"):
            client.push(today, reference)


class TestAuthentication:
    @pytest.fixture
    def guarded(self, small: SmallV2, server: LiveServer) -> SmallV2:
        """A registry with tokens, and an image in it."""
        image_of(small, "foo/bar", make_layer("a"))
        small.token = "t0ken"
        small.challenge = f'Bearer realm="{server.url}/token",service="s",scope="repository:foo/bar:pull"'
        return small

    def test_token_is_fetched_with_the_password(
        self, connect: Callable[..., Client], guarded: SmallV2, reference: str, tmp_path: Path
    ) -> None:
        connect(api="auto", username="ada", password="secret").pull(reference, tmp_path / "x.tar")

        (asked,) = guarded.requests("GET", "/token")
        assert asked.headers["authorization"].startswith("Basic ")
        others = [seen for seen in guarded.seen if seen.path not in ("/token", "/v2/")]
        assert {seen.headers["authorization"] for seen in others} == {"Bearer t0ken"}

    def test_token_is_fetched_without_a_password_too(
        self, connect: Callable[..., Client], guarded: SmallV2, reference: str, tmp_path: Path
    ) -> None:
        connect(api="auto").pull(reference, tmp_path / "x.tar")
        (asked,) = guarded.requests("GET", "/token")
        assert "authorization" not in asked.headers

    def test_password_is_not_sent_to_another_host_over_http(
        self, connect: Callable[..., Client], guarded: SmallV2, reference: str, tmp_path: Path
    ) -> None:
        guarded.challenge = guarded.challenge.replace("127.0.0.1", "localhost")
        with pytest.raises(NotAuthorized, match="not sent there"):
            connect(api="auto", username="ada", password="secret").pull(reference, tmp_path / "x.tar")
        assert not guarded.requests("GET", "/token")

    @pytest.mark.parametrize("realm", ["", "file:///etc/passwd", "https://[", "gopher://a/"])
    def test_invalid_token_endpoint_is_refused(
        self, connect: Callable[..., Client], guarded: SmallV2, reference: str, tmp_path: Path, realm: str
    ) -> None:
        guarded.challenge = f'Bearer realm="{realm}"'
        with pytest.raises(ProtocolError, match="token endpoint that is not a URL"):
            connect(api="auto").pull(reference, tmp_path / "x.tar")

    def test_useless_token_ends_in_one_error(
        self, connect: Callable[..., Client], guarded: SmallV2, reference: str, tmp_path: Path
    ) -> None:
        guarded.when("GET", "/token", lambda reply: Reply(200, body=b'{"token": "another"}'))
        for _ in range(3):
            guarded.when(
                "GET", ".*/manifests/.*", lambda reply: Reply(401, {"WWW-Authenticate": guarded.challenge})
            )
        with pytest.raises(NotAuthorized, match="without valid credentials"):
            connect(api="auto").pull(reference, tmp_path / "x.tar")

    @pytest.mark.parametrize("body", [b"{}", b"[]", b'{"token": "a\\nb"}', b'{"token": 5}'])
    def test_invalid_token_is_refused(
        self, connect: Callable[..., Client], guarded: SmallV2, reference: str, tmp_path: Path, body: bytes
    ) -> None:
        guarded.when("GET", "/token", lambda reply: Reply(200, body=body))
        with pytest.raises(ProtocolError, match="must answer a token"):
            connect(api="auto").pull(reference, tmp_path / "x.tar")

    def test_target_of_a_redirect_gets_no_token(
        self,
        connect: Callable[..., Client],
        guarded: SmallV2,
        reference: str,
        tmp_path: Path,
        serve: Callable[..., LiveServer],
    ) -> None:
        store = SmallV2()
        store.blobs = dict(guarded.blobs)
        elsewhere = serve(store)
        for digest in guarded.blobs:
            target = f"{elsewhere.url}/v2/foo/bar/blobs/{digest}"
            guarded.when("GET", f".*/blobs/{digest}", lambda reply, url=target: Reply(307, {"Location": url}))  # type: ignore[misc]
        connect(api="auto", username="ada", password="secret").pull(reference, tmp_path / "x.tar")
        assert len(store.seen) == 2
        assert not any("authorization" in seen.headers for seen in store.seen)
