"""Save archives: all that engines and skopeo write are read, hostile ones are refused, ours load everywhere."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from v1registry.bridge.convert import EMPTY_TAR, chain_ids, config_from_chain, digest_of
from v1registry.bridge.images import ChainImage, UnreadableImage
from v1registry.bridge.load import ArchivedChain, Limits, UnreadableArchive, open_save_archive
from v1registry.bridge.save import WrittenArchive, write_save_archive
from v1registry.registry.compression import LayerTooLarge, UnreadableLayer, open_decompressed
from v1registry.storage import MemoryStorage

DATA = Path(__file__).parents[1] / "data"

ROOT, MIDDLE, TOP = ("a" * 64, "0" * 64, "f" * 64)


def layer_with(name: str, content: bytes = b"content") -> bytes:
    """A small tar with one file."""
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        return buffer.getvalue()


LAYERS = [layer_with("root"), layer_with("middle"), layer_with("top")]
DIFF_IDS = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in LAYERS]


def v1_json(image_id: str, parent_id: str | None = None, **more: object) -> bytes:
    parent = {"parent": parent_id} if parent_id else {}
    # With blanks and an order of its own: the bytes shall survive.
    return json.dumps({"id": image_id, **parent, "docker_version": "1.9.1", **more}, indent=1).encode()


JSONS = {
    ROOT: v1_json(ROOT, created="2014-06-01T00:00:00Z"),
    MIDDLE: v1_json(MIDDLE, ROOT),
    TOP: v1_json(TOP, MIDDLE, created="2014-06-03T10:20:30.5Z", config={"Cmd": ["sh"]}),
}


@dataclass
class Archive:
    """A tar that is put together member by member, in any order and with anything in it."""

    members: list[tuple[tarfile.TarInfo, bytes]] = field(default_factory=list)

    def file(self, name: str, data: bytes | object) -> Archive:
        content = data if isinstance(data, bytes) else json.dumps(data).encode()
        return self.member(name, tarfile.REGTYPE, content)

    def member(self, name: str, kind: bytes, data: bytes = b"", link: str = "") -> Archive:
        info = tarfile.TarInfo(name)
        info.type, info.size, info.linkname = kind, len(data), link
        self.members.append((info, data))
        return self

    def symlink(self, name: str, target: str) -> Archive:
        return self.member(name, tarfile.SYMTYPE, link=target)

    def bytes(self) -> bytes:
        with io.BytesIO() as buffer:
            with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
                for info, data in self.members:
                    archive.addfile(info, io.BytesIO(data))
            return buffer.getvalue()


def folder(archive: Archive, image_id: str, layer: bytes, prefix: str = "") -> Archive:
    archive.member(f"{prefix}{image_id}/", tarfile.DIRTYPE)
    archive.file(f"{prefix}{image_id}/VERSION", b"1.0")
    archive.file(f"{prefix}{image_id}/json", JSONS[image_id])
    return archive.file(f"{prefix}{image_id}/layer.tar", layer)


def old_archive(order: Iterable[str] = (ROOT, MIDDLE, TOP), prefix: str = "") -> Archive:
    archive = Archive()
    layers = dict(zip((ROOT, MIDDLE, TOP), LAYERS, strict=True))
    for image_id in order:
        folder(archive, image_id, layers[image_id], prefix)
    return archive


CONFIG = json.dumps(
    {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": DIFF_IDS}}
).encode()
CONFIG_HEX = hashlib.sha256(CONFIG).hexdigest()
EXPECTED_IDS = [chain_id.partition(":")[2] for chain_id in chain_ids(DIFF_IDS)[:2]] + [CONFIG_HEX]


def combined_archive() -> Archive:
    """As docker 1.10 to 24 write it: v1 folders under invented ids, and manifest.json."""
    archive = Archive()
    for image_id, layer in zip(("1" * 64, "2" * 64, "3" * 64), LAYERS, strict=True):
        archive.file(f"{image_id}/VERSION", b"1.0")
        archive.file(f"{image_id}/json", {"id": image_id})
        archive.file(f"{image_id}/layer.tar", layer)
    archive.file(f"{CONFIG_HEX}.json", CONFIG)
    layers = [f"{digit * 64}/layer.tar" for digit in "123"]
    names = ["localhost:5000/foo/bar:v1", "busybox:latest"]
    archive.file("manifest.json", [{"Config": f"{CONFIG_HEX}.json", "RepoTags": names, "Layers": layers}])
    return archive.file("repositories", {"busybox": {"latest": "3" * 64}})


def oci_archive(layers: Iterable[bytes] = tuple(LAYERS)) -> Archive:
    """As docker 25 and later write it: blobs, and manifest.json beside the OCI index."""
    archive = Archive().member("blobs/", tarfile.DIRTYPE).member("blobs/sha256/", tarfile.DIRTYPE)
    paths = []
    for blob in layers:
        paths.append(f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}")
        archive.file(paths[-1], blob)
    archive.file(f"blobs/sha256/{CONFIG_HEX}", CONFIG)
    archive.file("index.json", {"schemaVersion": 2, "manifests": []})
    archive.file("oci-layout", {"imageLayoutVersion": "1.0.0"})
    entry = {"Config": f"blobs/sha256/{CONFIG_HEX}", "RepoTags": None, "Layers": paths}
    return archive.file("manifest.json", [entry])


def skopeo_archive() -> Archive:
    """As skopeo writes it: the layers at the top, the folders hold links to them, and come first here."""
    archive = Archive()
    files = [f"{diff_id.partition(':')[2]}.tar" for diff_id in DIFF_IDS]
    for image_id, name in zip(EXPECTED_IDS, files, strict=True):
        archive.file(f"{image_id}/VERSION", b"1.0").file(f"{image_id}/json", {"id": image_id})
        archive.symlink(f"{image_id}/layer.tar", f"../{name}")
    for name, layer in zip(files, LAYERS, strict=True):
        archive.file(name, layer)
    archive.file(f"{CONFIG_HEX}.json", CONFIG)
    links = [f"{image_id}/layer.tar" for image_id in EXPECTED_IDS[:2]] + [files[2]]
    entry = {"Config": f"{CONFIG_HEX}.json", "RepoTags": ["docker.io/library/x:1"], "Layers": links}
    return archive.file("manifest.json", [entry])


def read_chains(path: Path, limits: Limits | None = None) -> list[tuple[ArchivedChain, list[bytes]]]:
    """Open an archive, and read all its layers as they lie in it."""
    chains = []
    with open_save_archive(path, limits=limits) as archive:
        for chain in archive.chains:
            layers = []
            for image in chain.images:
                with image.open_layer() as stream:
                    layers.append(b"".join(iter(lambda stream=stream: stream.read(1000), b"")))  # type: ignore[misc]
            chains.append((chain, layers))
    return chains


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., list[tuple[ArchivedChain, list[bytes]]]]:
    def load(
        archive: Archive | bytes, limits: Limits | None = None
    ) -> list[tuple[ArchivedChain, list[bytes]]]:
        path = tmp_path / "image.tar"
        path.write_bytes(archive.bytes() if isinstance(archive, Archive) else archive)
        return read_chains(path, limits)

    return load


Load = Callable[..., list[tuple[ArchivedChain, list[bytes]]]]


def ids_of(chain: ArchivedChain) -> list[str]:
    return [image.image_id for image in chain.images]


class TestOldArchives:
    def test_ENG_007_children_before_parents_dotted_names_and_extra_files_are_read(self, load: Load) -> None:
        archive = old_archive(order=(TOP, ROOT, MIDDLE), prefix="./")
        archive.file("./repositories", {"busybox": {"latest": TOP}, "localhost:5000/foo/bar": {"v1": TOP}})
        archive.file("README", b"hello").file("./extra/deep/file", b"").file("not-an-id/json", b"{}")
        ((chain, layers),) = load(archive)
        assert ids_of(chain) == [ROOT, MIDDLE, TOP]
        assert chain.names == ("busybox:latest", "localhost:5000/foo/bar:v1")
        assert layers == LAYERS
        assert [image.json for image in chain.images] == [JSONS[ROOT], JSONS[MIDDLE], JSONS[TOP]]

    def test_several_tagged_images_share_what_is_below(self, load: Load) -> None:
        archive = old_archive().file("repositories", {"x": {"1": TOP, "2": MIDDLE}})
        first, second = load(archive)
        assert (ids_of(first[0]), first[0].names) == ([ROOT, MIDDLE, TOP], ("x:1",))
        assert (ids_of(second[0]), second[0].names) == ([ROOT, MIDDLE], ("x:2",))

    def test_without_repositories_the_image_on_top_is_taken(self, load: Load) -> None:
        ((chain, _),) = load(old_archive())
        assert (ids_of(chain), chain.names) == ([ROOT, MIDDLE, TOP], ())

    def test_images_beside_the_tagged_one_are_given_without_a_name(self, load: Load) -> None:
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
            (old_archive().file("repositories", {"x": {"1": "../etc"}}), "names no image id"),
            (old_archive().file("repositories", {"x": "y"}), "no object of tags"),
            (old_archive().file("repositories", [1]), "no object"),
            (old_archive().file("repositories", b"{"), "no JSON"),
            (Archive().file(f"{ROOT}/json", JSONS[ROOT]), "layer.tar"),
            (Archive().file(f"{ROOT}/json", JSONS[TOP]).file(f"{ROOT}/layer.tar", b""), "another id"),
            (Archive().file(f"{ROOT}/json", b"[]").file(f"{ROOT}/layer.tar", b""), "no JSON object"),
            (
                Archive().file(f"{ROOT}/json", v1_json(ROOT, "x/../y")).file(f"{ROOT}/layer.tar", b""),
                "names a parent",
            ),
            (
                Archive().file(f"{ROOT}/json", v1_json(ROOT, ROOT)).file(f"{ROOT}/layer.tar", b""),
                "names a parent",
            ),
            (
                Archive()
                .file(f"{ROOT}/json", v1_json(ROOT, TOP))
                .file(f"{ROOT}/layer.tar", b"")
                .file(f"{TOP}/json", v1_json(TOP, ROOT))
                .file(f"{TOP}/layer.tar", b""),
                "ancestors",
            ),
            (old_archive().file(f"{'9' * 64}/VERSION", b"2.0").file(f"{'9' * 64}/json", b"{}"), "not 1.0"),
            (Archive(), "holds no image"),
            (Archive().file("index.json", {}), "docker save"),
        ],
    )
    def test_what_does_not_fit_together_is_refused(self, load: Load, archive: Archive, reason: str) -> None:
        with pytest.raises(UnreadableArchive, match=reason):
            load(archive)

    def test_a_tag_whose_images_run_in_a_circle_is_refused(self, load: Load) -> None:
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
    def test_ENG_008_every_form_gives_the_ids_that_an_engine_would_push(
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
    def test_ENG_001_compressed_layers_are_given_as_they_are(
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

    def test_an_image_without_layers_has_one_empty_layer(self, load: Load) -> None:
        archive = Archive().file("c.json", {"rootfs": {"type": "layers", "diff_ids": []}})
        ((_, layers),) = load(archive.file("manifest.json", [{"Config": "c.json", "Layers": None}]))
        assert layers == [EMPTY_TAR]

    def test_a_layer_that_is_not_the_one_of_its_config_is_refused_before_a_byte_is_given(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "image.tar"
        path.write_bytes(oci_archive([LAYERS[0], LAYERS[2], LAYERS[1]]).bytes())
        with open_save_archive(path) as archive:
            (chain,) = archive.chains
            with chain.images[0].open_layer() as stream:
                assert stream.read(512) == LAYERS[0][:512]
            with pytest.raises(UnreadableArchive, match="its config says"):
                chain.images[1].open_layer()

    def test_a_layer_that_cannot_be_expanded_is_refused(self, load: Load) -> None:
        packed = [gzip.compress(layer) for layer in LAYERS]
        with pytest.raises(UnreadableArchive, match="ends in the middle"):
            load(oci_archive([packed[0], packed[1], packed[2][:-4]]))

    @pytest.mark.parametrize(
        ("manifest", "reason"),
        [
            (b"[", "no JSON"),
            ({}, "no list"),
            ([1], "no object"),
            ([{"Layers": []}], "no Config"),
            ([{"Config": "c.json", "Layers": ["x"]}], "speaks of 0 layers"),
            ([{"Config": "c.json", "Layers": "x"}], "no list of strings"),
            ([{"Config": "c.json", "RepoTags": [1]}], "no list of strings"),
            ([{"Config": "d.json"}], "has no d.json"),
            ([{"Config": "../c.json"}], "leads upwards"),
            ([{"Config": "/c.json"}], "absolute"),
            ([{"Config": "bad.json"}], "no list of sha256"),
            ([], "holds no image"),
        ],
    )
    def test_a_manifest_that_does_not_fit_is_refused(self, load: Load, manifest: object, reason: str) -> None:
        archive = Archive().file("c.json", {"rootfs": {"diff_ids": []}}).file("bad.json", {})
        with pytest.raises(UnreadableArchive, match=reason):
            load(archive.file("manifest.json", manifest))


class TestTheOuterArchive:
    @pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
    def test_an_archive_that_is_compressed_as_a_whole_is_read(
        self, load: Load, compress: Callable[[bytes], bytes]
    ) -> None:
        ((chain, layers),) = load(compress(combined_archive().bytes()))
        assert ids_of(chain) == EXPECTED_IDS
        assert layers == LAYERS

    def test_a_compressed_archive_that_was_cut_off_is_refused(self, load: Load) -> None:
        with pytest.raises(UnreadableArchive, match="ends in the middle"):
            load(gzip.compress(combined_archive().bytes())[:-20])

    def test_ENG_009_a_compressed_archive_beyond_the_limit_is_refused(self, load: Load) -> None:
        packed = gzip.compress(combined_archive().bytes())
        with pytest.raises(UnreadableArchive, match="more than the 10000 bytes"):
            load(packed, Limits(archive_bytes=10_000))

    @pytest.mark.parametrize("data", [b"", b"no archive", b"\0" * 600, b"x" * 2000])
    def test_what_is_no_archive_is_refused(self, load: Load, data: bytes) -> None:
        with pytest.raises(UnreadableArchive, match=r"it is no complete tar archive|it holds no image"):
            load(data)

    def test_a_file_that_is_missing_is_an_os_error(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            open_save_archive(tmp_path / "nothing.tar")

    def test_an_archive_that_ends_within_a_layer_is_refused(self, load: Load) -> None:
        with pytest.raises(UnreadableArchive, match=r"no complete tar|ends within"):
            load(old_archive().bytes()[:-15_000])


class TestHostileArchives:
    """ENG-009, and whatever else a stranger may put into a tar."""

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
            (old_archive().symlink("a", "b").symlink("b", "a"), "circle"),
            (old_archive().symlink("a", "a"), "circle"),
            (old_archive().member("a", tarfile.LNKTYPE, link="a"), "circle"),
            (old_archive().file(f"{TOP}/json", b"{}"), "more than one member"),
            (old_archive().file("x", b"").file("./x", b""), "more than one member"),
            (old_archive().symlink("x", "y").file("x", b""), "more than one member"),
            (old_archive().file("x", b"").member("x/", tarfile.DIRTYPE), "a file and a folder"),
            (old_archive().file("./", b""), "without a name"),
            (old_archive().member("dev", tarfile.CHRTYPE), "neither a file"),
            (old_archive().member("pipe", tarfile.FIFOTYPE), "neither a file"),
        ],
    )
    def test_ENG_009_members_that_lead_out_or_contradict_each_other_are_refused(
        self, load: Load, archive: Archive, reason: str
    ) -> None:
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
            (Limits(members=12), "more than 12 members"),
            (Limits(layer_bytes=10_239), "more than 10239 bytes"),
            (Limits(document_bytes=len(JSONS[TOP]) - 1), "json has more than"),
            (Limits(archive_bytes=40_959), "more than the 40959 bytes"),
        ],
    )
    def test_ENG_009_sizes_beyond_a_limit_are_refused(self, load: Load, limits: Limits, reason: str) -> None:
        archive = old_archive().file("one-more", b"")
        with pytest.raises(UnreadableArchive, match=reason):
            load(archive, limits)

    def test_sizes_at_the_limit_are_taken(self, load: Load) -> None:
        archive = old_archive().file("one-more", b"")
        limits = Limits(
            members=13,
            layer_bytes=10_240,
            document_bytes=len(JSONS[TOP]),
            archive_bytes=len(archive.bytes()),
        )
        assert len(load(archive, limits)) == 1

    def test_ENG_009_a_layer_that_expands_beyond_the_limit_is_refused(self, load: Load) -> None:
        packed = [gzip.compress(layer) for layer in LAYERS]
        with pytest.raises(UnreadableArchive, match="expands to more"):
            load(oci_archive(packed), Limits(layer_bytes=10_000))

    def test_ENG_009_a_size_beyond_the_end_of_the_file_is_refused(self, load: Load) -> None:
        info = tarfile.TarInfo("x")
        info.size = 1 << 40
        data = old_archive().bytes().rstrip(b"\0")
        data += bytes(-len(data) % 512) + info.tobuf(tarfile.GNU_FORMAT)
        with pytest.raises(UnreadableArchive):
            load(data + bytes(1024))

    def test_a_header_that_claims_gigabytes_is_not_read_into_memory(self, load: Load) -> None:
        info = tarfile.TarInfo("././@PaxHeader")
        info.type, info.size = tarfile.XHDTYPE, 4 << 30
        with pytest.raises(UnreadableArchive, match="headers"):
            load(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))

    def test_a_file_that_shrinks_while_it_is_read_is_noticed(self, tmp_path: Path) -> None:
        path = tmp_path / "image.tar"
        path.write_bytes(old_archive().bytes())
        with open_save_archive(path) as archive, archive.chains[0].top.open_layer() as stream:
            with path.open("r+b") as file:
                file.truncate(1024)
            with pytest.raises(UnreadableArchive, match="shorter"):
                stream.read(1)


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
    def test_ENG_006_an_archive_from_storage_has_what_engines_up_to_1_9_read(self, tmp_path: Path) -> None:
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

    def test_what_engines_since_1_10_read_fits_together(self, tmp_path: Path) -> None:
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

    def test_reading_it_back_gives_the_very_same_images(self, tmp_path: Path) -> None:
        write(tmp_path / "image.tar", names={"localhost:5000/foo/bar:v1": TOP, "Old/Name:x": ROOT})
        top, root = read_chains(tmp_path / "image.tar")
        assert (top[0].names, root[0].names) == (("localhost:5000/foo/bar:v1",), ("Old/Name:x",))
        assert [(image.image_id, image.json) for image in top[0].images] == list(JSONS.items())
        assert top[1] == LAYERS
        assert [image.diff_id for image in top[0].images] == DIFF_IDS

    def test_without_the_marker_it_is_read_as_an_engine_would(self, tmp_path: Path, load: Load) -> None:
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
            ([], "no object"),
            ({}, "lists no images"),
            ({"images": {"x": None}, "names": {}}, "lists no images"),
            ({"images": {ROOT: None}}, "no object"),
            ({"images": {"9" * 64: None}, "names": {}}, "has no"),
            ({"images": {ROOT: "sha256:" + "0" * 64}, "names": {}}, "its config says"),
        ],
    )
    def test_a_marker_that_does_not_fit_is_refused(self, load: Load, marker: object, reason: str) -> None:
        with pytest.raises(UnreadableArchive, match=reason):
            load(old_archive().file("v1registry.json", marker))

    def test_the_same_images_make_the_same_bytes_and_times_are_theirs(self, tmp_path: Path) -> None:
        write(tmp_path / "one.tar")
        write(tmp_path / "two.tar")
        assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
        with tarfile.open(tmp_path / "one.tar") as archive:
            times = {info.name: info.mtime for info in archive}
        assert times[f"{TOP}/layer.tar"] == 1401790830
        assert times[f"{MIDDLE}/json"] == times["manifest.json"] == times["repositories"] == 0

    @pytest.mark.parametrize("layer", [b"", gzip.compress(b"")], ids=["no bytes", "gzip of no bytes"])
    def test_ENG_024_a_stream_of_no_bytes_becomes_the_empty_tar(self, tmp_path: Path, layer: bytes) -> None:
        written = write(tmp_path / "image.tar", [source(ROOT, layer)], {"x:1": ROOT})
        assert read_members(tmp_path / "image.tar")[f"{ROOT}/layer.tar"] == bytes(1024)
        assert written.diff_ids[ROOT].startswith("sha256:5f70bf18a086")

    @pytest.mark.parametrize("size_bytes", [1, 511, 512, 513, 128 * 1024 + 1])
    def test_layers_of_any_length_are_kept_to_the_byte(self, tmp_path: Path, size_bytes: int) -> None:
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
    def test_names_that_todays_engines_refuse_stand_in_repositories_only(
        self, tmp_path: Path, name: str, is_todays: bool
    ) -> None:
        write(tmp_path / "image.tar", names={name: TOP})
        members = read_members(tmp_path / "image.tar")
        assert json.loads(members["manifest.json"])[0]["RepoTags"] == ([name] if is_todays else None)
        repository, _, tag = name.rpartition(":")
        assert json.loads(members["repositories"]) == {repository: {tag: TOP}}
        assert read_chains(tmp_path / "image.tar")[0][0].names == (name,)

    def test_an_image_without_a_name_is_saved_by_its_id(self, tmp_path: Path) -> None:
        write(tmp_path / "image.tar", names={})
        members = read_members(tmp_path / "image.tar")
        assert "repositories" not in members
        assert [entry["RepoTags"] for entry in json.loads(members["manifest.json"])] == [None]
        ((chain, _),) = read_chains(tmp_path / "image.tar")
        assert ids_of(chain) == [ROOT, MIDDLE, TOP]

    def test_two_ids_that_are_one_image_to_todays_engines_share_a_config(self, tmp_path: Path) -> None:
        images = [source(ROOT, LAYERS[0], v1_json(ROOT)), source(TOP, LAYERS[0], v1_json(TOP))]
        write(tmp_path / "image.tar", images, {"x:1": ROOT, "x:2": TOP})
        (entry,) = json.loads(read_members(tmp_path / "image.tar")["manifest.json"])
        assert entry["RepoTags"] == ["x:1", "x:2"]
        assert [ids_of(chain) for chain, _ in read_chains(tmp_path / "image.tar")] == [[ROOT], [TOP]]

    def test_an_image_that_comes_twice_is_written_once(self, tmp_path: Path) -> None:
        assert write(tmp_path / "image.tar", [*CHAIN, *CHAIN]) == write(tmp_path / "again.tar")

    def test_gaps_in_the_chain_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UnreadableImage, match="does not come before it"):
            write(tmp_path / "image.tar", CHAIN[1:])
        with pytest.raises(UnreadableImage, match="is missing"):
            write(tmp_path / "image.tar", names={"x:1": "9" * 64})

    def test_layers_that_cannot_be_expanded_or_are_too_large_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UnreadableLayer):
            write(tmp_path / "image.tar", [source(ROOT, gzip.compress(LAYERS[0])[:-1])], {})
        with pytest.raises(LayerTooLarge):
            write(tmp_path / "image.tar", layer_limit_bytes=10_239)
        write(tmp_path / "image.tar", layer_limit_bytes=10_240)


def test_every_layer_of_an_archive_can_be_read_by_several_threads_at_once(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    path = tmp_path / "image.tar"
    path.write_bytes(combined_archive().bytes())

    def read(image: ChainImage) -> bytes:
        with image.open_layer() as stream:
            plain = open_decompressed(stream)
            return b"".join(iter(lambda: plain.read(7), b""))

    with open_save_archive(path) as archive, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, archive.chains[0].images * 4)) == LAYERS * 4
