"""Which image of a manifest engines of v1 get, and its chain of v1 images (engine-formats.md 5)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from .. import errors
from ..archives.convert import EMPTY_TAR, Unconvertible, V1Document, chain_from_config
from ..names import Digest
from ..registry.layout import parse_stored
from ..storage.base import KeyNotFound
from ..wsgi.documents import turn_for
from .blobs import Blobs
from .places import Place
from .view_facts import Inexpressible, NoView

#: The media types of images; those of lists of images; those of the configs of images.
IMAGES: Final = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
    }
)
INDEXES: Final = frozenset(
    {
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.index.v1+json",
    }
)
_CONFIGS: Final = frozenset(
    {"application/vnd.docker.container.image.v1+json", "application/vnd.oci.image.config.v1+json"}
)

#: Parts of the media types of layers that v1 cannot have: fetched from elsewhere, or encrypted.
_ELSEWHERE: Final = ("nondistributable", "rootfs.foreign")
_ENCRYPTED: Final = "encrypted"

#: How large a manifest in an index may be, in bytes (distribution.md 5).
_MOST_MANIFEST_BYTES: Final = 4 << 20


class ViewChoice:
    """Finds the image that v1 shows.

    :param platform: ``OS/ARCHITECTURE`` of the entry of an index that v1 shows.
    :param most_config_bytes: the largest config.
    :param most_in_chain: how many layers an image may have.
    """

    def __init__(self, blobs: Blobs, *, platform: str, most_config_bytes: int, most_in_chain: int):
        self._blobs = blobs
        self._platform = platform
        self._most_config_bytes = most_config_bytes
        self._most_in_chain = most_in_chain

    def image_in(self, document: bytes, media_type: str) -> Mapping[str, Any]:
        """Return the parsed manifest of the image that v1 shows.

        :param document: a manifest of an image, an index or an artifact.
        :raises NoView: there is none.
        """
        parsed = _parsed(document)
        if media_type in IMAGES:
            return parsed
        if media_type not in INDEXES:
            raise Inexpressible(f"{media_type} is neither an image nor an index")
        sha256 = self._chosen(parsed)
        try:
            return _parsed(self._small(sha256, _MOST_MANIFEST_BYTES))
        except KeyNotFound:
            raise NoView(f"the manifest sha256:{sha256} of the index is missing") from None

    def entry_of(self, document: bytes) -> str:
        """Return the SHA-256 digits of the manifest in an index that v1 shows. It may be missing here.

        :raises NoView: there is none.
        """
        return self._chosen(_parsed(document))

    def _chosen(self, index: Mapping[str, Any]) -> str:
        return _sha256_in(self._entry_of(_dicts(index.get("manifests"))))

    def chain_of(
        self, place: Place, image: Mapping[str, Any], marked: Collection[str]
    ) -> tuple[V1Document, ...]:
        """Return the v1 images of an image, root first.

        :param marked: SHA-256 digits of blobs that the repository certainly contains.
        :raises NoView: v1 cannot express it, or the repository does not contain its config.
        """
        config = image.get("config")
        if not isinstance(config, dict) or str(config.get("mediaType")) not in _CONFIGS:
            raise Inexpressible("its config is not that of an image")
        sha256 = _sha256_in(config)
        if sha256 not in marked and not self._blobs.is_marked(place, sha256):
            raise NoView(f"the repository does not contain its config sha256:{sha256}")
        try:
            data = self._small(sha256, self._most_config_bytes)
            with turn_for(len(data)):
                chain = chain_from_config(data)
        except KeyNotFound:
            raise NoView(f"its config sha256:{sha256} is missing") from None
        except Unconvertible as error:
            raise Inexpressible(f"its config cannot be converted: {error}") from None
        if len(chain) > self._most_in_chain:
            raise NoView(
                f"it has {len(chain)} layers; v1 shows at most {self._most_in_chain} (max_chain_images)"
            )
        return chain

    def layers_of(
        self, place: Place, image: Mapping[str, Any], chain: Sequence[V1Document], marked: Collection[str]
    ) -> list[str]:
        """Return the SHA-256 digits of the layer of each v1 image, root first.

        :param marked: SHA-256 digits of blobs that the repository certainly contains.
        :raises NoView: a layer is not here, or there is a different number of them.
        """
        descriptors = _dicts(image.get("layers"))
        if not descriptors and len(chain) == 1:
            # an image without layers; each image of v1 has one
            return [self._blobs.put(EMPTY_TAR).hex]
        if len(descriptors) != len(chain):
            raise NoView(f"it has {len(descriptors)} layers, and its config lists {len(chain)}")
        return [self._layer_of(place, descriptor, marked) for descriptor in descriptors]

    def _layer_of(self, place: Place, descriptor: Mapping[str, Any], marked: Collection[str]) -> str:
        sha256, media_type = _sha256_in(descriptor), str(descriptor.get("mediaType"))
        if descriptor.get("urls") or any(part in media_type for part in _ELSEWHERE):
            raise Inexpressible(f"the layer sha256:{sha256} is elsewhere")
        if _ENCRYPTED in media_type:
            raise Inexpressible(f"the layer sha256:{sha256} is encrypted")
        if sha256 not in marked and not self._blobs.is_marked(place, sha256):
            raise NoView(f"the repository does not contain the layer sha256:{sha256}")
        return sha256

    def _entry_of(self, entries: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Return the entry of an index that v1 shows: that of the platform, else the first one for Linux.

        :raises NoView: there is none.
        """
        images = [entry for entry in entries if str(entry.get("mediaType")) in IMAGES]
        for wanted in (self._platform, "linux/"):
            for entry in images:
                if f"{_platform_of(entry)}/".startswith(f"{wanted.rstrip('/')}/"):
                    return entry
        raise Inexpressible(f"the index has neither an image for {self._platform} nor one for Linux")

    def _small(self, sha256: str, most_bytes: int) -> bytes:
        """Return the bytes of a blob that is read at once.

        :raises NoView: it is too large.
        :raises KeyNotFound: there is no such blob.
        """
        stat = self._blobs.stat(sha256)
        if stat is not None and stat.size > most_bytes:
            raise NoView(f"sha256:{sha256} has {stat.size} bytes; at most {most_bytes} are read")
        return self._blobs.read(sha256)


def _parsed(document: bytes) -> Mapping[str, Any]:
    with turn_for(len(document)):
        parsed = parse_stored(document)
    if not isinstance(parsed, dict):
        raise NoView("the manifest is not a JSON object")
    return parsed


def _dicts(value: object) -> list[Mapping[str, Any]]:
    """Return the descriptors in a list of a manifest."""
    descriptors = [] if value is None else value
    if not isinstance(descriptors, list) or not all(isinstance(each, dict) for each in descriptors):
        raise NoView("the manifest has no valid list of descriptors")
    return descriptors


def _sha256_in(descriptor: Mapping[str, Any]) -> str:
    """Return the digits of the digest in a descriptor.

    :raises NoView: it is not a SHA-256 digest.
    """
    text = str(descriptor.get("digest"))
    with suppress(errors.DigestInvalid):
        digest = Digest.parse(text)
        if digest.algorithm == "sha256":
            return digest.hex
    raise Inexpressible(f"v1 needs SHA-256 digests, not {text[:80]!r}")


def _platform_of(entry: Mapping[str, Any]) -> str:
    platform = entry.get("platform")
    if not isinstance(platform, dict):
        return ""
    return f"{platform.get('os')}/{platform.get('architecture')}"
