"""Write OCI image layouts into a folder, and make tar archives of them."""

from __future__ import annotations

import contextlib
import json
import os
import tarfile
import tempfile
from pathlib import Path
from typing import IO

from .documents import OCI_INDEX, Descriptor
from .oci_layout import INDEX_FILE, LAYOUT_FILE, NAME_KEY, FolderFiles, Layout, blob_name, verify_blob
from .tarindex import UnreadableArchive

_VERSION = b'{"imageLayoutVersion": "1.0.0"}'


class LayoutWriter:
    """Adds blobs and images to the layout in a folder. A missing folder is made.

    The index is written last, so an interrupted writer leaves a layout that is complete as before.

    :raises UnreadableArchive: the folder has a layout that is invalid.
    :raises NotALayout: the folder has other files.
    :raises OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._entries: list[dict[str, object]] = []
        folder.mkdir(exist_ok=True)
        if (folder / INDEX_FILE).exists():
            with Layout(FolderFiles(folder)):
                pass  # it is valid
            self._entries = json.loads((folder / INDEX_FILE).read_bytes())["manifests"]
        elif any(entry.name not in (LAYOUT_FILE, "blobs") for entry in folder.iterdir()):
            raise NotALayout(f"{folder} must be an OCI layout, a new folder or an empty one")
        for name in ("blobs", "blobs/sha256", "blobs/sha512"):
            if os.path.islink(folder / name):
                raise NotALayout(f"{folder / name} must be a folder, not a link")
        (folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)

    def path(self, blob: Descriptor) -> Path:
        """Return where a blob belongs; its folder exists."""
        path = self.folder / blob_name(blob.digest)
        path.parent.mkdir(exist_ok=True)
        return path

    def has(self, blob: Descriptor) -> bool:
        """Tell whether the layout has a blob whole.

        :raises OSError: it cannot be read.
        """
        try:
            verify_blob(FolderFiles(self.folder), blob)
        except UnreadableArchive:
            return False
        return True

    def add_file(self, blob: Descriptor, file: Path) -> None:
        """Move a file into the layout.

        :raises OSError: it cannot be moved.
        """
        os.replace(file, self.path(blob))

    def add(self, blob: Descriptor, data: bytes) -> None:
        """Write a small blob.

        :raises OSError: it cannot be written.
        """
        _write(self.path(blob), data)

    def finish(self, entry: Descriptor, name: str) -> None:
        """List an image in the index, in place of one that had its name before.

        :raises OSError: the index cannot be written.
        """
        document = entry.document() | {"annotations": {NAME_KEY: name}}
        if entry.platform is not None:
            parts = {"os": entry.platform.os, "architecture": entry.platform.architecture}
            document["platform"] = parts | (
                {"variant": entry.platform.variant} if entry.platform.variant else {}
            )
        others = [other for other in self._entries if not _has_name(other, name)]
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*others, document]}
        _write(self.folder / LAYOUT_FILE, _VERSION)
        _write(self.folder / INDEX_FILE, json.dumps(index, indent=2).encode("ascii"))


class NotALayout(Exception):
    """A folder for a layout has other files."""


def _has_name(entry: dict[str, object], name: str) -> bool:
    annotations = entry.get("annotations")
    return isinstance(annotations, dict) and annotations.get(NAME_KEY) == name


def _write(path: Path, data: bytes) -> None:
    """Replace a file; others see the old one or the new one."""
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def write_layout_archive(folder: Path, target: IO[bytes]) -> int:
    """Write the files of a layout as a tar archive and return its size in bytes.

    The same layout makes the same bytes.

    :raises OSError: a file cannot be read, or the target not be written.
    """
    start = target.tell()
    with tarfile.TarFile(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        first = [folder / LAYOUT_FILE, folder / INDEX_FILE]
        others = sorted(path for path in folder.rglob("*") if path not in first)
        for path in [*first, *others]:
            info = tarfile.TarInfo(path.relative_to(folder).as_posix())
            if path.is_dir():
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(info)
                continue
            info.size = path.stat().st_size
            with open(path, "rb") as file:
                archive.addfile(info, file)
    return target.tell() - start
