"""The manifests of tags, as far as they are known, for the pages."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

from .. import errors
from ..distribution.manifest_records import Record
from ..distribution.manifests import Descriptor
from ..distribution.places import Place
from ..names import Digest, RepositoryName, is_v2_name, is_v2_tag
from ..rights import Rights
from ..storage.base import KeyNotFound
from .services import Request
from .views.manifest_facts import ManifestFacts, facts_of
from .views.texts import shown

#: How many tags without an image of v1 are on the page of a repository, and how many are looked at.
TAGS_SHOWN: Final = 100
_MOST_LOOKED_AT: Final = 1000


def manifest_facts(request: Request, place: Place, digest: str) -> tuple[ManifestFacts, Record]:
    """Return what the pages show of a manifest, and its record.

    :param digest: any text.
    :raises ManifestUnknown: the repository does not contain it, or the digest is malformed.
    """
    distribution = request.services.distribution
    try:
        record = distribution.manifests.record_of(place, Digest.parse(digest))
    except errors.DigestInvalid:
        raise errors.ManifestUnknown(detail={"reference": digest[:200]}) from None
    manifest = distribution.records.manifest(record)

    def read(descriptor: Descriptor) -> bytes | None:
        sha256 = distribution.blobs.contains(place, descriptor.digest)
        try:
            return None if sha256 is None else distribution.blobs.read(sha256)
        except KeyNotFound:
            return None

    return facts_of(manifest, read), record


def manifests_of_tags(
    request: Request, rights: Rights, name: RepositoryName, tags: Iterable[str]
) -> dict[str, ManifestFacts]:
    """Return tag -> its manifest, for tags whose manifest is known. Nothing is converted."""
    if not request.services.settings.has_distribution or not is_v2_name(str(name)):
        return {}
    place, found = Place.of(rights, name), {}
    for tag in filter(is_v2_tag, tags):
        target = request.services.distribution.tag_lists.target(place, tag)
        if target is not None and target.sha256 is not None:
            facts = _known(request, place, target.sha256)
            if facts is not None:
                found[tag] = facts
    return found


def tags_without_image(request: Request, rights: Rights, name: RepositoryName) -> list[dict[str, Any]]:
    """Return the tags that v1 does not show: those of artifacts, and of indexes without an image for it."""
    if not request.services.settings.has_distribution or not is_v2_name(str(name)):
        return []
    place = Place.of(rights, name)
    rows: list[dict[str, Any]] = []
    names = request.services.distribution.tag_lists.names_only_here(place)
    for tag, sha256 in islice(names, _MOST_LOOKED_AT):
        facts = _known(request, place, sha256)
        if facts is not None and len(rows) < TAGS_SHOWN:
            rows.append({"tag": tag, "label": shown(tag, 128), "manifest": facts})
    return rows


def digest_without_image(request: Request, rights: Rights, name: RepositoryName, tag: str) -> str | None:
    """Return the digest of a tag that v1 does not show; None if there is no such tag."""
    if not request.services.settings.has_distribution or not is_v2_name(str(name)) or not is_v2_tag(tag):
        return None
    target = request.services.distribution.tag_lists.target(Place.of(rights, name), tag)
    return None if target is None or target.sha256 is None else f"sha256:{target.sha256}"


def _known(request: Request, place: Place, sha256: str) -> ManifestFacts | None:
    try:
        return manifest_facts(request, place, f"sha256:{sha256}")[0]
    except errors.ManifestUnknown:
        return None
