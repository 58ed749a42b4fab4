"""Manifests: media types, and what a document says (OCI image-spec 1.1, Docker manifest schema 2).

A manifest is stored and served byte for byte. What is parsed here is only what has to be checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .. import errors
from ..names import Digest
from ..wsgi.documents import parse_json

DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_ARTIFACT: Final = "application/vnd.oci.artifact.manifest.v1+json"

IMAGE_TYPES: Final = frozenset({DOCKER_MANIFEST, OCI_MANIFEST})
INDEX_TYPES: Final = frozenset({DOCKER_LIST, OCI_INDEX})

#: Types whose references are checked. Others are stored as they are.
KNOWN_TYPES: Final = IMAGE_TYPES | INDEX_TYPES | {OCI_ARTIFACT}

#: Schema 1 is neither stored nor served (engine-formats.md 6).
_SCHEMA_1_TYPES: Final = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    }
)

#: Layers that are not pushed to registries.
_FOREIGN_TYPES: Final = ("nondistributable", "rootfs.foreign")

#: How many layers, blobs or entries of an index a manifest may name (distribution.md 5).
MOST_REFERENCES: Final = 1000

#: RFC 6838, 4.2.
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
#: Browsers would show types such as text/html as pages of this server.
_MEDIA_TYPE: Final = re.compile(rf"application/{_NAME}")


@dataclass(frozen=True)
class Descriptor:
    """What a manifest says of content that it refers to."""

    media_type: str  #: empty if the manifest does not say it
    digest: Digest
    size: int  #: bytes
    is_foreign: bool = False  #: clients fetch it from elsewhere if it is a layer
    platform: Mapping[str, object] | None = field(default=None, compare=False)  #: of an entry of an index


@dataclass(frozen=True)
class Manifest:
    """A manifest that was checked by itself. Whether its references exist was not."""

    data: bytes
    media_type: str
    digest: Digest  #: the SHA-256 digest of ``data``
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()  #: the lowest first; the blobs of an OCI artifact manifest
    entries: tuple[Descriptor, ...] = ()  #: of an index
    subject: Descriptor | None = None
    artifact_type: str = ""  #: for lists of referrers
    annotations: Mapping[str, str] | None = None

    @property
    def is_image(self) -> bool:
        """Whether the type is that of an image; an artifact may have it too."""
        return self.media_type in IMAGE_TYPES

    @property
    def is_index(self) -> bool:
        """Whether the manifest lists other manifests."""
        return self.media_type in INDEX_TYPES

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """The blobs that the repository has to contain: the config, and the layers that are not foreign."""
        config = () if self.config is None else (self.config,)
        return (*config, *(layer for layer in self.layers if not layer.is_foreign))


def media_type_of(content_type: str) -> str:
    """Return the media type in a header, without parameters; empty if there is none.

    :raises ManifestInvalid: it is malformed.

    >>> media_type_of("application/vnd.oci.image.index.v1+json; charset=utf-8")
    'application/vnd.oci.image.index.v1+json'
    """
    found = content_type.partition(";")[0].strip()
    if found and _MEDIA_TYPE.fullmatch(found) is None:
        raise errors.ManifestInvalid("The media type of a manifest must begin with application/")
    return found


def parse_manifest(data: bytes, content_type: str) -> Manifest:
    """Return what a manifest says.

    :param content_type: the header; without one the ``mediaType`` inside counts.
    :raises ManifestInvalid: it is malformed, of schema 1, or contradicts its media type.
    :raises TooManyValues: the document has too many values.
    :raises DocumentBusy: the document is large, and other large ones are being parsed.
    """
    media_type = media_type_of(content_type)
    try:
        document = parse_json(data)
    except ValueError as error:
        raise errors.ManifestInvalid(f"The manifest is invalid JSON: {str(error)[:100]}") from None
    if not isinstance(document, dict):
        raise errors.ManifestInvalid("The manifest must be a JSON object")
    inside = document.get("mediaType")
    if inside is not None and (not isinstance(inside, str) or not inside):
        raise errors.ManifestInvalid("mediaType must be a text")
    media_type = media_type or media_type_of(inside or "")
    if not media_type:
        raise errors.ManifestInvalid("The media type is missing: send it as Content-Type")
    if media_type in _SCHEMA_1_TYPES or document.get("schemaVersion") == 1 or "fsLayers" in document:
        raise errors.ManifestInvalid("Manifests of schema 1 are not accepted: push with docker 1.10 or later")
    if inside is not None and inside != media_type:
        raise errors.ManifestInvalid(
            f"Content-Type is {media_type}, but mediaType in the manifest is {inside[:200]}"
        )
    return _manifest(data, media_type, document)


def _manifest(data: bytes, media_type: str, document: dict[str, Any]) -> Manifest:
    is_known = media_type in KNOWN_TYPES
    version = document.get("schemaVersion")
    if media_type in IMAGE_TYPES | INDEX_TYPES and (version != 2 or isinstance(version, bool)):
        raise errors.ManifestInvalid("schemaVersion must be 2")
    config, layers, entries = None, [], []
    if media_type in IMAGE_TYPES:
        config = _descriptor(document.get("config"), "config")
        layers = _descriptors(document, "layers", is_required=True)
    elif media_type == OCI_ARTIFACT:
        layers = _descriptors(document, "blobs")
    elif media_type in INDEX_TYPES:
        entries = _descriptors(document, "manifests", is_required=True)
    artifact_type = document.get("artifactType")
    if not isinstance(artifact_type, str) or not artifact_type:
        artifact_type = "" if config is None else config.media_type
    return Manifest(
        data,
        media_type,
        Digest.of(data),
        config,
        tuple(layers),
        tuple(entries),
        _subject(document.get("subject"), is_known),
        artifact_type,
        _annotations(document.get("annotations"), is_known),
    )


def _subject(value: object, is_known: bool) -> Descriptor | None:
    """Return the subject; None if there is none, or if an unknown type has a different use for the word.

    :raises ManifestInvalid: it is no descriptor.
    """
    if value is None:
        return None
    try:
        return _descriptor(value, "subject")
    except errors.ManifestInvalid:
        if is_known:
            raise
        return None


def _annotations(value: object, is_known: bool) -> Mapping[str, str] | None:
    """Return the annotations, None if there are none.

    :raises ManifestInvalid: they are not texts.
    """
    if isinstance(value, dict) and all(isinstance(text, str) for text in value.values()):
        return value or None
    if value is not None and is_known:
        raise errors.ManifestInvalid("annotations must be an object of texts")
    return None


def _descriptors(document: dict[str, Any], field: str, *, is_required: bool = False) -> list[Descriptor]:
    if is_required and field not in document:
        raise errors.ManifestInvalid(f"{field} is missing")
    values = document.get(field)
    if values is None:
        return []
    if not isinstance(values, list):
        raise errors.ManifestInvalid(f"{field} must be a list")
    if len(values) > MOST_REFERENCES:
        raise errors.ManifestInvalid(f"{field} may have {MOST_REFERENCES} items, not {len(values)}")
    return [_descriptor(value, f"{field}[{number}]") for number, value in enumerate(values)]


def _descriptor(value: object, name: str) -> Descriptor:
    if not isinstance(value, dict):
        raise errors.ManifestInvalid(f"{name} must be a descriptor")
    media_type, text, size = value.get("mediaType", ""), value.get("digest"), value.get("size")
    if not isinstance(media_type, str) or len(media_type) > 255:
        raise errors.ManifestInvalid(f"mediaType of {name} must be a text of at most 255 characters")
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise errors.ManifestInvalid(f"size of {name} must be a whole number of 0 or more")
    try:
        digest = Digest.parse(text) if isinstance(text, str) else None
    except errors.DigestInvalid:
        digest = None
    if digest is None:
        raise errors.ManifestInvalid(f"digest of {name}: {errors.DigestInvalid.text}")
    platform = value.get("platform")
    return Descriptor(
        media_type,
        digest,
        size,
        is_foreign=bool(value.get("urls")) or any(part in media_type for part in _FOREIGN_TYPES),
        platform=platform if isinstance(platform, dict) else None,
    )
