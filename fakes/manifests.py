"""The manifests and blobs of a fake as a test sees them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any, Final

from v1registry.distribution import layout
from v1registry.errors import DigestInvalid
from v1registry.layers.compression import open_decompressed
from v1registry.names import Digest
from v1registry.registry.layout import REPOSITORIES, V2, repository_from_folders
from v1registry.storage.base import KeyNotFound, Storage

from .layers import files_in
from .lookup import NotThere, not_there

_RECORDS: Final = f"/{V2}/{layout.MANIFESTS}/"


class FakeManifest:
    """One manifest of a fake: of an image, an index or an artifact. Properties read the storage each time."""

    def __init__(self, storage: Storage, digest: str):
        self._storage = storage
        self.digest = digest  #: ``sha256:`` and 64 hex digits

    @property
    def document(self) -> bytes:
        """The manifest as it was pushed, byte for byte.

        :raises NotThere: there is no such manifest.
        """
        return FakeBlobs(self._storage)[self.digest]

    @property
    def json(self) -> dict[str, Any]:
        """The parsed manifest.

        :raises NotThere: there is no such manifest.
        """
        parsed: dict[str, Any] = json.loads(self.document)
        return parsed

    @property
    def media_type(self) -> str:
        """The media type with which the manifest is served."""
        for _, key in _records(self._storage, self.digest):
            return str(json.loads(self._storage.read(key)[0])["media_type"])
        raise NotThere(f"manifest {self.digest} is in no repository")

    @property
    def repositories(self) -> list[str]:
        """The names of the repositories that contain the manifest, sorted, with their namespace."""
        return sorted(name for name, _ in _records(self._storage, self.digest))

    @property
    def artifact_type(self) -> str | None:
        """The type of an artifact: ``artifactType``, else the media type of the config."""
        config = self.json.get("config") or {}
        found = self.json.get("artifactType") or config.get("mediaType")
        return None if found is None else str(found)

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations of the manifest itself."""
        return dict(self.json.get("annotations") or {})

    @property
    def subject(self) -> str | None:
        """The digest of the manifest to which this one refers; None if it refers to none."""
        subject = self.json.get("subject")
        return None if subject is None else str(subject["digest"])

    @property
    def manifests(self) -> list[FakeManifest]:
        """The manifests of an index, empty for others."""
        entries = self.json.get("manifests") or []
        return [FakeManifest(self._storage, entry["digest"]) for entry in entries]

    @property
    def config(self) -> dict[str, Any]:
        """The parsed config of an image.

        :raises NotThere: the manifest has no config.
        """
        descriptor = self.json.get("config")
        if descriptor is None:
            raise NotThere(f"manifest {self.digest} has no config: it is no image")
        parsed: dict[str, Any] = json.loads(FakeBlobs(self._storage)[descriptor["digest"]])
        return parsed

    @property
    def layers(self) -> list[bytes]:
        """The layers, or the blobs of an artifact, as they were pushed, the lowest first."""
        blobs = FakeBlobs(self._storage)
        return [blobs[descriptor["digest"]] for descriptor in self.json.get("layers") or []]

    @property
    def files(self) -> dict[str, bytes]:
        """The files of an image as a container sees them: those of all layers, without deleted ones.

        :raises ValueError: a layer is not an archive.
        """
        found: dict[str, bytes] = {}
        for layer in self.layers:
            for name, content in files_in(layer).items():
                if content is None:
                    found = {
                        kept: data
                        for kept, data in found.items()
                        if kept != name and not kept.startswith(f"{name}/")
                    }
                else:
                    found[name] = content
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FakeManifest):
            return NotImplemented
        return (self.digest, self._storage) == (other.digest, other._storage)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<FakeManifest {self.digest}>"


class FakeManifests(Mapping[str, FakeManifest]):
    """Every manifest of a fake by its digest, those of images of v1 that were converted included.

    A missing digest raises NotThere, which lists the digests.
    """

    def __init__(self, storage: Storage):
        self._storage = storage

    def __getitem__(self, digest: str) -> FakeManifest:
        if not any(_records(self._storage, digest)):
            raise not_there(f"no manifest {digest!r}", self)
        return FakeManifest(self._storage, digest)

    def __iter__(self) -> Iterator[str]:
        found = {key.rpartition("/")[2] for _, key in _records(self._storage)}
        return iter(f"sha256:{sha256}" for sha256 in sorted(found))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<manifests: {', '.join(self) or 'none'}>"


class FakeBlobs(Mapping[str, bytes]):
    """The bytes of every blob and manifest by their digest, whichever repository contains them.

    A missing digest raises NotThere, which lists the digests.
    """

    def __init__(self, storage: Storage):
        self._storage = storage

    def __getitem__(self, digest: str) -> bytes:
        try:
            asked = Digest.parse(digest)
            if asked.algorithm == "sha256":
                sha256 = asked.hex
            else:
                sha256 = self._storage.read(layout.pointer_key(asked))[0].decode("ascii")
            return self._storage.read(layout.blob_key(sha256))[0]
        except (DigestInvalid, KeyNotFound):
            raise not_there(f"no blob {digest!r}", self) from None

    def __iter__(self) -> Iterator[str]:
        for stat in self._storage.list(f"{layout.BLOBS}/sha256/"):
            folder, _, name = stat.key.rpartition("/")
            if name == layout.DATA:
                yield f"sha256:{folder.rpartition('/')[2]}"

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<blobs: {', '.join(self) or 'none'}>"


def diff_id_of(layer: bytes) -> str:
    """Return the digest of the uncompressed bytes of a layer.

    :raises UnreadableLayer: it is compressed in a form that is unknown, or damaged. It is a ValueError.
    """
    stream = open_decompressed(BytesIO(layer), limit_bytes=None)
    return str(Digest.of(b"".join(iter(lambda: stream.read(1 << 20), b""))))


def _records(storage: Storage, digest: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield the repository and the key of each record of a manifest.

    :param digest: of the manifest; None for all.
    """
    for stat in storage.list(f"{REPOSITORIES}/"):
        folder, records, sha256 = stat.key.partition(_RECORDS)
        if records and digest in (None, f"sha256:{sha256}"):
            _, namespace, repository = folder.split("/")
            yield str(repository_from_folders(namespace, repository)), stat.key
