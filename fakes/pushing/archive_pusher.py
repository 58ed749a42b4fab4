"""Push what an archive or a layout has: save archives of every kind, and OCI layouts."""

from __future__ import annotations

import gzip
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import IO, Literal

from v1registry.archives import convert
from v1registry.archives.documents import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    Descriptor,
    ImageManifest,
    write_manifest,
)
from v1registry.archives.images import ChainImage
from v1registry.archives.load import (
    MARKER,
    ArchivedChain,
    ArchiveLimits,
    SaveArchive,
    UnreadableArchive,
    as_tar_file,
)
from v1registry.archives.oci_layout import LAYOUT_FILE, FolderFiles, Layout, TarFiles, names_of
from v1registry.archives.tarindex import TarIndex
from v1registry.layers.compression import CHUNK_BYTES, UnreadableLayer, compression_of, open_decompressed
from v1registry.names import Digest

from ..images import FakeImage
from ..lookup import split_name, split_reference
from ..manifests import FakeManifest, diff_id_of
from .oci_pusher import OciPusher
from .pusher import Pusher

Api = Literal["v1", "v2"]

#: A repository and a tag.
Place = tuple[str, str]


def push_archive(
    path: str | os.PathLike[str],
    name: str | None,
    api: Api | None,
    *,
    pusher: Pusher,
    oci_pusher: OciPusher,
    has_v2: bool,
) -> list[FakeImage | FakeManifest]:
    """Push every image of an archive or a layout; return them in its order.

    The parameters are those of FakeRegistry.add_archive.

    :param has_v2: whether the registry accepts pushes through ``/v2/``.
    :raises ValueError: it is no archive of images, or there are names missing, or too many.
    :raises OSError: it cannot be read.
    :raises PushRefused: the registry rejects it.
    """
    try:
        with _opened(path) as archive:
            if isinstance(archive, Layout):
                if api == "v1":
                    raise ValueError("an OCI layout is pushed through v2, and clients of v1 see its images")
                places = places_of(name, [names_of(entry) for entry in archive.entries])
                _require_names(places)
                return [
                    _push_entry(oci_pusher, archive, entry, at)
                    for entry, at in zip(archive.entries, places, strict=True)
                ]
            places = places_of(name, [chain.names for chain in archive.chains])
            pushed: list[FakeImage | FakeManifest] = []
            for chain, at in zip(archive.chains, places, strict=True):
                if api == "v2" or (api is None and chain.config is not None and has_v2):
                    _require_names(places)
                    pushed.append(_push_chain_by_v2(oci_pusher, chain, at))
                else:
                    pushed.append(_push_chain_by_v1(pusher, chain, at))
            return pushed
    except (UnreadableArchive, UnreadableLayer, convert.Unconvertible) as error:
        raise ValueError(f"{os.fspath(path)} cannot be pushed: {error}") from error


def _opened(path: str | os.PathLike[str]) -> SaveArchive | Layout:
    """Return what a path has; the caller closes it. An archive that is both kinds is a save archive.

    :raises UnreadableArchive: it is neither.
    :raises OSError: it cannot be read.
    """
    if os.path.isdir(path):
        return Layout(FolderFiles(Path(path)))
    limits = ArchiveLimits()
    with open(path, "rb") as source, ExitStack() as on_error:
        file: IO[bytes] = as_tar_file(source, limits)
        on_error.callback(file.close)
        index = TarIndex(file, limits)
        is_saved = "manifest.json" in index or MARKER in index
        opened: SaveArchive | Layout
        if LAYOUT_FILE in index and not is_saved:
            opened = Layout(TarFiles(file, index))
        else:
            opened = SaveArchive(file, index, limits)
        on_error.pop_all()
    return opened


