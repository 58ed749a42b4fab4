"""The manifests of a converted image. The bytes are fixed, because clients keep digests (engine-formats.md
7.2).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..layers.compression import Compression
from ..names import Digest
from .manifests import DOCKER_MANIFEST, OCI_MANIFEST


@dataclass(frozen=True)
class _Form:
    manifest: str
    config: str
    layers: Mapping[Compression, str]


_DOCKER: Final = _Form(
    DOCKER_MANIFEST,
    "application/vnd.docker.container.image.v1+json",
    {
        "gzip": "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "plain": "application/vnd.docker.image.rootfs.diff.tar",
    },
)
_OCI: Final = _Form(
    OCI_MANIFEST,
    "application/vnd.oci.image.config.v1+json",
    {
        "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
        "plain": "application/vnd.oci.image.layer.v1.tar",
        "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
    },
)


@dataclass(frozen=True)
class LayerEntry:
    """What a manifest says of a layer."""

    digest: Digest
    size: int  #: bytes
    compression: Compression


def has_docker_form(layers: Sequence[LayerEntry]) -> bool:
    """Tell whether there is a manifest of Docker's schema 2 for these layers: it has no type for zstd."""
    return all(layer.compression in _DOCKER.layers for layer in layers)


def docker_manifest(config: bytes, layers: Sequence[LayerEntry]) -> bytes:
    """Return the manifest of Docker's schema 2.

    :param layers: the lowest first. None of them is compressed with zstd.
    """
    return _manifest(_DOCKER, config, layers)


def oci_manifest(config: bytes, layers: Sequence[LayerEntry]) -> bytes:
    """Return the OCI manifest.

    :param layers: the lowest first.
    """
    return _manifest(_OCI, config, layers)


def _manifest(form: _Form, config: bytes, layers: Sequence[LayerEntry]) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": form.manifest,
        "config": _descriptor(form.config, len(config), Digest.of(config)),
        "layers": [_descriptor(form.layers[row.compression], row.size, row.digest) for row in layers],
    }
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def _descriptor(media_type: str, size: int, digest: Digest) -> dict[str, object]:
    return {"mediaType": media_type, "size": size, "digest": str(digest)}
