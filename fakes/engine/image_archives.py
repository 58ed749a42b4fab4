"""Archives of ``docker save``, out and in (engine-formats.md 3)."""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Final

from v1registry.archives import convert
from v1registry.archives.images import UnreadableImage
from v1registry.archives.load import ArchivedChain, UnreadableArchive, open_save_archive
from v1registry.layers.compression import Readable, UnreadableLayer, open_decompressed

from .errors import InvalidParameter
from .image_store import EngineImage, StoredLayer, read_layer

_BLOCK_BYTES: Final = 512
_CHUNK_BYTES: Final = 256 << 10


@dataclass(frozen=True)
class SavedImage:
    """An image to write, with the names that it gets in the archive."""

    image: EngineImage
    layers: Sequence[StoredLayer]
    names: Sequence[str]


@dataclass(frozen=True)
class LoadedImage:
    """An image that was read: its config, its layers lowest first, and its names."""

    config: bytes
    layers: Sequence[StoredLayer]
    names: Sequence[str]


def saved(images: Sequence[SavedImage]) -> Iterator[bytes]:
    """Yield an archive of images in pieces. It has the layout of docker 1.10 to 24."""
    manifest: list[dict[str, object]] = []
    repositories: dict[str, dict[str, str]] = {}
    written: set[str] = set()
    for entry in images:
        documents = convert.chain_from_config(entry.image.config_bytes)
        # a config without layers has one document all the same
        folders = [document.image_id for document in documents[: len(entry.layers)]]
        for document, layer in zip(documents, entry.layers, strict=False):
            if document.image_id not in written:
                written.add(document.image_id)
                yield from _folder(document, layer)
        config_name = f"{entry.image.id.removeprefix('sha256:')}.json"
        if config_name not in written:
            written.add(config_name)
            yield from _file(config_name, entry.image.config_bytes)
        manifest.append({
            "Config": config_name,
            "RepoTags": list(entry.names) or None,
            "Layers": [f"{folder}/layer.tar" for folder in folders],
        })  # fmt: skip
        for name in entry.names:
            repository, _, tag = name.rpartition(":")
            repositories.setdefault(repository, {})[tag] = documents[-1].image_id
    yield from _file("manifest.json", _dumped(manifest))
    if repositories:
        yield from _file("repositories", _dumped(repositories))
    yield bytes(2 * _BLOCK_BYTES)


def _folder(document: convert.V1Document, layer: StoredLayer) -> Iterator[bytes]:
    """Yield the folder of an image of v1, as engines up to 1.9 load it."""
    yield _header(f"{document.image_id}/", 0, tarfile.DIRTYPE)
    yield from _file(f"{document.image_id}/VERSION", b"1.0")
    yield from _file(f"{document.image_id}/json", document.json)
    yield _header(f"{document.image_id}/layer.tar", layer.size_bytes)
    yield from layer.chunks()
    yield _padding(layer.size_bytes)


def _file(name: str, data: bytes) -> Iterator[bytes]:
    yield _header(name, len(data)) + data + _padding(len(data))


def _header(name: str, size_bytes: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name.rstrip("/"))
    member.type, member.size = kind, size_bytes
    member.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return member.tobuf(tarfile.GNU_FORMAT, "ascii", "strict")


def _padding(size_bytes: int) -> bytes:
    return bytes(-size_bytes % _BLOCK_BYTES)


def _dumped(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("utf-8")


def loaded(chunks: Iterator[bytes]) -> Iterator[LoadedImage]:
    """Yield the images of an archive of any engine.

    :param chunks: the archive, perhaps compressed.
    :raises InvalidParameter: the archive cannot be read.
    """
    with tempfile.TemporaryFile() as file:
        for chunk in chunks:
            file.write(chunk)
        file.seek(0)
        yield from read_archive(file)


def read_archive(file: IO[bytes]) -> Iterator[LoadedImage]:
    """Yield the images of an archive in a file.

    :raises InvalidParameter: the archive cannot be read.
    """
    try:
        with open_save_archive(file) as archive:
            for chain in archive.chains:
                yield _loaded(chain)
    except (UnreadableArchive, UnreadableImage, UnreadableLayer, convert.Unconvertible) as error:
        raise InvalidParameter(f"the archive cannot be loaded: {error}") from error


def _loaded(chain: ArchivedChain) -> LoadedImage:
    images = chain.images
    if chain.config is not None:
        # a config without layers has one image of v1 all the same
        images = images[: len(convert.read_diff_ids(chain.config))]
    layers = []
    for image in images:
        with image.open_layer() as stream:
            layers.append(read_layer(_pieces(open_decompressed(stream))))
    config = chain.config or convert.config_from_chain(
        [image.json for image in images], [layer.diff_id for layer in layers]
    )
    return LoadedImage(config, layers, chain.names)


def _pieces(stream: Readable) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk
