"""Which repositories hold an image: knowing an id is not access.

With accounts an image is readable through a repository that holds it. A repository holds an image when it was uploaded
there, or announced there by somebody who could already read it. The mark is a key of its own per holder, so holders never
contend. Who announced an image that he could not read has a mark of another kind, until he uploads the same bytes.

Data that was written without accounts has no marks. There a repository holds what its tags reach, as far as it did not
merely announce it; what is found so is marked, so that it is looked for once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from threading import Lock

from ..log import get_logger
from ..names import RepositoryName, is_image_id
from ..storage.base import InvalidKey, NotFound, Storage, StorageUnavailable
from . import layout
from .images import Images
from .repositories import Repositories

log = get_logger(__name__)

HELD = "_held_by"
ANNOUNCED = "_announced_by"


class Holders:
    """The holders of the images of one storage. Safe for threads and processes."""

    def __init__(self, storage: Storage, images: Images, repositories: Repositories):
        self._storage = storage
        self._images = images
        self._repositories = repositories
        self._unmarked: dict[str, set[RepositoryName]] | None = None
        self._unmarked_lock = Lock()

    # -- asking

    def holds(self, repository: RepositoryName, image_id: str) -> bool:
        """Tell whether the repository holds the image."""
        if self._has(image_id, HELD, repository):
            return self._repositories.exists(repository)
        if self._has(image_id, ANNOUNCED, repository):
            return False
        return image_id in self._reached_by_tags(repository) and self._mark_held(repository, image_id)

    def is_marked(self, repository: RepositoryName, image_id: str) -> bool:
        """Tell whether the image was uploaded through the repository, though nothing else may be stored of that yet."""
        return self._has(image_id, HELD, repository)

    def announces(self, repository: RepositoryName, image_id: str) -> bool:
        """Tell whether a push to the repository may bring the image: it was announced there, or is held there."""
        return self._has(image_id, ANNOUNCED, repository) or self.holds(repository, image_id)

    def of(self, image_id: str) -> Iterator[RepositoryName]:
        """Yield the repositories that hold the image; each exists."""
        marked = set()
        for repository in self._marked(image_id, HELD):
            marked.add(repository)
            if self._repositories.exists(repository):
                yield repository
        for repository in sorted(self._find_unmarked(image_id) - marked, key=str):
            if self.holds(repository, image_id):
                yield repository

    def ever(self, image_id: str) -> Iterator[RepositoryName]:
        """Yield the repositories that are marked as holding the image, also those that do not exist any more."""
        return self._marked(image_id, HELD)

    def announcers(self, image_id: str) -> Iterator[RepositoryName]:
        """Yield the repositories in whose image list the image is, without their holding it."""
        return self._marked(image_id, ANNOUNCED)

    # -- marking

    def announce(
        self, repository: RepositoryName, image_ids: Iterable[str], can_read: Callable[[str], bool]
    ) -> None:
        """Mark images of a push that begins: held where the caller can read the image already, else announced."""
        reached: set[str] | None = None
        for image_id in dict.fromkeys(image_ids):
            if self._has(image_id, HELD, repository):
                continue
            if not self._has(image_id, ANNOUNCED, repository):
                if reached is None:
                    reached = self._reached_by_tags(repository)
                if image_id in reached:
                    self._mark_held(repository, image_id)
                    continue
            if self._images.is_complete(image_id) and can_read(image_id):
                self.hold(repository, image_id)
            elif not self._has(image_id, ANNOUNCED, repository):
                self._storage.write(_key(image_id, ANNOUNCED, repository), b"")

    def hold(self, repository: RepositoryName, image_id: str) -> None:
        """Mark an image, and what it builds on, as held: who uploads a child could read its parent."""
        for ancestor in self._images.reachable(image_id):
            if self._has(ancestor, HELD, repository):
                return
            self._mark_held(repository, ancestor)

    def release(self, repository: RepositoryName, image_ids: Iterable[str]) -> None:
        """Take the marks of a repository away, before it is deleted."""
        for image_id in dict.fromkeys(image_ids):
            for ancestor in self._images.reachable(image_id):
                for kind in (HELD, ANNOUNCED):
                    self._delete(_key(ancestor, kind, repository))

    # -- inside

    def _mark_held(self, repository: RepositoryName, image_id: str) -> bool:
        try:
            self._storage.write(_key(image_id, HELD, repository), b"")
            self._delete(_key(image_id, ANNOUNCED, repository))
        except StorageUnavailable as error:
            # the answer is right all the same; a storage that cannot be written finds it again each time
            log.warning("%s is not marked as held by %s: %s", image_id, repository, error.reason)
        return True

    def _reached_by_tags(self, repository: RepositoryName) -> set[str]:
        """Return what the tags reach without passing an image that the repository only announced."""
        reached: set[str] = set()
        for image_id in set(self._repositories.tags_or_none(repository).values()):
            for ancestor in self._images.reachable(image_id):
                if ancestor in reached or self._has(ancestor, ANNOUNCED, repository):
                    break
                reached.add(ancestor)
        return reached

    def _find_unmarked(self, image_id: str) -> set[RepositoryName]:
        """Return the repositories whose tags reach the image, but which have no mark of it.

        Found by one look at all repositories in the life of this process: with accounts nothing is added without a mark.
        """
        with self._unmarked_lock:
            if self._unmarked is None:
                self._unmarked = {}
                for repository in self._repositories.all():
                    for reached in self._reached_by_tags(repository):
                        if not self._has(reached, HELD, repository):
                            self._unmarked.setdefault(reached, set()).add(repository)
            return self._unmarked.get(image_id, set())

    def _marked(self, image_id: str, kind: str) -> Iterator[RepositoryName]:
        prefix = f"{layout.image_key(image_id, kind)}/"
        for stat in self._storage.list(prefix):
            namespace, slash, folder = stat.key[len(prefix) :].partition("/")
            if slash and "/" not in folder:
                yield layout.repository_from_folders(namespace, folder)

    def _has(self, image_id: str, kind: str, repository: RepositoryName) -> bool:
        try:
            self._storage.stat(_key(image_id, kind, repository))
        except (NotFound, InvalidKey):
            return False
        return True

    def _delete(self, key: str) -> None:
        try:
            self._storage.delete(key)
        except (NotFound, InvalidKey):
            return


def listed_ids(image_list: bytes) -> list[str]:
    """Return the ids in a stored image list; what is odd in old data is left out."""
    parsed = layout.parse_stored(image_list)
    elements = parsed if isinstance(parsed, list) else []
    ids = [element.get("id") for element in elements if isinstance(element, dict)]
    return [image_id for image_id in ids if isinstance(image_id, str) and is_image_id(image_id)]


def _key(image_id: str, kind: str, repository: RepositoryName) -> str:
    folder = layout.repository_folders(repository)[-1]
    return f"{layout.image_key(image_id, kind)}/{folder.removeprefix(layout.REPOSITORIES + '/')}"
