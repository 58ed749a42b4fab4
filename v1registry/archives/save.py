"""Write save archives that all engines load, from docker 0.7 to today's.

    ID/VERSION, ID/json, ID/layer.tar    every image of the chains, for engines up to 1.9
    repositories                         their names
    <digest>.json, manifest.json         configs, for engines since 1.10, skopeo and podman; made from the
                                         chains, unless the chains were made from configs
    v1registry.json                      marks the ids as genuine, so that ``load`` returns equal images;
                                         missing if the chains were made from configs

The same images and names make the same bytes. Source of the layout: moby v1.12.6 image/tarexport/save.go.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from ..layers.compression import Readable, open_decompressed
from . import convert, rawjson
from .images import ChainImage, UnreadableImage, ids_from_root, read_image_json, tops_of
from .load import MARKER

_BLOCK_BYTES = 512

#: The largest time in twelve octal digits of a tar header, in seconds.
_LAST_TIME = 8**11 - 1

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:localhost|[A-Za-z0-9.-]*\.[A-Za-z0-9.-]*|[A-Za-z0-9.-]+(?=:)|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?"
#: The names that today's engines accept; any other name makes them refuse the whole archive.
_TODAYS_NAME = re.compile(rf"(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*:[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}")


@dataclass(frozen=True)
class WrittenArchive:
    """A save archive that was written."""

    size_bytes: int
    diff_ids: Mapping[str, str]  #: v1 id to the diff id of the image's layer
    config_digests: Mapping[str, str]  #: v1 id of each top image to its id in today's engines


def write_save_archive(
    target: IO[bytes],
    images: Iterable[ChainImage],
    names: Mapping[str, str],
    *,
    layer_limit_bytes: int | None = None,
    config: bytes | None = None,
) -> WrittenArchive:
    """Write ``images`` as a save archive and return its facts.

    After an error the target has a part of an archive. Names that today's engines refuse (with capitals,
    which docker 0.6 accepted) are written to ``repositories`` only.

    :param target: written from its current position; must be seekable; not closed.
    :param images: parents before their children; a repeated image is skipped. Layers may have any compression
        and are expanded; a layer of zero bytes becomes an empty tar.
    :param names: name, such as ``localhost:5000/foo/bar:latest``, to image id. Images without children and
        without a name are saved by their id.
    :param layer_limit_bytes: the most bytes that one layer may expand to; None for no limit.
    :param config: the config from which the images were made, if there is one: a chain with one name.
    :raises UnreadableImage: the JSON of an image is invalid, or a parent or a named image is missing.
    :raises Unconvertible: the JSON of an image cannot be made into a config, or the layers are not those of
        ``config``.
    :raises UnreadableLayer: a layer cannot be expanded, or is beyond the limit.
    :raises OSError: reading a layer or writing the target failed.
    """
    try:
        return _Writer(target, layer_limit_bytes, config).write(images, names)
    except rawjson.InvalidDocument as exc:
        raise convert.Unconvertible(f"the JSON of an image: {exc}") from exc
    except RecursionError as exc:
        # a document that was just read may be too deep for a place with less of Python's stack
        raise convert.Unconvertible("the JSON of an image is nested too deeply") from exc


class _Writer:
    def __init__(self, target: IO[bytes], layer_limit_bytes: int | None, config: bytes | None):
        self._target = target
        self._config = config
        self._start = target.tell()
        self._layer_limit_bytes = layer_limit_bytes
        self._documents: dict[str, bytes] = {}
        self._parents: dict[str, str | None] = {}
        self._diff_ids: dict[str, str] = {}

    def write(self, images: Iterable[ChainImage], names: Mapping[str, str]) -> WrittenArchive:
        for image in images:
            if image.image_id not in self._documents:
                self._write_image(image)
        names_of: dict[str, list[str]] = {top_id: [] for top_id in tops_of(self._parents)}
        for name, image_id in sorted(names.items()):
            names_of.setdefault(image_id, []).append(name)
        digests = self._write_manifest(names_of)
        repositories: dict[str, dict[str, str]] = {}
        for name, image_id in names.items():
            repository, _, tag = name.rpartition(":")
            repositories.setdefault(repository, {})[tag] = image_id
        if repositories:
            self._write_file("repositories", _dump(repositories), 0)
        if self._config is None:
            self._write_file(MARKER, _dump({"images": self._diff_ids, "names": repositories}), 0)
        self._target.write(bytes(2 * _BLOCK_BYTES))
        return WrittenArchive(self._target.tell() - self._start, dict(self._diff_ids), digests)

    def _write_image(self, image: ChainImage) -> None:
        parent_id = read_image_json(image.json, image.image_id)
        if parent_id is not None and parent_id not in self._documents:
            raise UnreadableImage(
                f"image {parent_id}, the parent of {image.image_id}, does not come before it"
            )
        self._documents[image.image_id] = image.json
        self._parents[image.image_id] = parent_id
        mtime = _created(image.json)
        self._target.write(_header(image.image_id, 0, mtime, tarfile.DIRTYPE))
        self._write_file(f"{image.image_id}/VERSION", b"1.0", mtime)
        self._write_file(f"{image.image_id}/json", image.json, mtime)
        with image.open_layer() as stream:
            plain = open_decompressed(stream, limit_bytes=self._layer_limit_bytes)
            self._diff_ids[image.image_id] = self._write_layer(f"{image.image_id}/layer.tar", plain, mtime)

    def _write_layer(self, name: str, plain: Readable, mtime: int) -> str:
        """Write the layer, then the header in front of it, because of the size. Return the diff id."""
        header_at = self._target.tell()
        self._target.write(bytes(_BLOCK_BYTES))
        copying = _Copying(plain, self._target)
        layer = convert.hash_layer(copying)
        if not copying.size_bytes:
            self._target.write(convert.EMPTY_TAR)
        self._pad(layer.size_bytes)
        end = self._target.tell()
        self._target.seek(header_at)
        self._target.write(_header(name, layer.size_bytes, mtime))
        self._target.seek(end)
        return layer.diff_id

    def _write_manifest(self, names_of: Mapping[str, list[str]]) -> dict[str, str]:
        digests: dict[str, str] = {}
        layers: dict[str, list[str]] = {}
        tags: dict[str, list[str]] = {}
        for top_id, names in names_of.items():
            chain = ids_from_root(top_id, self._parents)
            config = self._config_of(chain)
            digests[top_id] = convert.digest_of(config)
            file_name = digests[top_id].partition(":")[2] + ".json"
            if file_name not in layers:  # two v1 images may be the same image in today's engines
                self._write_file(file_name, config, _created(self._documents[top_id]))
                count = len(convert.read_diff_ids(config))
                layers[file_name] = [f"{image_id}/layer.tar" for image_id in chain[:count]]
            tags.setdefault(file_name, []).extend(name for name in names if _TODAYS_NAME.fullmatch(name))
        entries = [
            {"Config": file_name, "RepoTags": tags[file_name] or None, "Layers": layers[file_name]}
            for file_name in layers
        ]
        self._write_file("manifest.json", _dump(entries), 0)
        return digests

    def _config_of(self, chain: Sequence[str]) -> bytes:
        diff_ids = [self._diff_ids[image_id] for image_id in chain]
        if self._config is None:
            return convert.config_from_chain([self._documents[image_id] for image_id in chain], diff_ids)
        expected = convert.read_diff_ids(self._config) or (convert.EMPTY_TAR_DIFF_ID,)
        for number, (found, named) in enumerate(zip(diff_ids, expected, strict=True), start=1):
            if found != named:
                raise convert.Unconvertible(
                    f"layer {number} has the diff id {found}, but its config names {named}"
                )
        return self._config

    def _write_file(self, name: str, data: bytes, mtime: int) -> None:
        self._target.write(_header(name, len(data), mtime))
        self._target.write(data)
        self._pad(len(data))

    def _pad(self, size_bytes: int) -> None:
        self._target.write(bytes(-size_bytes % _BLOCK_BYTES))


class _Copying:
    """A stream that copies to a file what is read from it."""

    def __init__(self, source: Readable, target: IO[bytes]):
        self._source = source
        self._target = target
        self.size_bytes = 0

    def read(self, size: int, /) -> bytes:
        chunk = self._source.read(size)
        self._target.write(chunk)
        self.size_bytes += len(chunk)
        return chunk


def _header(name: str, size_bytes: int, mtime: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = size_bytes
    info.mtime = mtime
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    # GNU's format has sizes beyond 8 GiB in the header itself, so that it is always one block.
    return info.tobuf(tarfile.GNU_FORMAT, "ascii", "strict")


def _created(document: bytes) -> int:
    """Return the creation time of an image in seconds since the epoch, 0 without one."""
    moment = convert.parse_time(rawjson.text_of(rawjson.split_object(document).get("created")))
    return min(max(int(moment.timestamp()), 0), _LAST_TIME) if moment else 0


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")
