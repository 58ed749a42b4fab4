"""The documents of today's registries: image manifests and indexes, of Docker (schema 2) and of OCI.

Everything in them comes from others, so it is checked and bounded here. Source: OCI image-spec 1.1,
"OCI Image Manifest Specification"; distribution manifest/schema2/manifest.go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ..errors import DigestInvalid
from ..names import Digest
from .platforms import Platform, read_platform

DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"

MANIFEST_TYPES: Final = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEX_TYPES: Final = (OCI_INDEX, DOCKER_LIST)
CONFIG_TYPES: Final = (OCI_CONFIG, DOCKER_CONFIG)

#: The largest manifest or index, in bytes (distribution.md 5).
DOCUMENT_LIMIT_BYTES: Final = 4 << 20

#: The most layers of a manifest, and the most entries of an index (distribution.md 5).
ENTRIES_LIMIT: Final = 1000

_LARGEST_SIZE: Final = (1 << 63) - 1
_LONGEST_TYPE: Final = 255


class InvalidDocument(ValueError):
    """A manifest or an index is malformed. The subject of the text is "it" or "its …"."""


@dataclass(frozen=True)
class Descriptor:
    """The type, the digest and the size of a blob, a manifest or an index."""

    media_type: str
    digest: Digest
    size_bytes: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None  #: None if it is missing or unknown

    @classmethod
    def of(cls, data: bytes, media_type: str) -> Descriptor:
        """Return the descriptor of ``data``."""
        return cls(media_type, Digest.of(data), len(data))

    @property
    def is_foreign(self) -> bool:
        """Whether the blob is a layer that registries need not have, such as one of Windows."""
        return "nondistributable" in self.media_type or "rootfs.foreign" in self.media_type

    def document(self) -> dict[str, object]:
        """Return the descriptor as it stands in a document, without annotations and platform."""
        return {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size_bytes}


@dataclass(frozen=True)
class ImageManifest:
    """The manifest of an image or of an artifact."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Each blob once, the config last."""
        return tuple({blob.digest: blob for blob in (*self.layers, self.config)}.values())

    @property
    def is_image(self) -> bool:
        """Whether the config is that of an image that an engine can run."""
        return self.config.media_type in CONFIG_TYPES


@dataclass(frozen=True)
class ImageIndex:
    """A list of manifests, such as one for each platform."""

    media_type: str
    manifests: tuple[Descriptor, ...]

    def choose(self, platform: Platform) -> Descriptor | None:
        """Return the entry for a platform, None without one."""
        found = (entry for entry in self.manifests if entry.platform and entry.platform.is_like(platform))
        return next(found, None)

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platforms of the entries, each once."""
        return tuple(dict.fromkeys(str(entry.platform) for entry in self.manifests if entry.platform))


def read_manifest(data: bytes, media_type: str) -> ImageManifest | ImageIndex:
    """Return what a manifest or an index says.

    :param media_type: as a registry or a descriptor names it, perhaps with parameters; ``""`` if it is
        unknown, then the document must name it.
    :raises InvalidDocument: the document is malformed, too large, contradicts its type, or has a type that
        is neither an image manifest nor an index.
    """
    document = _parse(data)
    named = document.get("mediaType", "")
    media_type = media_type.partition(";")[0].strip().lower()
    if not isinstance(named, str) or (named and media_type and named != media_type):
        raise InvalidDocument(f"it names the type {str(named)[:100]!r}, but is announced as {media_type!r}")
    kind = named or media_type
    if kind in MANIFEST_TYPES:
        if "manifests" in document:
            raise InvalidDocument("it has layers and manifests, which must not be in one document")
        return ImageManifest(
            kind,
            _descriptor(document.get("config"), "config"),
            tuple(_descriptors(document.get("layers"), "layers")),
        )
    if kind in INDEX_TYPES:
        if "layers" in document or "config" in document:
            raise InvalidDocument("it has layers and manifests, which must not be in one document")
        return ImageIndex(kind, tuple(_descriptors(document.get("manifests"), "manifests")))
    if document.get("schemaVersion") == 1:
        raise InvalidDocument("it is a manifest of schema 1, which engines stopped to use in 2016")
    raise InvalidDocument(
        f"it must be a manifest or an index of Docker or OCI, not of the type {kind[:100]!r}"
    )


def _parse(data: bytes) -> dict[str, Any]:
    if len(data) > DOCUMENT_LIMIT_BYTES:
        raise InvalidDocument(f"it has more than {DOCUMENT_LIMIT_BYTES} bytes")
    try:
        document = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as exc:
        raise InvalidDocument("it is not JSON") from exc
    if not isinstance(document, dict):
        raise InvalidDocument("it must be a JSON object")
    return document


def _descriptors(value: object, key: str) -> Iterable[Descriptor]:
    if not isinstance(value, list):
        raise InvalidDocument(f"its {key} must be a list")
    if len(value) > ENTRIES_LIMIT:
        raise InvalidDocument(f"its {key} are {len(value)}; at most {ENTRIES_LIMIT} are read")
    return [_descriptor(entry, key) for entry in value]


def _descriptor(value: object, key: str) -> Descriptor:
    if not isinstance(value, dict):
        raise InvalidDocument(f"its {key} must have descriptors")
    media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    if not isinstance(media_type, str) or not 0 < len(media_type) <= _LONGEST_TYPE:
        raise InvalidDocument(f"a descriptor in its {key} has no mediaType")
    if type(size) is not int or not 0 <= size <= _LARGEST_SIZE:
        raise InvalidDocument(f"a descriptor in its {key} has no valid size")
    try:
        parsed = Digest.parse(digest if isinstance(digest, str) else "")
    except DigestInvalid as exc:
        raise InvalidDocument(f"a descriptor in its {key} has no digest of sha256 or sha512") from exc
    named = value.get("platform")
    platform = read_platform(named) if isinstance(named, dict) else None
    return Descriptor(media_type, parsed, size, _annotations(value.get("annotations")), platform)


def _annotations(value: object) -> Mapping[str, str]:
    pairs = value.items() if isinstance(value, dict) else ()
    return {key: text for key, text in pairs if isinstance(text, str)}


def write_manifest(config: Descriptor, layers: Sequence[Descriptor], media_type: str) -> bytes:
    """Return an image manifest in the form that engines write.

    :param media_type: of Docker's schema 2 or OCI, to which those of config and layers belong.
    """
    return _dump(
        {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": config.document(),
            "layers": [layer.document() for layer in layers],
        }
    )


def _dump(value: object) -> bytes:
    # engines indent by three blanks. Source: distribution manifest/schema2/manifest.go
    return json.dumps(value, indent=3).encode("ascii")
