"""The v1 view of images of the distribution API (DST-018, DST-019, DST-022 to DST-024, DST-031)."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest
import zstandard
from support.pushed_views import INDEX, LAYER, OCI, Pushed, sha256, tar_of

from v1registry import FileStorage, MemoryStorage
from v1registry.archives.convert import chain_from_config, chain_ids


@pytest.fixture(params=["memory", "folder"])
def pushed(request: pytest.FixtureRequest, tmp_path: Path) -> Pushed:
    storage = MemoryStorage() if request.param == "memory" else FileStorage(str(tmp_path), durable=False)
    return Pushed(storage)


def test_DST_018_ids_and_layers_are_those_of_engines(pushed: Pushed) -> None:
    tars = [tar_of("a"), tar_of("b"), tar_of("c")]
    layers = [gzip.compress(tars[0]), tars[1], gzip.compress(tars[2])]
    manifest = pushed.manifest(layers, [sha256(tar) for tar in tars])
    view = pushed.view(manifest)
    assert view is not None
    chain = chain_ids([sha256(tar) for tar in tars])
    assert view.image_id == sha256(pushed.config(manifest)).partition(":")[2]
    assert view.ancestry == (view.image_id, chain[1].partition(":")[2], chain[0].partition(":")[2])
    documents = chain_from_config(pushed.config(manifest))
    for document, layer in zip(documents, layers, strict=True):
        folder = f"images/{document.image_id}"
        assert pushed.storage.read(f"{folder}/json")[0] == document.json
        assert pushed.storage.read(f"{folder}/layer")[0] == layer
        payload = sha256(document.json + b"\n" + layer)
        assert json.loads(pushed.storage.read(f"{folder}/_checksum")[0]) == [payload]
    assert [stat.key for stat in pushed.storage.list("uploads/")] == []
    assert pushed.view(manifest) == view


def test_DST_031_layer_has_one_copy_on_a_folder(tmp_path: Path) -> None:
    pushed = Pushed(FileStorage(str(tmp_path), durable=False))
    layer = gzip.compress(tar_of("a"))
    view = pushed.view(pushed.manifest([layer], [sha256(tar_of("a"))]))
    assert view is not None
    digest = hashlib.sha256(layer).hexdigest()
    blob = tmp_path / f"blobs/sha256/{digest[:2]}/{digest}/data"
    assert blob.samefile(tmp_path / f"images/{view.image_id}/layer")


def test_DST_024_wrong_diff_id_has_no_view(pushed: Pushed, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    layers = [gzip.compress(tar_of("a")), gzip.compress(tar_of("b"))]
    assert pushed.view(pushed.manifest(layers, [sha256(tar_of("a")), sha256(b"other")])) is None
    assert "has the diff id" in caplog.text


def test_DST_019_index_shows_the_image_of_the_platform(pushed: Pushed) -> None:
    entries, ids = [], {}
    for platform in ("windows/amd64", "linux/arm64", "linux/amd64"):
        os, architecture = platform.split("/")
        manifest = pushed.manifest([gzip.compress(tar_of(platform))], [sha256(tar_of(platform))], os=os)
        ids[platform] = sha256(pushed.config(manifest)).partition(":")[2]
        entry = pushed.blob(manifest, OCI)
        entries.append(entry | {"platform": {"os": os, "architecture": architecture}})
    for shown, expected in ((entries, "linux/amd64"), (entries[:2], "linux/arm64")):
        view = pushed.view(json.dumps({"schemaVersion": 2, "manifests": shown}).encode(), INDEX)
        assert view is not None
        assert view.image_id == ids[expected]
    assert pushed.view(json.dumps({"schemaVersion": 2, "manifests": entries[:1]}).encode(), INDEX) is None


def test_DST_022_zstd_layer_is_gzip_for_v1(pushed: Pushed) -> None:
    tar = tar_of("a", b"x" * 100_000)
    manifest = pushed.manifest([zstandard.compress(tar)], [sha256(tar)])
    view = pushed.view(manifest)
    assert view is not None
    layer = pushed.storage.read(f"images/{view.image_id}/layer")[0]
    assert layer[:2] == b"\x1f\x8b"
    assert gzip.decompress(layer) == tar
    assert pushed.view(manifest) == view


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mediaType", f"{LAYER}.nondistributable+gzip"),
        ("mediaType", f"{LAYER}+gzip+encrypted"),
        ("urls", ["https://example.org/layer"]),
        ("digest", f"sha512:{'0' * 128}"),
        ("digest", f"sha256:{'0' * 64}"),
    ],
)
def test_what_v1_cannot_express_has_no_view(pushed: Pushed, key: str, value: object) -> None:
    manifest = json.loads(pushed.manifest([gzip.compress(tar_of("a"))], [sha256(tar_of("a"))]))
    manifest["layers"][0][key] = value
    assert pushed.view(json.dumps(manifest).encode()) is None


def test_DST_023_other_content_on_an_open_server_has_no_view(pushed: Pushed) -> None:
    layer = gzip.compress(tar_of("a"))
    manifest = pushed.manifest([layer], [sha256(tar_of("a"))])
    image_id = sha256(pushed.config(manifest)).partition(":")[2]
    folder = f"images/{image_id}"
    for name, value in (
        ("json", json.dumps({"id": image_id}).encode()),
        ("layer", b"other"),
        ("ancestry", json.dumps([image_id]).encode()),
        ("_checksum", b'["sha256:00"]'),
    ):
        pushed.storage.write(f"{folder}/{name}", value)
    assert pushed.view(manifest) is None
    assert pushed.storage.read(f"{folder}/layer")[0] == b"other"
