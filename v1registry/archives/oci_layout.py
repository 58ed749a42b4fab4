"""Read OCI image layouts: a folder, or a tar archive of one.

    oci-layout               {"imageLayoutVersion": "1.0.0"}
    index.json               the images, each with its name in an annotation
    blobs/sha256/<64 hex>    blobs, manifests and indexes

Everything in a layout is checked: names are made from checked digests, links are refused, and each blob is
compared with its digest. Source: OCI image-spec 1.1, "OCI Image Layout Specification".
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from ..layers.compression import CHUNK_BYTES
from ..names import Digest
from .documents import (
    DOCUMENT_LIMIT_BYTES,
    OCI_INDEX,
    Descriptor,
    ImageIndex,
    ImageManifest,
    InvalidDocument,
    read_manifest,
)
from .tarindex import TarIndex, UnreadableArchive

LAYOUT_FILE = "oci-layout"
INDEX_FILE = "index.json"

#: The annotation with the name of an image: a tag, or a whole reference.
NAME_KEY = "org.opencontainers.image.ref.name"
_NAME_KEYS = ("io.containerd.image.name", NAME_KEY)

#: How deep indexes are nested at most (distribution.md 5).
DEPTH_LIMIT = 4

#: The most manifests and indexes of one image in all.
MANIFESTS_LIMIT = 1000


class LayoutFiles(Protocol):
    """The files of a layout by their names, such as ``blobs/sha256/…``."""

    def open(self, name: str) -> IO[bytes]:
        """Return a file, which the caller closes.

        :raises UnreadableArchive: it is missing, or not a regular file.
        """

    def size(self, name: str) -> int:
        """Return the size of a file in bytes.

        :raises UnreadableArchive: it is missing, or not a regular file.
        """

    def close(self) -> None:
        """Close the layout."""


class FolderFiles:
    """The files of a layout in a folder. Links in it are refused, because they could lead anywhere."""

    def __init__(self, folder: Path):
        self._folder = folder

    def open(self, name: str) -> IO[bytes]:
        """Return a file, which the caller closes.

        :raises UnreadableArchive: it is missing, or not a regular file.
        """
        parts = name.split("/")
        opened = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                below = os.O_NONBLOCK if part is parts[-1] else os.O_DIRECTORY
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | below
                inner = os.open(part, flags, dir_fd=opened)
                os.close(opened)
                opened = inner
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                raise UnreadableArchive(f"its {name} must be a regular file")
        except OSError as exc:
            os.close(opened)
            if isinstance(exc, FileNotFoundError):
                raise UnreadableArchive(f"it has no {name}") from exc
            raise UnreadableArchive(
                f"its {name} must be a regular file, without links on the way: {exc.strerror or exc}"
            ) from exc
        except UnreadableArchive:
            os.close(opened)
            raise
        return os.fdopen(opened, "rb")

    def size(self, name: str) -> int:
        """Return the size of a file in bytes.

        :raises UnreadableArchive: it is missing, or not a regular file.
        """
        with self.open(name) as file:
            return os.fstat(file.fileno()).st_size

    def close(self) -> None:
        """Do nothing."""


class TarFiles:
    """The files of a layout in a tar archive.

    :param file: closed with the layout.
    """

    def __init__(self, file: IO[bytes], index: TarIndex):
        self._file = file
        self._index = index

    def open(self, name: str) -> IO[bytes]:
        """Return a file, which the caller closes.

        :raises UnreadableArchive: it is missing.
        """
        return self._index.open(name)

    def size(self, name: str) -> int:
        """Return the size of a file in bytes.

        :raises UnreadableArchive: it is missing.
        """
        return self._index.size(name)

    def close(self) -> None:
        """Close the archive."""
        self._file.close()


class Layout:
    """An open layout, and a context manager that closes it. Safe for threads.

    :raises UnreadableArchive: it is not a layout, or hostile.
    """

    def __init__(self, files: LayoutFiles):
        self._files = files
        _check_version(self._small_file(LAYOUT_FILE))
        try:
            index = read_manifest(self._small_file(INDEX_FILE), OCI_INDEX)
        except InvalidDocument as exc:
            raise UnreadableArchive(f"its {INDEX_FILE}: {exc}") from exc
        assert isinstance(index, ImageIndex)  # the type says so
        #: The images and other things that the layout lists.
        self.entries: tuple[Descriptor, ...] = index.manifests
        if not self.entries:
            raise UnreadableArchive(f"its {INDEX_FILE} lists nothing")

    def __enter__(self) -> Layout:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._files.close()

    def open(self, blob: Descriptor) -> IO[bytes]:
        """Return the bytes of a blob, which the caller closes. They are not compared with the digest.

        :raises UnreadableArchive: it is missing, or has a different size.
        """
        return open_blob(self._files, blob)

    def has(self, blob: Descriptor) -> bool:
        """Tell whether the layout has the file of a blob."""
        try:
            self._files.size(blob_name(blob.digest))
        except UnreadableArchive:
            return False
        return True

    def verify(self, blob: Descriptor) -> None:
        """Compare a blob with its digest.

        :raises UnreadableArchive: it is missing or different.
        :raises OSError: it cannot be read.
        """
        verify_blob(self._files, blob)

    def read(self, blob: Descriptor, limit_bytes: int = DOCUMENT_LIMIT_BYTES) -> bytes:
        """Return a small blob, compared with its digest.

        :raises UnreadableArchive: it is missing, different, or larger than the limit.
        """
        if blob.size_bytes > limit_bytes:
            raise UnreadableArchive(f"its {blob_name(blob.digest)} has more than {limit_bytes} bytes")
        self.verify(blob)
        with self.open(blob) as file:
            return file.read(limit_bytes)

    def manifest(self, entry: Descriptor) -> ImageManifest | ImageIndex:
        """Return a manifest or an index.

        :raises UnreadableArchive: it is missing, different or malformed.
        """
        try:
            return read_manifest(self.read(entry), entry.media_type)
        except InvalidDocument as exc:
            raise UnreadableArchive(f"its manifest {entry.digest}: {exc}") from exc

    def walk(self, entry: Descriptor) -> Iterator[tuple[Descriptor, ImageManifest | ImageIndex]]:
        """Yield an entry and everything that it lists, each once, children before the index that has them.

        :raises UnreadableArchive: something is missing, different, malformed, or beyond a limit.
        """
        seen: set[Digest] = set()

        def below(entry: Descriptor, depth: int) -> Iterator[tuple[Descriptor, ImageManifest | ImageIndex]]:
            if entry.digest in seen:
                return
            seen.add(entry.digest)
            if depth > DEPTH_LIMIT or len(seen) > MANIFESTS_LIMIT:
                raise UnreadableArchive(
                    f"its indexes are nested more than {DEPTH_LIMIT} deep, or list more than "
                    f"{MANIFESTS_LIMIT} manifests"
                )
            manifest = self.manifest(entry)
            if isinstance(manifest, ImageIndex):
                for child in manifest.manifests:
                    yield from below(child, depth + 1)
            yield entry, manifest

        yield from below(entry, 1)

    def _small_file(self, name: str) -> bytes:
        if self._files.size(name) > DOCUMENT_LIMIT_BYTES:
            raise UnreadableArchive(f"its {name} has more than {DOCUMENT_LIMIT_BYTES} bytes")
        with self._files.open(name) as file:
            return file.read(DOCUMENT_LIMIT_BYTES)


def open_blob(files: LayoutFiles, blob: Descriptor) -> IO[bytes]:
    """Return the bytes of a blob, which the caller closes. They are not compared with the digest.

    :raises UnreadableArchive: it is missing, or has a different size.
    """
    name = blob_name(blob.digest)
    size_bytes = files.size(name)
    if size_bytes != blob.size_bytes:
        raise UnreadableArchive(
            f"its {name} must have {blob.size_bytes} bytes, as its descriptor says, not {size_bytes}"
        )
    return files.open(name)


def verify_blob(files: LayoutFiles, blob: Descriptor) -> None:
    """Compare a blob with its digest.

    :raises UnreadableArchive: it is missing or different.
    :raises OSError: it cannot be read.
    """
    digest = hashlib.new(blob.digest.algorithm)
    with open_blob(files, blob) as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    if digest.hexdigest() != blob.digest.hex:
        raise UnreadableArchive(
            f"its {blob_name(blob.digest)} has the digest {blob.digest.algorithm}:{digest.hexdigest()}"
        )


def blob_name(digest: Digest) -> str:
    """Return the name of a blob in a layout.

    >>> blob_name(Digest("sha256", "ab"))
    'blobs/sha256/ab'
    """
    return f"blobs/{digest.algorithm}/{digest.hex}"


def names_of(entry: Descriptor) -> tuple[str, ...]:
    """Return the names of an entry of a layout: tags, or whole references."""
    return tuple(entry.annotations[key] for key in _NAME_KEYS if entry.annotations.get(key))


def _check_version(data: bytes) -> None:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise UnreadableArchive(f"its {LAYOUT_FILE} is not JSON") from exc
    version = document.get("imageLayoutVersion") if isinstance(document, dict) else None
    if not isinstance(version, str) or not version.startswith("1."):
        raise UnreadableArchive(f"imageLayoutVersion in its {LAYOUT_FILE} must be 1.0.0")
