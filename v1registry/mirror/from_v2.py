"""Fetching from an origin that has the distribution API.

A manifest is kept as soon as it is here, its blobs when a client asks for them. A client of v1 needs whole
images: all blobs are fetched, and the view in v1 is made of them, as if the image had been pushed.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import chain
from typing import Final

from .. import errors
from ..distribution import layout
from ..distribution.manifest_records import Record
from ..distribution.manifests import Manifest
from ..distribution.places import Place
from ..distribution.view_facts import NoView
from ..log import get_logger
from ..names import Digest, RepositoryName
from .fetches import Fetch, fetch_all
from .origin import NotAtOrigin
from .origin_v2 import V2Origin
from .parts import Models, Sums, remove, staging_folder

log = get_logger(__name__)

#: How often a blob is asked for that breaks off, and the longest pause before that, in seconds.
_ATTEMPTS: Final = 5
_LONGEST_PAUSE_S: Final = 15

#: How many tags of the origin a list in v1 shows: each needs the manifest.
_MOST_LISTED: Final = 200


class FromV2:
    """Makes repositories of those of an origin with the distribution API. Safe for threads."""

    def __init__(self, origin: V2Origin, models: Models):
        self._origin = origin
        self._models = models

    # -- repositories and tags

    def begin(self, repository: RepositoryName) -> None:
        """Make a repository that the origin has.

        :raises NotAtOrigin: it does not have it.
        """
        self._origin.tags(repository)
        self._models.mirrored.begin(repository)

    def tags(self, repository: RepositoryName) -> list[str]:
        """Return the tags that the origin has, sorted.

        :raises NotAtOrigin: it does not have the repository.
        """
        return self._origin.tags(repository)

    def update_tag(self, repository: RepositoryName, tag: str) -> None:
        """Let a tag point to what it points to at the origin. Blobs are not fetched.

        :raises NotAtOrigin: it is missing there, or it is local.
        """
        mirrored, models = self._models.mirrored, self._models
        place = mirrored.place(repository)
        record, now = mirrored.tag(place, tag), models.distribution.tag_lists.target(place, tag)
        current = None if now is None else now.sha256
        if now is not None and (record is None or not record.is_of(current)):
            raise NotAtOrigin("the tag is local")
        if record is not None and current == record.target:
            digest = self._origin.digest_of(repository, tag)
            if digest is not None and models.distribution.blobs.sha256_of(digest) == current:
                mirrored.note_tag(place, tag, record.target, is_done=True)
                return
        manifest = self._origin.manifest(repository, tag)
        place = mirrored.begin(repository)
        mirrored.note_tag(place, tag, manifest.digest.hex, current or "", is_done=False)
        target = manifest.digest.hex
        try:
            models.distribution.manifests.keep(place, manifest, None if current == target else tag)
        except errors.TagNotMovable:
            log.info("the tag %r of %s moved at the origin, and may not be moved here", tag, repository)
            target = current or ""
        mirrored.note_tag(place, tag, target, is_done=True)

    def fetch_manifest(self, repository: RepositoryName, digest: Digest) -> None:
        """Fetch a manifest by its digest.

        :raises NotAtOrigin: the origin does not have it.
        """
        manifest = self._origin.manifest(repository, digest)
        place = self._models.mirrored.begin(repository)
        self._models.distribution.blobs.point(digest, manifest.digest.hex)
        self._models.distribution.manifests.keep(place, manifest, None)

    def fetch_referrers(self, repository: RepositoryName, subject: Digest) -> list[Digest]:
        """Fetch the manifests that name another one as their subject; return their digests.

        :raises NotAtOrigin: there are none.
        """
        found = self._origin.referrers(repository, subject)
        for digest in found:
            place = self._models.mirrored.place(repository)
            if self._models.distribution.records.find_digest(place, digest) is None:
                self.fetch_manifest(repository, digest)
        return found

    # -- blobs

    def blob_size(self, repository: RepositoryName, digest: Digest) -> int | None:
        """Return the size of a blob, in bytes; None if the origin does not say it.

        :raises NotAtOrigin: the origin does not have it.
        """
        return self._origin.blob_size(repository, digest)

    def has_blob(self, repository: RepositoryName, digest: Digest) -> bool:
        """Tell whether a repository contains a blob."""
        blobs = self._models.distribution.blobs
        sha256 = blobs.contains(self._models.mirrored.place(repository), digest)
        return sha256 is not None and blobs.stat(sha256) is not None

    def join_blob(self, repository: RepositoryName, digest: Digest) -> Fetch | None:
        """Return the fetch of a blob, which the caller has to release; None if the blob is here.

        :raises ImageBusy: too many others are being fetched.
        """
        return self._models.fetches.join(
            (repository, digest),
            lambda: self.has_blob(repository, digest),
            lambda fetch: self._fetch_blob(repository, digest, fetch),
        )

    def _fetch_blob(self, repository: RepositoryName, digest: Digest, fetch: Fetch) -> None:
        models, folder, sums = self._models, staging_folder(), Sums(digest)
        blobs = models.distribution.blobs
        try:
            with closing(self._chunks(repository, digest, fetch)) as chunks:
                first = next(chunks, b"")  # what the origin does not have makes no repository
                place = models.mirrored.begin(repository)
                models.storage.write(
                    f"{folder}/whole/{layout.DATA}", sums.checked(fetch.received(chain((first,), chunks)))
                )
            blobs.publish(f"{folder}/whole", sums.sha256)
        finally:
            remove(models.storage, folder)
        blobs.point(digest, sums.sha256)
        if not blobs.mark_while(place, sums.sha256, lambda: models.mirrored.exists(place)):
            raise errors.NameUnknown(repository=str(repository))
        keeper = blobs.keeping.now()
        if keeper is not None:
            # if the garbage collection was faster, the next client has the blob fetched again
            blobs.keep(keeper, place, sums.sha256)

    def _chunks(
        self, repository: RepositoryName, digest: Digest, fetch: Fetch
    ) -> Generator[bytes, None, None]:
        """Yield the chunks of a blob. If it breaks off, the rest is asked for, a few times.

        :raises NotAtOrigin: the origin does not have it.
        :raises OriginUnavailable: it broke off too often, or before its first byte.
        :raises OriginInvalid: the rest is that of a different value.
        """
        received, size = 0, None
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._origin.blob(repository, digest, received) as body:
                    if received and body.size != size:
                        raise errors.OriginInvalid(reason=f"{digest} changed its size on the way")
                    if not received:
                        size = body.size
                        fetch.begin(size)
                    for chunk in body.chunks:
                        received += len(chunk)
                        yield chunk
                return
            except errors.OriginUnavailable as error:
                if attempt == _ATTEMPTS or not received:
                    raise
                time.sleep(min(error.retry_after_s, _LONGEST_PAUSE_S))

    # -- images for v1

    def v1_tags(self, repository: RepositoryName) -> dict[str, str]:
        """Return tags of the origin with the ids of their images in v1. Layers are not fetched.

        :raises NotAtOrigin: it does not have the repository.
        """
        return dict(self._image_ids(repository, self._origin.tags(repository)[:_MOST_LISTED]))

    def _image_ids(self, repository: RepositoryName, tags: list[str]) -> Iterator[tuple[str, str]]:
        mirrored, age_s = self._models.mirrored, self._models.settings.mirror_tag_age_s
        for tag in tags:
            try:
                place = mirrored.place(repository)
                if not mirrored.is_fresh(mirrored.tag(place, tag), age_s):
                    self.update_tag(repository, tag)
                image = self._image_of(mirrored.place(repository), self._record_of(repository, tag))
            except (NotAtOrigin, NoView, errors.OriginInvalid, errors.ManifestUnknown) as error:
                log.info("v1 does not list the tag %r of %s: %s", tag, repository, error)
                continue
            if image.config is not None and image.config.digest.algorithm == "sha256":
                yield tag, image.config.digest.hex

    def tag_of_image(self, repository: RepositoryName, image_id: str) -> str | None:
        """Return a tag whose image v1 does not have yet; None if there is none with this id."""
        place = self._models.mirrored.place(repository)
        for tag, sha256 in self._models.distribution.tag_lists.names_only_here(place):
            record = self._models.distribution.records.find(place, sha256)
            if record is None or self._models.mirrored.tag(place, tag) is None:
                continue
            try:
                image = self._image_of(place, record, is_fetched=False)
            except (NoView, NotAtOrigin, errors.ManifestUnknown):
                continue
            if image.config is not None and image.config.digest.hex == image_id:
                return tag
        return None

    def complete_tag(self, repository: RepositoryName, tag: str) -> None:
        """Let a tag point to what it points to at the origin, and show it in v1: all blobs are fetched.

        :raises NotAtOrigin: it is missing there, it is local, or v1 cannot show it.
        """
        mirrored = self._models.mirrored
        place = mirrored.place(repository)
        if not mirrored.is_fresh(mirrored.tag(place, tag), self._models.settings.mirror_tag_age_s):
            try:
                self.update_tag(repository, tag)
            except (errors.OriginUnavailable, errors.OriginInvalid, NotAtOrigin):
                # what is here may be whole
                if mirrored.tag(place, tag) is None:
                    raise
        self.show_in_v1(repository, tag)

    def show_in_v1(self, repository: RepositoryName, tag: str) -> None:
        """Fetch the blobs of a tag's image that are missing, and show the tag in v1.

        :raises NotAtOrigin: a blob is missing there, or v1 cannot show the image.
        """
        models = self._models
        place = models.mirrored.place(repository)
        target = models.distribution.tag_lists.target(place, tag)
        if target is None or target.record is None or target.image_id is not None:
            return
        try:
            image = self._image_of(place, target.record)
            digests = list(dict.fromkeys(blob.digest for blob in image.blobs))
            fetch_all(lambda digest: self.join_blob(repository, digest), digests)
            models.distribution.manifests.show_in_v1(models.rights, place, tag, models.distribution.to_v1)
        except NoView as error:
            log.info("no v1 view of the tag %r of %s: %s", tag, repository, error)
            raise NotAtOrigin(str(error)) from None

    def _record_of(self, repository: RepositoryName, tag: str) -> Record:
        target = self._models.distribution.tag_lists.target(self._models.mirrored.place(repository), tag)
        if target is None or target.record is None:
            raise errors.ManifestUnknown(detail={"reference": tag})
        return target.record

    def _image_of(self, place: Place, record: Record, *, is_fetched: bool = True) -> Manifest:
        """Return the manifest of the image that v1 shows for a manifest or an index.

        :param is_fetched: whether the manifest of an index is fetched if it is missing.
        :raises NoView: there is none.
        :raises NotAtOrigin: the manifest is missing at the origin.
        :raises ManifestUnknown: the manifest is missing here, and is not fetched.
        """
        models = self._models
        manifest = models.distribution.records.manifest(record)
        if not manifest.is_index:
            return manifest
        sha256 = models.distribution.to_v1.choice.entry_of(manifest.data)
        found = models.distribution.records.find(place, sha256)
        if found is None and is_fetched:
            self.fetch_manifest(place.repository, Digest("sha256", sha256))
            found = models.distribution.records.find(place, sha256)
        if found is None:
            raise errors.ManifestUnknown(detail={"reference": f"sha256:{sha256}"})
        return models.distribution.records.manifest(found)
