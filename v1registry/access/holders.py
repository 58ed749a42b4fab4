"""Which repositories hold an image: knowing an id is not access.

With accounts an image is readable through a repository that holds it. A repository holds an image when it was uploaded
there, or announced there by somebody who could already read it. The mark is a key of its own per holder, so holders never
contend. What was announced without that has a mark of another kind, which keeps what its push has brought so far: only who sent
the JSON *and* the layer has uploaded the image. Either of them alone can be guessed.

Data that was written without accounts has no marks. There a repository holds what its tags reach, as far as that is complete and
it did not merely announce it; what is found so is marked, so that it is looked for once.

Marks are made and taken away under the lock of their repository, in which it is looked whether it is still there: a mark
that outlived its repository would open an image to whoever begins another one of that name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from threading import Lock

from .. import errors
from ..log import get_logger
from ..names import RepositoryName, is_image_id
from ..registry import layout
from ..registry.images import Images
from ..registry.repositories import Repositories
from ..storage.base import InvalidKey, KeyNotFound, Storage, StorageUnavailable, update

log = get_logger(__name__)

HELD = "_held_by"
ANNOUNCED = "_announced_by"


@dataclass(frozen=True)
class Push:
    """What the push of an image to one repository has brought so far."""

    users: tuple[str, ...] = ()  #: who announced it
    document: str = ""  #: the sum of the JSON that was sent
    layer: str = ""  #: the payload sum of the layer that was sent

    @classmethod
    def parse(cls, stored: bytes) -> Push:
        """Return what a mark says; what is odd in it is left out."""
        parsed = layout.parse_stored(stored)
        fields = parsed if isinstance(parsed, dict) else {}
        users = fields.get("users")
        texts = [fields.get(name) for name in ("document", "layer")]
        return cls(
            tuple(user for user in users if isinstance(user, str)) if isinstance(users, list) else (),
            *(text if isinstance(text, str) else "" for text in texts),
        )

    def dump(self) -> bytes:
        return json.dumps(vars(self), sort_keys=True).encode("ascii")

    def has_sent(self, document: bytes, layers: Collection[str] | None = None) -> bool:
        """Tell whether this JSON was sent, and after it one of the layers with these payload sums."""
        return self.document == sum_of(document) and (layers is None or self.layer in layers)


class Holders:
    """The holders of the images of one storage. Safe for threads and processes."""

    def __init__(self, storage: Storage, images: Images, repositories: Repositories):
        self._storage = storage
        self._images = images
        self._repositories = repositories
        self._unmarked: dict[str, set[RepositoryName]] | None = None
        self._unmarked_lock = Lock()

    def changing(self, repository: RepositoryName) -> AbstractContextManager[None]:
        """Keep out all who change what the repository holds, or whether it exists."""
        return self._storage.lock(layout.repository_folders(repository)[-1])

    # -- asking

    def holds(self, repository: RepositoryName, image_id: str) -> bool:
        """Tell whether the repository holds the image."""
        if self.is_marked(repository, image_id):
            return self._repositories.exists(repository)
        return repository in self._find_unmarked(image_id) and self._adopt(repository, image_id)

    def is_marked(self, repository: RepositoryName, image_id: str) -> bool:
        """Tell whether the image was uploaded through the repository, though nothing else may be stored of that yet."""
        return self._has(image_id, HELD, repository)

    def of(
        self, image_id: str, is_wanted: Callable[[RepositoryName], bool] = lambda repository: True
    ) -> Iterator[RepositoryName]:
        """Yield the repositories that hold the image; each exists.

        :param is_wanted: is asked first about each of them.
        """
        marked = set()
        for repository in self._marked(image_id, HELD):
            marked.add(repository)
            if is_wanted(repository) and self._repositories.exists(repository):
                yield repository
        for repository in sorted(self._find_unmarked(image_id) - marked, key=str):
            if is_wanted(repository) and self._adopt(repository, image_id):
                yield repository

    def ever(self, image_id: str) -> Iterator[RepositoryName]:
        """Yield the repositories that are marked as holding the image, also those that do not exist any more."""
        return self._marked(image_id, HELD)

    # -- pushes

    def push(self, repository: RepositoryName, image_id: str) -> Push | None:
        """Return the push of the image that was announced to the repository and has not ended."""
        try:
            return Push.parse(self._storage.read(_key(image_id, ANNOUNCED, repository))[0])
        except (KeyNotFound, InvalidKey):
            return None

    def pushes(self, image_id: str) -> Iterator[tuple[RepositoryName, Push]]:
        """Yield the pushes of the image that have not ended, with their repositories."""
        for repository in self._marked(image_id, ANNOUNCED):
            push = self.push(repository, image_id)
            if push is not None:
                yield repository, push

    def announce(
        self,
        repository: RepositoryName,
        image_ids: Iterable[str],
        username: str,
        can_read: Callable[[str], bool],
    ) -> None:
        """Mark images of a push that begins: held where they are complete and the caller can read them, else announced."""
        for image_id in dict.fromkeys(image_ids):
            if not self._images.is_complete(image_id):
                self._announce(repository, image_id, username)
            elif not self.is_marked(repository, image_id):
                if self.holds(repository, image_id) or can_read(image_id):
                    self.hold(repository, image_id, can_read)
                else:
                    self._announce(repository, image_id, username)

    def note_json(
        self, repository: RepositoryName, image_id: str, document: bytes, *, is_announced: bool = True
    ) -> None:
        """Note that a push brought the JSON.

        :param is_announced: False where an index elsewhere has the lists, so that the mark is made now.
        """

        def change(old: bytes | None) -> bytes | None:
            if old is None and is_announced:
                return None
            push, sent = Push.parse(old or b""), sum_of(document)
            return None if push.document == sent else replace(push, document=sent, layer="").dump()

        update(self._storage, _key(image_id, ANNOUNCED, repository), change)

    def note_layer(
        self, repository: RepositoryName, image_id: str, document: bytes, payload_checksum: str
    ) -> None:
        """Note that a push which brought this JSON brought the layer too."""

        def change(old: bytes | None) -> bytes | None:
            push = Push.parse(old or b"")
            return replace(push, layer=payload_checksum).dump() if push.has_sent(document) else None

        update(self._storage, _key(image_id, ANNOUNCED, repository), change)

    # -- marking

    def hold(self, repository: RepositoryName, image_id: str, can_read: Callable[[str], bool]) -> None:
        """Mark a complete image as held, and what it builds on as far as the caller can read that.

        Somebody may have announced a child while the parent's push by somebody else had not ended.
        """
        for ancestor in self._images.reachable(image_id):
            if self.is_marked(repository, ancestor):
                return
            if ancestor == image_id or (self._images.is_complete(ancestor) and can_read(ancestor)):
                self._mark_held(repository, ancestor)
            elif not self._has(ancestor, ANNOUNCED, repository):
                # or its tags would reach it some day
                self._storage.write(_key(ancestor, ANNOUNCED, repository), Push().dump())

    def end_push(self, repository: RepositoryName, image_id: str, can_read: Callable[[str], bool]) -> None:
        """Mark an image that was uploaded as held, if the repository was not deleted since that was announced."""
        with self.changing(repository):
            if self._has(image_id, ANNOUNCED, repository):
                self.hold(repository, image_id, can_read)

    def disown_tags(self, image_id: str) -> None:
        """Mark the image, which is about to be completed, as merely announced where old tags reached it before."""
        for repository in self._find_unmarked(image_id):
            with self.changing(repository):
                if self._repositories.exists(repository) and not self.is_marked(repository, image_id):
                    self._announce(repository, image_id)

    def release(self, repository: RepositoryName, image_ids: Iterable[str]) -> None:
        """Take the marks of a repository away, because it is deleted."""
        reached: set[str] = set()
        for image_id in dict.fromkeys(image_ids):
            reached.update(self._images.reachable(image_id))
        for image_id in sorted(reached):
            for kind in (HELD, ANNOUNCED):
                self._delete(_key(image_id, kind, repository))

    # -- inside

    def _announce(self, repository: RepositoryName, image_id: str, *usernames: str) -> None:
        def change(old: bytes | None) -> bytes | None:
            push = Push.parse(old or b"")
            users = tuple(dict.fromkeys([*push.users, *usernames]))
            return replace(push, users=users).dump()

        update(self._storage, _key(image_id, ANNOUNCED, repository), change)

    def _mark_held(self, repository: RepositoryName, image_id: str) -> None:
        self._storage.write(_key(image_id, HELD, repository), b"")
        self._delete(_key(image_id, ANNOUNCED, repository))

    def _adopt(self, repository: RepositoryName, image_id: str) -> bool:
        """Tell whether the tags of the repository reach the image in old data, and mark that.

        The lock of another repository may be held, so instead of locking this one, it is looked twice.
        """
        if not self._images.is_complete(image_id) or image_id not in self._reached_by_tags(repository):
            return False
        try:
            self._mark_held(repository, image_id)
        except StorageUnavailable as error:
            # the answer is right all the same; a storage that cannot be written finds it again each time
            log.warning("%s is not marked as held by %s: %s", image_id, repository, error.reason)
            return True
        if image_id in self._reached_by_tags(repository):
            return True
        self._delete(_key(image_id, HELD, repository))
        return False

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
                        if not self.is_marked(repository, reached):
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
        except (KeyNotFound, InvalidKey):
            return False
        return True

    def _delete(self, key: str) -> None:
        try:
            self._storage.delete(key)
        except (KeyNotFound, InvalidKey):
            return


def require_layer(pushes: Iterable[Push], document: bytes, payload_checksums: Collection[str]) -> None:
    """Return if one of the pushes brought the JSON and the layer that are stored. LayerMissing, ChecksumMismatch.

    What others sent does not count: who knows the sum of a layer does not have the layer.
    """
    begun = [push for push in pushes if push.has_sent(document) and push.layer]
    if not begun:
        raise errors.LayerMissing
    if not any(push.has_sent(document, payload_checksums) for push in begun):
        raise errors.ChecksumMismatch


def sum_of(document: bytes) -> str:
    """Return what stands for an image's JSON in the mark of a push."""
    return hashlib.sha256(document).hexdigest()


def listed_ids(image_list: bytes) -> list[str]:
    """Return the ids in a stored image list; what is odd in old data is left out."""
    parsed = layout.parse_stored(image_list)
    elements = parsed if isinstance(parsed, list) else []
    ids = [element.get("id") for element in elements if isinstance(element, dict)]
    return [image_id for image_id in ids if isinstance(image_id, str) and is_image_id(image_id)]


def _key(image_id: str, kind: str, repository: RepositoryName) -> str:
    folder = layout.repository_folders(repository)[-1]
    return f"{layout.image_key(image_id, kind)}/{folder.removeprefix(layout.REPOSITORIES + '/')}"
