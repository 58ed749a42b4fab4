"""For which repositories a push with Basic counts: image paths name none (decisions.md 2).

A user who announces a push is recorded, with the repository and the ids. A push of the user counts for the
recorded repositories. If there are none, it counts for those in the user's own namespaces whose image list
has the id. How many records and lists are looked at is bounded, because a user can make many of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Final

from .. import errors
from ..clock import SYSTEM_CLOCK, Clock
from ..names import RepositoryName
from ..registry import layout
from ..registry.expiry import EXPIRY_S
from ..registry.repositories import Repositories
from ..rights import User
from ..storage.base import ABSENT, InvalidKey, KeyConflict, KeyNotFound, Stat, Storage
from .policy import own_namespaces

#: How many announced repositories of a user count, the newest; and how many ids of each, the last ones.
MOST_REPOSITORIES: Final = 64
_MOST_IDS: Final = 10_000

#: About how many bytes of records are read for one image.
_MOST_RECORDED_BYTES: Final = 2 << 20

#: For how many repositories one push counts, and about how many bytes of lists are read to find them.
_MOST_FOUND: Final = 16
_MOST_LIST_BYTES: Final = 16 << 20

#: How many repositories of a namespace are looked at, and of all namespaces of a user.
_MOST_IN_NAMESPACE: Final = 256
_MOST_OWN: Final = 1024


class Announcements:
    """The announced pushes of users. Safe for threads and processes."""

    def __init__(self, storage: Storage, repositories: Repositories, *, clock: Clock = SYSTEM_CLOCK):
        self._storage = storage
        self._repositories = repositories
        self._clock = clock

    def add(self, user: User, repository: RepositoryName, image_ids: Iterable[str]) -> None:
        """Record that a user announced a push of these images. The oldest of too many records are removed."""
        announced = dict.fromkeys(image_ids)
        folder = layout.repository_folders(repository)[-1].removeprefix(f"{layout.REPOSITORIES}/")
        key = f"{_folder(user)}/{folder}"
        while True:
            old, expect = self._stored(key)
            ids = [*(image_id for image_id in _parse(old) if image_id not in announced), *announced]
            try:
                # an equal value is written too, because the time of the record counts
                self._storage.write(key, json.dumps(ids[-_MOST_IDS:]).encode("ascii"), expect=expect)
            except KeyConflict:
                continue
            break
        for stat in self._records(user)[MOST_REPOSITORIES:]:
            with suppress(KeyNotFound, KeyConflict):
                self._storage.delete(stat.key, expect=stat.etag)

    def of(self, user: User, image_id: str) -> list[RepositoryName]:
        """Return the repositories for which a push of the user counts.

        Whether the user may write them is not checked.

        :raises DocumentBusy: a list has to be parsed, and other large documents are being parsed.
        """
        return self.recorded(user, image_id) or self._that_list(self._own(user), image_id)

    def recorded(self, user: User, image_id: str) -> list[RepositoryName]:
        """Return the repositories to which the user announced the image lately, and which still list it. The
        newest announcement is the first.

        :raises DocumentBusy: a list has to be parsed, and other large documents are being parsed.
        """
        return self._that_list(self._announced(user, image_id), image_id)

    def lists(self, repository: RepositoryName, image_id: str) -> bool:
        """Tell whether the image list of a repository has an id.

        :raises DocumentBusy: the list has to be parsed, and other large documents are being parsed.
        """
        return self._that_list([repository], image_id) != []

    def _that_list(self, repositories: Iterable[RepositoryName], image_id: str) -> list[RepositoryName]:
        """Return those repositories whose image list has the id, as far as the bounds allow to look."""
        found: list[RepositoryName] = []
        left_bytes = _MOST_LIST_BYTES
        for repository in repositories:
            with suppress(errors.ImageListNotFound):
                is_listed, size = self._repositories.find_in_list(repository, image_id)
                left_bytes -= size
                if is_listed:
                    found.append(repository)
            if left_bytes <= 0 or len(found) == _MOST_FOUND:
                break
        return found

    def _announced(self, user: User, image_id: str) -> Iterator[RepositoryName]:
        prefix, oldest = f"{_folder(user)}/", self._clock.time_s() - EXPIRY_S
        needle, left_bytes = json.dumps(image_id).encode("ascii"), _MOST_RECORDED_BYTES
        for stat in self._records(user)[:MOST_REPOSITORIES]:
            if left_bytes <= 0 or stat.modified.timestamp() < oldest:
                return
            left_bytes -= stat.size
            with suppress(KeyNotFound):
                # a record is made here, so the id stands in it exactly like this
                if needle in self._storage.read(stat.key)[0]:
                    namespace, _, folder = stat.key.removeprefix(prefix).partition("/")
                    yield layout.repository_from_folders(namespace, folder)

    def _records(self, user: User) -> list[Stat]:
        """Return the records of a user, the newest first."""
        return sorted(
            self._storage.list(f"{_folder(user)}/"), key=lambda stat: (stat.modified, stat.key), reverse=True
        )

    def _stored(self, key: str) -> tuple[bytes, str]:
        """Return a record, and what a write that replaces it has to expect."""
        try:
            value, stat = self._storage.read(key)
        except KeyNotFound:
            return b"", ABSENT
        return value, stat.etag

    def _own(self, user: User) -> Iterator[RepositoryName]:
        return islice(self._in_namespaces(user), _MOST_OWN)

    def _in_namespaces(self, user: User) -> Iterator[RepositoryName]:
        for namespace in own_namespaces(user):
            with suppress(InvalidKey):
                yield from islice(self._repositories.in_namespace(namespace), _MOST_IN_NAMESPACE)


def _parse(value: bytes) -> list[str]:
    parsed = layout.parse_stored(value)
    return [text for text in parsed if isinstance(text, str)] if isinstance(parsed, list) else []


def _folder(user: User) -> str:
    name = hashlib.sha256(user.account.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{layout.UPLOADS}/_announced/{name}"
