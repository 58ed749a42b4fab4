"""Archives with the oddities of real ones: repeated members, named folders, links, file systems, zstd."""

from __future__ import annotations

import io
import json
import sys
import tarfile

import pytest
import zstandard
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
)

from v1registry.archives.load import ArchiveLimits, UnreadableArchive


class TestRepeatedMembers:
    def test_equal_layer_twice_is_read(self, load: Load) -> None:
        archive = oci_archive()
        archive.members.insert(0, archive.members[2])
        ((chain, layers),) = load(archive)
        assert ids_of(chain) == EXPECTED_IDS
        assert layers == LAYERS

    def test_last_manifest_counts(self, load: Load) -> None:
        archive = combined_archive()
        entries = json.loads(archive.members[-2][1])
        archive.file("manifest.json", [{**entries[0], "RepoTags": ["other:2"]}])
        ((chain, _),) = load(archive)
        assert chain.names == ("other:2",)

    def test_last_layer_counts(self, load: Load) -> None:
        archive = folder(old_archive((ROOT,)), ROOT, LAYERS[1], prefix="./")
        ((_, layers),) = load(archive)
        assert layers == [LAYERS[1]]

    def test_last_layer_with_a_different_diff_id_is_refused(self, load: Load) -> None:
        archive = combined_archive()
        archive.file(f"{'1' * 64}/layer.tar", LAYERS[1])
        with pytest.raises(UnreadableArchive, match="the archive names"):
            load(archive)

    def test_file_behind_a_link_of_its_name_counts(self, load: Load) -> None:
        archive = Archive().file(f"{ROOT}/json", JSONS[ROOT]).symlink(f"{ROOT}/layer.tar", "nothing")
        ((_, layers),) = load(archive.file(f"{ROOT}/layer.tar", LAYERS[0]))
        assert layers == [LAYERS[0]]

    def test_image_that_is_listed_twice_is_one_image_with_all_names(self, load: Load) -> None:
        archive = combined_archive()
        (entry,) = json.loads(archive.members[-2][1])
        archive.file("manifest.json", [entry, {**entry, "RepoTags": ["other:2", "busybox:latest"]}])
        ((chain, _),) = load(archive)
        assert chain.names == ("localhost:5000/foo/bar:v1", "busybox:latest", "other:2")


class TestNamedFolders:
    """docker up to 1.9 names the folder of the top image by the argument of ``docker save``."""

    @pytest.mark.parametrize(
        ("name", "names"),
        [
            ("busybox:1.0", ("busybox:1.0",)),
            ("busybox", ("busybox:latest",)),
            (TOP[:12], ()),
        ],
    )
    def test_id_is_read_from_the_json(self, name: str, names: tuple[str, ...], load: Load) -> None:
        archive = old_archive((ROOT, MIDDLE)).file(f"{name}/VERSION", b"1.0")
        archive.file(f"{name}/json", JSONS[TOP]).file(f"{name}/layer.tar", LAYERS[2])
        ((chain, layers),) = load(archive)
        assert ids_of(chain) == [ROOT, MIDDLE, TOP]
        assert chain.names == names
        assert layers == LAYERS

    def test_repositories_names_the_image_of_a_named_folder(self, load: Load) -> None:
        archive = old_archive((ROOT, MIDDLE)).file("x:1/json", JSONS[TOP]).file("x:1/layer.tar", LAYERS[2])
        ((chain, _),) = load(archive.file("repositories", {"x": {"1": TOP, "2": TOP}}))
        assert chain.names == ("x:1", "x:2")

    def test_only_image_in_a_named_folder_is_read(self, load: Load) -> None:
        archive = Archive().file("busybox:latest/json", JSONS[ROOT])
        ((chain, _),) = load(archive.file("busybox:latest/layer.tar", LAYERS[0]))
        assert ids_of(chain) == [ROOT]

    def test_folder_with_an_id_takes_precedence(self, load: Load) -> None:
        archive = old_archive().file("x:1/json", JSONS[TOP]).file("x:1/layer.tar", b"")
        ((chain, layers),) = load(archive)
        assert chain.names == ("x:1",)
        assert layers == LAYERS

    def test_folder_without_a_layer_or_an_id_is_ignored(self, load: Load) -> None:
        archive = old_archive().file("a/json", b"x").file("b/json", {"id": "short"}).file("b/layer.tar", b"")
        ((chain, _),) = load(archive)
        assert ids_of(chain) == [ROOT, MIDDLE, TOP]

    def test_version_of_a_named_folder_is_checked(self, load: Load) -> None:
        archive = Archive().file("x:1/json", JSONS[ROOT]).file("x:1/layer.tar", b"").file("x:1/VERSION", b"9")
        with pytest.raises(UnreadableArchive, match=r"x:1/VERSION must be 1\.0"):
            load(archive)


