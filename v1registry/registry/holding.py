"""The protocol ``Holding`` records which repositories hold a content; ``OpenHolding`` is for open servers.

With accounts: :class:`v1registry.access.holders.Holders`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from .. import errors
from ..log import audit
from ..names import RepositoryName
from ..rights import Rights
from .contents import Contents, Staged
from .repositories import Repositories


class Holding(Protocol):
    """Records which repositories hold which contents. Safe for threads and processes."""

    def begin(self, repository: RepositoryName) -> str:
        """Create the repository if it does not exist, and adopt it if old data has it.

        Return its incarnation.
        """

    def check(self, repository: RepositoryName, incarnation: str) -> bool:
        """Tell whether the repository was not deleted since it had this incarnation."""

    def holds(self, repository: RepositoryName, image_id: str) -> bool:
        """Tell whether the repository holds the image."""

    def announce(self, rights: Rights, repository: RepositoryName, image_ids: Iterable[str]) -> None:
        """Let the repository hold the images that a push may take over without upload (decisions.md 18).

        :param rights: of a caller who may write the repository.
        """

    def take_over(
        self, rights: Rights, repository: RepositoryName, image_id: str, *, is_named: bool = False
    ) -> str | None:
        """Let the repository hold one image, with its ancestors, and create the repository if necessary.

        All are of one holder (decisions.md 18). An image that the repository holds already is only looked at.

        :param is_named: see :meth:`v1registry.rights.Rights.state_for`.
        :return: the incarnation of the repository; None if it may not hold the image, or if the image is
            named and damaged (decisions.md 22).
        """

    def complete(
        self, rights: Rights, repositories: Iterable[RepositoryName], image_id: str, staged: Staged
    ) -> bool:
        """Store a staged image for each of the repositories that does not hold the id yet.

        The first push to complete decides what an id holds in a repository (decisions.md 5).

        :return: whether the bytes count; False if each repository holds other bytes already.
        :raises RepositoryNotFound: all of the repositories were deleted.
        """

    def keep(self, repository: RepositoryName | None, image_id: str) -> bool:
        """Keep an image and its ancestors from the garbage collection; tell whether all are there.

        It is asked after a tag, or another reference to the image, was written. If no collection runs, and
        none has ended lately, nothing is looked at.

        :param repository: which holds the image; None for any content on an open server.
        """

    def mark_deleted(self, repository: RepositoryName) -> None:
        """Take all from the repository that it holds, and hide it (hub.md 3.2)."""

    def delete(self, repository: RepositoryName) -> None:
        """Remove the repository and all that it holds. Images that others hold stay."""


class OpenHolding:
    """On an open server each id has one content for all repositories: that of the first complete push
    (decisions.md 5).
    """

    def __init__(self, contents: Contents, repositories: Repositories):
        self._contents = contents
        self._repositories = repositories

    def begin(self, repository: RepositoryName) -> str:
        if self._repositories.is_marked_deleted(repository):
            # before anything is written, which would be removed with the old repository
            self._repositories.remove_marked_deleted(repository)
        return ""

    def check(self, repository: RepositoryName, incarnation: str) -> bool:
        return True

    def holds(self, repository: RepositoryName, image_id: str) -> bool:
        return self._contents.open_content(image_id) is not None

    def announce(self, rights: Rights, repository: RepositoryName, image_ids: Iterable[str]) -> None:
        return

    def take_over(
        self, rights: Rights, repository: RepositoryName, image_id: str, *, is_named: bool = False
    ) -> str | None:
        return None if self._contents.open_content(image_id) is None else ""

    def complete(
        self, rights: Rights, repositories: Iterable[RepositoryName], image_id: str, staged: Staged
    ) -> bool:
        if self._contents.open_content(image_id) is None:
            if self._contents.publish(image_id, staged, {}) is not None:
                return True
            if self._contents.open_content(image_id) is None:
                # marks of a time with accounts are there, but no complete content
                self._contents.publish_variant(image_id, staged)
        return self._contents.find_equal(image_id, staged) is not None

    def keep(self, repository: RepositoryName | None, image_id: str) -> bool:
        keeper = self._contents.keeping.now()
        content = None if keeper is None else self._contents.open_content(image_id)
        if keeper is None or content is None:
            return keeper is None
        ancestors = map(self._contents.open_content, self._contents.known_ancestry(content)[1:])
        return all(kept is not None and keeper.keep_content(kept) for kept in (content, *ancestors))

    def mark_deleted(self, repository: RepositoryName) -> None:
        self._repositories.mark_deleted(repository)
        self._repositories.end_uploads(repository)

    def delete(self, repository: RepositoryName) -> None:
        # uploads end first: one that looks afterwards keeps no blob, and blobs of earlier ones are removed
        if self._repositories.is_marked_deleted(repository):
            self._repositories.end_uploads(repository)
            self._repositories.remove_marked_deleted(repository)
        elif self._repositories.exists(repository):
            self._repositories.end_uploads(repository)
            self._repositories.remove(repository)
        else:
            raise errors.RepositoryNotFound(repository=str(repository))
        audit("deleted repository %r", str(repository))
