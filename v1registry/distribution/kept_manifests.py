"""Keeping what a manifest refers to from the garbage collection (registry/keeping.py)."""

from __future__ import annotations

from functools import partial

from .. import errors
from ..registry.keeping import Keeper
from .blobs import Blobs
from .manifest_records import ManifestRecords
from .manifests import Descriptor, Manifest
from .places import Place


class KeptManifests:
    """Keeps manifests of one storage, with all that they name. Safe for threads and processes."""

    def __init__(self, blobs: Blobs, records: ManifestRecords):
        self._blobs = blobs
        self._records = records

    def missing(self, place: Place, manifest: Manifest) -> list[Descriptor]:
        """Keep a manifest that was just stored, and all that it names; return what of that is missing.

        Empty if no collection runs, and none has ended lately: then nothing is looked at.
        """
        keeper = self._blobs.keeping.now()
        if keeper is None:
            return []
        if not self._records.keep(keeper, place, manifest.digest.hex):
            self._records.add(place, manifest)
            self._records.keep(keeper, place, manifest.digest.hex)
        missing: list[Descriptor] = []
        waiting, seen = [manifest], {manifest.digest.hex}
        while waiting:
            current = waiting.pop()
            missing += self._blobs.without(partial(self._keeps_blob, keeper, place), current.blobs)
            for entry in current.entries:
                record = self._records.find_digest(place, entry.digest)
                if record is None and not self._keeps_blob(keeper, place, entry):
                    missing.append(entry)
                if record is None or record.sha256 in seen:
                    continue
                seen.add(record.sha256)
                try:
                    waiting.append(self._records.manifest(record))
                except errors.ManifestUnknown:
                    missing.append(entry)
                    continue
                if not self._records.keep(keeper, place, record.sha256):
                    missing.append(entry)
        return missing

    def _keeps_blob(self, keeper: Keeper, place: Place, descriptor: Descriptor) -> bool:
        sha256 = self._blobs.sha256_of(descriptor.digest)
        return sha256 is not None and self._blobs.keep(keeper, place, sha256)
