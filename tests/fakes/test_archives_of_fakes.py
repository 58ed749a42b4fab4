"""``add_archive``: save archives of every kind, and OCI layouts, through v1 and ``/v2/``."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.archive_builder import (
    CONFIG,
    EXPECTED_IDS,
    JSONS,
    LAYERS,
    MIDDLE,
    ROOT,
    TOP,
    Archive,
    combined_archive,
    oci_archive,
    old_archive,
    skopeo_archive,
)
from v1registry_fakes import FakeImage, FakeManifest, FakeRegistry, Layer, PushRefused

from v1registry.archives.documents import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Descriptor
from v1registry.archives.layout_writer import LayoutWriter, write_layout_archive

FILES = {"root": b"content", "middle": b"content", "top": b"content"}


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as made:
        yield made


def written(folder: Path, archive: Archive, name: str = "image.tar") -> Path:
    (folder / name).write_bytes(archive.bytes())
    return folder / name


def old_with_names(names: dict[str, dict[str, str]]) -> Archive:
    return old_archive().file("repositories", names)


# -- archives of old engines


def test_old_archive_is_pushed_byte_for_byte_through_v1(registry: FakeRegistry, tmp_path: Path) -> None:
    archive = old_with_names({"localhost:5000/alice/app": {"1.0": TOP, "latest": TOP}, "base": {"2": ROOT}})
    top, root = registry.add_archive(written(tmp_path, archive))
    assert isinstance(top, FakeImage)
    assert (top.id, top.document, top.ancestry) == (TOP, JSONS[TOP], [TOP, MIDDLE, ROOT])
    assert gzip.decompress(top.layer) == LAYERS[2]
    assert registry.tags("alice/app") == {"1.0": TOP, "latest": TOP}
    assert registry.tags("library/base") == {"2": ROOT}
    assert root == registry.images[ROOT]
    assert registry.requests == []


def test_old_archive_without_names_is_pushed_without_a_repository(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    (top,) = registry.add_archive(written(tmp_path, old_archive()))
    assert top == registry.images[TOP]
    assert registry.repositories == []


def test_old_archive_becomes_a_manifest_through_v2(registry: FakeRegistry, tmp_path: Path) -> None:
    (manifest,) = registry.add_archive(written(tmp_path, old_archive()), "alice/app:1", api="v2")
    assert isinstance(manifest, FakeManifest)
    assert manifest == registry.manifest("alice/app:1")
    assert (manifest.files, manifest.config["config"]) == (FILES, {"Cmd": ["sh"]})


def test_compressed_archive_is_expanded(registry: FakeRegistry, tmp_path: Path) -> None:
    path = tmp_path / "image.tar.gz"
    path.write_bytes(gzip.compress(old_archive().bytes()))
    registry.add_archive(str(path), "alice/app")
    assert registry.tags("alice/app") == {"latest": TOP}


def test_registry_with_accounts_needs_a_name_for_images_of_v1(tmp_path: Path) -> None:
    path = written(tmp_path, old_archive())
    with FakeRegistry(auth="users:") as registry:
        with pytest.raises(ValueError, match="with accounts an image is pushed to a repository"):
            registry.add_archive(path)
        registry.add_archive(path, "alice/app:1")
        registry.add_archive(path, "robert/copy:1")
        assert registry.tags("alice/app") == registry.tags("robert/copy") == {"1": TOP}


# -- archives of today's engines


@pytest.mark.parametrize(
    ("archive", "names"),
    [
        pytest.param(combined_archive(), ["foo/bar:v1", "library/busybox:latest"], id="docker 1.10"),
        pytest.param(skopeo_archive(), ["library/x:1"], id="skopeo"),
    ],
)
def test_archive_of_today_is_pushed_through_v2(
    registry: FakeRegistry, tmp_path: Path, archive: Archive, names: list[str]
) -> None:
    (manifest,) = registry.add_archive(written(tmp_path, archive))
    assert isinstance(manifest, FakeManifest)
    assert [registry.manifest(name) for name in names] == [manifest] * len(names)
    assert registry.blobs[manifest.json["config"]["digest"]] == CONFIG
    assert [gzip.decompress(layer) for layer in manifest.layers] == LAYERS
    assert manifest.files == FILES


def test_archive_of_today_is_pushed_through_v1_on_request(registry: FakeRegistry, tmp_path: Path) -> None:
    (image,) = registry.add_archive(written(tmp_path, oci_archive()), "alice/app:1", api="v1")
    assert isinstance(image, FakeImage)
    assert image.ancestry == EXPECTED_IDS[::-1]
    assert registry.tags("alice/app") == {"1": image.id}


def test_archive_of_today_is_pushed_through_v1_without_v2(tmp_path: Path) -> None:
    with FakeRegistry(v2="absent") as registry:
        (image,) = registry.add_archive(written(tmp_path, oci_archive()), "alice/app:1")
        assert image == registry.image("alice/app:1")


def test_image_of_either_api_is_seen_by_clients_of_both(registry: FakeRegistry, tmp_path: Path) -> None:
    (old,) = registry.add_archive(written(tmp_path, old_archive()), "alice/old:1")
    (new,) = registry.add_archive(written(tmp_path, skopeo_archive()), "alice/new:1")
    assert registry.manifest("alice/old:1").files == FILES
    with registry.session() as session:
        (image_id,) = session.get("/v1/repositories/alice/new/tags").json().values()
        assert len(session.get(f"/v1/images/{image_id}/ancestry").json()) == 3
    assert isinstance(old, FakeImage)
    assert isinstance(new, FakeManifest)


# -- names


def test_repository_takes_all_images_with_their_tags(registry: FakeRegistry, tmp_path: Path) -> None:
    archive = old_with_names({"app": {"1": TOP}, "other/base": {"2": ROOT}})
    registry.add_archive(written(tmp_path, archive), "alice/all")
    assert registry.tags("alice/all") == {"1": TOP, "2": ROOT}


@pytest.mark.parametrize(
    ("archive", "name", "text"),
    [
        (
            old_with_names({"a": {"1": TOP}, "b": {"2": ROOT}}),
            "alice/app:1",
            "has 2 images: name must be",
        ),
        (old_with_names({"a": {"1": TOP}, "b": {"1": ROOT}}), "alice/app", "would be alice/app:1$"),
        (skopeo_archive().file("manifest.json", [{"Config": "x"}]), None, "it has no x"),
        (oci_archive(), None, "has no name: give one, such as name='alice/app:1.0'"),
        (Archive().file("etc/passwd", b""), None, "image.tar cannot be pushed: it "),
    ],
)
def test_impossible_archive_is_rejected(
    registry: FakeRegistry, tmp_path: Path, archive: Archive, name: str | None, text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        registry.add_archive(written(tmp_path, archive), name)
    assert registry.repositories == []


def test_missing_archive_is_an_os_error(registry: FakeRegistry, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        registry.add_archive(tmp_path / "none.tar")


def test_rejected_name_has_the_reason(registry: FakeRegistry, tmp_path: Path) -> None:
    with pytest.raises(PushRefused, match="Invalid tag name"):
        registry.add_archive(written(tmp_path, old_archive()), "alice/app:-")


def test_damaged_layer_is_rejected(registry: FakeRegistry, tmp_path: Path) -> None:
    damaged = oci_archive()
    damaged.file(f"blobs/sha256/{hashlib.sha256(LAYERS[1]).hexdigest()}", LAYERS[0])
    with pytest.raises(ValueError, match=r"image\.tar cannot be pushed: its layer .* has the diff id"):
        registry.add_archive(written(tmp_path, damaged), "alice/app:1")


# -- OCI layouts


def add_image(writer: LayoutWriter, platform: str) -> Descriptor:
    layer = bytes(Layer({"platform": platform}))
    diff_id = f"sha256:{hashlib.sha256(gzip.decompress(layer)).hexdigest()}"
    config = {"architecture": platform, "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff_id]}}
    blobs = [
        added(writer, layer, OCI_LAYER),
        added(writer, json.dumps(config).encode(), OCI_CONFIG),
    ]
    document = {"config": blobs[1].document(), "layers": [blobs[0].document()]}
    return add_document(writer, document, OCI_MANIFEST)


def add_document(writer: LayoutWriter, document: dict[str, Any], media_type: str) -> Descriptor:
    whole = {"schemaVersion": 2, "mediaType": media_type, **document}
    return added(writer, json.dumps(whole, indent=5).encode(), media_type)


def added(writer: LayoutWriter, data: bytes, media_type: str) -> Descriptor:
    blob = Descriptor.of(data, media_type)
    writer.add(blob, data)
    return blob


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """A layout with an image, ``alice/app:1``, and an index of two images that has the tag ``2`` alone."""
    writer = LayoutWriter(tmp_path / "layout")
    writer.finish(add_image(writer, "amd64"), "registry.example.com/alice/app:1")
    writer = LayoutWriter(tmp_path / "layout")
    children = [
        add_image(writer, platform).document() | {"platform": {"os": "linux", "architecture": platform}}
        for platform in ("amd64", "arm64")
    ]
    writer.finish(add_document(writer, {"manifests": children}, OCI_INDEX), "2")
    return tmp_path / "layout"


def digests_in(layout: Path) -> list[str]:
    index = json.loads((layout / "index.json").read_bytes())
    return [entry["digest"] for entry in index["manifests"]]


@pytest.mark.parametrize("is_archive", [False, True])
def test_layout_is_pushed_byte_for_byte(registry: FakeRegistry, layout: Path, is_archive: bool) -> None:
    path, digests = layout, digests_in(layout)
    if is_archive:
        path = layout.with_suffix(".tar")
        with path.open("wb") as file:
            write_layout_archive(layout, file)
    image, index = registry.add_archive(path, "bob/app")
    assert isinstance(image, FakeManifest)
    assert isinstance(index, FakeManifest)
    assert [image.digest, index.digest] == digests
    assert image == registry.manifest("bob/app:1")
    assert index == registry.manifest("bob/app:2")
    assert [child.files for child in index.manifests] == [{"platform": b"amd64"}, {"platform": b"arm64"}]


def test_entry_of_a_layout_without_a_repository_needs_a_name(registry: FakeRegistry, layout: Path) -> None:
    with pytest.raises(ValueError, match="has no name: give one"):
        registry.add_archive(layout)
    assert (registry.repositories, dict(registry.blobs)) == ([], {})


def test_layout_is_not_pushed_through_v1(registry: FakeRegistry, layout: Path) -> None:
    with pytest.raises(ValueError, match="an OCI layout is pushed through v2"):
        registry.add_archive(layout, "bob/app", api="v1")


def test_layout_with_a_missing_blob_is_rejected(registry: FakeRegistry, layout: Path) -> None:
    (layout / "blobs" / "sha256" / digests_in(layout)[1].removeprefix("sha256:")).unlink()
    with pytest.raises(ValueError, match="layout cannot be pushed: it has no blobs/sha256/"):
        registry.add_archive(layout, "bob/app")


def test_layer_without_a_byte_becomes_an_empty_tar_through_v2(registry: FakeRegistry, tmp_path: Path) -> None:
    archive = Archive().file(f"{ROOT}/VERSION", b"1.0").file(f"{ROOT}/json", JSONS[ROOT])
    path = written(tmp_path, archive.file(f"{ROOT}/layer.tar", b""))
    (manifest,) = registry.add_archive(path, "alice/app:1", api="v2")
    assert isinstance(manifest, FakeManifest)
    assert gzip.decompress(manifest.layers[0]) == bytes(1024)
    (image,) = registry.add_archive(path, "alice/old:1")
    assert isinstance(image, FakeImage)
    assert image.layer == b""


def test_open_files_are_closed(registry: FakeRegistry, tmp_path: Path) -> None:
    path = written(tmp_path, old_archive())
    before = len(list(Path("/proc/self/fd").iterdir()))
    registry.add_archive(path, "alice/app:1")
    with pytest.raises(ValueError, match="cannot be pushed"):
        registry.add_archive(written(tmp_path, Archive().file("x", io.BytesIO().getvalue()), "other.tar"))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
