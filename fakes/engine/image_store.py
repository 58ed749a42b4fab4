"""The images of an engine: configs byte for byte, layers as uncompressed tars, and names (remote.md 4.1)."""

from __future__ import annotations

import copy
import hashlib
import io
import itertools
import json
import os
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Final

from .errors import InvalidParameter, NoSuchObject
from .references import ImageReference
from .times import NEVER

#: Larger layers are kept in a temporary file, in bytes.
_IN_MEMORY_BYTES: Final = 1 << 20
_CHUNK_BYTES: Final = 256 << 10

_FULL_ID: Final = re.compile(r"(?:sha256:)?[0-9a-f]{64}")

#: The shortest text that is taken for the beginning of an id.
_SHORTEST_ID: Final = 1


class StoredLayer:
    """The uncompressed tar of a layer. Each opening reads from its beginning.

    :param diff_id: ``sha256:`` and the digest of the tar.
    :param file: has the tar; it belongs to the layer now.
    """

    def __init__(self, diff_id: str, file: IO[bytes], size_bytes: int):
        self.diff_id = diff_id
        self.size_bytes = size_bytes
        self._file = file
        self._data: bytes | None = None
        if size_bytes <= _IN_MEMORY_BYTES:
            file.seek(0)
            self._data = file.read()
            file.close()

    def open(self) -> IO[bytes]:
        """Return the tar as a file, which the caller closes."""
        if self._data is not None:
            return io.BytesIO(self._data)
        return io.BufferedReader(_Window(self._file.fileno()), _CHUNK_BYTES)

    def chunks(self) -> Iterator[bytes]:
        """Yield the tar in pieces."""
        with self.open() as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk

    def shared(self) -> StoredLayer:
        """Return a layer with the same tar, which is closed by itself."""
        other = copy.copy(self)
        if self._data is None:
            other._file = os.fdopen(os.dup(self._file.fileno()), "rb")
        return other

    def close(self) -> None:
        """Forget the tar."""
        self._file.close()


class _Window(io.RawIOBase):
    """Reads a file with a position of its own, because several threads read one layer."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_END:
            offset += os.fstat(self._descriptor).st_size
        elif whence == io.SEEK_CUR:
            offset += self._position
        self._position = offset
        return offset

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        size = os.preadv(self._descriptor, [buffer], self._position)
        self._position += size
        return size


@dataclass(frozen=True)
class EngineImage:
    """An image. Its id is the digest of its config."""

    config_bytes: bytes
    id: str
    size_bytes: int
    number: int  #: counts images in the order in which the engine got them
    parent_id: str = ""  #: of the image that a commit began with
    config: Mapping[str, Any] = field(compare=False, repr=False, default_factory=dict)

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """The layers, lowest first."""
        return tuple((self.config.get("rootfs") or {}).get("diff_ids") or ())

    @property
    def created(self) -> str:
        """When the image was made, as its config tells."""
        return str(self.config.get("created") or NEVER)

    @property
    def settings(self) -> Mapping[str, Any]:
        """What containers of the image begin with: ``Cmd``, ``Env`` and the like."""
        found = self.config.get("config")
        return found if isinstance(found, dict) else {}

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of the image."""
        found = self.settings.get("Labels")
        return found if isinstance(found, dict) else {}


