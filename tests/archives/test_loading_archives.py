"""Reading save archives of every kind, and refusing hostile ones."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

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
    combined_archive,
    folder,
    ids_of,
    oci_archive,
    old_archive,
    skopeo_archive,
    v1_json,
)

from v1registry.archives.convert import EMPTY_TAR
from v1registry.archives.images import ChainImage
from v1registry.archives.load import ArchiveLimits, UnreadableArchive, open_save_archive
from v1registry.layers.compression import open_decompressed


class TestOldArchives:
    def test_ENG_007_odd_orders_names_and_extra_files_are_read(self, load: Load) -> None:
        archive = old_archive(order=(TOP, ROOT, MIDDLE), prefix="./")
        archive.file("./repositories", {"busybox": {"latest": TOP}, "localhost:5000/foo/bar": {"v1": TOP}})
        archive.file("README", b"hello").file("./extra/deep/file", b"").file("not-an-id/json", b"{}")
        ((chain, layers),) = load(archive)
        assert ids_of(chain) == [ROOT, MIDDLE, TOP]
        assert chain.names == ("busybox:latest", "localhost:5000/foo/bar:v1")
        assert layers == LAYERS
        assert [image.json for image in chain.images] == [JSONS[ROOT], JSONS[MIDDLE], JSONS[TOP]]

    def test_tagged_images_share_their_ancestors(self, load: Load) -> None:
        archive = old_archive().file("repositories", {"x": {"1": TOP, "2": MIDDLE}})
        first, second = load(archive)
        assert (ids_of(first[0]), first[0].names) == ([ROOT, MIDDLE, TOP], ("x:1",))
        assert (ids_of(second[0]), second[0].names) == ([ROOT, MIDDLE], ("x:2",))

    def test_top_image_is_found_without_repositories(self, load: Load) -> None:
        ((chain, _),) = load(old_archive())
        assert (ids_of(chain), chain.names) == ([ROOT, MIDDLE, TOP], ())

    def test_untagged_images_are_found_without_a_name(self, load: Load) -> None:
        archive = folder(old_archive((ROOT,)), MIDDLE, LAYERS[1]).file("repositories", {"x": {"1": ROOT}})
        assert [(ids_of(chain), chain.names) for chain, _ in load(archive)] == [
            ([ROOT], ("x:1",)),
            ([ROOT, MIDDLE], ()),
        ]

    @pytest.mark.parametrize(
        ("archive", "reason"),
        [
            (old_archive((TOP, MIDDLE)), "missing"),
            (old_archive().file("repositories", {"x": {"1": "9" * 64}}), "missing"),
            (old_archive().file("repositories", {"x": {"1": "../etc"}}), "must name an image id"),
            (old_archive().file("repositories", {"x": "y"}), "must be an object"),
            (old_archive().file("repositories", [1]), "repositories must be an object"),
            (old_archive().file("repositories", b"{"), "not JSON"),
            (Archive().file(f"{ROOT}/json", JSONS[ROOT]), "layer.tar"),
            (Archive().file(f"{ROOT}/json", JSONS[TOP]).file(f"{ROOT}/layer.tar", b""), "a different id"),
            (Archive().file(f"{ROOT}/json", b"[]").file(f"{ROOT}/layer.tar", b""), "not a JSON object"),
            (
                Archive().file(f"{ROOT}/json", v1_json(ROOT, "x/../y")).file(f"{ROOT}/layer.tar", b""),
                "an invalid parent",
            ),
            (
                Archive().file(f"{ROOT}/json", v1_json(ROOT, ROOT)).file(f"{ROOT}/layer.tar", b""),
                "an invalid parent",
            ),
            (
                Archive()
                .file(f"{ROOT}/json", v1_json(ROOT, TOP))
                .file(f"{ROOT}/layer.tar", b"")
                .file(f"{TOP}/json", v1_json(TOP, ROOT))
                .file(f"{TOP}/layer.tar", b""),
                "circle of parents",
            ),
            (
                old_archive().file(f"{'9' * 64}/VERSION", b"2.0").file(f"{'9' * 64}/json", b"{}"),
                "must be 1.0",
            ),
            (Archive(), "has no image"),
            (Archive().file("index.json", {}), "docker save"),
        ],
    )
    def test_contradictory_folders_are_refused(self, load: Load, archive: Archive, reason: str) -> None:
        with pytest.raises(UnreadableArchive, match=reason):
            load(archive)

    def test_circular_parents_are_refused(self, load: Load) -> None:
        archive = Archive().file("repositories", {"x": {"1": TOP}})
        for image_id, parent_id in ((ROOT, TOP), (TOP, ROOT)):
            archive.file(f"{image_id}/json", v1_json(image_id, parent_id)).file(f"{image_id}/layer.tar", b"")
        with pytest.raises(UnreadableArchive, match="its own ancestor"):
            load(archive)


class TestTodaysArchives:
    @pytest.mark.parametrize(
        ("archive", "names"),
        [
            (combined_archive(), ("localhost:5000/foo/bar:v1", "busybox:latest")),
            (oci_archive(), ()),
            (skopeo_archive(), ("docker.io/library/x:1",)),
        ],
        ids=["combined", "oci", "skopeo"],
    )
    def test_ENG_008_every_form_has_the_ids_of_an_engine(
        self, load: Load, archive: Archive, names: tuple[str, ...]
    ) -> None:
        ((chain, layers),) = load(archive)
        assert ids_of(chain) == EXPECTED_IDS
        assert chain.names == names
        assert layers == LAYERS
        assert [image.diff_id for image in chain.images] == DIFF_IDS
        assert [image.layer_size_bytes for image in chain.images] == [len(layer) for layer in LAYERS]
        assert chain.images[1].json == b'{"id":"%s","parent":"%s"}' % (
            EXPECTED_IDS[1].encode(),
            EXPECTED_IDS[0].encode(),
        )

    @pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
    def test_ENG_001_compressed_layers_are_returned_unchanged(
        self, load: Load, compress: Callable[[bytes], bytes]
    ) -> None:
        packed = [compress(layer) for layer in LAYERS]
        ((chain, layers),) = load(oci_archive(packed))
        assert ids_of(chain) == EXPECTED_IDS
        assert layers == packed

    def test_two_images_of_one_archive_are_two_chains(self, load: Load) -> None:
        archive = combined_archive()
        other = json.dumps({"rootfs": {"diff_ids": DIFF_IDS[:1]}}).encode()
        entries = json.loads(archive.members[-2][1])
        entries.append({"Config": "other.json", "RepoTags": ["other:1"], "Layers": [f"{'1' * 64}/layer.tar"]})
        del archive.members[-2:]
        archive.file("other.json", other).file("manifest.json", entries)
        assert [chain.names[-1] for chain, _ in load(archive)] == ["busybox:latest", "other:1"]

    def test_image_without_layers_has_one_empty_layer(self, load: Load) -> None:
        archive = Archive().file("c.json", {"rootfs": {"type": "layers", "diff_ids": []}})
        ((_, layers),) = load(archive.file("manifest.json", [{"Config": "c.json", "Layers": None}]))
        assert layers == [EMPTY_TAR]

    def test_layer_with_a_different_diff_id_is_refused_when_opened(self, tmp_path: Path) -> None:
        path = tmp_path / "image.tar"
        path.write_bytes(oci_archive([LAYERS[0], LAYERS[2], LAYERS[1]]).bytes())
        with open_save_archive(path) as archive:
            (chain,) = archive.chains
            with chain.images[0].open_layer() as stream:
                assert stream.read(512) == LAYERS[0][:512]
            with pytest.raises(UnreadableArchive, match="the archive names"):
                chain.images[1].open_layer()

    def test_layer_that_cannot_be_expanded_is_refused(self, load: Load) -> None:
        packed = [gzip.compress(layer) for layer in LAYERS]
        with pytest.raises(UnreadableArchive, match="ends in the middle"):
            load(oci_archive([packed[0], packed[1], packed[2][:-4]]))

    @pytest.mark.parametrize(
        ("manifest", "reason"),
        [
            (b"[", "not JSON"),
            ({}, "must be a list"),
            ([1], "must be an object"),
            ([{"Layers": []}], "no Config"),
            ([{"Config": "c.json", "Layers": ["x"]}], "lists 0 layers, its manifest.json 1"),
            ([{"Config": "c.json", "Layers": "x"}], "must be a list of strings"),
            ([{"Config": "c.json", "RepoTags": [1]}], "must be a list of strings"),
            ([{"Config": "d.json"}], "has no d.json"),
            ([{"Config": "../c.json"}], "leads upwards"),
            ([{"Config": "/c.json"}], "absolute"),
            ([{"Config": "bad.json"}], "no list of sha256"),
            ([], "has no image"),
        ],
    )
    def test_invalid_manifest_is_refused(self, load: Load, manifest: object, reason: str) -> None:
        archive = Archive().file("c.json", {"rootfs": {"diff_ids": []}}).file("bad.json", {})
        with pytest.raises(UnreadableArchive, match=reason):
            load(archive.file("manifest.json", manifest))


class TestTheOuterArchive:
    @pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
    def test_compressed_archive_is_read(self, load: Load, compress: Callable[[bytes], bytes]) -> None:
        ((chain, layers),) = load(compress(combined_archive().bytes()))
        assert ids_of(chain) == EXPECTED_IDS
        assert layers == LAYERS

    def test_incomplete_compressed_archive_is_refused(self, load: Load) -> None:
        with pytest.raises(UnreadableArchive, match="ends in the middle"):
            load(gzip.compress(combined_archive().bytes())[:-20])

    def test_ENG_009_compressed_archive_beyond_the_limit_is_refused(self, load: Load) -> None:
        packed = gzip.compress(combined_archive().bytes())
        with pytest.raises(UnreadableArchive, match="more than the limit of 10000 bytes"):
            load(packed, ArchiveLimits(archive_bytes=10_000))

    @pytest.mark.parametrize("data", [b"", b"no archive", b"\0" * 600, b"x" * 2000])
    def test_file_that_is_not_an_archive_is_refused(self, load: Load, data: bytes) -> None:
        with pytest.raises(UnreadableArchive, match=r"it is not a complete tar archive|it has no image"):
            load(data)

    def test_missing_file_is_an_os_error(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            open_save_archive(tmp_path / "nothing.tar")

    def test_archive_that_ends_within_a_layer_is_refused(self, load: Load) -> None:
        with pytest.raises(UnreadableArchive, match=r"not a complete tar|ends within"):
            load(old_archive().bytes()[:-15_000])


class TestHostileArchives:
    """ENG-009, and other hostile archives."""

    @pytest.mark.parametrize(
        ("archive", "reason"),
        [
            (old_archive().file("/etc/passwd", b""), "absolute"),
            (old_archive().file("a/../../b", b""), "upwards"),
            (old_archive().file("..", b""), "upwards"),
            (old_archive().member("a/../b/", tarfile.DIRTYPE), "upwards"),
            (old_archive().symlink("link", "/etc/passwd"), "leads out"),
            (old_archive().symlink("link", "../x"), "leads out"),
            (old_archive().symlink("a/b/link", "../../../x"), "leads out"),
            (old_archive().member("link", tarfile.LNKTYPE, link="/etc/passwd"), "absolute"),
            (old_archive().member("link", tarfile.LNKTYPE, link="a/../../x"), "upwards"),
            (old_archive().symlink("a", "b").symlink("b", "a"), "is circular"),
            (old_archive().symlink("a", "a"), "is circular"),
            (old_archive().member("a", tarfile.LNKTYPE, link="a"), "is circular"),
            (old_archive().file("x", b"").member("x/", tarfile.DIRTYPE), "a file and a folder"),
            (old_archive().file("./", b""), "without a name"),
            (old_archive().member("dev", tarfile.CHRTYPE), "neither a file"),
            (old_archive().member("pipe", tarfile.FIFOTYPE), "neither a file"),
        ],
    )
    def test_ENG_009_hostile_members_are_refused(self, load: Load, archive: Archive, reason: str) -> None:
        with pytest.raises(UnreadableArchive, match=reason):
            load(archive)

    def test_ENG_009_links_inside_the_archive_are_followed(self, load: Load) -> None:
        archive = old_archive((ROOT,)).file(f"{TOP}/json", v1_json(TOP, ROOT))
        archive.symlink(f"{TOP}/layer.tar", "./../links/first").symlink("links/first", "second")
        archive.member("links/second", tarfile.LNKTYPE, link=f"./{ROOT}/layer.tar")
        archive.symlink("unused", "nothing-there")
        ((_, layers),) = load(archive)
        assert layers == [LAYERS[0], LAYERS[0]]

    @pytest.mark.parametrize(
        ("limits", "reason"),
        [
            (ArchiveLimits(members=12), "more than 12 members"),
            (ArchiveLimits(layer_bytes=10_239), "more than 10239 bytes"),
            (ArchiveLimits(document_bytes=len(JSONS[TOP]) - 1), "json has more than"),
            (ArchiveLimits(archive_bytes=40_959), "more than the limit of 40959 bytes"),
        ],
    )
    def test_ENG_009_sizes_beyond_a_limit_are_refused(
        self, load: Load, limits: ArchiveLimits, reason: str
    ) -> None:
        archive = old_archive().file("one-more", b"")
        with pytest.raises(UnreadableArchive, match=reason):
            load(archive, limits)

    def test_sizes_at_the_limit_are_accepted(self, load: Load) -> None:
        archive = old_archive().file("one-more", b"")
        limits = ArchiveLimits(
            members=13,
            layer_bytes=10_240,
            document_bytes=len(JSONS[TOP]),
            archive_bytes=len(archive.bytes()),
        )
        assert len(load(archive, limits)) == 1

    def test_ENG_009_layer_that_expands_beyond_the_limit_is_refused(self, load: Load) -> None:
        packed = [gzip.compress(layer) for layer in LAYERS]
        with pytest.raises(UnreadableArchive, match="expands to more"):
            load(oci_archive(packed), ArchiveLimits(layer_bytes=10_000))

    def test_ENG_009_size_beyond_the_end_of_the_file_is_refused(self, load: Load) -> None:
        info = tarfile.TarInfo("x")
        info.size = 1 << 40
        data = old_archive().bytes().rstrip(b"\0")
        data += bytes(-len(data) % 512) + info.tobuf(tarfile.GNU_FORMAT)
        with pytest.raises(UnreadableArchive):
            load(data + bytes(1024))

    def test_header_of_gigabytes_is_not_read_into_memory(self, load: Load) -> None:
        info = tarfile.TarInfo("././@PaxHeader")
        info.type, info.size = tarfile.XHDTYPE, 4 << 30
        with pytest.raises(UnreadableArchive, match="headers"):
            load(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))

    def test_file_that_shrinks_during_reading_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "image.tar"
        path.write_bytes(old_archive().bytes())
        with open_save_archive(path) as archive, archive.chains[0].top.open_layer() as stream:
            with path.open("r+b") as file:
                file.truncate(1024)
            with pytest.raises(UnreadableArchive, match="shorter"):
                stream.read(1)


def test_layers_can_be_read_by_several_threads_at_once(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    path = tmp_path / "image.tar"
    path.write_bytes(combined_archive().bytes())

    def read(image: ChainImage) -> bytes:
        with image.open_layer() as stream:
            plain = open_decompressed(stream)
            return b"".join(iter(lambda: plain.read(7), b""))

    with open_save_archive(path) as archive, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, archive.chains[0].images * 4)) == LAYERS * 4