def places_of(name: str | None, names: Sequence[tuple[str, ...]]) -> list[list[Place]]:
    """Return repository and tag for each name of each image of an archive; none for images without a name.

    :param name: the name for the only image, or the repository for all of them; None for the names in the
        archive.
    :param names: the names of each image in the archive: whole ones, or tags alone.
    :raises ValueError: images would get one name.

    >>> places_of(None, [("docker.io/library/base:2", "base"), ()])
    [[('library/base', '2')], []]
    >>> places_of("alice/app", [("base:2", "3")])
    [[('alice/app', '2'), ('alice/app', '3')]]
    """
    repository, tag = (None, None) if name is None else split_reference(name)
    if tag is not None and len(names) > 1:
        raise ValueError(
            f"the archive has {len(names)} images: name must be a repository without a tag, not {name!r}"
        )
    found = []
    for own in names:
        whole = [split_name(each) for each in own if _is_whole(each)]
        if repository is None:
            found.append(list(dict.fromkeys(whole)))
            continue
        alone = [each for each in own if not _is_whole(each)]
        tags = [tag] if tag is not None else [*(each for _, each in whole), *alone]
        found.append([(repository, each) for each in dict.fromkeys(tags or ["latest"])])
    counted = Counter(place for places in found for place in places)
    several = [f"{repository}:{tag}" for (repository, tag), count in counted.items() if count > 1]
    if several:
        raise ValueError(f"several images of the archive would be {', '.join(several)}")
    return found


def _is_whole(name: str) -> bool:
    """Tell whether a name in an archive names a repository, and not a tag alone."""
    return "/" in name or ":" in name


def _require_names(places: list[list[Place]]) -> None:
    if not all(places):
        raise ValueError("an image of the archive has no name: give one, such as name='alice/app:1.0'")


# -- save archives


def _push_chain_by_v1(pusher: Pusher, chain: ArchivedChain, places: list[Place]) -> FakeImage:
    """Push one image of a save archive with its ancestors."""
    for image in chain.images:
        top = pusher.push_document(
            image.image_id, image.json, _layer_of(image), places[0][0] if places else None
        )
    for repository, tag in places:
        pusher.publish(repository, tag, top)
    return top


def _push_chain_by_v2(oci_pusher: OciPusher, chain: ArchivedChain, places: list[Place]) -> FakeManifest:
    """Push one image of a save archive with the config that it has, or that engines make of images of v1."""
    images: Sequence[ChainImage] = chain.images
    if chain.config is not None:
        # a config without layers has one v1 image all the same
        images = chain.images[: len(convert.read_diff_ids(chain.config))]
    layers = [_packed(_layer_of(image)) for image in images]
    config = chain.config or convert.config_from_chain(
        [image.json for image in images], [diff_id_of(layer) for layer in layers]
    )
    document = write_manifest(
        Descriptor.of(config, DOCKER_CONFIG),
        [Descriptor.of(layer, DOCKER_LAYER) for layer in layers],
        DOCKER_MANIFEST,
    )
    for repository, _ in places:
        for blob in (*layers, config):
            oci_pusher.push_blob(repository, blob, str(Digest.of(blob)))
    pushed = [
        oci_pusher.push_document(repository, tag, document, DOCKER_MANIFEST) for repository, tag in places
    ]
    return pushed[0]


def _layer_of(image: ChainImage) -> bytes:
    """Return a layer as engines send it: compressed with gzip, unless it is compressed already."""
    with image.open_layer() as stream:
        layer = b"".join(iter(lambda: stream.read(CHUNK_BYTES), b""))
    return gzip.compress(layer, mtime=0) if layer and compression_of(layer) == "plain" else layer


def _packed(layer: bytes) -> bytes:
    """Return a layer compressed with gzip. One without a byte becomes an empty tar, which engines need."""
    if compression_of(layer) == "gzip":
        return layer
    stream = open_decompressed(BytesIO(layer), limit_bytes=None)
    plain = b"".join(iter(lambda: stream.read(CHUNK_BYTES), b""))
    return gzip.compress(plain or convert.EMPTY_TAR, mtime=0)


# -- layouts


def _push_entry(
    oci_pusher: OciPusher, layout: Layout, entry: Descriptor, places: list[Place]
) -> FakeManifest:
    """Push one entry of a layout with everything that it lists."""
    walked = list(layout.walk(entry))
    for repository, tag in places:
        for descriptor, manifest in walked:
            if isinstance(manifest, ImageManifest):
                for blob in manifest.blobs:
                    if not blob.is_foreign or layout.has(blob):
                        with layout.open(blob) as file:
                            oci_pusher.push_blob(repository, file.read(), str(blob.digest))
            reference = tag if descriptor is entry else str(descriptor.digest)
            pushed = oci_pusher.push_document(
                repository, reference, layout.read(descriptor), descriptor.media_type
            )
    return pushed