class ImageStore:
    """Images, layers and names. Its callers hold the lock of the engine."""

    def __init__(self) -> None:
        self._images: dict[str, EngineImage] = {}
        self._layers: dict[str, StoredLayer] = {}
        self._names: dict[ImageReference, str] = {}
        self._blobs: dict[str, str] = {}  # the digest of a blob of a registry -> the diff id of the layer
        self._count = 0

    # -- images

    def all(self) -> list[EngineImage]:
        """Return all images, the newest first."""
        return sorted(self._images.values(), key=lambda image: -image.number)

    def get(self, image_id: str) -> EngineImage | None:
        """Return the image of a full id, None if there is none."""
        return self._images.get(image_id)

    def find(self, text: str) -> EngineImage:
        """Return the image of a name, a digest, an id or the beginning of one.

        :raises NoSuchObject: there is no such image; the message is docker's.
        :raises InvalidParameter: the text is malformed.
        """
        image = self._find(text)
        if image is None:
            raise NoSuchObject(f"No such image: {_shown(text)}")
        return image

    def _find(self, text: str) -> EngineImage | None:
        for full_id in (text, f"sha256:{text}"):
            if full_id in self._images:
                return self._images[full_id]
        image_id = None
        if not _FULL_ID.fullmatch(text):
            image_id = self._names.get(ImageReference.parse(text).tagged)
        if image_id is None:
            image_id = self._by_prefix(text.removeprefix("sha256:"))
        return None if image_id is None else self._images[image_id]

    def _by_prefix(self, prefix: str) -> str | None:
        if len(prefix) < _SHORTEST_ID or not set(prefix) <= set("0123456789abcdef"):
            return None
        found = [image_id for image_id in self._images if image_id.startswith(f"sha256:{prefix}")]
        return found[0] if len(found) == 1 else None

    def is_id_of(self, text: str, image: EngineImage) -> bool:
        """Tell whether a text is the id of an image or its beginning, and not a name."""
        return image.id.startswith(text) or image.id.removeprefix("sha256:").startswith(text)

    def add(self, config: bytes, layers: Sequence[StoredLayer], parent_id: str = "") -> EngineImage:
        """Store an image. An equal one stays as it is.

        :param layers: lowest first, one for each diff id of the config.
        :raises InvalidParameter: the config is invalid, or the layers are not its own.
        """
        image_id = f"sha256:{hashlib.sha256(config).hexdigest()}"
        if image_id in self._images:
            self._close_unused(layers)
            return self._images[image_id]
        parsed = _parsed_config(config)
        named = tuple(parsed["rootfs"]["diff_ids"])
        if named != tuple(layer.diff_id for layer in layers):
            raise InvalidParameter("invalid diffIDs: the layers are not those that the config names")
        self._count += 1
        size_bytes = sum(layer.size_bytes for layer in layers)
        image = EngineImage(config, image_id, size_bytes, self._count, parent_id, parsed)
        self._images[image_id] = image
        for layer in layers:
            self._layers.setdefault(layer.diff_id, layer)
        self._close_unused(layers)
        return image

    def _close_unused(self, layers: Sequence[StoredLayer]) -> None:
        """Close layers of which equal ones are stored."""
        for layer in layers:
            if self._layers.get(layer.diff_id) is not layer:
                layer.close()

    def remove(self, image: EngineImage) -> list[str]:
        """Remove an image and its names. Return the chain ids of the layers that no other image has."""
        for reference in self.references(image.id):
            del self._names[reference]
        del self._images[image.id]
        used = {diff_id for other in self._images.values() for diff_id in other.diff_ids}
        chains = {chain for other in self._images.values() for chain in chain_ids(other.diff_ids)}
        for diff_id in set(image.diff_ids) - used:
            self._layers.pop(diff_id).close()
        return [chain for chain in reversed(chain_ids(image.diff_ids)) if chain not in chains]

    def children(self, image: EngineImage) -> list[EngineImage]:
        """Return the images that were committed on top of an image."""
        return [other for other in self._images.values() if other.parent_id == image.id]

    # -- layers

    @property
    def size_bytes(self) -> int:
        """The size of all layers together."""
        return sum(layer.size_bytes for layer in self._layers.values())

    def layer(self, diff_id: str) -> StoredLayer | None:
        """Return a layer that an image has, None if none has it."""
        return self._layers.get(diff_id)

    def layers(self, image: EngineImage) -> list[StoredLayer]:
        """Return the layers of an image, lowest first."""
        return [self._layers[diff_id] for diff_id in image.diff_ids]

    def shared_layer(self, diff_id: str) -> StoredLayer:
        """Return a layer that an image has, for another image. The caller closes it."""
        return self._layers[diff_id].shared()

    def shared_layers(self, image: EngineImage) -> list[StoredLayer]:
        """Return the layers of an image, lowest first, for another image. The caller closes them."""
        return [self.shared_layer(diff_id) for diff_id in image.diff_ids]

    def note_blobs(self, diff_ids: Mapping[str, str]) -> None:
        """Remember which layers the blobs of a registry are."""
        self._blobs.update(diff_ids)

    def known_layers(self, blobs: Sequence[str], diff_ids: Sequence[str]) -> int:
        """Return how many of the lowest layers an image here has on top of each other.

        :param blobs: the digests of the layers in a registry, lowest first.
        :param diff_ids: those of the layers as the config names them.
        """
        count = 0
        for image in self._images.values():
            here = zip(blobs, diff_ids, image.diff_ids, strict=False)
            same = (self._blobs.get(blob) == diff_id == found for blob, diff_id, found in here)
            count = max(count, sum(1 for _ in itertools.takewhile(bool, same)))
        return count

    # -- names

    def references(self, image_id: str) -> list[ImageReference]:
        """Return the names of an image, tags and digests, sorted."""
        return sorted((reference for reference, named in self._names.items() if named == image_id), key=str)

    def names(self) -> Mapping[ImageReference, str]:
        """Return name -> id of all images."""
        return self._names

    def name(self, reference: ImageReference, image: EngineImage) -> None:
        """Give an image a name, which its old image loses.

        :param reference: with a tag or a digest.
        """
        self._names[reference] = image.id

    def unname(self, reference: ImageReference) -> None:
        """Remove a name if it exists."""
        self._names.pop(reference, None)

    def close(self) -> None:
        """Forget everything."""
        for layer in self._layers.values():
            layer.close()
        self._images.clear()
        self._layers.clear()
        self._names.clear()
        self._blobs.clear()


