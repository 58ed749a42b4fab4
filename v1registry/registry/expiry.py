"""Removal of what unfinished pushes left behind (registry.md 5).

A push expires 24 hours after its last request. It is removed together with the keys that count its bytes, so
what is counted exists, and what exists is counted.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice, takewhile
from typing import Final

from ..clock import SYSTEM_CLOCK, Clock
from ..log import get_logger
from ..names import RepositoryName
from ..storage.base import KeyConflict, KeyNotFound, Storage, StorageUnavailable
from ..storage.filesystem import FileStorage
from . import layout

log = get_logger(__name__)

#: The last part of :func:`push_folder`. What else lies below ``uploads/`` is not ours, and stays.
_PUSH: Final = re.compile("[0-9a-f]{32}-[0-9a-f]{32}")

#: How long an unfinished push is kept after its last request, in seconds.
EXPIRY_S: Final = 24 * 3600

#: How often a process looks for expired pushes of all images, in seconds.
_TIDY_EACH_S: Final = 3600

#: How many folders of unfinished pushes, and how many records of each kind, are looked at each time.
_MOST_TIDIED: Final = 1000

#: The folder of the keys that count bytes, one folder for each user in it.
BYTES: Final = f"{layout.UPLOADS}/_bytes"

#: The same for repositories: uploads of blobs count twice.
REPOSITORY_BYTES: Final = f"{layout.UPLOADS}/_repositories"

#: Folders of records that expire one by one.
_RECORDS: Final = (f"{layout.UPLOADS}/_announced", f"{layout.UPLOADS}/_deleted")


@dataclass(frozen=True)
class Expired:
    """What was removed because it had expired."""

    pushes: int = 0  #: unfinished pushes of images, and uploads of blobs
    push_bytes: int = 0  #: of the pushes; a value that was linked to a blob frees nothing
    records: int = 0  #: announced pushes, and notes of deleted repositories


class Expiry:
    """Removes expired pushes. Safe for threads and processes."""

    def __init__(self, storage: Storage, *, clock: Clock = SYSTEM_CLOCK):
        self._storage = storage
        self._clock = clock
        self._tidied_at_s = float("-inf")

    @property
    def oldest(self) -> float:
        """The time before which a key is expired, in seconds since the epoch."""
        return self._clock.time_s() - EXPIRY_S

    def tidy(self) -> None:
        """Remove expired pushes of all images: at most once an hour, and a bounded number of them.

        The walk begins at a random place, so that no folder is missed for ever.
        """
        now_s = self._clock.monotonic_s()
        if now_s - self._tidied_at_s < _TIDY_EACH_S:
            return
        self._tidied_at_s = now_s
        try:
            for folder in _RECORDS:
                self._expire_records(folder)
            for image_id in islice(self._from_anywhere(layout.UPLOADS), _MOST_TIDIED):
                if not image_id.startswith("_"):
                    self.expire(image_id)
            for root in (BYTES, REPOSITORY_BYTES):
                for counted in islice(self._from_anywhere(root), _MOST_TIDIED):
                    self._expire_counters(f"{root}/{counted}")
        except StorageUnavailable as error:
            log.warning("expired uploads are not removed: %s", error.reason)

    def expire_all(self, looked_at: Callable[[], object] = int) -> Expired:
        """Remove all that has expired, however much it is, and what killed processes left of values.

        :param looked_at: called after each folder of unfinished pushes.
        """
        if isinstance(self._storage, FileStorage):
            self._storage.remove_leftovers(layout.UPLOADS)
        records = sum(self._expire_records(folder, None) for folder in _RECORDS)
        pushes = push_bytes = 0
        for image_id in self._storage.list_folders(layout.UPLOADS):
            if not image_id.startswith("_"):
                sizes = self._expire(image_id, None)
                pushes, push_bytes = pushes + len(sizes), push_bytes + sum(sizes)
                looked_at()
        for root in (BYTES, REPOSITORY_BYTES):
            for counted in self._storage.list_folders(root):
                self._expire_counters(f"{root}/{counted}", None)
        return Expired(pushes, push_bytes, records)

    def expire(self, image_id: str) -> None:
        """Remove the pushes of an image whose last request was too long ago."""
        self._expire(image_id, _MOST_TIDIED)

    def _expire(self, image_id: str, most: int | None) -> list[int]:
        """Remove the expired pushes of an image; return how many bytes each had.

        :param most: how many keys are looked at, apart from the rest of the last push; None for all.
        """
        folder, oldest = f"{layout.UPLOADS}/{image_id}", self.oldest
        found: dict[str, tuple[float, int]] = {}
        for number, stat in enumerate(self._storage.list(f"{folder}/")):
            push = stat.key.removeprefix(f"{folder}/").partition("/")[0]
            newest, size = found.get(push, (0.0, 0))
            found[push] = max(newest, stat.modified.timestamp()), size + stat.size
            if most is not None and number >= most:
                # strangers may have begun many pushes; of this one all keys count, up to 10,000 for a blob
                for rest in self._storage.list(f"{folder}/{push}/", after=stat.key):
                    newest, size = found[push]
                    found[push] = max(newest, rest.modified.timestamp()), size + rest.size
                break
        removed = []
        for push, (newest, size) in found.items():
            if newest < oldest and _PUSH.fullmatch(push):
                self._storage.delete_tree(f"{folder}/{push}")
                self._storage.delete_tree(counters_of(image_id, push))
                self._storage.delete_tree(counters_of(image_id, push, REPOSITORY_BYTES))
                removed.append(size)
        return removed

    def expire_counter(self, folder: str) -> bool:
        """Remove an expired folder of counters if its push is gone, or expired too. Tell whether it is gone.

        :param folder: the counters of one push, see :func:`counters_of`, or of a layer that arrived for it.
        """
        root = BYTES if folder.startswith(f"{BYTES}/") else REPOSITORY_BYTES
        first, _, counted = folder.removeprefix(f"{root}/").partition("/")
        image_id, _, push = counted.partition(".")
        if image_id:
            self.expire(image_id)
            second = push.partition(".")[0]
            owner, name = (first, second) if root == BYTES else (second, first)
            if any(self._storage.list(f"{push_folder(image_id, owner, name)}/")):
                return False
        self._storage.delete_tree(folder)
        return True

    def _expire_counters(self, folder: str, most: int | None = _MOST_TIDIED) -> None:
        oldest, stale = self.oldest, dict[str, bool]()
        for stat in islice(self._storage.list(f"{folder}/"), most):
            counters = stat.key.rpartition("/")[0]
            stale[counters] = stale.get(counters, True) and stat.modified.timestamp() < oldest
        for counters, is_stale in stale.items():
            if is_stale:
                self.expire_counter(counters)

    def _expire_records(self, folder: str, most: int | None = _MOST_TIDIED) -> int:
        """Remove expired records; return how many."""
        oldest, prefix, start = self.oldest, f"{folder}/", f"{folder}/{_anywhere()}"
        before = takewhile(lambda stat: stat.key <= start, self._storage.list(prefix))
        removed = 0
        for stat in islice(chain(self._storage.list(prefix, after=start), before), most):
            if stat.modified.timestamp() < oldest:
                # it may have been written again meanwhile
                with suppress(KeyNotFound, KeyConflict):
                    self._storage.delete(stat.key, expect=stat.etag)
                    removed += 1
        return removed

    def _from_anywhere(self, folder: str) -> Iterator[str]:
        """Yield all folders in a folder, from a random one on."""
        start = _anywhere()
        yield from self._storage.list_folders(folder, after=start)
        yield from takewhile(lambda name: name <= start, self._storage.list_folders(folder))


def push_folder(image_id: str, owner: str, name: str) -> str:
    """Return the folder of what a push has sent.

    :param owner: see :attr:`v1registry.rights.PushKey.owner`.
    :param name: see :attr:`v1registry.rights.PushKey.name`.
    """
    return f"{layout.UPLOADS}/{image_id}/{owner}-{name}"


def counters_of(image_id: str, push: str, root: str = BYTES) -> str:
    """Return the folder of the keys that count the bytes of a push.

    :param push: the last segment of its folder.
    :param root: BYTES for the counters of its owner; REPOSITORY_BYTES for those of the repository, which is
        the name of the push key of an upload.
    """
    owner, _, name = push.partition("-")
    first, second = (owner, name) if root == BYTES else (name, owner)
    return f"{root}/{first}/{image_id}.{second}"


def repository_digest(repository: RepositoryName) -> str:
    """Return the 32 hex digits that stand for a repository in the keys of uploads."""
    return hashlib.sha256(layout.stored_name(repository).encode("ascii")).hexdigest()[:32]


def _anywhere() -> str:
    """Return a random text that sorts among hex digits."""
    return secrets.token_hex(2)
