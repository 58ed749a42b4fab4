"""v1 images as clients pull them below ``/v2/`` (DST-017, ENG-013 to ENG-015, ENG-017, ENG-018, ENG-021)."""

from __future__ import annotations

import gzip
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from support.accounts_world import AccountsWorld, image_of
from support.backends import People
from support.converted import VECTORS, store_chain, store_image
from support.engine_client import make_chain, make_image, tar_layer
from support.faulty_storage import FaultyStorage
from support.old_data import SAMPLE, UNFINISHED, tree
from support.v2_client import V2Client, digest_of

from v1registry import FileStorage, Registry
from v1registry.distribution.manifests import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from v1registry.rights import User
from v1registry.storage.base import StorageFull, StorageUnavailable

SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the folder that docker-registry 0.9.1 wrote."""
    return Path(shutil.copytree(SAMPLE, tmp_path / "sample"))


@pytest.fixture
def client(folder: Path) -> V2Client:
    return V2Client(Registry(storage=FileStorage(str(folder)), v2="on"))


def error_of(answer: Any) -> tuple[int, str]:
    assert answer.header("Content-Type") == "application/json"
    (error,) = json.loads(answer.body)["errors"]
    return answer.status, error["code"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["tags"][0])
def test_DST_017_folder_of_an_old_server_is_pulled(client: V2Client, vector: dict[str, Any]) -> None:
    name, _, tag = vector["tags"][0].partition(":")
    answer = client.get_manifest(name, tag, Accept=DOCKER_MANIFEST)
    assert (answer.status, answer.body.decode()) == (200, vector["schema2_manifest"])
    manifest = json.loads(answer.body)
    assert digest_of(answer.body) == vector["schema2_digest"]
    for descriptor in (manifest["config"], *manifest["layers"]):
        blob = client.get(f"/v2/{name}/blobs/{descriptor['digest']}")
        assert (digest_of(blob.body), len(blob.body)) == (descriptor["digest"], descriptor["size"])


def test_DST_017_files_of_the_old_server_are_unchanged_by_pulls(folder: Path, client: V2Client) -> None:
    before = tree(folder)
    for vector in VECTORS:
        name, _, tag = vector["tags"][0].partition(":")
        assert client.get_manifest(name, tag).status == 200
    after = tree(folder)
    assert {path: after[path] for path in before} == before


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["tags"][0])
def test_ENG_014_head_and_get_by_tag_and_digest_agree(client: V2Client, vector: dict[str, Any]) -> None:
    name, _, tag = vector["tags"][0].partition(":")
    for accept, kind in ((DOCKER_MANIFEST, "schema2"), (OCI_MANIFEST, "oci")):
        media_type = DOCKER_MANIFEST if kind == "schema2" else OCI_MANIFEST
        digest = vector[f"{kind}_digest"]
        for method in ("HEAD", "GET"):
            for reference in (tag, digest):
                answer = client.ask(method, f"/v2/{name}/manifests/{reference}", Accept=accept)
                assert answer.status == 200
                assert answer.header("Docker-Content-Digest") == digest
                assert answer.header("Content-Type") == media_type
                assert answer.header("Content-Length") == str(len(vector[f"{kind}_manifest"]))


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ({}, "schema2"),
        ({"Accept": "*/*"}, "schema2"),
        ({"Accept": f"{OCI_MANIFEST}, {DOCKER_MANIFEST}"}, "schema2"),
        ({"Accept": OCI_MANIFEST}, "oci"),
        ({"Accept": f"{OCI_INDEX},{OCI_MANIFEST}"}, "oci"),
        ({"Accept": SCHEMA_1}, "schema2"),
        ({"Accept": OCI_INDEX}, "schema2"),
        ({"Accept": "\x00;;,q=,"}, "schema2"),
    ],
)
def test_ENG_015_accept_chooses_the_form(client: V2Client, accept: dict[str, str], kind: str) -> None:
    (vector,) = (vector for vector in VECTORS if "foo/bar:v1" in vector["tags"])
    assert client.get_manifest("foo/bar", "v1", **accept).body.decode() == vector[f"{kind}_manifest"]
    for other in ("schema2", "oci"):
        answer = client.get_manifest("foo/bar", vector[f"{other}_digest"], **accept)
        assert answer.body.decode() == vector[f"{other}_manifest"]


def test_ENG_013_manifests_are_the_same_from_request_to_request(folder: Path, client: V2Client) -> None:
    first = client.get_manifest("busybox", "latest").body
    assert client.get_manifest("library/busybox", "latest").body == first
    again = V2Client(Registry(storage=FileStorage(str(folder)), v2="on"))
    assert again.get_manifest("busybox", "latest").body == first


def test_ENG_017_blobs_of_v1_layers(client: V2Client) -> None:
    layer = json.loads(client.get_manifest("busybox", "1.0").body)["layers"][0]
    path = f"/v2/busybox/blobs/{layer['digest']}"
    whole = client.get(path)
    assert whole.header("Content-Type") == "application/octet-stream"
    part = client.get(path, Range="bytes=10-19")
    assert (part.status, part.body) == (206, whole.body[10:20])
    assert client.get(path, Range=f"bytes={layer['size']}-").status == 416
    assert error_of(client.get(f"/v2/busybox/blobs/sha256:{'0' * 64}")) == (404, "BLOB_UNKNOWN")
    assert error_of(client.get("/v2/busybox/blobs/sha256:0")) == (400, "DIGEST_INVALID")


def test_ENG_018_blob_is_served_through_its_repository_alone(client: V2Client) -> None:
    manifest = json.loads(client.get_manifest("busybox", "1.0").body)
    for descriptor in (manifest["config"], *manifest["layers"]):
        answer = client.get(f"/v2/foo/bar/blobs/{descriptor['digest']}")
        assert error_of(answer) == (404, "BLOB_UNKNOWN")


def test_ENG_021_unfinished_and_damaged_images_are_unknown(folder: Path, client: V2Client) -> None:
    storage = FileStorage(str(folder))
    broken = make_image(b"no tar")
    store_image(storage, broken)
    for tag, image_id in (("unfinished", UNFINISHED), ("broken", broken.image_id), ("gone", "0" * 64)):
        storage.write(f"repositories/foo/bar/tag_{tag}", image_id.encode())
        assert error_of(client.get_manifest("foo/bar", tag)) == (404, "MANIFEST_UNKNOWN")


def test_image_that_v1_pushes_is_pulled_and_a_moved_tag_is_followed() -> None:
    world = AccountsWorld(People.of(User("alice")), v2="on")
    base = image_of("base")
    alice = V2Client(world.app, "alice")
    for image in (image_of("one", base), image_of("two", base)):
        world.person("alice").push("alice/app", base, image)
        manifest = json.loads(alice.get_manifest("alice/app", "latest").body)
        digest = manifest["layers"][-1]["digest"]
        assert alice.get(f"/v2/alice/app/blobs/{digest}").body == image.layer


def test_slow_conversion_is_503_in_the_form_of_v2() -> None:
    storage = FaultyStorage()
    image = make_image(tar_layer({"a": b""}))
    store_image(storage, image)
    storage.write("repositories/team/app/tag_latest", image.image_id.encode())
    go_on = threading.Event()
    storage.before(lambda: go_on.wait(30), "open", key="images/*/layer")
    client = V2Client(Registry(storage=storage, v2="on", v2_conversion_wait_s=1))
    for method in ("HEAD", "GET"):
        answer = client.ask(method, "/v2/team/app/manifests/latest")
        assert (answer.status, answer.header("Retry-After")) == (503, "10")
    assert error_of(answer) == (503, "UNAVAILABLE")
    go_on.set()
    assert client.get_manifest("team/app", "latest").status == 200


@pytest.mark.parametrize(
    ("error", "status"),
    [(StorageFull("key", "no room is left"), 507), (StorageUnavailable("key", "read-only"), 503)],
)
def test_storage_that_cannot_be_written_is_no_500(error: StorageUnavailable, status: int) -> None:
    storage = FaultyStorage()
    chain = make_chain([gzip.compress(b""), tar_layer({"a": b""})])
    store_chain(storage, chain)
    storage.write("repositories/team/app/tag_latest", chain[-1].image_id.encode())
    storage.fail("write", "link", "publish", error=error)
    client = V2Client(Registry(storage=storage, v2="on"))
    assert error_of(client.get_manifest("team/app", "latest")) == (status, "UNAVAILABLE")
