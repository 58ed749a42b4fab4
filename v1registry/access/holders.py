"""Which repositories hold which contents of images, on a server with accounts (decisions.md 17 and 18).

A repository holds a content by a mark in the image's folder, ``_held_by/<namespace>/<repository>``. The mark
names the content and the *incarnation* of the repository: a random value in a key of the repository's folder,
made when the repository is created. Deleting a repository deletes that key, and from then on all its marks
count for nothing. So a repository that is created again never inherits.

Marks without a value are those of earlier versions of this server. They mean the first content, and count for
repositories that were adopted from old data, not for repositories that this version created.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from typing import Final

from .. import errors
from ..clock import SYSTEM_CLOCK, Clock
from ..log import audit, get_logger
from ..names import RepositoryName
from ..registry import layout
from ..registry.contents import Contents, Staged
from ..registry.image_lists import listed_ids
from ..registry.repositories import Repositories
from ..rights import Content, Rights
from ..storage.base import Stat, Storage, StorageUnavailable
from .adoption import Adoption
from .elsewhere import may_announce
from .holder_search import MOST_ASKED, MOST_HIDDEN, HolderSearch
from .incarnations import Incarnations
from .marks import ADOPTED, Mark, mark_key, mark_path
from .stored_marks import StoredMarks

log = get_logger(__name__)

#: How often an image is completed if the garbage collection removes what it is equal to.
_ATTEMPTS_TO_KEEP: Final = 3


class Holders:
    """The holders of the contents of one storage. Safe for threads and processes.

    :param registry_is_elsewhere: this index sees no uploads; the first to announce an id holds it (hub.md
        6.3).
    """

    def __init__(
        self,
        storage: Storage,
        contents: Contents,
        repositories: Repositories,
        *,
        registry_is_elsewhere: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ):
        self._marks = StoredMarks(storage)
        self._contents = contents
        self._repositories = repositories
        self._is_elsewhere = registry_is_elsewhere
        self._incarnations = Incarnations(storage, repositories, clock=clock)
        self._search = HolderSearch(storage)
        self.adoption = Adoption(
            storage,
            contents,
            repositories,
            self._adopt_image,
            self._is_decided,
            self._incarnations.may_be_old,
        )

    # -- incarnations

    def incarnation(self, repository: RepositoryName) -> str:
        """Return the incarnation of a repository, empty if it does not exist. Old data is adopted now."""
        found = self._incarnations.of(repository)
        return self._adopt(repository) if not found and self._incarnations.may_be_old(repository) else found

    def begin(self, repository: RepositoryName) -> str:
        if self._repositories.is_marked_deleted(repository):
            # what is written now begins an empty repository (decisions.md 14)
            self._incarnations.note_deletion(repository)
            self._repositories.remove_marked_deleted(repository)
        found = self._incarnations.of(repository)
        if found:
            return found
        if self._incarnations.may_be_old(repository):
            return self._adopt(repository)
        return self._incarnations.make(repository.checked(), secrets.token_hex(8))

    def check(self, repository: RepositoryName, incarnation: str) -> bool:
        # a deletion that is still running ends the incarnation later, and removes what was set meanwhile
        return self._incarnations.of(repository) == incarnation

    def _adopt(self, repository: RepositoryName) -> str:
        try:
            incarnation = self._incarnations.make(repository, secrets.token_hex(8) + ADOPTED)
            self.adoption.walk(repository, incarnation)
        except (StorageUnavailable, errors.InvalidRepositoryName) as error:
            # a storage that cannot be written: the tags are walked for each request
            log.warning("%s is not adopted: %s", repository, error)
            return ""
        return incarnation

    # -- asking

    def content(
        self, repository: RepositoryName, image_id: str, *, is_walked: bool = False
    ) -> Content | None:
        """Return the content that a repository holds, None if it holds none.

        Tags that an old server set meanwhile are adopted.

        :param is_walked: the request asked about the repository before, so its tags were walked.
        """
        found = self._marks.find(repository, image_id)
        if self._is_elsewhere:
            return Content(image_id) if found is not None and self._repositories.exists(repository) else None
        incarnation = self._incarnations.of(repository)
        if found is not None and found[0].counts(incarnation):
            return Content(image_id, found[0].variant)
        if is_walked and incarnation:
            return None
        if not incarnation:
            if not self._incarnations.may_be_old(repository):
                return None
            incarnation = self._adopt(repository)
            if not incarnation:
                is_old = not self.adoption.is_adopted(repository)
                return self.adoption.reached(repository, image_id) if is_old else None
        elif not self.adoption.walk(repository, incarnation):
            return None
        found = self._marks.find(repository, image_id)
        return (
            Content(image_id, found[0].variant)
            if found is not None and found[0].counts(incarnation)
            else None
        )

    def whole(self, content: Content | None) -> Content | None:
        """Return a content with its parts; None if it is missing or damaged (decisions.md 22)."""
        if content is None or self._is_elsewhere:
            return content
        return self._contents.whole(content)

    def holds(self, repository: RepositoryName, image_id: str) -> bool:
        return self.content(repository, image_id) is not None

    def of(
        self,
        image_id: str,
        wanted: Callable[[RepositoryName], bool],
        *,
        near: Iterable[str] = (),
        seeker: str = "",
        is_near_only: bool = False,
    ) -> Iterator[tuple[RepositoryName, Content]]:
        """Yield the repositories that hold an image and are wanted, each with its content.

        At most MOST_ASKED are yielded. The search ends after MOST_HIDDEN others in vain.

        :param wanted: tells whether the caller may know of a repository. It is asked first.
        :param near: the namespaces to look at first.
        :param seeker: see :meth:`HolderSearch.candidates`.
        :param is_near_only: the namespaces of ``near`` are enough.
        """
        near, in_vain, asked = tuple(near), 0, 0
        find = self._search
        candidates = find.near(image_id, near) if is_near_only else find.candidates(image_id, near, seeker)
        for repository in candidates:
            found = self._marks.find(repository, image_id) if wanted(repository) else None
            if found is not None and found[0].counts(self._incarnations.of(repository)):
                if repository.namespace not in near:
                    self._search.remember(image_id, seeker, repository)
                yield repository, Content(image_id, found[0].variant)
                asked += 1
            elif repository.namespace not in near:
                in_vain += 1
            if in_vain >= MOST_HIDDEN:
                self._search.go_on_later(image_id, seeker, in_vain)
                return
            if asked >= MOST_ASKED:
                return

    def every(self, image_id: str) -> Iterator[tuple[RepositoryName, Content]]:
        """Yield each repository that holds an image, with the content. All marks are looked at."""
        for repository in self._search.all(image_id):
            found = self._marks.find(repository, image_id)
            if found is not None and found[0].counts(self._incarnations.of(repository)):
                yield repository, Content(image_id, found[0].variant)

    # -- holding

    def announce(self, rights: Rights, repository: RepositoryName, image_ids: Iterable[str]) -> None:
        if self._is_elsewhere:
            self._announce_elsewhere(rights, repository, image_ids)
            return
        is_walked = False
        for image_id in dict.fromkeys(image_ids):
            # tags of old data are walked once; an image that has no mark then is held by nobody
            if not is_walked or any(self._search.all(image_id)):
                is_walked = self.take_over(rights, repository, image_id) is None or is_walked

    def take_over(
        self, rights: Rights, repository: RepositoryName, image_id: str, *, is_named: bool = False
    ) -> str | None:
        found, incarnation = self._marks.find(repository, image_id), self._incarnations.of(repository)
        if found is not None and found[0].counts(incarnation):
            held = Content(image_id, found[0].variant)
            return incarnation if not is_named or self.whole(held) is not None else None
        state = rights.state_for(repository, image_id, is_named=is_named)
        content = self.whole(state.content) if is_named else state.content
        if content is None:
            return None
        lent = self._lent_ancestors(rights, repository, content, state.repository, is_named=is_named)
        if lent is None:
            return None
        incarnation = self.begin(repository)
        # the ancestors first, so that what is held has its ancestors whenever this is interrupted
        for taken in (*lent, content):
            self._marks.write(repository, taken, incarnation)
        return incarnation if self._are_kept((*lent, content)) else None

    def _lent_ancestors(
        self,
        rights: Rights,
        repository: RepositoryName,
        content: Content,
        lender: RepositoryName | None,
        *,
        is_named: bool,
    ) -> list[Content] | None:
        """Return the ancestors that a repository takes over with a content, the root first.

        What the repository holds already stays.

        :param lender: holds the content; None on a registry whose index said that the caller may use it.
        :return: None if the lender does not hold each of them whole.
        """
        if lender == repository:
            return []
        lent, incarnation = [], self._incarnations.of(repository)
        for ancestor in reversed(self._contents.known_ancestry(content)[1:]):
            if self._marks.live(repository, ancestor, incarnation) is not None:
                continue
            if lender is None:
                found = rights.state_for(repository, ancestor, is_named=is_named).content
            elif (found := self.whole(self.content(lender, ancestor))) is None:
                return None
            if found is not None:
                lent.append(found)
        return lent

    def _announce_elsewhere(
        self, rights: Rights, repository: RepositoryName, image_ids: Iterable[str]
    ) -> None:
        incarnation = self._incarnations.of(repository)
        for image_id in dict.fromkeys(image_ids):
            if may_announce(rights, image_id, self._search, self._repositories):
                self._marks.write(repository, Content(image_id), incarnation)

    # -- completing a push

    def complete(
        self, rights: Rights, repositories: Iterable[RepositoryName], image_id: str, staged: Staged
    ) -> bool:
        for _ in range(_ATTEMPTS_TO_KEEP):
            counts, contents = self._complete(repositories, image_id, staged)
            if self._are_kept(contents):
                return counts
        raise StorageUnavailable(
            layout.image_folder(image_id), "the garbage collection removes it at this moment"
        )

    def _complete(
        self, repositories: Iterable[RepositoryName], image_id: str, staged: Staged
    ) -> tuple[bool, list[Content]]:
        """Let repositories hold a staged image; tell whether its bytes count.

        The contents are those that the repositories hold now, and that were not stored at this moment.
        """
        alive = {}
        for repository in repositories:
            incarnation = self._incarnations.of(repository)
            if incarnation:
                alive[repository] = incarnation
        if not alive:
            raise errors.RepositoryNotFound(image_id=image_id)
        marks = {
            mark_path(repository): Mark("", incarnation, is_published=True).dump()
            for repository, incarnation in alive.items()
        }
        if self._contents.publish(image_id, staged, marks) is not None:
            return True, []
        counts, content, held = False, self._contents.find_equal(image_id, staged), []
        for repository, incarnation in alive.items():
            found = self._marks.live(repository, image_id, incarnation)
            if found is None or self._contents.whole(Content(image_id, found.variant)) is None:
                if content is None:
                    content = self._contents.publish_variant(image_id, staged)
                found = self._marks.write(repository, content, incarnation, damaged=found)
            counts = counts or (content is not None and found.variant == content.variant)
            held.append(Content(image_id, found.variant))
        return counts, held

    # -- keeping what the garbage collection may be about to remove

    def keep(self, repository: RepositoryName | None, image_id: str) -> bool:
        keeper = self._contents.keeping.now()
        if keeper is None or repository is None or self._is_elsewhere:
            return True
        content = self.content(repository, image_id)
        if content is None:
            return False
        for reached in self._contents.known_ancestry(content):
            held = self.content(repository, reached)
            if held is None or not keeper.keep_value(mark_key(repository, reached)):
                return False
            if not keeper.keep_content(held):
                return False
        return True

    def _are_kept(self, contents: Collection[Content]) -> bool:
        """Keep contents that a repository holds from now on; tell whether all are there."""
        keeper = None if self._is_elsewhere or not contents else self._contents.keeping.now()
        return keeper is None or all(map(keeper.keep_content, contents))

    # -- deleting

    def mark_deleted(self, repository: RepositoryName) -> None:
        """Take all from the repository that it holds, and hide it.

        The deletion of its incarnation decides. What comes before is invisible or hides the repository; what
        comes after removes marks that count for nothing.

        :raises RepositoryNotFound: it does not exist.
        """
        self.incarnation(repository)  # old data is adopted, so that its marks are found
        known, image_ids = self._incarnations.stored(repository), self._listed(repository)
        self._incarnations.note_deletion(repository)
        self._repositories.mark_deleted(repository)
        self._end(repository, known, image_ids)

    def delete(self, repository: RepositoryName) -> None:
        # read before the look at the mark: a repository that is created after that look has a different one
        known = self._incarnations.stored(repository)
        if self._repositories.is_marked_deleted(repository):
            if known is not None:
                # the request that marked it was interrupted
                self._incarnations.note_deletion(repository)
                self._end(repository, known, self._listed(repository))
        elif self._repositories.exists(repository):
            self.mark_deleted(repository)
        else:
            raise errors.RepositoryNotFound(repository=str(repository))
        self._repositories.remove_marked_deleted(repository)
        audit("deleted repository %r", str(repository))

    def _end(
        self, repository: RepositoryName, known: tuple[str, Stat] | None, image_ids: Iterable[str]
    ) -> None:
        """Remove an incarnation and its marks. A different incarnation, of a later repository, stays."""
        if known is None:
            return
        incarnation = known[0]
        self._incarnations.end(known)
        self._repositories.end_uploads(repository)
        if self._is_elsewhere:
            return  # the registry elsewhere keeps the images, and so they stay whose they were
        reached: set[str] = set()
        for image_id in image_ids:
            found = self._marks.find(repository, image_id)
            if found is not None:
                reached.update(self._contents.known_ancestry(Content(image_id, found[0].variant)))
        for image_id in sorted(reached):
            found = self._marks.find(repository, image_id)
            # the mark that was published with a content stays: it stops older tags from reaching it
            if found is not None and found[0].counts(incarnation) and not found[0].is_published:
                self._marks.remove(found[1])

    def _listed(self, repository: RepositoryName) -> list[str]:
        image_ids = list(self._repositories.tags_or_none(repository, even_deleted=True).values())
        with suppress(errors.ImageListNotFound):
            image_ids += listed_ids(self._repositories.image_list(repository, even_deleted=True))
        return list(dict.fromkeys(image_ids))

    # -- for adoption

    def _is_decided(self, repository: RepositoryName, image_id: str, incarnation: str) -> bool:
        """Tell whether a mark says what the repository holds, or held before it was deleted.

        Marks of earlier versions say nothing to a repository that was not adopted.
        """
        found = self._marks.find(repository, image_id)
        return found is not None and (bool(found[0].incarnation) or found[0].counts(incarnation))

    def _adopt_image(self, repository: RepositoryName, image_id: str, incarnation: str) -> None:
        self._marks.write(repository, Content(image_id), incarnation)
