"""Read the save archives of every engine, and of skopeo, as chains of v1 images.

    made by                   how the images are found                                     ids
    docker 0.7 to 1.9         ``ID/json``, ``ID/layer.tar``, ``repositories``; the folder  of the JSON
                              of the top image may have a name, such as busybox:latest
    docker 1.10 to 24         ``manifest.json``, a config and layers; the folders in it    made from the
    docker 25 and later       have invented ids                                            config
    skopeo, podman
    v1registry                ``v1registry.json`` marks the folders' ids as genuine        of the folders

Source of the formats: moby v1.3.0 graph/export.go, v1.12.6 and v28.5.2 image/tarexport/save.go.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from io import BytesIO
from types import TracebackType
from typing import IO, BinaryIO

from ..layers.compression import CHUNK_BYTES, UnreadableLayer, compression_of, open_decompressed
from ..names import is_image_id
from . import convert, rawjson
from .history import with_history
from .images import ChainImage, LayerOpener, UnreadableImage, ids_from_root, read_image_json, tops_of
from .tarindex import ArchiveLimits, TarIndex, UnreadableArchive

__all__ = [
    "MARKER",
    "ArchiveLimits",
    "ArchivedChain",
    "SaveArchive",
    "UnreadableArchive",
    "as_tar_file",
    "open_save_archive",
]

#: The member that v1registry adds; it lists the images whose folders have their genuine v1 ids.
MARKER = "v1registry.json"


@dataclass(frozen=True)
class ArchivedChain:
    """One image of an archive with all its ancestors."""

    images: tuple[ChainImage, ...]  #: root first, never empty
    names: tuple[str, ...]  #: such as ``busybox:latest``; empty for an image that was saved by its id
    config: bytes | None = None  #: of today's engines; None if the archive has genuine v1 images

    @property
    def top(self) -> ChainImage:
        return self.images[-1]


class SaveArchive:
    """An open save archive, and a context manager that closes it.

    Layers can be read until it is closed, by several threads at once.

    :param file: an uncompressed tar, which the archive closes.
    :param index: its members.
    :raises UnreadableArchive: the file is not a save archive, or hostile.
    """

    def __init__(self, file: IO[bytes], index: TarIndex, limits: ArchiveLimits):
        self._file = file
        self._index = index
        self._limits = limits
        self._verified: set[str] = set()
        self._lock = threading.Lock()
        chains: dict[str, ArchivedChain] = {}
        for chain in self._read():
            known = chains.get(chain.top.image_id)
            names = (*known.names, *chain.names) if known else chain.names
            chains[chain.top.image_id] = replace(chain, names=tuple(dict.fromkeys(names)))
        #: Every tagged image once, in the archive's order.
        self.chains: tuple[ArchivedChain, ...] = tuple(chains.values())
        if not self.chains:
            hint = self._index.hint or "; it must be an archive of docker save"
            raise UnreadableArchive(f"it has no image{hint}")

    def __enter__(self) -> SaveArchive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def _read(self) -> Iterator[ArchivedChain]:
        try:
            if MARKER in self._index:
                yield from self._read_marked()
            elif "manifest.json" in self._index:
                yield from self._read_manifest()
            elif self._index.folders_with("json"):
                yield from self._read_folders()
            elif "index.json" in self._index:
                raise UnreadableArchive(
                    "it has an index.json, but neither manifest.json nor oci-layout; make an archive with "
                    "`docker save`, or an OCI layout with `skopeo copy … oci-archive:FILE`"
                )
        except (UnreadableImage, convert.Unconvertible, rawjson.InvalidDocument) as exc:
            raise UnreadableArchive(str(exc)) from exc
        except RecursionError as exc:
            raise UnreadableArchive("one of its JSON documents is nested too deeply") from exc

    # -- folders with genuine ids

    def _read_folders(self) -> Iterator[ArchivedChain]:
        names: dict[str, list[str]] = {}
        if "repositories" in self._index:
            names = _names_by_id(self._read_json("repositories"))
        images = {
            folder: self._folder_image(folder, folder, None)
            for folder in self._index.folders_with("json")
            if is_image_id(folder)
        }
        for folder in self._named_folders():
            document = self._index.read_document(f"{folder}/json")
            image_id = rawjson.value_of(rawjson.split_object(document).get("id"))
            if isinstance(image_id, str) and is_image_id(image_id):
                images.setdefault(image_id, self._folder_image(image_id, folder, None))
                if not image_id.startswith(folder):
                    name = folder if ":" in folder else f"{folder}:latest"
                    names.setdefault(image_id, []).append(name)
        yield from self._chains_of_folders(images, names)

    def _named_folders(self) -> list[str]:
        """Return the folders of images that are named by the argument of ``docker save``.

        Engines up to 1.9 do so with the top image: with a short id, early versions with a name too. Source:
        moby v0.9.1 server/server.go ``exportImage``.
        """
        folders = set(self._index.folders_with("json")) & set(self._index.folders_with("layer.tar"))
        return sorted(folder for folder in folders if not is_image_id(folder))

    def _read_marked(self) -> Iterator[ArchivedChain]:
        document = self._read_json(MARKER)
        if not isinstance(document, dict):
            raise UnreadableArchive(f"its {MARKER} must be an object")
        entries = document.get("images")
        if not isinstance(entries, dict) or not all(is_image_id(image_id) for image_id in entries):
            raise UnreadableArchive(f"images in its {MARKER} must be an object of image ids")
        images = {
            image_id: self._folder_image(image_id, image_id, value if isinstance(value, str) else None)
            for image_id, value in entries.items()
        }
        yield from self._chains_of_folders(images, _names_by_id(document.get("names")))

    def _chains_of_folders(
        self, images: Mapping[str, ChainImage], names: Mapping[str, list[str]]
    ) -> Iterator[ArchivedChain]:
        parents = {image_id: image.parent_id for image_id, image in images.items()}
        untagged = [image_id for image_id in tops_of(parents) if image_id not in names]
        for top_id in [*names, *untagged]:
            chain = ids_from_root(top_id, parents)
            yield ArchivedChain(tuple(images[image_id] for image_id in chain), tuple(names.get(top_id, ())))
        if parents and not names and not untagged:
            raise UnreadableArchive("its images form a circle of parents")

    def _folder_image(self, image_id: str, folder: str, diff_id: str | None) -> ChainImage:
        version = f"{folder}/VERSION"
        if version in self._index and self._index.read_document(version).strip() != b"1.0":
            raise UnreadableArchive(f"its {version} must be 1.0")
        document = self._index.read_document(f"{folder}/json")
        read_image_json(document, image_id)
        layer = f"{folder}/layer.tar"
        return ChainImage(
            image_id, document, self._layer_opener(layer, diff_id), self._index.size(layer), diff_id
        )

    # -- manifest.json

    def _read_manifest(self) -> Iterator[ArchivedChain]:
        entries = self._read_json("manifest.json")
        if not isinstance(entries, list):
            raise UnreadableArchive("its manifest.json must be a list")
        for entry in entries:
            config_name, layers, names = _manifest_entry(entry)
            config = self._index.read_document(config_name)
            yield ArchivedChain(tuple(self._manifest_images(config_name, config, layers)), names, config)

    def _manifest_images(self, config_name: str, config: bytes, layers: list[str]) -> Iterator[ChainImage]:
        count = len(convert.read_diff_ids(config))
        if count != len(layers):
            raise UnreadableArchive(
                f"its {config_name} lists {count} layers, its manifest.json {len(layers)}"
            )
        documents = with_history(convert.chain_from_config(config), config)
        if not layers:
            yield ChainImage(
                documents[0].image_id,
                documents[0].json,
                lambda: BytesIO(convert.EMPTY_TAR),
                len(convert.EMPTY_TAR),
                documents[0].diff_id,
                has_content_id=True,
            )
        for document, layer in zip(documents, layers, strict=False):
            yield ChainImage(
                document.image_id,
                document.json,
                self._layer_opener(layer, document.diff_id),
                self._index.size(layer),
                document.diff_id,
                has_content_id=True,
            )

    # -- layers and documents

    def _layer_opener(self, name: str, diff_id: str | None) -> LayerOpener:
        def open_layer() -> BinaryIO:
            if diff_id is not None:
                self._verify(name, diff_id)
            return self._index.open(name)

        return open_layer

    def _verify(self, name: str, diff_id: str) -> None:
        """Compare a layer with its diff id, because image ids are made from it.

        :raises UnreadableArchive: they differ, or the layer cannot be read.
        """
        with self._lock:
            if f"{name} {diff_id}" in self._verified:
                return
        try:
            with self._index.open(name) as stream:
                plain = open_decompressed(stream, limit_bytes=self._limits.layer_bytes)
                found = convert.hash_layer(plain).diff_id
        except UnreadableLayer as exc:
            raise UnreadableArchive(f"its layer {name} cannot be read: {exc}") from exc
        if found != diff_id:
            raise UnreadableArchive(
                f"its layer {name} has the diff id {found}, but the archive names {diff_id}"
            )
        with self._lock:
            self._verified.add(f"{name} {diff_id}")

    def _read_json(self, name: str) -> object:
        try:
            return json.loads(self._index.read_document(name).decode("utf-8"))
        except (ValueError, RecursionError) as exc:
            raise UnreadableArchive(f"its {name} is not JSON: {exc}") from exc


def _names_by_id(repositories: object) -> dict[str, list[str]]:
    """Return ``{ID: ["busybox:latest"]}`` for ``{"busybox": {"latest": ID}}``."""
    names: dict[str, list[str]] = {}
    if not isinstance(repositories, dict):
        raise UnreadableArchive("its list of repositories must be an object")
    for name, tags in repositories.items():
        if not isinstance(tags, dict):
            raise UnreadableArchive(f"the tags of its repository {name!r} must be an object")
        for tag, image_id in tags.items():
            if not is_image_id(image_id):
                raise UnreadableArchive(f"its tag {name}:{tag} must name an image id")
            names.setdefault(image_id, []).append(f"{name}:{tag}")
    return names


def _manifest_entry(entry: object) -> tuple[str, list[str], tuple[str, ...]]:
    """Return the member of the config, the members of the layers, and the names of the image."""
    if not isinstance(entry, dict):
        raise UnreadableArchive("each entry of its manifest.json must be an object")
    config, layers, names = entry.get("Config"), entry.get("Layers"), entry.get("RepoTags")
    if not isinstance(config, str):
        raise UnreadableArchive("an entry of its manifest.json has no Config")
    return config, _strings(layers, "Layers"), tuple(_strings(names, "RepoTags"))


def _strings(value: object, key: str) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UnreadableArchive(f"{key} in its manifest.json must be a list of strings")
    return value


def open_save_archive(
    source: str | os.PathLike[str] | IO[bytes],
    *,
    limits: ArchiveLimits | None = None,
    temporary_folder: str | os.PathLike[str] | None = None,
) -> SaveArchive:
    """Return a save archive; the caller closes it.

    A layer is compared with its diff id, if the archive names one, when it is first opened.

    :param source: the path of the archive, or a binary stream, which is read from its current position and
        not closed.
    :param limits: the defaults of ArchiveLimits if None.
    :param temporary_folder: an archive that is compressed as a whole, or not in a regular file, is copied
        into an unnamed file here; the system's own folder if None.
    :raises UnreadableArchive: the archive is not a save archive, damaged, hostile, or beyond ``limits``.
    :raises OSError: the archive cannot be read or copied.
    """
    limits = limits or ArchiveLimits()
    with ExitStack() as on_error:
        if isinstance(source, (str, os.PathLike)):
            with open(source, "rb") as opened:
                file = as_tar_file(opened, limits, temporary_folder)
        else:
            file = as_tar_file(source, limits, temporary_folder)
        on_error.callback(file.close)
        archive = SaveArchive(file, TarIndex(file, limits), limits)
        on_error.pop_all()
    return archive


def as_tar_file(
    source: IO[bytes],
    limits: ArchiveLimits,
    temporary_folder: str | os.PathLike[str] | None = None,
) -> IO[bytes]:
    """Return a real file with the uncompressed archive: that of the source, or an unnamed copy.

    :param temporary_folder: see :func:`open_save_archive`.
    :raises UnreadableArchive: it cannot be expanded, or is beyond ``limits``.
    :raises OSError: the source cannot be read or copied.
    """
    if _is_whole_file(source):
        compression = compression_of(source.read(16))
        source.seek(0)
        if compression == "plain":
            return os.fdopen(os.dup(source.fileno()), "rb")
    copy: IO[bytes] = tempfile.TemporaryFile(dir=temporary_folder)  # noqa: SIM115  the archive closes it
    with ExitStack() as on_error:
        on_error.callback(copy.close)
        _unpack(source, copy, limits.archive_bytes)
        on_error.pop_all()
    return copy


def _is_whole_file(source: IO[bytes]) -> bool:
    """Tell whether the source is a regular file at its start."""
    try:
        return stat.S_ISREG(os.fstat(source.fileno()).st_mode) and source.tell() == 0
    except OSError:  # io.UnsupportedOperation, which is one, for streams in memory
        return False


def _unpack(source: IO[bytes], target: IO[bytes], limit_bytes: int) -> None:
    compression = "plain"
    try:
        plain = open_decompressed(source, limit_bytes=limit_bytes)
        compression = plain.compression
        while chunk := plain.read(CHUNK_BYTES):
            target.write(chunk)
    except UnreadableLayer as exc:
        reason = str(exc).replace("the layer", "it", 1)
        if compression != "plain":
            reason += f" (the whole archive is compressed with {compression})"
        raise UnreadableArchive(reason) from exc
    target.flush()