class TestLinks:
    def test_link_that_is_relative_to_the_root_is_followed(self, load: Load) -> None:
        archive = Archive().file(f"{ROOT}/json", JSONS[ROOT]).file("layers/root.tar", LAYERS[0])
        ((_, layers),) = load(archive.symlink(f"{ROOT}/layer.tar", "layers/root.tar"))
        assert layers == [LAYERS[0]]

    def test_target_beside_the_link_takes_precedence(self, load: Load) -> None:
        archive = Archive().file(f"{ROOT}/json", JSONS[ROOT])
        archive.file("x.tar", LAYERS[1]).file(f"{ROOT}/x.tar", LAYERS[0])
        ((_, layers),) = load(archive.symlink(f"{ROOT}/layer.tar", "x.tar"))
        assert layers == [LAYERS[0]]

    def test_missing_target_is_named(self, load: Load) -> None:
        archive = Archive().file(f"{ROOT}/json", JSONS[ROOT]).symlink(f"{ROOT}/layer.tar", "gone.tar")
        expected = (
            f"its {ROOT}/layer.tar is a link to '{ROOT}/gone.tar' or 'gone.tar', which it does not have"
        )
        with pytest.raises(UnreadableArchive, match=expected):
            load(archive)

    def test_circle_over_the_root_is_refused(self, load: Load) -> None:
        archive = old_archive().symlink("a/b", "c/d").symlink("c/d", "a/b")
        with pytest.raises(UnreadableArchive, match="is circular"):
            load(archive)


class TestFileSystems:
    """``docker export`` instead of ``docker save``."""

    @pytest.mark.parametrize(
        "archive",
        [
            Archive().member("bin/", tarfile.DIRTYPE).file("bin/sh", b"x").file(".dockerenv", b""),
            Archive().file("./etc/passwd", b"x"),
            Archive().file("app/main", b"x").member("dev/console", tarfile.CHRTYPE),
            Archive().file("usr/bin/x", b"").symlink("etc/mtab", "/proc/mounts"),
            Archive().symlink("bin", "usr/bin").member("bin/", tarfile.DIRTYPE),
        ],
        ids=["export", "dots", "device", "absolute link", "folder and link"],
    )
    def test_file_system_is_explained(self, archive: Archive, load: Load) -> None:
        with pytest.raises(UnreadableArchive, match=r"docker export.*docker save.*docker import"):
            load(archive)

    def test_file_system_of_many_files_is_explained(self, load: Load) -> None:
        archive = Archive()
        for number in range(9):
            archive.file(f"etc/{number}", b"")
        with pytest.raises(UnreadableArchive, match="more than 8 members; it looks like a file system"):
            load(archive, ArchiveLimits(members=8))

    @pytest.mark.parametrize(
        "archive", [Archive(), Archive().file("readme", b""), Archive().file("opus", b"")]
    )
    def test_other_archives_are_not_called_file_systems(self, archive: Archive, load: Load) -> None:
        with pytest.raises(UnreadableArchive, match="it has no image; it must be an archive"):
            load(archive)

    def test_save_archive_with_a_hostile_member_gets_no_hint(self, load: Load) -> None:
        with pytest.raises(UnreadableArchive, match=r"absolute path$"):
            load(old_archive().file("/etc/passwd", b""))


class TestZstandard:
    def test_ENG_008_layers_of_zstd_are_returned_unchanged(self, load: Load) -> None:
        packed = [zstandard.compress(layer) for layer in LAYERS]
        ((chain, layers),) = load(oci_archive(packed))
        assert [image.diff_id for image in chain.images] == DIFF_IDS
        assert layers == packed

    def test_whole_archive_of_zstd_is_read(self, load: Load) -> None:
        ((chain, _),) = load(zstandard.compress(combined_archive().bytes()))
        assert ids_of(chain) == EXPECTED_IDS

    @pytest.mark.parametrize("archive", [oci_archive([zstandard.compress(LAYERS[0])] * 3), None])
    def test_missing_module_is_named(
        self, archive: Archive | None, load: Load, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "zstandard", None)
        monkeypatch.setitem(sys.modules, "compression.zstd", None)
        data = archive if archive else zstandard.compress(combined_archive().bytes())
        with pytest.raises(UnreadableArchive, match=r"pip install 'v1registry\[zstd\]'"):
            load(data)


def test_members_are_found_behind_folders_without_entries(load: Load) -> None:
    """``tar -r`` and some builders write no entries for folders."""
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for name, data in ((f"{ROOT}/layer.tar", LAYERS[0]), (f"{ROOT}/json", JSONS[ROOT])):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        data = buffer.getvalue()
    ((chain, _),) = load(data)
    assert ids_of(chain) == [ROOT]
