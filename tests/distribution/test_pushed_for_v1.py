"""Images that are pushed through ``/v2/`` and pulled through v1 (DST-018 to DST-020, DST-022, DST-031)."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, Final

import pytest
import zstandard
from support.archives import members
from support.faulty_storage import FaultyStorage
from support.strict_engine import pull
from support.v2_client import (
    CONFIG_TYPES,
    LAYER_TYPE,
    V2Client,
    descriptor_of,
    digest_of,
    dumped,
    index_of,
    tar_of,
)
from v1registry_fakes.server import LiveServer

from v1registry import FileStorage, MemoryStorage, Registry, Storage
from v1registry.archives.convert import chain_from_config
from v1registry.cli.main import main
from v1registry.distribution.manifests import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from v1registry.storage.base import StorageFull

NAME: Final = "team/app"
TARS: Final = [tar_of("base"), tar_of("middle"), tar_of("top")]
LAYERS: Final = [gzip.compress(TARS[0], mtime=0), TARS[1], gzip.compress(TARS[2], mtime=0)]

#: More than the calls of ``PUT manifest`` that change the storage.
MOST_CALLS: Final = 100


class Died(BaseException):
    """The process is gone."""


def client_over(storage: Storage) -> V2Client:
    return V2Client(Registry(storage=storage, v2="on"))


def upload(client: V2Client, media_type: str = OCI_MANIFEST) -> tuple[bytes, bytes]:
    """Upload the blobs of an image with three layers; return its config and its manifest."""
    config = dumped(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/bin/true"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in TARS]},
            "history": [{"created_by": "one"}, {"created_by": "two"}, {"created_by": "three"}],
        }
    )
    for blob in (config, *LAYERS):
        client.put_blob(NAME, blob)
    layers = [descriptor_of(layer, LAYER_TYPE) for layer in LAYERS]
    return config, dumped(
        {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": descriptor_of(config, CONFIG_TYPES[media_type]),
            "layers": layers,
        }
    )


def v1_tags(client: V2Client) -> dict[str, str]:
    answer = client.get(f"/v1/repositories/{NAME}/tags")
    assert answer.status == 200, answer
    tags: dict[str, str] = json.loads(answer.body)
    return tags


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST], ids=["oci", "docker"])
def test_DST_018_pushed_image_is_pulled_by_an_engine_of_v1(media_type: str) -> None:
    client = client_over(MemoryStorage())
    config, manifest = upload(client, media_type)
    assert client.put_manifest(NAME, "latest", manifest, media_type).status == 201
    chain = chain_from_config(config)
    images = pull(client.app, NAME)
    assert [image.image_id for image in images] == [image.image_id for image in chain]
    assert [image.json for image in images] == [image.json for image in chain]
    assert [image.layer for image in images] == LAYERS
    assert v1_tags(client) == {"latest": digest_of(config).partition(":")[2]}
    listed = json.loads(client.get(f"/v1/repositories/{NAME}/images").body)
    assert [row["id"] for row in listed] == [image.image_id for image in chain]


def test_DST_018_folder_has_the_files_of_docker_registry(tmp_path: Path) -> None:
    client = client_over(FileStorage(str(tmp_path), durable=False))
    config, manifest = upload(client)
    assert client.put_manifest(NAME, "latest", manifest).status == 201
    ids = [image.image_id for image in chain_from_config(config)]
    folder = tmp_path / "repositories/team/app"
    assert (folder / "tag_latest").read_text() == ids[-1]
    assert [row["id"] for row in json.loads((folder / "_index_images").read_bytes())] == ids
    for number, image_id in enumerate(ids):
        files = sorted(path.name for path in (tmp_path / "images" / image_id).iterdir())
        assert files == ["_checksum", "ancestry", "json", "layer"]
        ancestry = json.loads((tmp_path / "images" / image_id / "ancestry").read_bytes())
        assert ancestry == ids[number::-1]
        digits = digest_of(LAYERS[number]).partition(":")[2]
        blob = tmp_path / f"blobs/sha256/{digits[:2]}/{digits}/data"
        assert blob.samefile(tmp_path / "images" / image_id / "layer")


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_DST_018_archive_of_a_pull_by_v1_can_be_loaded(tmp_path: Path, compression: str) -> None:
    client = client_over(MemoryStorage())
    config, manifest = upload(client)
    if compression == "zstd":
        layer = zstandard.compress(TARS[1])
        client.put_blob(NAME, layer)
        document = json.loads(manifest)
        document["layers"][1] = descriptor_of(layer, "application/vnd.oci.image.layer.v1.tar+zstd")
        manifest = dumped(document)
    assert client.put_manifest(NAME, "latest", manifest).status == 201
    archive = tmp_path / "app.tar"
    with LiveServer(client.app) as server:
        assert main(["pull", "--api", "v1", f"{server.host}/{NAME}", "-o", str(archive)]) == 0
    found = members(archive)
    (entry,) = json.loads(found["manifest.json"])
    pulled, pushed = json.loads(found[entry["Config"]]), json.loads(config)
    assert pulled["rootfs"] == pushed["rootfs"]
    assert pulled["config"]["Cmd"] == pushed["config"]["Cmd"]
    assert [found[name] for name in entry["Layers"]] == TARS
    ids = [image.image_id for image in chain_from_config(config)]
    assert {name.partition("/")[0] for name in found if name.endswith("/json")} == set(ids)


def test_DST_019_index_is_pulled_as_its_image_for_amd64() -> None:
    client = client_over(MemoryStorage())
    images = [client.image(NAME, content) for content in ("for amd64", "for arm64")]
    for image in images:
        assert client.put_manifest(NAME, digest_of(image), image).status == 201
    assert client.put_manifest(NAME, "latest", index_of(*images), OCI_INDEX).status == 201
    [pulled] = pull(client.app, NAME)
    assert gzip.decompress(pulled.layer) == tar_of("for amd64")


def test_DST_020_artifact_removes_the_tag_from_v1() -> None:
    client = client_over(MemoryStorage())
    assert client.put_manifest(NAME, "latest", client.image(NAME, "a")).status == 201
    assert list(v1_tags(client)) == ["latest"]
    artifact = client.artifact(NAME, "report")
    assert client.put_manifest(NAME, "latest", artifact).status == 201
    assert v1_tags(client) == {}
    assert client.tags(NAME) == ["latest"]


def test_DST_031_removed_image_leaves_the_blob(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client = client_over(FileStorage(str(tmp_path), durable=False))
    config, manifest = upload(client)
    assert client.put_manifest(NAME, "latest", manifest).status == 201
    top, storage = digest_of(config).partition(":")[2], ["--storage", f"file://{tmp_path}"]
    assert main(["image", "show", top, *storage]) == 0
    assert "team/app:latest" in capsys.readouterr().out
    assert main(["verify", "--layers", *storage]) == 0
    assert main(["image", "remove", top, *storage]) != 0
    assert main(["image", "remove", "--force", top, *storage]) == 0
    for layer in LAYERS:
        answer = client_over(FileStorage(str(tmp_path))).get(f"/v2/{NAME}/blobs/{digest_of(layer)}")
        assert (answer.status, answer.body) == (200, layer)


def test_put_manifest_interrupted_at_any_change_is_finished_by_the_next() -> None:
    for calls in range(MOST_CALLS):
        memory = MemoryStorage()
        faulty = FaultyStorage(memory)
        client = client_over(faulty)
        config, manifest = upload(client)
        faulty.fail("write", "delete", "delete_tree", "publish", "link", error=Died(), skip=calls)
        try:
            assert client.put_manifest(NAME, "latest", manifest).status == 201
            return  # it was not interrupted any more
        except Died:
            pass
        again = client_over(memory)
        answer = again.get(f"/v1/repositories/{NAME}/tags")
        if answer.status == 200 and json.loads(answer.body):
            assert [image.layer for image in pull(again.app, NAME)] == LAYERS, calls
        assert again.put_manifest(NAME, "latest", manifest).status == 201, calls
        assert [image.layer for image in pull(again.app, NAME)] == LAYERS, calls
        assert v1_tags(again) == {"latest": digest_of(config).partition(":")[2]}
        assert again.shown(NAME, "latest") == digest_of(manifest)
    raise AssertionError(f"PUT manifest makes more than {MOST_CALLS} changes")


@pytest.mark.parametrize("key", ["uploads/*", "blobs/*/facts", "repositories/*/tag_latest"])
def test_full_disk_is_507_and_shows_nothing(key: str) -> None:
    storage = FaultyStorage()
    client = client_over(storage)
    _, manifest = upload(client)
    storage.fail("write", "link", key=key, error=StorageFull("any", "no space left"))
    assert client.put_manifest(NAME, "latest", manifest).status == 507
    storage.heal()
    assert client.shown(NAME, "latest") is None
    tags: Any = client.get(f"/v1/repositories/{NAME}/tags")
    assert tags.status == 404 or json.loads(tags.body) == {}
    assert client.put_manifest(NAME, "latest", manifest).status == 201
    assert [image.layer for image in pull(client.app, NAME)] == LAYERS
