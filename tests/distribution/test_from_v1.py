"""Images of v1 as manifests (ENG-010 to ENG-013, ENG-016, ENG-021, ENG-024)."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import logging
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from support.converted import VECTORS, Converted, store_chain, store_image
from support.engine_client import make_chain, make_image, tar_layer
from support.old_data import SAMPLE, UNFINISHED, tree

from v1registry import FileStorage, MemoryStorage, Storage, errors
from v1registry.archives.convert import Unconvertible, config_from_chain
from v1registry.names import Digest

TAR = gzip.decompress(tar_layer({"./a": b"content"}))
DIFF_ID = "sha256:" + hashlib.sha256(TAR).hexdigest()
EMPTY_TAR_DIGEST = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"


@pytest.fixture(params=["memory", "folder"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return MemoryStorage() if request.param == "memory" else FileStorage(str(tmp_path), durable=False)


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """Return a copy of the folder that docker-registry 0.9.1 wrote."""
    return Path(shutil.copytree(SAMPLE, tmp_path / "sample"))


def repository_of(vector: dict[str, Any]) -> str:
    repository: str = vector["tags"][0].partition(":")[0]
    return repository


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["tags"][0])
def test_DST_017_configs_manifests_and_digests_equal_the_vectors(
    sample: Path, vector: dict[str, Any]
) -> None:
    converted, repository = Converted(FileStorage(str(sample))), repository_of(vector)
    docker = converted.digest(repository, vector["id"])
    oci = converted.digest(repository, vector["id"], is_oci=True)
    assert (str(docker), str(oci)) == (vector["schema2_digest"], vector["oci_digest"])
    assert converted.blob(docker).decode() == vector["schema2_manifest"]
    assert converted.blob(oci).decode() == vector["oci_manifest"]
    assert converted.blob(vector["config_digest"]).decode() == vector["config"]
    assert vector["config_digest"] == vector["docker_image_id"]  # ENG-012


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["tags"][0])
def test_ENG_010_config_has_as_many_diff_ids_as_history_entries(sample: Path, vector: dict[str, Any]) -> None:
    converted = Converted(FileStorage(str(sample)))
    manifest = converted.manifest(repository_of(vector), vector["id"])
    config = json.loads(converted.blob(manifest["config"]["digest"]))
    assert config["rootfs"]["diff_ids"] == vector["diff_ids"]
    assert len(config["history"]) == len(vector["diff_ids"]) == len(manifest["layers"])
    dropped = {"id", "parent", "Size", "layer_id", "parent_id", "throwaway", "checksum"}
    assert not dropped & set(config)


def test_ENG_011_missing_architecture_and_os_are_filled_in(storage: Storage) -> None:
    image = make_image(TAR)
    document = {"id": image.image_id, "docker_version": "0.6.1"}
    image = type(image)(image.image_id, json.dumps(document).encode(), image.layer)
    store_image(storage, image)
    converted = Converted(storage)
    config = json.loads(converted.blob(converted.manifest("a/b", image.image_id)["config"]["digest"]))
    assert (config["architecture"], config["os"]) == ("amd64", "linux")


def test_ENG_013_manifests_are_the_same_after_a_restart(storage: Storage) -> None:
    chain = make_chain([gzip.compress(TAR), tar_layer({"b": b""})])
    store_chain(storage, chain)
    first = Converted(storage).manifest("a/b", chain[-1].image_id)
    again = Converted(storage)
    assert again.manifest("a/b", chain[-1].image_id) == first
    # without the stored result it is made again, equal
    for prefix in ("conversions/", "blobs/", "repositories/"):
        for stat in list(storage.list(prefix)):
            storage.delete(stat.key)
    assert Converted(storage).manifest("a/b", chain[-1].image_id) == first


@pytest.mark.parametrize(
    ("pack", "kind"), [(gzip.compress, "tar+gzip"), (bytes, "tar"), (zstandard.compress, "tar+zstd")]
)
def test_ENG_016_stored_bytes_are_the_blob(
    storage: Storage, pack: Callable[[bytes], bytes], kind: str
) -> None:
    image = make_image(pack(TAR))
    store_image(storage, image)
    converted = Converted(storage)
    layer = converted.layer("a/b", image.image_id)
    assert layer["mediaType"] == f"application/vnd.oci.image.layer.v1.{kind}"
    assert layer["size"] == len(image.layer)
    assert converted.blob(layer["digest"]) == image.layer
    assert converted.diff_id("a/b", image.image_id) == DIFF_ID
    assert converted.contains("a/b", layer["digest"])
    assert not converted.contains("a/other", layer["digest"])


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress])
def test_ENG_016_other_compressions_are_encoded_as_gzip_once(
    storage: Storage, pack: Callable[[bytes], bytes]
) -> None:
    image = make_image(pack(TAR))
    store_image(storage, image)
    converted = Converted(storage)
    layer = converted.layer("a/b", image.image_id)
    data = converted.blob(layer["digest"])
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
    assert (str(Digest.of(data)), len(data)) == (layer["digest"], layer["size"])
    assert gzip.decompress(data) == TAR
    assert converted.diff_id("a/b", image.image_id) == DIFF_ID
    assert not list(storage.list("uploads/"))
    # the bytes are the same if they have to be made again
    storage.delete(f"blobs/sha256/{layer['digest'][7:9]}/{layer['digest'][7:]}/data")
    again = Converted(storage)
    assert again.layer("a/other", image.image_id) == layer
    assert again.blob(layer["digest"]) == data


def test_ENG_016_zstd_has_the_oci_form_alone(storage: Storage) -> None:
    chain = make_chain([gzip.compress(TAR), zstandard.compress(TAR)])
    store_chain(storage, chain)
    converted = Converted(storage)
    top = chain[-1].image_id
    assert converted.digest("a/b", top) == converted.digest("a/b", top, is_oci=True)
    assert converted.manifest("a/b", top)["mediaType"] == "application/vnd.oci.image.manifest.v1+json"


def test_ENG_024_empty_stream_is_the_empty_tar(storage: Storage) -> None:
    for number, layer in enumerate([gzip.compress(b""), bz2.compress(b""), b""]):
        image = make_image(layer, name=str(number))
        store_image(storage, image)
        converted = Converted(storage)
        descriptor = converted.layer("a/b", image.image_id)
        assert descriptor["digest"] == EMPTY_TAR_DIGEST == converted.diff_id("a/b", image.image_id)
        assert converted.blob(EMPTY_TAR_DIGEST) == bytes(1024)
    assert not list(storage.list("uploads/"))


def test_gzip_of_several_members_is_one_layer(storage: Storage) -> None:
    image = make_image(gzip.compress(TAR[:700]) + gzip.compress(TAR[700:]))
    store_image(storage, image)
    converted = Converted(storage)
    assert converted.diff_id("a/b", image.image_id) == DIFF_ID
    assert converted.blob(converted.layer("a/b", image.image_id)["digest"]) == image.layer


@pytest.mark.parametrize(
    "layer",
    [
        b"no tar",
        b"no tar" * 1000,
        bytes(512) + b"x" * 512,
        gzip.compress(b"no tar" * 1000),
        gzip.compress(TAR) + b"garbage",
        gzip.compress(TAR)[:-4],
        bz2.compress(TAR)[:-4],
        lzma.compress(b"no tar"),
    ],
)
def test_layer_that_is_no_tar_is_an_unknown_manifest_and_read_once(
    storage: Storage, caplog: pytest.LogCaptureFixture, layer: bytes
) -> None:
    image = make_image(layer)
    store_image(storage, image)
    converted = Converted(storage)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            with pytest.raises(errors.ManifestUnknown) as raised:
                converted.digest("a/b", image.image_id)
            assert raised.value.context["image_id"] == image.image_id
    assert [f"images/{image.image_id}/layer" in record.message for record in caplog.records] == [True]
    assert not list(storage.list("blobs/"))
    assert not list(storage.list("uploads/"))
    # an old server writes the layer again
    mended = type(image)(image.image_id, image.json, TAR)
    store_image(storage, mended)
    assert converted.diff_id("a/b", image.image_id) == DIFF_ID


def test_layer_that_is_written_again_is_read_again(storage: Storage) -> None:
    image = make_image(gzip.compress(TAR))
    store_image(storage, image)
    before = Converted(storage).digest("a/b", image.image_id)
    other = type(image)(image.image_id, image.json, tar_layer({"other": b""}))
    store_image(storage, other)
    converted = Converted(storage)
    assert converted.digest("a/b", image.image_id) != before
    assert converted.blob(converted.layer("a/b", image.image_id)["digest"]) == other.layer


def test_layer_that_does_not_fit_its_sum_is_an_unknown_manifest(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    image = make_image(gzip.compress(TAR))
    store_image(storage, image, sums=(f"sha256:{'0' * 64}",))
    with pytest.raises(errors.ManifestUnknown):
        Converted(storage).digest("a/b", image.image_id)
    assert "does not fit the stored sum" in caplog.text


def test_image_without_a_stored_sum_is_converted(storage: Storage) -> None:
    image = make_image(gzip.compress(TAR))
    store_image(storage, image, sums=())
    assert Converted(storage).diff_id("a/b", image.image_id) == DIFF_ID


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"max_expanded_bytes": 1 << 20}, "max_expanded_bytes"),
        ({"max_expansion_ratio": 1}, "max_expansion_ratio"),
    ],
)
def test_layer_beyond_the_bounds_is_unknown_and_the_log_names_the_setting(
    storage: Storage, caplog: pytest.LogCaptureFixture, settings: dict[str, int], named: str
) -> None:
    image = make_image(tar_layer({"zeros": bytes(33 << 20)}))
    store_image(storage, image)
    with pytest.raises(errors.ManifestUnknown):
        Converted(storage, **settings).digest("a/b", image.image_id)
    assert named in caplog.text
    assert Converted(storage, max_expansion_ratio=10_000).digest("a/b", image.image_id)


def test_ENG_021_chain_in_progress_is_an_unknown_manifest(sample: Path, storage: Storage) -> None:
    with pytest.raises(errors.ManifestUnknown):
        Converted(FileStorage(str(sample))).digest("library/busybox", UNFINISHED)
    chain = make_chain([TAR, TAR, TAR])
    store_chain(storage, chain)
    storage.write(f"images/{chain[1].image_id}/_inprogress", b"true")
    with pytest.raises(errors.ManifestUnknown):
        Converted(storage).digest("a/b", chain[-1].image_id)
    storage.delete(f"images/{chain[1].image_id}/_inprogress")
    assert Converted(storage).digest("a/b", chain[-1].image_id)


@pytest.mark.parametrize("missing", ["json", "layer"])
def test_ENG_021_damaged_chain_is_an_unknown_manifest(storage: Storage, missing: str) -> None:
    chain = make_chain([TAR, TAR, TAR])
    store_chain(storage, chain)
    storage.delete(f"images/{chain[0].image_id}/{missing}")
    with pytest.raises(errors.ManifestUnknown):
        Converted(storage).digest("a/b", chain[-1].image_id)


def test_conversion_changes_nothing_of_v1(sample: Path) -> None:
    before = tree(sample)
    converted = Converted(FileStorage(str(sample)))
    for vector in VECTORS:
        converted.digest(repository_of(vector), vector["id"])
    after = tree(sample)
    assert {name: after[name] for name in before} == before
    added = {
        name.split("/")[0] if name.startswith(("blobs/", "conversions/")) else name
        for name in set(after) - set(before)
    }
    assert {name for name in added if "/_v2" not in name} == {"blobs", "conversions"}


def test_layers_on_a_folder_are_stored_once(sample: Path) -> None:
    converted = Converted(FileStorage(str(sample)))
    for vector in VECTORS:
        converted.digest(repository_of(vector), vector["id"])
        for image_id, digest in zip([vector["id"]], vector["layer_digests"][-1:], strict=True):
            digits = digest[7:]
            layer = sample / "images" / image_id / "layer"
            assert layer.samefile(sample / "blobs" / "sha256" / digits[:2] / digits / "data")


@pytest.mark.parametrize("version", ["1.2", "1.9.1"])
@pytest.mark.parametrize("key", ["config", "container_config", "x"])
def test_deeply_nested_documents_are_converted_or_not_convertible(key: str, version: str) -> None:
    """Whether nested JSON can be parsed depends on the stack and on Python, so many depths are tried."""
    for depth in range(880, 1000):
        document = _nested(key, version, depth)
        for stack in range(0, 60, 7):
            _is_convertible(document, stack)  # either is right; another exception than Unconvertible is not
    assert _is_convertible(_nested(key, version, 10), 0)
    assert not _is_convertible(_nested(key, version, 200_000), 0)


def _nested(key: str, version: str, depth: int) -> bytes:
    nested = f'{{"Cmd":{"[" * depth}{"]" * depth}}}'
    return f'{{"docker_version":"{version}","{key}":{nested}}}'.encode()


def _is_convertible(document: bytes, stack: int) -> bool:
    if stack:
        return _is_convertible(document, stack - 1)
    try:
        return bool(config_from_chain([document], [DIFF_ID]))
    except Unconvertible:
        return False