def read_layer(chunks: Iterator[bytes]) -> StoredLayer:
    """Return a layer from the pieces of its uncompressed tar. Memory stays bounded."""
    digest, size_bytes = hashlib.sha256(), 0
    file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115  the layer closes it
    for chunk in chunks:
        digest.update(chunk)
        size_bytes += len(chunk)
        file.write(chunk)
    return StoredLayer(f"sha256:{digest.hexdigest()}", file, size_bytes)


def check_archive(layer: StoredLayer) -> None:
    """Return if a layer is an archive of files.

    :raises tarfile.TarError: it is none.
    """
    if not layer.size_bytes:
        return
    try:
        with layer.open() as file, tarfile.open(fileobj=file, mode="r:") as archive:
            archive.next()
    except tarfile.TarError:
        layer.close()
        raise


def chain_ids(diff_ids: Sequence[str]) -> list[str]:
    """Return the chain id of each layer with those below it, lowest first (engine-formats.md 1)."""
    chains: list[str] = []
    for diff_id in diff_ids:
        text = f"{chains[-1]} {diff_id}" if chains else ""
        chains.append(f"sha256:{hashlib.sha256(text.encode()).hexdigest()}" if chains else diff_id)
    return chains


def _parsed_config(config: bytes) -> dict[str, Any]:
    """Return a config whose root file system is valid.

    :raises InvalidParameter: the config is invalid.
    """
    try:
        parsed = json.loads(config)
        diff_ids = parsed["rootfs"]["diff_ids"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InvalidParameter("invalid image JSON, no RootFS key") from None
    if not isinstance(diff_ids, list) or not all(isinstance(diff_id, str) for diff_id in diff_ids):
        raise InvalidParameter("invalid image JSON: diff_ids must be a list of strings")
    found: dict[str, Any] = parsed
    return found


def _shown(text: str) -> str:
    """Return a name as docker's messages have it."""
    if _FULL_ID.fullmatch(text):
        return f"sha256:{text.removeprefix('sha256:')}"
    return str(ImageReference.parse(text).tagged)
