"""Which manifests a repository contains: one record for each (distribution.md 2.4)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from .. import errors
from ..names import Digest
from ..registry.keeping import Keeper
from ..registry.layout import parse_stored
from ..storage.base import KeyNotFound, Storage
from ..storage.recent_values import ParsedValues
from . import layout
from .blobs import Blobs
from .manifests import Manifest, parse_manifest
from .places import Place

#: How many records are kept in memory.
_KEPT_RECORDS: Final = 10_000


@dataclass(frozen=True)
class Record:
    """What is kept of a manifest in a repository, besides its bytes."""

    sha256: str  #: hex digits
    media_type: str
    size: int  #: bytes
    image_id: str | None = None  #: the image of v1 from which the manifest was made; None if it was pushed
    #: no client has pushed the manifest. False for all that were made before this was noted
    is_converted: bool = False

    @property
    def digest(self) -> Digest:
        """The SHA-256 digest of the manifest."""
        return Digest("sha256", self.sha256)


@dataclass(frozen=True)
class _StoredRecord:
    """A record, and the incarnation of the repository for which it was written."""

    incarnation: object
    record: Record


class ManifestRecords:
    """The manifests of the repositories of one storage. Safe for threads and processes."""

    def __init__(self, storage: Storage, blobs: Blobs):
        self._storage = storage
        self._blobs = blobs
        self._stored = ParsedValues(storage, _parsed, _KEPT_RECORDS)

    def add(self, place: Place, manifest: Manifest, *, image_id: str | None = None) -> None:
        """Store a manifest, and note that the repository contains it.

        :param image_id: the image of v1 from which the manifest was made; None if it was pushed.
        """
        self._blobs.put(manifest.data)
        size = len(manifest.data)
        self.note(place, Record(manifest.digest.hex, manifest.media_type, size, image_id))

    def note(self, place: Place, record: Record) -> None:
        """Note that the repository contains a manifest whose bytes are stored."""
        known = self.find(place, record.sha256)
        image_id, is_converted = record.image_id, record.image_id is not None
        if known is not None:
            image_id, is_converted = image_id or known.image_id, is_converted and known.is_converted
            noted = replace(record, image_id=image_id, is_converted=is_converted)
            if known == replace(noted, size=known.size):
                return
        value = {
            "incarnation": place.incarnation,
            "media_type": record.media_type,
            "size": record.size,
            "image_id": image_id,
            "converted": is_converted,
        }
        self._storage.write(self._key(place, record.sha256), json.dumps(value).encode("ascii"))

    def keep(self, keeper: Keeper, place: Place, sha256: str) -> bool:
        """Keep a manifest and its bytes from the garbage collection; tell whether both are there."""
        is_kept = keeper.keep_value(self._key(place, sha256)) and self._blobs.keep_bytes(keeper, sha256)
        return is_kept and self.find(place, sha256) is not None

    def find(self, place: Place, sha256: str) -> Record | None:
        """Return the record of a manifest, None if the repository does not contain it.

        :param sha256: hex digits.
        """
        try:
            stored = self._stored.read(self._key(place, sha256))[0]
        except KeyNotFound:
            return None
        return stored.record if stored is not None and place.counts(stored.incarnation) else None

    def find_digest(self, place: Place, digest: Digest) -> Record | None:
        """Return the record of a manifest by its digest, None if the repository does not contain it."""
        sha256 = self._blobs.sha256_of(digest)
        return None if sha256 is None else self.find(place, sha256)

    def all(self, place: Place) -> Iterator[Record]:
        """Yield the records of the repository, sorted by digest."""
        folder = layout.repository_folder(place.repository, layout.MANIFESTS)
        for stat in self._storage.list(f"{folder}/"):
            found = self.find(place, stat.key.rpartition("/")[2])
            if found is not None:
                yield found

    def data(self, record: Record, *, is_sent: bool = False) -> bytes:
        """Return the bytes of a manifest.

        :param is_sent: the client gets them, so they may be removed already, and kept in memory alone.
        :raises ManifestUnknown: they are missing.
        """
        try:
            return self._blobs.read_to_send(record.sha256) if is_sent else self._blobs.read(record.sha256)
        except KeyNotFound:
            raise errors.ManifestUnknown(sha256=record.sha256) from None

    def manifest(self, record: Record) -> Manifest:
        """Return a manifest with what it says.

        :raises ManifestUnknown: its bytes are missing or damaged.
        """
        try:
            return parse_manifest(self.data(record), record.media_type)
        except (errors.ManifestInvalid, errors.TooManyValues):
            raise errors.ManifestUnknown(sha256=record.sha256) from None

    def remove(self, place: Place, sha256: str) -> None:
        """Note that the repository does not contain a manifest any more."""
        with suppress(KeyNotFound):
            self._storage.delete(self._key(place, sha256))

    @staticmethod
    def _key(place: Place, sha256: str) -> str:
        return layout.repository_key(place.repository, layout.MANIFESTS, sha256)


def _parsed(key: str, value: bytes) -> _StoredRecord | None:
    """Return the record that is stored under a key; None if it is damaged."""
    fields: Any = parse_stored(value)
    if not isinstance(fields, dict):
        return None
    media_type, size, image_id = fields.get("media_type"), fields.get("size"), fields.get("image_id")
    if not isinstance(media_type, str) or not isinstance(size, int):
        return None
    sha256 = key.rpartition("/")[2]
    record = Record(
        sha256,
        media_type,
        size,
        image_id if isinstance(image_id, str) else None,
        fields.get("converted") is True,
    )
    return _StoredRecord(fields.get("incarnation"), record)
