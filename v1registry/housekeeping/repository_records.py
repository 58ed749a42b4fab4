"""The manifests of one repository, and what they refer to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from .. import errors
from ..distribution.blobs import Blobs
from ..distribution.manifests import KNOWN_TYPES, parse_manifest
from ..names import Digest
from ..registry import layout
from ..storage.at_once import at_once
from ..storage.base import KeyNotFound, Stat, Storage

_SHA256: Final = re.compile(r"[0-9a-f]{64}")

#: How manifests of unknown types name blobs.
_DIGESTS: Final = re.compile(rb"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


@dataclass(frozen=True)
class StoredRecord:
    """The record of a manifest."""

    stat: Stat
    media_type: str
    image_id: str | None
    is_converted: bool


@dataclass(frozen=True)
class _References:
    """SHA-256 digits that a manifest names."""

    named: tuple[str, ...] = ()  #: blobs, and entries of an index
    subject: str | None = None


class Records:
    """The manifests of one repository, each parsed once.

    :param prefix: of the keys of the records.
    :param incarnation: of the repository; empty if it has none.
    """

    def __init__(self, storage: Storage, prefix: str, incarnation: str):
        self._storage = storage
        self._blobs = Blobs(storage)
        self._references: dict[str, _References] = {}
        self.found: dict[str, StoredRecord] = {}
        self.damaged: list[Stat] = []  #: also those that count for nothing
        stats = {stat.key: stat for stat in storage.list(prefix)}
        for key, value in storage.read_many(stats):
            if value is None:
                continue
            stat, fields = stats[key], layout.parse_stored(value[0])
            if isinstance(fields, dict) and may_count(fields, incarnation) and is_sha256(last_segment(stat)):
                image_id = fields.get("image_id")
                self.found[last_segment(stat)] = StoredRecord(
                    stat,
                    str(fields.get("media_type")),
                    image_id if isinstance(image_id, str) else None,
                    fields.get("converted") is True,
                )
            else:
                self.damaged.append(stat)

    def closure(self, roots: Iterable[str]) -> set[str]:
        """Return the manifests that stay with others: entries of indexes, and those whose subject stays."""
        needed, new = set[str](), set(roots)
        referrers: dict[str, list[str]] | None = None
        while new:
            needed |= new
            if len(needed) == len(self.found):
                break
            if referrers is None:
                referrers = self._referrers()
            named = {entry for sha256 in new for entry in self.references(sha256) if entry in self.found}
            new = named.union(*(referrers.get(sha256, ()) for sha256 in new)) - needed
        return needed

    def load(self, wanted: Iterable[str]) -> None:
        """Read several manifests at once, if the storage is distant, so that no later call waits for each."""
        new = [sha256 for sha256 in wanted if sha256 not in self._references]
        self._references.update(zip(new, at_once(self._storage, self._read, new), strict=True))

    def references(self, sha256: str) -> tuple[str, ...]:
        """Return the SHA-256 digits of the blobs and manifests that a manifest names."""
        return self._of(sha256).named

    def _referrers(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        self.load(self.found)
        for sha256 in self.found:
            subject = self._of(sha256).subject
            if subject is not None:
                found.setdefault(subject, []).append(sha256)
        return found

    def _of(self, sha256: str) -> _References:
        if sha256 not in self._references:
            self._references[sha256] = self._read(sha256)
        return self._references[sha256]

    def _read(self, sha256: str) -> _References:
        media_type = self.found[sha256].media_type
        try:
            data = self._blobs.read(sha256)
        except KeyNotFound:
            return _References()
        try:
            manifest = parse_manifest(data, media_type) if media_type in KNOWN_TYPES else None
        except (errors.ManifestInvalid, errors.TooManyValues):
            manifest = None
        if manifest is None:
            texts = dict.fromkeys(found.decode("ascii") for found in _DIGESTS.findall(data))
            return _References(self._digits(map(Digest.parse, texts)))
        config = () if manifest.config is None else (manifest.config,)
        # a foreign layer may have been pushed too
        named = (*config, *manifest.layers, *manifest.entries)
        subject = () if manifest.subject is None else self._digits([manifest.subject.digest])
        return _References(
            self._digits(descriptor.digest for descriptor in named), subject[0] if subject else None
        )

    def _digits(self, digests: Iterable[Digest]) -> tuple[str, ...]:
        found = (self._blobs.sha256_of(digest) for digest in digests)
        return tuple(sha256 for sha256 in found if sha256 is not None and is_sha256(sha256))


def may_count(fields: dict[str, Any], incarnation: str) -> bool:
    """Tell whether a value in the folder of a repository may count for one of the servers on the folder.

    One of a different incarnation counts for nothing. An open server writes none.

    :param incarnation: of the repository; empty if it has none.
    """
    return not incarnation or fields.get("incarnation") in (None, "", incarnation)


def last_segment(stat: Stat) -> str:
    """Return the last segment of a key."""
    return stat.key.rpartition("/")[2]


def is_sha256(text: object) -> bool:
    """Tell whether a value is the hex digits of a SHA-256 digest."""
    return isinstance(text, str) and _SHA256.fullmatch(text) is not None
