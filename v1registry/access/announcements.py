"""For which repositories a push with Basic counts: image paths name none (decisions.md 2).

A user who announces a push is recorded, with the repository and the ids. A push of the user counts for the
recorded repositories. If there are none, it counts for those in the user's own namespaces whose image list
has the id.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Final

from .. import errors
from ..names import RepositoryName
from ..registry import layout
from ..registry.expiry import EXPIRY_S
from ..registry.image_lists import has_id
from ..registry.repositories import Repositories
from ..rights import User
from ..storage.base import InvalidKey, KeyNotFound, Storage, update

#: How many announced repositories of a user count, the newest; and how many ids of each, the last ones.
_MOST_REPOSITORIES: Final = 256
_MOST_IDS: Final = 10_000

#: How many repositories of a namespace are looked at.
_MOST_SCANNED: Final = 1000


class Announcements:
    """The announced pushes of users. Safe for threads and processes."""

    def __init__(
        self, storage: Storage, repositories: Repositories, *, clock: Callable[[], float] = time.time
    ):
        self._storage = storage
        self._repositories = repositories
        self._clock = clock

    def add(self, user: User, repository: RepositoryName, image_ids: Iterable[str]) -> None:
        """Record that a user announced a push of these images."""
        announced = list(dict.fromkeys(image_ids))

        def change(old: bytes | None) -> bytes:
            ids = [*dict.fromkeys([*_parse(old or b""), *announced])]
            return json.dumps(ids[-_MOST_IDS:]).encode("ascii")

        folder = layout.repository_folders(repository)[-1].removeprefix(f"{layout.REPOSITORIES}/")
        update(self._storage, f"{_folder(user)}/{folder}", change)

    def of(self, user: User, image_id: str) -> list[RepositoryName]:
        """Return the repositories for which a push of the user counts.

        Whether the user may write them is not checked.
        """
        return self.recorded(user, image_id) or [
            name for name in self._own(user) if self.lists(name, image_id)
        ]

    def recorded(self, user: User, image_id: str) -> list[RepositoryName]:
        """Return the repositories to which the user announced the image lately, and which still list it."""
        found = [repository for repository, ids in self._recorded(user) if image_id in ids]
        return [repository for repository in found if self.lists(repository, image_id)]

    def lists(self, repository: RepositoryName, image_id: str) -> bool:
        """Tell whether the image list of a repository has an id."""
        try:
            return has_id(self._repositories.image_list(repository), image_id)
        except errors.ImageListNotFound:
            return False

    def _recorded(self, user: User) -> Iterator[tuple[RepositoryName, list[str]]]:
        prefix, oldest = f"{_folder(user)}/", self._clock() - EXPIRY_S
        stats = [stat for stat in self._storage.list(prefix) if stat.modified.timestamp() >= oldest]
        for stat in sorted(stats, key=lambda stat: stat.modified)[-_MOST_REPOSITORIES:]:
            namespace, _, folder = stat.key.removeprefix(prefix).partition("/")
            with suppress(KeyNotFound):
                ids = _parse(self._storage.read(stat.key)[0])
                yield layout.repository_from_folders(namespace, folder), ids

    def _own(self, user: User) -> Iterator[RepositoryName]:
        for namespace in (user.namespace, *sorted(user.groups)):
            with suppress(InvalidKey):
                yield from islice(self._repositories.in_namespace(namespace), _MOST_SCANNED)


def _parse(value: bytes) -> list[str]:
    parsed = layout.parse_stored(value)
    return [text for text in parsed if isinstance(text, str)] if isinstance(parsed, list) else []


def _folder(user: User) -> str:
    name = hashlib.sha256(user.name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{layout.UPLOADS}/_announced/{name}"
