"""The mirror of an application: what is asked of the origin, once for all requests, and what is served if it
does not answer.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from threading import Lock
from typing import Final

from cachetools import LRUCache

from .. import errors
from ..clock import Clock
from ..distribution.tags import Target
from ..names import Digest, RepositoryName
from .fetches import Fetch
from .from_v1 import FromV1
from .from_v2 import FromV2
from .origin import NotAtOrigin, Origin
from .origin_v1 import RemoteImage, V1Origin
from .origin_v2 import V2Origin
from .parts import Models
from .questions import Questions
from .readers import Readers, Reading
from .stored import Standing, TagRecord

#: Of how many images it is remembered in which repository the origin has them.
_SEEN_IMAGES: Final = 100_000

#: How many requests may read values on their way from the origin, and how many of one user or address. With
#: those that wait for answers they leave threads of a worker of ``serve`` free.
_MOST_READING: Final = 192
_MOST_READING_OF_CLIENT: Final = 64


class Mirror:
    """Fetches what is missing, if it may be fetched. Safe for threads.

    :param models: what the mirror writes.
    """

    def __init__(self, origin: Origin, models: Models, *, is_private: bool, clock: Clock):
        settings = models.settings
        self._origin = origin
        self._models = models
        self._is_private = is_private
        self._patterns = settings.mirror_repositories
        self._age_s = settings.mirror_tag_age_s
        self._from_v2 = FromV2(V2Origin(origin, settings.max_manifest_bytes, clock), models)
        self._from_v1 = FromV1(V1Origin(origin, settings.max_chain_images, clock), models)
        self._questions = Questions(wait_s=settings.mirror_wait_s, age_s=self._age_s, clock=clock)
        self._readers = Readers(_MOST_READING, _MOST_READING_OF_CLIENT)
        self._seen: LRUCache[str, RepositoryName] = LRUCache(_SEEN_IMAGES)
        self._mutex = Lock()  # cachetools is not safe for threads
        self.wait_s = settings.mirror_wait_s  #: how long a request waits before its first byte, in seconds

    def problems(self) -> list[str]:
        """Return why the origin cannot be asked; empty if it answers. It is asked now."""
        try:
            self._origin.ping()
        except (errors.OriginUnavailable, errors.OriginInvalid, NotAtOrigin) as error:
            reason = error.context.get("reason") if isinstance(error, errors.RegistryError) else error
            return [f"mirror: the registry cannot be asked: {reason}"]
        return []

    # -- what may be fetched

    def standing(self, repository: RepositoryName) -> Standing:
        """Return what a repository is to the mirror."""
        return self._models.mirrored.standing(repository)

    def may_fetch(
        self, repository: RepositoryName, may_write: Callable[[], bool], missing: errors.RegistryError
    ) -> bool:
        """Tell whether something may be fetched into a repository for a caller who may read it.

        A missing repository would become private if mirrored ones are. Then only callers who could read that
        have it made: those who may write there.

        :param missing: raised for all other callers, who may not see what another request fetches meanwhile.
        """
        if not any(self._matches(repository, pattern) for pattern in self._patterns):
            return False
        standing = self.standing(repository)
        if standing is Standing.MISSING and self._is_private and not may_write():
            raise missing
        return standing is not Standing.LOCAL

    @staticmethod
    def _matches(repository: RepositoryName, pattern: str) -> bool:
        return fnmatchcase(str(repository), pattern) or fnmatchcase(repository.short, pattern)

    # -- repositories and tags

    def prepare_repository(self, repository: RepositoryName, client: str) -> None:
        """Make a repository if the origin has it."""
        if self.standing(repository) is Standing.MISSING:
            self._questions.ask(("repository", repository), lambda: self._source().begin(repository), client)

    def prepare_tag(self, repository: RepositoryName, tag: str, client: str) -> None:
        """Let a tag of the distribution API point to what it points to at the origin. Of an origin of v1 the
        whole image is fetched.

        :raises OriginUnavailable: the origin cannot answer, and the tag is not here.
        :raises OriginInvalid: its answer is invalid, and the tag is not here.
        :raises ImageBusy: it takes longer than a request waits, and the tag is not here.
        """
        record, target = self._state_of(repository, tag)
        if target is not None and self._is_current(record, target):
            return
        has_v2 = self.has_v2(client, is_here=target is not None)
        if has_v2 is None:
            return
        if not has_v2:
            self._complete_tag(repository, tag, client, is_here=target is not None)
            return
        self._questions.ask(
            ("tag", repository, tag),
            lambda: self._from_v2.update_tag(repository, tag),
            client,
            is_here=target is not None,
        )

    def v1_tag(self, repository: RepositoryName, tag: str, client: str) -> str | None:
        """Let a tag of v1 point to what it points to at the origin. Of an origin with the distribution API
        the whole image is fetched.

        :return: the id of the image of a tag of an origin of v1 whose images are not all here; None in all
            other cases.
        :raises OriginUnavailable: the origin cannot answer, and the tag is not here.
        :raises OriginInvalid: its answer is invalid, and the tag is not here.
        :raises ImageBusy: it takes longer than a request waits, and the tag is not here.
        """
        record, target = self._state_of(repository, tag)
        current = None if target is None else target.image_id
        if target is not None and current is not None and self._is_current(record, target):
            return None
        has_v2 = self.has_v2(client, is_here=current is not None)
        if has_v2 is None:
            return None
        if has_v2:
            self._complete_tag(repository, tag, client, is_here=current is not None)
            return None
        if record is not None and self._models.mirrored.is_fresh(record, self._age_s):
            image_id: str | None = record.target
        else:
            image_id = self._questions.ask(
                ("tag", repository, tag),
                lambda: self._from_v1.update_tag(repository, tag),
                client,
                is_here=current is not None,
            )
        if image_id is None or image_id == current:
            return None
        self._note_image(repository, image_id)
        return image_id

    def _state_of(self, repository: RepositoryName, tag: str) -> tuple[TagRecord | None, Target | None]:
        mirrored = self._models.mirrored
        place = mirrored.place(repository)
        return mirrored.tag(place, tag), self._models.distribution.tag_lists.target(place, tag)

    def _is_current(self, record: TagRecord | None, target: Target) -> bool:
        """Tell whether a tag needs no question: it is local, or it is what the origin had lately."""
        if record is None:
            return True
        is_settled = record.target in (target.sha256, target.image_id)
        return is_settled and self._models.mirrored.is_fresh(record, self._age_s)

    def _complete_tag(self, repository: RepositoryName, tag: str, client: str, *, is_here: bool) -> None:
        self._questions.fetch(
            ("image", repository, tag),
            lambda: self._source().complete_tag(repository, tag),
            client,
            is_here=is_here,
        )

    def prepare_manifest(self, repository: RepositoryName, digest: Digest, client: str) -> None:
        """Have a manifest that a client names by its digest.

        :raises OriginUnavailable: the origin cannot answer.
        :raises OriginInvalid: its answer is invalid.
        :raises ImageBusy: the answer takes longer than a request waits.
        """
        place = self._models.mirrored.place(repository)
        if self._models.distribution.records.find_digest(place, digest) is not None:
            return
        if self.has_v2(client) is not False:
            self._questions.ask(
                ("manifest", repository, digest),
                lambda: self._from_v2.fetch_manifest(repository, digest),
                client,
            )

    def prepare_referrers(self, repository: RepositoryName, subject: Digest, client: str) -> None:
        """Fetch the manifests that name another one as their subject, if the origin tells them now."""
        if self.has_v2(client, is_here=True):
            self._questions.listed(
                ("referrers", repository, subject),
                lambda: self._from_v2.fetch_referrers(repository, subject),
                client,
                is_here=True,
            )

    def tags(self, repository: RepositoryName, client: str) -> list[str] | None:
        """Return the tags that the origin has, sorted; None if it does not tell them now.

        :raises OriginUnavailable: the origin cannot answer, and the repository is not here.
        :raises OriginInvalid: its answer is invalid, and the repository is not here.
        :raises ImageBusy: the answer takes longer than a request waits, and the repository is not here.
        """
        return self._questions.listed(
            ("tags", repository),
            lambda: self._source().tags(repository),
            client,
            is_here=self.standing(repository) is Standing.MIRRORED,
        )

    def v1_tags(self, repository: RepositoryName, client: str) -> dict[str, str] | None:
        """Do the same for v1: return tags with the ids of their images."""
        found = self._questions.listed(
            ("v1 tags", repository),
            lambda: self._source().v1_tags(repository),
            client,
            is_here=self.standing(repository) is Standing.MIRRORED,
        )
        for image_id in (found or {}).values():
            self._note_image(repository, image_id)
        return found

    # -- images of v1

    def repository_of(self, image_id: str) -> RepositoryName | None:
        """Return the repository in which this process has seen an image at the origin."""
        with self._mutex:
            return self._seen.get(image_id)

    def holds(self, repository: RepositoryName, image_id: str) -> bool:
        """Tell whether a repository has an image."""
        return self._from_v1.holds(repository, image_id)

    def image(self, repository: RepositoryName, image_id: str, client: str) -> RemoteImage | None:
        """Return what an origin of v1 says of an image that is not here; None if it does not have it.

        :raises OriginUnavailable: the origin cannot answer.
        :raises OriginInvalid: its answer is invalid.
        :raises ImageBusy: the answer takes longer than a request waits.
        """
        found = self._questions.ask(
            ("v1 image", repository, image_id), lambda: self._from_v1.image(repository, image_id), client
        )
        for ancestor in () if found is None else found.ancestry:
            self._note_image(repository, ancestor)
        return found

    def prepare_image(self, repository: RepositoryName, image_id: str, client: str) -> None:
        """Have an image in v1 whose id a list of tags gave, of an origin with the distribution API.

        :raises OriginUnavailable: the origin cannot answer.
        :raises OriginInvalid: its answer is invalid.
        :raises ImageBusy: it takes longer than a request waits.
        """
        tag = self._from_v2.tag_of_image(repository, image_id)
        if tag is not None:
            self._questions.fetch(
                ("view", repository, tag),
                lambda: self._from_v2.show_in_v1(repository, tag),
                client,
                is_here=False,
            )

    def _note_image(self, repository: RepositoryName, image_id: str) -> None:
        with self._mutex:
            self._seen[image_id] = repository

    # -- blobs

    def blob_size(self, repository: RepositoryName, digest: Digest, client: str) -> int | None:
        """Return the size of a blob of the origin that is not here; None if it has none, or does not say it.

        :raises OriginUnavailable: the origin cannot answer.
        :raises OriginInvalid: its answer is invalid.
        :raises ImageBusy: the answer takes longer than a request waits.
        """
        if self._from_v2.has_blob(repository, digest) or not self.has_v2(client):
            return None
        found = self._questions.ask(
            ("blob", repository, digest), lambda: self._from_v2.blob_size(repository, digest), client
        )
        return found if isinstance(found, int) else None

    def join_blob(self, repository: RepositoryName, digest: Digest, client: str) -> Reading | None:
        """Return a blob that is being fetched, with its size. The caller has to release it.

        None if the blob is here, or is not at the origin.

        :raises OriginUnavailable: the origin cannot answer.
        :raises OriginInvalid: its answer is invalid.
        :raises ImageBusy: the answer takes longer than a request waits, or too many requests wait.
        """
        if self._from_v2.has_blob(repository, digest) or not self.has_v2(client):
            return None
        return self._readers.read(client, lambda: self._readable(self._from_v2.join_blob(repository, digest)))

    def join_layer(self, repository: RepositoryName, image_id: str, client: str) -> Reading | None:
        """Do the same for the layer of an image of an origin of v1."""
        return self._readers.read(
            client, lambda: self._readable(self._from_v1.join_layer(repository, image_id))
        )

    def _readable(self, fetch: Fetch | None) -> Fetch | None:
        """Return a fetch whose size is known; None if the value is here now, or is not at the origin."""
        if fetch is None:
            return None
        is_returned = False
        try:
            if not fetch.wait_for_begin(self.wait_s):
                raise errors.ImageBusy
            if fetch.size is None and not fetch.wait_for_end(self.wait_s):
                raise errors.ImageBusy
            fetch.raise_error()
            is_returned = not fetch.is_stored
        except NotAtOrigin:
            return None
        finally:
            if not is_returned:
                fetch.release()
        return fetch if is_returned else None

    # -- asking

    def has_v2(self, client: str, *, is_here: bool = False) -> bool | None:
        """Tell whether the origin is asked by the distribution API; None if that is unknown, and something is
        served without an answer.

        :raises OriginUnavailable: the origin cannot answer, and that is still unknown.
        :raises ImageBusy: the answer takes longer than a request waits.
        """
        if self._origin.known_v2 is not None:
            return self._origin.known_v2
        return self._questions.ask(("api",), self._origin.has_v2, client, is_here=is_here)

    def _source(self) -> FromV1 | FromV2:
        return self._from_v2 if self._origin.has_v2() else self._from_v1
