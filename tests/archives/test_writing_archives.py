"""Writing save archives that every engine loads, and reading them back."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.archive_builder import (
    DIFF_IDS,
    EXPECTED_IDS,
    JSONS,
    LAYERS,
    MIDDLE,
    ROOT,
    TOP,
    Archive,
    Load,
    ids_of,
    old_archive,
    read_chains,
    v1_json,
)

from v1registry.archives.convert import Unconvertible, config_from_chain, digest_of
from v1registry.archives.images import ChainImage, UnreadableImage
from v1registry.archives.load import UnreadableArchive
from v1registry.archives.save import WrittenArchive, write_save_archive
from v1registry.layers.compression import ExpansionLimitExceeded, UnreadableLayer
from v1registry.storage import MemoryStorage

DATA = Path(__file__).parents[1] / "data"


def source(image_id: str, layer: bytes, document: bytes | None = None) -> ChainImage:
    return ChainImage(image_id, document or JSONS[image_id], lambda: io.BytesIO(layer))


CHAIN = [
    source(ROOT, gzip.compress(LAYERS[0])),
    source(MIDDLE, bz2.compress(LAYERS[1])),
    source(TOP, LAYERS[2]),
]


def write(
    path: Path, images: Iterable[ChainImage] = CHAIN, names: Mapping[str, str] | None = None, **options: Any
) -> WrittenArchive:
    with path.open("w+b") as file:
        return write_save_archive(
            file, images, {"localhost:5000/foo/bar:v1": TOP} if names is None else names, **options
        )


def read_members(path: Path) -> dict[str, bytes]:
    members = {}
    with tarfile.open(path) as archive:
        for info in archive:
            assert (info.uid, info.gid, info.uname, info.gname) == (0, 0, "", "")
            stream = archive.extractfile(info)
            members[info.name] = stream.read() if stream else b""
    return members


class TestWriting:
    def test_ENG_006_archive_has_the_members_for_engines_up_to_1_9(self, tmp_path: Path) -> None:
        storage = MemoryStorage()
        sample = DATA / "docker-registry-0.9.1-data" / "images"
        top_id = "28720365c5e7476a011e4f43ac003ee5f16247a263b9d623aa85ed311d73bf39"
        ids = json.loads((sample / top_id / "ancestry").read_text())[::-1]
        for image_id in ids:
            storage.write(f"images/{image_id}/layer", (sample / image_id / "layer").read_bytes())

        def from_storage(image_id: str) -> ChainImage:
            document = (sample / image_id / "json").read_bytes()
            return ChainImage(image_id, document, lambda: storage.open(f"images/{image_id}/layer"))

        write(tmp_path / "image.tar", map(from_storage, ids), {"busybox:latest": top_id})

        members = read_members(tmp_path / "image.tar")
        assert json.loads(members["repositories"]) == {"busybox": {"latest": top_id}}
        for image_id in ids:
            assert members[f"{image_id}/VERSION"] == b"1.0"
            assert members[f"{image_id}/json"] == (sample / image_id / "json").read_bytes()
            assert members[f"{image_id}/layer.tar"] == gzip.decompress(
                (sample / image_id / "layer").read_bytes()
            )

    def test_members_for_engines_since_1_10_are_consistent(self, tmp_path: Path) -> None:
        written = write(tmp_path / "image.tar")
        members = read_members(tmp_path / "image.tar")
        (entry,) = json.loads(members["manifest.json"])
        config = members[entry["Config"]]
        assert config == config_from_chain([JSONS[ROOT], JSONS[MIDDLE], JSONS[TOP]], DIFF_IDS)
        assert entry["Config"] == digest_of(config).partition(":")[2] + ".json"
        assert entry["RepoTags"] == ["localhost:5000/foo/bar:v1"]
        found = ["sha256:" + hashlib.sha256(members[name]).hexdigest() for name in entry["Layers"]]
        assert found == json.loads(config)["rootfs"]["diff_ids"] == DIFF_IDS
        assert written.config_digests == {TOP: digest_of(config)}
        assert written.diff_ids == dict(zip((ROOT, MIDDLE, TOP), DIFF_IDS, strict=True))
        assert written.size_bytes == (tmp_path / "image.tar").stat().st_size

    def test_reading_returns_equal_images(self, tmp_path: Path) -> None:
        write(tmp_path / "image.tar", names={"localhost:5000/foo/bar:v1": TOP, "Old/Name:x": ROOT})
        top, root = read_chains(tmp_path / "image.tar")
        assert (top[0].names, root[0].names) == (("localhost:5000/foo/bar:v1",), ("Old/Name:x",))
        assert [(image.image_id, image.json) for image in top[0].images] == list(JSONS.items())
        assert top[1] == LAYERS
        assert [image.diff_id for image in top[0].images] == DIFF_IDS

    def test_archive_without_the_marker_has_the_ids_of_an_engine(self, tmp_path: Path, load: Load) -> None:
        write(tmp_path / "written.tar")
        archive = Archive()
        for name, data in read_members(tmp_path / "written.tar").items():
            if data and name != "v1registry.json":
                archive.file(name, data)
        ((chain, layers),) = load(archive)
        assert ids_of(chain)[:2] == EXPECTED_IDS[:2]
        assert ids_of(chain)[2] != TOP
        assert layers == LAYERS

    @pytest.mark.parametrize(
        ("marker", "reason"),
        [
            ([], "v1registry.json must be an object"),
            ({}, "an object of image ids"),
            ({"images": {"x": None}, "names": {}}, "an object of image ids"),
            ({"images": {ROOT: None}}, "repositories must be an object"),
            ({"images": {"9" * 64: None}, "names": {}}, "has no"),
            ({"images": {ROOT: "sha256:" + "0" * 64}, "names": {}}, "the archive names"),
        ],
    )
    def test_invalid_marker_is_refused(self, load: Load, marker: object, reason: str) -> None:
        with pytest.raises(UnreadableArchive, match=reason):
            load(old_archive().file("v1registry.json", marker))

    def test_equal_images_make_equal_bytes_with_their_times(self, tmp_path: Path) -> None:
        write(tmp_path / "one.tar")
        write(tmp_path / "two.tar")
        assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
        with tarfile.open(tmp_path / "one.tar") as archive:
            times = {info.name: info.mtime for info in archive}
        assert times[f"{TOP}/layer.tar"] == 1401790830
        assert times[f"{MIDDLE}/json"] == times["manifest.json"] == times["repositories"] == 0

    @pytest.mark.parametrize("layer", [b"", gzip.compress(b"")], ids=["no bytes", "gzip of no bytes"])
    def test_ENG_024_layer_of_zero_bytes_becomes_an_empty_tar(self, tmp_path: Path, layer: bytes) -> None:
        written = write(tmp_path / "image.tar", [source(ROOT, layer)], {"x:1": ROOT})
        assert read_members(tmp_path / "image.tar")[f"{ROOT}/layer.tar"] == bytes(1024)
        assert written.diff_ids[ROOT].startswith("sha256:5f70bf18a086")

    @pytest.mark.parametrize("size_bytes", [1, 511, 512, 513, 128 * 1024 + 1])
    def test_layers_of_any_length_are_unchanged(self, tmp_path: Path, size_bytes: int) -> None:
        layer = b"x" * size_bytes
        images = [source(ROOT, layer), source(MIDDLE, LAYERS[1])]
        write(tmp_path / "image.tar", images, {"x:1": MIDDLE})
        members = read_members(tmp_path / "image.tar")
        assert (members[f"{ROOT}/layer.tar"], members[f"{MIDDLE}/layer.tar"]) == (layer, LAYERS[1])

    @pytest.mark.parametrize(
        ("name", "is_todays"),
        [
            ("busybox:latest", True),
            ("localhost/a:1", True),
            ("registry.example:5000/a/b-c__d.e/f:V_1.x-y", True),
            ("REGISTRY:5000/a:1", True),
            ("[::1]:5000/a:1", True),
            ("localhost:5000/Upper/case:1", False),
            ("localhost:5000/_leading/score:1", False),
            ("localhost:5000/a..b:1", False),
        ],
    )
    def test_names_for_old_engines_are_only_in_repositories(
        self, tmp_path: Path, name: str, is_todays: bool
    ) -> None:
        write(tmp_path / "image.tar", names={name: TOP})
        members = read_members(tmp_path / "image.tar")
        assert json.loads(members["manifest.json"])[0]["RepoTags"] == ([name] if is_todays else None)
        repository, _, tag = name.rpartition(":")
        assert json.loads(members["repositories"]) == {repository: {tag: TOP}}
        assert read_chains(tmp_path / "image.tar")[0][0].names == (name,)

    def test_image_without_a_name_is_saved_by_its_id(self, tmp_path: Path) -> None:
        write(tmp_path / "image.tar", names={})
        members = read_members(tmp_path / "image.tar")
        assert "repositories" not in members
        assert [entry["RepoTags"] for entry in json.loads(members["manifest.json"])] == [None]
        ((chain, _),) = read_chains(tmp_path / "image.tar")
        assert ids_of(chain) == [ROOT, MIDDLE, TOP]

    def test_two_ids_with_equal_configs_share_one(self, tmp_path: Path) -> None:
        images = [source(ROOT, LAYERS[0], v1_json(ROOT)), source(TOP, LAYERS[0], v1_json(TOP))]
        write(tmp_path / "image.tar", images, {"x:1": ROOT, "x:2": TOP})
        (entry,) = json.loads(read_members(tmp_path / "image.tar")["manifest.json"])
        assert entry["RepoTags"] == ["x:1", "x:2"]
        assert [ids_of(chain) for chain, _ in read_chains(tmp_path / "image.tar")] == [[ROOT], [TOP]]

    def test_repeated_image_is_written_once(self, tmp_path: Path) -> None:
        assert write(tmp_path / "image.tar", [*CHAIN, *CHAIN]) == write(tmp_path / "again.tar")

    def test_missing_ancestor_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UnreadableImage, match="does not come before it"):
            write(tmp_path / "image.tar", CHAIN[1:])
        with pytest.raises(UnreadableImage, match="is missing"):
            write(tmp_path / "image.tar", names={"x:1": "9" * 64})

    def test_unreadable_and_too_large_layers_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UnreadableLayer):
            write(tmp_path / "image.tar", [source(ROOT, gzip.compress(LAYERS[0])[:-1])], {})
        with pytest.raises(ExpansionLimitExceeded):
            write(tmp_path / "image.tar", layer_limit_bytes=10_239)
        write(tmp_path / "image.tar", layer_limit_bytes=10_240)


@pytest.mark.parametrize("key", ["created", "author", "container_config", "config"])
@pytest.mark.parametrize("version", ["1.0.0", "1.9.1"])
def test_json_of_any_depth_is_written_or_refused(key: str, version: str) -> None:
    refused = 0
    # Pythons differ in the depth that they parse
    for depth in (*range(800, 1000), 5_000, 20_000, 200_000):
        nested = "[" * depth + "]" * depth
        value = nested if key in ("created", "author") else f'{{"Cmd": {nested}}}'
        document = f'{{"id": "{ROOT}", "docker_version": "{version}", "{key}": {value}}}'.encode()
        try:
            write_save_archive(io.BytesIO(), [source(ROOT, LAYERS[0], document)], {})
        except (UnreadableImage, Unconvertible):
            refused += 1
    assert 0 < refused < 203
