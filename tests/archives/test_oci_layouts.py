"""OCI layouts in folders and archives, hostile ones too."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from v1registry.archives.documents import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Descriptor
from v1registry.archives.layout_writer import LayoutWriter, NotALayout, write_layout_archive
from v1registry.archives.oci_layout import FolderFiles, Layout, TarFiles, blob_name, names_of
from v1registry.archives.tarindex import ArchiveLimits, TarIndex, UnreadableArchive

DATA = b"the content of a layer"


class LayoutFolder:
    """A layout in a folder, which a test can damage."""

    def __init__(self, path: Path):
        self.path = path
        (path / "blobs" / "sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.layer = self.add(DATA, OCI_LAYER)
        config = self.add(b"{}", OCI_CONFIG)
        self.manifest = self.add_document(
            {"config": config.document(), "layers": [self.layer.document()]}, OCI_MANIFEST
        )
        self.list(self.manifest)

    def add(self, data: bytes, media_type: str) -> Descriptor:
        blob = Descriptor.of(data, media_type)
        (self.path / blob_name(blob.digest)).write_bytes(data)
        return blob

    def add_document(self, document: dict[str, Any], media_type: str) -> Descriptor:
        return self.add(json.dumps({"schemaVersion": 2} | document).encode(), media_type)

    def list(self, *entries: Descriptor, **changes: Any) -> None:
        """Write the index."""
        documents = [entry.document() | changes for entry in entries]
        text = json.dumps({"schemaVersion": 2, "manifests": documents})
        (self.path / "index.json").write_text(text)

    def file(self, blob: Descriptor) -> Path:
        return self.path / blob_name(blob.digest)

    def open(self) -> Layout:
        return Layout(FolderFiles(self.path))


@pytest.fixture
def layout(tmp_path: Path) -> LayoutFolder:
    return LayoutFolder(tmp_path / "layout")


def walk_all(layout: Layout) -> list[str]:
    """Return the digests of everything, after comparing all blobs."""
    found = []
    for entry, manifest in layout.walk(layout.entries[0]):
        found.append(str(entry.digest))
        for blob in getattr(manifest, "blobs", ()):
            layout.verify(blob)
    return found


def test_layout_in_a_folder_is_read(layout: LayoutFolder) -> None:
    layout.list(layout.manifest, annotations={"org.opencontainers.image.ref.name": "1"})
    with layout.open() as opened:
        assert walk_all(opened) == [str(layout.manifest.digest)]
        assert names_of(opened.entries[0]) == ("1",)
        assert opened.read(layout.layer) == DATA


def test_layout_in_an_archive_is_read(layout: LayoutFolder, tmp_path: Path) -> None:
    with (tmp_path / "layout.tar").open("w+b") as file:
        write_layout_archive(layout.path, file)
        file.flush()
        with Layout(TarFiles(file, TarIndex(file, ArchiveLimits()))) as opened:
            assert walk_all(opened) == [str(layout.manifest.digest)]


def test_archives_of_equal_layouts_are_equal(layout: LayoutFolder, tmp_path: Path) -> None:
    copies = [io.BytesIO(), io.BytesIO()]
    for copy in copies:
        write_layout_archive(layout.path, copy)
        os.utime(layout.path / "index.json", (1, 1))
    assert copies[0].getvalue() == copies[1].getvalue()
    with tarfile.open(fileobj=io.BytesIO(copies[0].getvalue())) as archive:
        assert archive.getnames()[:2] == ["oci-layout", "index.json"]


class TestHostileLayouts:
    def test_blob_with_other_bytes_is_refused(self, layout: LayoutFolder) -> None:
        layout.file(layout.layer).write_bytes(DATA[::-1])
        with pytest.raises(UnreadableArchive, match="has the digest"):
            walk_all(layout.open())

    def test_blob_of_another_size_is_refused(self, layout: LayoutFolder) -> None:
        layout.file(layout.layer).write_bytes(DATA * 2)
        with pytest.raises(UnreadableArchive, match="must have 22 bytes"):
            walk_all(layout.open())

    def test_missing_blob_is_named(self, layout: LayoutFolder) -> None:
        layout.file(layout.layer).unlink()
        with pytest.raises(UnreadableArchive, match=f"it has no blobs/sha256/{layout.layer.digest.hex}"):
            walk_all(layout.open())

    @pytest.mark.parametrize("name", ["oci-layout", "index.json", "blob", "blobs", "blobs/sha256"])
    def test_links_are_refused(self, name: str, layout: LayoutFolder, tmp_path: Path) -> None:
        path = layout.file(layout.layer) if name == "blob" else layout.path / name
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(UnreadableArchive, match="without links"):
            walk_all(layout.open())

    def test_fifo_is_refused_and_not_waited_for(self, layout: LayoutFolder) -> None:
        layout.file(layout.layer).unlink()
        os.mkfifo(layout.file(layout.layer))
        with pytest.raises(UnreadableArchive, match="regular file"):
            walk_all(layout.open())

    @pytest.mark.parametrize(
        "digest",
        [
            "sha256:../../../../etc/passwd",
            "../etc:passwd",
            "sha256:" + "A" * 64,
            "md5:" + "0" * 32,
            "",
            5,
            None,
        ],
    )
    def test_invalid_digest_is_refused(self, digest: object, layout: LayoutFolder) -> None:
        layout.list(layout.manifest, digest=digest)
        with pytest.raises(UnreadableArchive, match="no digest of sha256 or sha512"):
            layout.open()

    @pytest.mark.parametrize("size", [-1, 1 << 63, "5", True, None, 1.5])
    def test_invalid_size_is_refused(self, size: object, layout: LayoutFolder) -> None:
        layout.list(layout.manifest, size=size)
        with pytest.raises(UnreadableArchive, match="no valid size"):
            layout.open()

    def test_deep_indexes_are_refused(self, layout: LayoutFolder) -> None:
        entry = layout.manifest
        for number in range(5):
            entry = layout.add_document({"manifests": [entry.document()], "n": number}, OCI_INDEX)
        layout.list(entry)
        with pytest.raises(UnreadableArchive, match="nested more than 4 deep"):
            walk_all(layout.open())

    def test_index_that_lists_one_manifest_often_is_read_once(self, layout: LayoutFolder) -> None:
        entry = layout.add_document({"manifests": [layout.manifest.document()] * 1000}, OCI_INDEX)
        layout.list(entry)
        assert walk_all(layout.open()) == [str(layout.manifest.digest), str(entry.digest)]

    def test_huge_index_is_refused(self, layout: LayoutFolder) -> None:
        layout.list(*([layout.manifest] * 1001))
        with pytest.raises(UnreadableArchive, match="at most 1000"):
            layout.open()
        (layout.path / "index.json").write_bytes(b" " * ((4 << 20) + 1))
        with pytest.raises(UnreadableArchive, match="more than 4194304 bytes"):
            layout.open()

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"imageLayoutVersion": "2.0.0"}', "[" * 100_000])
    def test_other_versions_are_refused(self, text: str, layout: LayoutFolder) -> None:
        (layout.path / "oci-layout").write_text(text)
        with pytest.raises(UnreadableArchive, match="oci-layout"):
            layout.open()


class TestWriting:
    def test_folder_with_other_files_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "letter.txt").write_text("hello")
        with pytest.raises(NotALayout, match="must be an OCI layout"):
            LayoutWriter(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]

    @pytest.mark.parametrize("name", ["blobs", "blobs/sha256"])
    def test_linked_folder_is_refused(self, name: str, layout: LayoutFolder, tmp_path: Path) -> None:
        (layout.path / name).rename(tmp_path / "elsewhere")
        (layout.path / name).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(NotALayout, match="not a link"):
            LayoutWriter(layout.path)

    def test_entry_replaces_the_one_of_its_name(self, layout: LayoutFolder) -> None:
        first = layout.add(hashlib.sha256(b"1").digest(), OCI_MANIFEST)
        for entry, name in ((first, "a"), (first, "b"), (layout.manifest, "a")):
            LayoutWriter(layout.path).finish(entry, name)
        with layout.open() as opened:
            found = {names_of(entry): entry.digest for entry in opened.entries}
        assert found == {(): layout.manifest.digest, ("b",): first.digest, ("a",): layout.manifest.digest}
