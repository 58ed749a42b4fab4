"""The mirror of an application: what is asked of the origin, once for all requests, and what is served if it
does not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from fnmatch import fnmatchcase
from typing import Final, TypeVar

from cachetools import TTLCache

from .. import errors
from ..clock import Clock
from ..distribution.shared_work import SharedWork
from ..log import get_logger
from ..names import Digest, RepositoryName
from .fetches import Fetch
from .from_v2 import FromV2
from .origin import NotAtOrigin, Origin
from .origin_v2 import V2Origin
from .parts import Models
from .stored import Standing

log = get_logger(__name__)

T = TypeVar("T")

#: How many questions are asked, and how many whole images are fetched, at once.
_QUESTIONS: Final = 16
_IMAGES: Final = 8

#: How many requests may wait for the origin before their first byte, and how many of one user or address.
_MOST_WAITING: Final = 128
_MOST_WAITING_OF_CLIENT: Final = 64

#: Of how many repositories the lists of tags are kept.
_KEPT_LISTS: Final = 200


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
        self._questions, self._images = (
            SharedWork[object](
                threads, most_waiting=_MOST_WAITING, most_waiting_of_client=_MOST_WAITING_OF_CLIENT
            )
            for threads in (_QUESTIONS, _IMAGES)
        )
        self._lists: TTLCache[Hashable, object] = TTLCache(
            _KEPT_LISTS, max(self._age_s, 1), timer=clock.monotonic_s
        )
        self.wait_s = settings.mirror_wait_s  #: how long a request waits before its first byte, in seconds

    # -- what may be fetched

    def standing(self, repository: RepositoryName) -> Standing:
        """Return what a repository is to the mirror."""
        return self._models.mirrored.standing(repository)

    def may_fetch(self, repository: RepositoryName, may_write: Callable[[], bool]) -> bool:
        """Tell whether something may be fetched into a repository for a caller who may read it.

        A missing repository would become private if mirrored ones are. Then only callers who could read that
        have it made: those who may write there.
        """
        if not any(self._matches(repository, pattern) for pattern in self._patterns):
            return False
        standing = self.standing(repository)
        if standing is Standing.MISSING and self._is_private:
            return may_write()
        return standing is not Standing.LOCAL

    @staticmethod
    def _matches(repository: RepositoryName, pattern: str) -> bool:
        return fnmatchcase(str(repository), pattern) or fnmatchcase(repository.short, pattern)

    # -- repositories and tags

    def prepare_repository(self, repository: RepositoryName, client: str) -> None:
        """Make a repository if the origin has it."""
        if self.standing(repository) is Standing.MISSING:
            self._ask(("repository", repository), lambda: self._from_v2.begin(repository), client)

    def prepare_tag(self, repository: RepositoryName, tag: str, client: str) -> None:
        """Let a tag point to what it points to at the origin. For v1 see :meth:`prepare_v1_tag`.

        :raises OriginUnavailable: the origin cannot answer, and the tag is not here.
        :raises OriginInvalid: its answer is invalid, and the tag is not here.
        :raises ImageBusy: the answer takes longer than a request waits, and the tag is not here.
        """
        place, mirrored = self._models.mirrored.place(repository), self._models.mirrored
        is_here = self._models.distribution.tag_lists.target(place, tag) is not None
        if is_here and mirrored.is_fresh(mirrored.tag(place, tag), self._age_s):
            return
        self._ask(
            ("tag", repository, tag),
            lambda: self._from_v2.update_tag(repository, tag),
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
        if self._models.distribution.records.find_digest(place, digest) is None:
            self._ask(
                ("manifest", repository, digest),
                lambda: self._from_v2.fetch_manifest(repository, digest),
                client,
            )

    def tags(self, repository: RepositoryName, client: str) -> list[str] | None:
        """Return the tags that the origin has, sorted; None if it does not tell them now."""
        key = ("tags", repository)
        found = self._lists.get(key)
        if found is None:
            found = self._ask(key, lambda: self._from_v2.tags(repository), client, is_here=True)
            if found is not None and self._age_s:
                self._lists[key] = found
        return found if isinstance(found, list) else None

    # -- blobs

    def blob_size(self, repository: RepositoryName, digest: Digest, client: str) -> int | None:
        """Return the size of a blob of the origin that is not here; None if it has none, or does not say it.

        :raises OriginUnavailable: the origin cannot answer.
        :raises OriginInvalid: its answer is invalid.
        :raises ImageBusy: the answer takes longer than a request waits.
        """
        if self._from_v2.has_blob(repository, digest):
            return None
        found = self._ask(
            ("blob", repository, digest), lambda: self._from_v2.blob_size(repository, digest), client
        )
        return found if isinstance(found, int) else None

    def join_blob(self, repository: RepositoryName, digest: Digest) -> Fetch | None:
        """Return the fetch of a blob that can be read, with its size. The caller has to release it.

        None if the blob is here, or is not at the origin.

        :raises OriginUnavailable: the origin cannot answer.
        :raises OriginInvalid: its answer is invalid.
        :raises ImageBusy: the answer takes longer than a request waits.
        """
        return self._readable(self._from_v2.join_blob(repository, digest))

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

    def _ask(
        self, key: Hashable, question: Callable[[], T], client: str, *, is_here: bool = False
    ) -> T | None:
        """Ask the origin, once for all requests that ask the same; return the answer, None without one.

        :param is_here: whether something is served without an answer.
        :raises OriginUnavailable: the origin cannot answer, and nothing is served without.
        :raises OriginInvalid: the same for an invalid answer.
        :raises ImageBusy: the same for an answer that takes longer than a request waits.
        """
        return self._run(self._questions, key, question, client, is_here=is_here)

    def _run(
        self,
        work: SharedWork[object],
        key: Hashable,
        question: Callable[[], T],
        client: str,
        *,
        is_here: bool,
    ) -> T | None:
        try:
            found: T = work.run({key: question}, self.wait_s, client)[key]  # type: ignore[assignment]
        except NotAtOrigin as error:
            log.info("not at the origin: %s", error)
            return None
        except (errors.OriginUnavailable, errors.OriginInvalid, errors.ImageBusy) as error:
            if not is_here:
                raise
            log.warning("served without the origin: %s %s", error.public, error.context.get("reason", ""))
            return None
        return found
