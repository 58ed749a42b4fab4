"""What the tags and manifests of each repository reach: contents of v1, and blobs of ``/v2/``.

Nothing is changed. The settings of servers are not known here, so what counts on any server counts: records
without an incarnation count, and those of a different incarnation do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from .. import errors
from ..access.incarnations import Incarnations
from ..access.marks import Mark, mark_key
from ..distribution import layout as blob_layout
from ..distribution.blobs import Blobs
from ..distribution.manifest_records import ManifestRecords, Record
from ..distribution.manifests import Manifest
from ..distribution.places import Place
from ..distribution.tags import TagPointers, Target
from ..names import Digest, RepositoryName
from ..registry import layout
from ..registry.contents import Contents
from ..registry.known_tags import stored_names
from ..registry.repositories import Repositories
from ..rights import Content
from ..storage.at_once import at_once
from ..storage.base import DataMissing, InvalidKey, KeyNotFound, Storage
from .ancestries import Ancestries
from .repository_folders import repository_folders


@dataclass(frozen=True)
class StoredPlace(Place):
    """A repository as all servers together may see it."""

    def counts(self, incarnation: object) -> bool:
        """Tell whether a record with an incarnation counts on a server with or without accounts."""
        return not incarnation or not self.incarnation or incarnation == self.incarnation


@dataclass
class Reached:
    """What something reaches. Blobs are the hex digits of SHA-256; bytes of manifests are blobs too."""

    contents: set[Content] = field(default_factory=set)
    blobs: set[str] = field(default_factory=set)


class Reach:
    """Walks through the repositories of one storage. Safe for threads.

    :param has_variants: tells whether an id has contents beside the first; asks the storage if None.
    """

    def __init__(self, storage: Storage, *, has_variants: Callable[[str], bool] | None = None):
        self._storage = storage
        self._has_variants = has_variants or self._lists_variants
        self._contents = Contents(storage)
        self._ancestries = Ancestries(storage)
        self._repositories = Repositories(storage)
        self._incarnations = Incarnations(storage, self._repositories)
        self._blobs = Blobs(storage)
        self._records = ManifestRecords(storage, self._blobs)
        self._pointers = TagPointers(storage, self._repositories, self._records)

    def repositories(self) -> Iterator[RepositoryName]:
        """Yield each repository that has a folder, once. Some may turn out not to exist."""
        in_two_folders: set[RepositoryName] = set()
        for namespace, folder in repository_folders(self._storage):
            name = layout.repository_from_folders(namespace, folder)
            if len(layout.repository_folders(name)) > 1:
                if name in in_two_folders:
                    continue
                in_two_folders.add(name)
            yield name

    def place(self, repository: RepositoryName) -> StoredPlace:
        """Return the repository with its incarnation."""
        return StoredPlace(repository, self._incarnations.of(repository))

    # -- tags

    def tags(self, place: StoredPlace) -> list[str]:
        """Return the tags of both APIs, sorted. Some may turn out not to be set."""
        try:
            in_v1 = list(self.v1_tags(place))
        except DataMissing:
            # the one whose value is lost does not hide the others
            in_v1 = stored_names(self._storage, layout.repository_folders(place.repository))
        return sorted({*in_v1, *self.sides(place)})

    def tag_names(self, place: StoredPlace) -> list[str]:
        """Return the tags of both APIs that are set, sorted."""
        in_v1 = self.v1_tags(place)
        only_v2 = (
            tag for tag in self.sides(place) if tag not in in_v1 and self._pointers.only_here(place, tag)
        )
        return sorted({*in_v1, *only_v2})

    def target(self, place: StoredPlace, tag: str) -> Target | None:
        """Return what a tag points to, None if it is not set."""
        return self._pointers.target(place, tag)

    def tag(self, place: StoredPlace, tag: str) -> Reached | None:
        """Return what a tag reaches, None if it is not set."""
        target = self.target(place, tag)
        if target is None:
            return None
        reached = Reached()
        if target.image_id is not None:
            reached.contents.update(self.chain(place, target.image_id))
        # what was converted from v1 is left out, because it can be made again
        if target.record is not None and target.record.image_id is None:
            self._add_manifests(place, [target.record], reached)
        return reached

    def sides(self, place: StoredPlace) -> list[str]:
        """Return the tags that ``/v2/`` wrote, whether or not they are set."""
        with suppress(InvalidKey):
            return list(self._pointers.names(place))
        return []

    # -- v1

    def v1_tags(self, place: StoredPlace) -> dict[str, str]:
        """Return tag -> image id of the tags of v1."""
        return self._repositories.tags_or_none(place.repository)

    def chain(self, place: StoredPlace, image_id: str) -> Iterator[Content]:
        """Yield the contents of an image and of its ancestors, as the repository holds them."""
        held = self._held(place, image_id)
        yield held
        for ancestor in self._ancestries.of(held)[1:]:
            yield self._held(place, ancestor)

    def _held(self, place: StoredPlace, image_id: str) -> Content:
        """Return the content of an id that the repository holds, or shows on an open server."""
        if not self._has_variants(image_id):
            return Content(image_id)
        with suppress(KeyNotFound, InvalidKey):
            mark = Mark.parse(self._storage.read(mark_key(place.repository, image_id))[0])
            if mark.counts(place.incarnation):
                return Content(image_id, mark.variant)
        shown = self._contents.open_content(image_id)
        return Content(image_id, "" if shown is None else shown.variant)

    def _lists_variants(self, image_id: str) -> bool:
        return next(iter(self._contents.variants(image_id)), None) is not None

    # -- v2

    def record(self, place: StoredPlace, sha256: str) -> Record | None:
        """Return the record of a manifest, None if the repository does not contain it.

        :param sha256: hex digits.
        """
        return self._records.find(place, sha256)

    def records(self, place: StoredPlace) -> Iterator[Record]:
        """Yield the manifests that the repository contains, tagged or not."""
        with suppress(InvalidKey):
            yield from self._records.all(place)

    def awaits(self, place: StoredPlace, sha256: str) -> bool:
        """Tell whether a blob is still to come: a mirror keeps manifests before it fetches their blobs.

        :param sha256: hex digits.
        """
        key = blob_layout.repository_key(place.repository, blob_layout.MIRROR, blob_layout.MIRROR_ORIGIN)
        try:
            self._storage.stat(key)
        except (KeyNotFound, InvalidKey):
            return False
        return not self._blobs.is_marked(place, sha256)

    def blobs_of(self, place: StoredPlace, records: Iterable[Record]) -> set[str]:
        """Return the blobs of manifests, and of those that an index lists."""
        reached = Reached()
        self._add_manifests(place, records, reached)
        return reached.blobs

    def _add_manifests(self, place: StoredPlace, records: Iterable[Record], reached: Reached) -> None:
        left, walked = {record.sha256: record for record in records}, set[str]()
        while left:
            walked.update(left)
            entries: dict[str, Record] = {}
            for blobs, children in at_once(self._storage, partial(self._named_in, place), left.values()):
                reached.blobs.update(blobs)
                entries.update((child.sha256, child) for child in children)
            left = {sha256: entry for sha256, entry in entries.items() if sha256 not in walked}
        reached.blobs.update(walked)

    def _named_in(self, place: StoredPlace, record: Record) -> tuple[list[str], list[Record]]:
        """Return the blobs that a manifest names, and the manifests that an index lists."""
        manifest = self._manifest(record)
        if manifest is None:
            return [], []
        blobs = list(self._known(descriptor.digest for descriptor in manifest.blobs))
        entries = self._known(entry.digest for entry in manifest.entries)
        # what has no record may be anything, and large
        found = [self._records.find(place, sha256) for sha256 in entries]
        return blobs, [record for record in found if record is not None]

    def _manifest(self, record: Record) -> Manifest | None:
        """Return what a manifest says, None if its bytes are missing or damaged."""
        try:
            return self._records.manifest(record)
        except errors.ManifestUnknown:
            return None

    def _known(self, digests: Iterable[Digest]) -> Iterator[str]:
        """Yield the SHA-256 digits of digests, without those of which none are known."""
        for digest in digests:
            sha256 = self._blobs.sha256_of(digest)
            if sha256 is not None:
                yield sha256
