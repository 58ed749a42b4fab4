"""Pulls by digest: the digest is checked, and the archive has the name of the tag if there is one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.archives import members
from support.small_v2 import Reply, SmallV2
from v1registry_fakes import FakeManifest, FakeRegistry, LiveServer

from v1registry.cli.exits import NOT_FOUND, USAGE
from v1registry.cli.main import main
from v1registry.client import (
    ApiNotOffered,
    BadReference,
    Client,
    NotFoundInRegistry,
    ProtocolError,
    Reference,
)
from v1registry.names import Digest

ABSENT = f"sha256:{'0' * 64}"


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def client(registry: FakeRegistry) -> Iterator[Client]:
    with Client(registry.url) as client:
        yield client


@pytest.fixture
def image(registry: FakeRegistry) -> FakeManifest:
    """The image that the tag 1 had; the tag has another one now."""
    first = registry.add_image("foo/bar:1", files={"a": "first"}, api="v2")
    registry.add_image("foo/bar:1", files={"a": "second"}, api="v2")
    return first


def names_in(archive: Path) -> list[str] | None:
    (entry,) = json.loads(members(archive)["manifest.json"])
    found: list[str] | None = entry["RepoTags"]
    return found


@pytest.mark.parametrize("tag", ["", ":1"])
def test_digest_counts_before_the_tag(
    registry: FakeRegistry, client: Client, image: FakeManifest, tmp_path: Path, tag: str
) -> None:
    reference = f"{registry.host}/foo/bar{tag}@{image.digest}"
    pulled = client.pull(reference, tmp_path / "image.tar")
    assert (pulled.digest, str(pulled.reference)) == (image.digest, reference)
    (entry,) = json.loads(members(tmp_path / "image.tar")["manifest.json"])
    assert members(tmp_path / "image.tar")[entry["Config"]] == registry.blobs[image.json["config"]["digest"]]
    assert (names_in(tmp_path / "image.tar") or []) == ([f"{registry.host}/foo/bar:1"] if tag else [])


def test_archive_without_a_name_is_pushed(
    registry: FakeRegistry, client: Client, image: FakeManifest, tmp_path: Path
) -> None:
    client.pull(f"{registry.host}/foo/bar@{image.digest}", tmp_path / "image.tar")
    client.push(tmp_path / "image.tar", f"{registry.host}/foo/copy:1")
    pushed = registry.manifest("foo/copy:1")
    assert pushed.json["config"]["digest"] == image.json["config"]["digest"]


def test_layout_has_the_digest_as_name(
    registry: FakeRegistry, client: Client, image: FakeManifest, tmp_path: Path
) -> None:
    client.pull_layout(f"{registry.host}/foo/bar@{image.digest}", tmp_path / "layout")
    (entry,) = json.loads((tmp_path / "layout" / "index.json").read_text())["manifests"]
    assert entry["digest"] == image.digest
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": image.digest}
    client.push(tmp_path / "layout", f"{registry.host}/foo/copy:1")
    assert registry.manifest("foo/copy:1").digest == image.digest


def test_index_by_digest_is_pulled_for_a_platform(
    registry: FakeRegistry, client: Client, image: FakeManifest, tmp_path: Path
) -> None:
    other = registry.add_image("foo/bar:arm", files={"a": "arm"}, api="v2")
    index = registry.add_index("foo/bar:all", {"linux/amd64": image, "linux/arm64": other})
    reference = f"{registry.host}/foo/bar@{index.digest}"
    pulled = client.pull(reference, tmp_path / "image.tar", platform="linux/amd64")
    assert pulled.digest == image.digest
    assert client.pull_layout(reference, tmp_path / "layout", all_platforms=True).digest == index.digest


def test_image_of_v1_is_pulled_by_the_digest_of_its_tag(
    registry: FakeRegistry, client: Client, tmp_path: Path
) -> None:
    old = registry.add_image("foo/old:1", files={"a": "old"})
    digest = client.pull(f"{registry.host}/foo/old:1", tmp_path / "tag.tar").digest
    pulled = client.pull(f"{registry.host}/foo/old@{digest}", tmp_path / "digest.tar")
    assert (pulled.digest, registry.image("foo/old:1").id) == (digest, old.id)


def test_missing_digest_is_reported(registry: FakeRegistry, client: Client, tmp_path: Path) -> None:
    registry.add_image("foo/bar:1", api="v2")
    reference = f"{registry.host}/foo/bar@{ABSENT}"
    with pytest.raises(NotFoundInRegistry, match=f"has no manifest {ABSENT}; it has 1"):
        client.pull(reference, tmp_path / "image.tar")
    assert main(["pull", reference, "-o", str(tmp_path / "image.tar")]) == NOT_FOUND


def test_answer_with_another_digest_is_refused(tmp_path: Path) -> None:
    small = SmallV2()
    with LiveServer(small) as server:
        config = json.dumps({"rootfs": {"type": "layers", "diff_ids": []}}).encode()
        manifest = json.dumps({"schemaVersion": 2, "config": {}, "layers": []}).encode()
        digest = str(Digest.of(manifest))
        changed = manifest.replace(b"2", b"2 ") + config
        small.when("GET", r".*/manifests/.*", lambda reply: Reply(200, {}, changed))
        with Client(server.url, attempts=1) as client, pytest.raises(ProtocolError):
            client.pull(f"{server.host}/foo/bar@{digest}", tmp_path / "image.tar")
    assert not (tmp_path / "image.tar").exists()


def test_push_to_a_digest_is_refused(
    registry: FakeRegistry, client: Client, image: FakeManifest, tmp_path: Path
) -> None:
    client.pull(f"{registry.host}/foo/bar:1", tmp_path / "image.tar")
    reference = f"{registry.host}/foo/copy@{image.digest}"
    with pytest.raises(BadReference, match="a push needs a tag"):
        client.push(tmp_path / "image.tar", reference)
    assert main(["push", str(tmp_path / "image.tar"), reference]) == USAGE


@pytest.mark.parametrize("settings", [{"v2": "absent"}, {"v2": "ping"}])
def test_digest_needs_a_registry_with_v2(settings: dict[str, str], tmp_path: Path) -> None:
    with FakeRegistry(**settings) as registry, Client(registry.url) as client:
        registry.add_image("foo/bar:1")
        with pytest.raises(ApiNotOffered):
            client.pull(f"{registry.host}/foo/bar@{ABSENT}", tmp_path / "image.tar")


def test_digest_with_api_v1_is_refused(registry: FakeRegistry, tmp_path: Path) -> None:
    with Client(registry.url, api="v1") as client, pytest.raises(ApiNotOffered, match="give a tag"):
        client.pull(f"{registry.host}/foo/bar@{ABSENT}", tmp_path / "image.tar")


@pytest.mark.parametrize(
    ("text", "tag", "shown"),
    [
        (f"localhost:5000/foo/bar@{ABSENT}", "", f"localhost:5000/foo/bar@{ABSENT}"),
        (f"localhost:5000/foo/bar:2@{ABSENT}", "2", f"localhost:5000/foo/bar:2@{ABSENT}"),
        (f"http://localhost/busybox@sha512:{'a' * 128}", "", f"localhost/busybox@sha512:{'a' * 128}"),
    ],
)
def test_references_with_digests_are_parsed(text: str, tag: str, shown: str) -> None:
    reference = Reference.parse(text)
    assert (reference.tag, str(reference)) == (tag, shown)
    assert reference.place == reference.digest
    assert str(reference.digest) == text.partition("@")[2]
