"""Putting, finding and deleting the manifests and tags of a repository (distribution.md 1 and 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from .. import errors
from ..log import audit
from ..names import Digest, RepositoryName, is_v2_tag
from ..registry.holding import Holding
from ..registry.repositories import Repositories
from ..rights import Rights
from .blobs import Blobs
from .from_v1 import FromV1
from .kept_manifests import KeptManifests
from .manifest_records import ManifestRecords, Record
from .manifests import KNOWN_TYPES, Descriptor, Manifest, parse_manifest
from .places import Place
from .referrers import Referrers
from .tags import TagPointers, Target
from .to_v1 import ToV1, View


class Manifests:
    """The manifests of the repositories of one storage. Safe for threads and processes."""

    def __init__(
        self,
        blobs: Blobs,
        records: ManifestRecords,
        tags: TagPointers,
        referrers: Referrers,
        repositories: Repositories,
        holding: Holding,
        to_v1: ToV1,
        from_v1: FromV1,
    ):
        self._blobs = blobs
        self._records = records
        self._tags = tags
        self._referrers = referrers
        self._repositories = repositories
        self._holding = holding
        self._to_v1 = to_v1
        self._from_v1 = from_v1
        self._kept = KeptManifests(blobs, records)

    # -- finding

    def find(
        self,
        rights: Rights,
        place: Place,
        reference: str | Digest,
        *,
        is_oci: bool = False,
        client: str = "",
    ) -> Record:
        """Return the record of a manifest.

        :param reference: a tag or a digest.
        :param is_oci: the form for a tag of an image of v1: OCI, or Docker's schema 2.
        :param client: whose share of conversions is used; empty if the caller has none.
        :raises NameUnknown: the repository does not exist.
        :raises ManifestUnknown: there is no such manifest.
        :raises Busy: the image of v1 is still being converted.
        """
        target: Target | None = None
        found: Record | None = None
        if isinstance(reference, str):
            target = self._tags.target(place, reference)
        # a repository that has a tag of v1 exists
        if target is None or target.image_id is None:
            self.require_existing(place.repository)
        if isinstance(reference, Digest):
            found = self._records.find_digest(place, reference)
        elif target is not None:
            found = target.record or self._converted(rights, place, target, is_oci, client)
        if found is None:
            raise errors.ManifestUnknown(detail={"reference": str(reference)})
        return found

    def _converted(
        self, rights: Rights, place: Place, target: Target, is_oci: bool, client: str
    ) -> Record | None:
        if target.image_id is None:
            return None
        return self._from_v1.manifest_of(rights, place, target.image_id, is_oci=is_oci, client=client)

    def require_existing(self, repository: RepositoryName) -> None:
        """Check that a repository exists.

        :raises NameUnknown: it does not.
        """
        if not self._repositories.exists(repository):
            raise errors.NameUnknown(detail={"name": str(repository)})

    # -- putting

    def put(
        self,
        rights: Rights,
        place: Place,
        manifest: Manifest,
        reference: str | Digest,
        *,
        user_agent: str = "",
    ) -> None:
        """Store a manifest, and point a tag to it if the reference is one.

        :param reference: a tag, or a digest that fits.
        :param user_agent: the header of the push, for what v1 tells of the tag.
        :raises ManifestBlobUnknown: the repository does not contain what the manifest needs.
        :raises NameUnknown: the repository was deleted meanwhile.
        :raises TagInvalid: the file of a different tag has the name.
        :raises TagNotMovable: the tag is set, and may not be moved.
        """
        self._check_references(place, manifest, self._has_blob)
        self._records.add(place, manifest)
        if not place.incarnation:
            # an open server: if the repository was deleted in between, the record outlives the marks
            self._check_references(place, manifest, self._has_mark)
        if isinstance(reference, Digest):
            self._blobs.point(reference, manifest.digest.hex)
        self._referrers.add(place, manifest)
        repository, view, written = place.repository, None, None
        if isinstance(reference, str):
            marked = {blob.digest.hex for blob in manifest.blobs if blob.digest.algorithm == "sha256"}
            view = self._to_v1.view_of(rights, place, manifest.data, manifest.media_type, marked)
        self._list(place, view)
        self._require_kept(place, manifest, view)
        if isinstance(reference, str):
            image_id = None if view is None else view.image_id
            written = self._tags.set(place, reference, manifest.digest.hex, image_id, user_agent=user_agent)
        try:
            # an open server has no incarnations: there the record tells whether the repository was deleted
            is_there = self._records.find(place, manifest.digest.hex) is not None
            if not is_there or not self._holding.check(repository, place.incarnation):
                raise errors.NameUnknown(repository=str(repository))
            self._require_kept(place, manifest, view)
        except errors.RegistryError:
            if written is not None:
                self._tags.undo(written)
            raise

    def _require_kept(self, place: Place, manifest: Manifest, view: View | None) -> None:
        """Keep a manifest, all that it names, and its view in v1 from the garbage collection.

        Before the tag is written, so that an earlier tag stays if that fails; and afterwards, because a
        collection that sees neither may have begun in between.

        :raises ManifestBlobUnknown: the collection was faster.
        """
        missing = self._kept.missing(place, manifest)
        if not missing and (view is None or self._holding.keep(place.repository, view.image_id)):
            return
        raise errors.ManifestBlobUnknown(detail=_details(missing or manifest.blobs))

    def keep(self, place: Place, manifest: Manifest, tag: str | None) -> None:
        """Store a manifest that a mirror has fetched before its blobs, and point a tag to it.

        v1 does not show the tag before :meth:`show_in_v1`.

        :param tag: None if the manifest was asked for by its digest.
        :raises NameUnknown: the repository was deleted meanwhile.
        :raises TagInvalid: the file of a different tag has the name.
        :raises TagNotMovable: the tag is set, and may not be moved.
        """
        self._records.add(place, manifest)
        self._referrers.add(place, manifest)
        self._list(place, None)
        written = None if tag is None else self._tags.set(place, tag, manifest.digest.hex, None)
        # blobs that are missing will be fetched
        self._kept.missing(place, manifest)
        if not self._holding.check(place.repository, place.incarnation):
            if written is not None:
                self._tags.undo(written)
            raise errors.NameUnknown(repository=str(place.repository))

    def pushed_tags(self, place: Place) -> list[str]:
        """Return the tags that were pushed through the distribution API, sorted, shown in v1 or not."""
        return [tag for tag in self._tags.names(place) if self._tags.target(place, tag) is not None]

    def show_in_v1(self, rights: Rights, place: Place, tag: str, to_v1: ToV1) -> View | None:
        """Make the v1 view of a tag that v1 does not show.

        :param to_v1: makes the view, with bounds of its own.
        :return: None if there is nothing to do: v1 shows the tag already, or it was moved or deleted.
        :raises NoView: v1 cannot show it.
        :raises ManifestUnknown: the manifest is missing.
        :raises TagInvalid: the file of a different tag has the name.
        """
        target = self._tags.target(place, tag)
        if target is None or target.record is None or target.image_id is not None:
            return None
        record = target.record
        view = to_v1.make(rights, place, self._records.data(record), record.media_type)
        self._list(place, view)
        written = self._tags.add_view(place, tag, view.image_id, record.sha256)
        if written is not None and not (
            self._holding.check(place.repository, place.incarnation)
            and self._holding.keep(place.repository, view.image_id)
        ):
            self._tags.undo(written)
            return None
        return None if written is None else view

    def _list(self, place: Place, view: View | None) -> None:
        """Write the list of images, by which a repository exists in v1. A tag may name what is in it."""
        listed = () if view is None else reversed(view.ancestry)
        self._repositories.announce(place.repository, b"[]", [])
        self._repositories.add_images(place.repository, [{"id": image_id} for image_id in listed])

    def _check_references(
        self, place: Place, manifest: Manifest, has_blob: Callable[[Place, Descriptor], bool]
    ) -> None:
        blobs = tuple(dict.fromkeys(manifest.blobs))
        missing = self._blobs.without(partial(has_blob, place), blobs)
        missing += self._blobs.without(partial(self._has_entry, place), manifest.entries)
        if missing:
            raise errors.ManifestBlobUnknown(detail=_details(missing))

    def _has_mark(self, place: Place, descriptor: Descriptor) -> bool:
        return self._blobs.contains(place, descriptor.digest) is not None

    def _has_blob(self, place: Place, descriptor: Descriptor) -> bool:
        sha256 = self._blobs.contains(place, descriptor.digest)
        stat = None if sha256 is None else self._blobs.stat(sha256)
        return stat is not None and stat.size == descriptor.size

    def _has_entry(self, place: Place, entry: Descriptor) -> bool:
        record = self._records.find_digest(place, entry.digest)
        if record is not None:
            return record.size == entry.size
        # caches of builds are indexes whose entries are layers
        return entry.media_type not in KNOWN_TYPES and self._has_blob(place, entry)

    # -- deleting

    def delete_tag(self, place: Place, tag: str, *, only: str | None = None) -> None:
        """Remove a tag. The manifest stays.

        :param only: remove it only while it points to the manifest with these SHA-256 digits.
        :raises ManifestUnknown: the tag is not set, or points to a different manifest.
        """
        if not self._tags.delete(place, tag, only=only):
            raise errors.ManifestUnknown(detail={"reference": tag})

    def delete(self, place: Place, digest: Digest) -> None:
        """Remove a manifest from the repository, and all tags that point to it.

        An index that lists it stays. A tag of that index loses its view in v1 if the view is this image.

        :raises ManifestUnknown: the repository does not contain it.
        """
        record = self.record_of(place, digest)
        manifest: Manifest | None
        try:
            manifest = self._records.manifest(record)
        except errors.ManifestUnknown:
            manifest = None
        for tag in self._all_tags(place):
            self._tags.delete(place, tag, only=record.sha256)
        if manifest is not None and manifest.config is not None:
            self._remove_views(place, record.sha256, manifest.config.digest.hex)
        if manifest is not None:
            self._referrers.remove(place, manifest)
        self._records.remove(place, record.sha256)
        audit("deleted manifest %s of repository %r", f"sha256:{record.sha256}", str(place.repository))

    def record_of(self, place: Place, digest: Digest) -> Record:
        """Return the record of a manifest by its digest.

        :raises ManifestUnknown: the repository does not contain it.
        """
        found = self._records.find_digest(place, digest)
        if found is None:
            raise errors.ManifestUnknown(detail={"reference": str(digest)})
        return found

    def _all_tags(self, place: Place) -> list[str]:
        return sorted({*self._file_tags(place), *self._tags.names(place)})

    def _file_tags(self, place: Place) -> dict[str, str]:
        """Return tag -> image id of the tags of v1 that this API can name."""
        found = self._repositories.tags_or_none(place.repository)
        return {tag: image_id for tag, image_id in found.items() if is_v2_tag(tag)}

    def _remove_views(self, place: Place, sha256: str, image_id: str) -> None:
        """Remove the tags of v1 that are views of an index because it lists a manifest.

        :param image_id: of the image that the manifest became.
        """
        for tag, found in self._file_tags(place).items():
            if found != image_id:
                continue
            target = self._tags.target(place, tag)
            record = None if target is None else target.record
            if record is not None and sha256 in self._entries(record):
                self._tags.remove_view(place, tag, image_id, record.sha256)

    def _entries(self, record: Record) -> list[str]:
        """Return the hex digits of the manifests that an index lists; none if its bytes are damaged."""
        try:
            return [entry.digest.hex for entry in self._records.manifest(record).entries]
        except errors.ManifestUnknown:
            return []

    def needs_blob(self, place: Place, sha256: str) -> bool:
        """Tell whether a manifest of the repository needs a blob.

        :param sha256: hex digits.
        """
        return any(self._names(record, sha256) for record in self._records.all(place))

    def _names(self, record: Record, sha256: str) -> bool:
        try:
            data = self._records.data(record)
        except errors.ManifestUnknown:
            return False
        # most manifests need no parsing
        if sha256.encode("ascii") not in data and b"sha512:" not in data:
            return False
        try:
            manifest = parse_manifest(data, record.media_type)
        except (errors.ManifestInvalid, errors.TooManyValues):
            return False
        needed = (*manifest.blobs, *manifest.entries)
        return any(self._blobs.sha256_of(descriptor.digest) == sha256 for descriptor in needed)


def _details(missing: Iterable[Descriptor]) -> list[dict[str, object]]:
    return [{"digest": str(descriptor.digest), "size": descriptor.size} for descriptor in missing]
