"""Referrers: manifests of a repository that name another one as their subject (distribution.md 1: end-12)."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from ..names import Digest
from ..registry.layout import parse_stored
from ..storage.base import KeyNotFound, Storage
from . import layout
from .manifests import Manifest
from .places import Place

#: How many referrers are read for one answer, and how many bytes of them it may have. Annotations are the
#: client's.
MOST_READ: Final = 1000
MOST_BYTES: Final = 4 << 20


@dataclass(frozen=True)
class Page:
    """A part of the referrers of a manifest."""

    descriptors: list[dict[str, Any]]
    last: str | None  #: where the next part begins; None if there is none


class Referrers:
    """The referrers in the repositories of one storage. Safe for threads and processes."""

    def __init__(self, storage: Storage):
        self._storage = storage

    def add(self, place: Place, manifest: Manifest) -> None:
        """Note the subject of a manifest, if it names one. The subject may be missing."""
        if manifest.subject is None:
            return
        descriptor: dict[str, Any] = {
            "mediaType": manifest.media_type,
            "digest": str(manifest.digest),
            "size": len(manifest.data),
        }
        if manifest.artifact_type:
            descriptor["artifactType"] = manifest.artifact_type
        if manifest.annotations is not None:
            descriptor["annotations"] = dict(manifest.annotations)
        value = {"incarnation": place.incarnation, "descriptor": descriptor}
        self._storage.write(_key(place, manifest.subject.digest, manifest), json.dumps(value).encode("ascii"))

    def remove(self, place: Place, manifest: Manifest) -> None:
        """Forget the subject of a manifest that the repository does not contain any more."""
        if manifest.subject is not None:
            with suppress(KeyNotFound):
                self._storage.delete(_key(place, manifest.subject.digest, manifest))

    def page(self, place: Place, subject: Digest, artifact_type: str | None, last: str, most: int) -> Page:
        """Return referrers that name a digest as their subject, whether or not there is such a manifest.

        :param artifact_type: only those of this type; None for all.
        :param last: where the part before ended; empty for the first part.
        :param most: how many at most.
        """
        found: list[dict[str, Any]] = []
        size = read = 0
        folder = layout.repository_folder(place.repository, f"{layout.REFERRERS}/{subject.hex}")
        for stat in self._storage.list(f"{folder}/", after=f"{folder}/{last}" if last else ""):
            if read and (len(found) >= most or read >= MOST_READ or size + stat.size > MOST_BYTES):
                return Page(found, last)
            descriptor = self._read(place, stat.key)
            if descriptor is not None and artifact_type in (None, descriptor.get("artifactType")):
                found.append(descriptor)
            read, size, last = read + 1, size + stat.size, stat.key.rpartition("/")[2]
        return Page(found, None)

    def _read(self, place: Place, key: str) -> dict[str, Any] | None:
        try:
            fields: Any = parse_stored(self._storage.read(key)[0])
        except KeyNotFound:
            return None
        if not isinstance(fields, dict) or not place.counts(fields.get("incarnation")):
            return None
        descriptor = fields.get("descriptor")
        return descriptor if isinstance(descriptor, dict) else None


def _key(place: Place, subject: Digest, manifest: Manifest) -> str:
    kind = f"{layout.REFERRERS}/{subject.hex}"
    return layout.repository_key(place.repository, kind, manifest.digest.hex)
