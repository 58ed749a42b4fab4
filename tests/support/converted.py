"""A server whose v1 images tests convert below the level of HTTP, and ways to store such images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.engine_client import Image
from v1registry import Registry
from v1registry.distribution.from_v1 import FromV1
from v1registry.distribution.places import Place
from v1registry.names import Digest, RepositoryName
from v1registry.storage.base import Storage

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).resolve().parent.parent / "data" / "v1-to-v2.json").read_text("utf-8")
)["images"]


def store_image(
    storage: Storage, image: Image, *ancestors: Image, sums: tuple[str, ...] | None = None
) -> None:
    """Store an image as an old server does.

    :param ancestors: the parent first.
    :param sums: the stored sums; the payload sum if left out.
    """
    folder = f"images/{image.image_id}"
    ancestry = [image.image_id, *(other.image_id for other in ancestors)]
    storage.write(f"{folder}/json", image.json)
    storage.write(f"{folder}/layer", image.layer)
    storage.write(f"{folder}/ancestry", json.dumps(ancestry).encode())
    stored = (image.payload_checksum,) if sums is None else sums
    if stored:
        storage.write(f"{folder}/_checksum", json.dumps(stored).encode())


def store_chain(storage: Storage, chain: list[Image]) -> None:
    """Store a chain, root first."""
    for number, image in enumerate(chain):
        store_image(storage, image, *reversed(chain[:number]))


class Converted:
    """An open server over a storage.

    :param settings: further settings.
    """

    def __init__(self, storage: Storage, **settings: Any):
        self.storage = storage
        self.services: Any = Registry(storage=storage, v2="on", **settings)._services
        self.from_v1: FromV1 = self.services.distribution.from_v1
        self.rights = self.services.access.rights(None, {})

    def digest(self, repository: str, image_id: str, *, is_oci: bool = False) -> Digest:
        """Return the digest of the manifest of an image."""
        name = RepositoryName.parse(repository)
        place = Place.of(self.rights, name)
        return self.from_v1.manifest_of(self.rights, place, image_id, is_oci=is_oci).digest

    def manifest(self, repository: str, image_id: str, *, is_oci: bool = False) -> dict[str, Any]:
        """Return the parsed manifest of an image."""
        found: dict[str, Any] = json.loads(self.blob(self.digest(repository, image_id, is_oci=is_oci)))
        return found

    def blob(self, digest: Digest | str) -> bytes:
        """Return the bytes of a blob or manifest, whichever repository contains them."""
        data: bytes = self.services.distribution.blobs.read(str(digest).partition(":")[2])
        return data

    def layer(self, repository: str, image_id: str) -> dict[str, Any]:
        """Return the descriptor of the top layer in the OCI form."""
        descriptor: dict[str, Any] = self.manifest(repository, image_id, is_oci=True)["layers"][-1]
        return descriptor

    def diff_id(self, repository: str, image_id: str) -> str:
        """Return the diff id of the top layer."""
        config = self.blob(self.manifest(repository, image_id, is_oci=True)["config"]["digest"])
        found: str = json.loads(config)["rootfs"]["diff_ids"][-1]
        return found

    def contains(self, repository: str, digest: str) -> bool:
        """Tell whether a repository contains a blob."""
        place = Place.of(self.rights, RepositoryName.parse(repository))
        found = self.services.distribution.blobs.contains(place, Digest.parse(digest))
        return found is not None
