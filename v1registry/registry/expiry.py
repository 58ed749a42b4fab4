"""Removal of what unfinished pushes left behind (registry.md 5).

A push expires 24 hours after its last request. It is removed together with the keys that count its bytes, so
what is counted exists, and what exists is counted.
"""

from __future__ import annotations

import hashlib
import random
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from threading import Lock
from typing import Final

from ..clock import SYSTEM_CLOCK, Clock
from ..log import get_logger
from ..names import RepositoryName
from ..storage.at_once import at_once
from ..storage.base import KeyConflict, KeyNotFound, Stat, Storage, StorageUnavailable
from ..storage.filesystem import FileStorage
from ..storage.patience import aside
from . import layout

log = get_logger(__name__)

#: The last part of :func:`push_folder`. What else lies below ``uploads/`` is not ours, and stays.
_PUSH: Final = re.compile("[0-9a-f]{32}-[0-9a-f]{32}")

#: How long an unfinished push is kept after its last request, in seconds.
EXPIRY_S: Final = 24 * 3600

#: How often a process looks for what has expired, and how long it waits after a failure, in seconds.
_TIDY_EACH_S: Final = 10
_AFTER_FAILURE_S: Final = 600

#: How many folders or records a request looks at for that, and how much it removes.
_TIDIED_AT_ONCE: Final = 4

#: How many folders or records of each kind a process looks at when it starts.
_TIDIED_AT_START: Final = 200

#: How many keys of a folder are looked at.
_MOST_KEYS: Final = 1000

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


#: Names in order, each with what removes the expired pushes, counters or records there. That takes how many
#: are removed at most, None for all, and returns how many were.
_Walk = Iterator[tuple[str, Callable[[int | None], int]]]


class Expiry:
    """Removes expired pushes. Safe for threads and processes."""

    def __init__(self, storage: Storage, *, clock: Clock = SYSTEM_CLOCK):
        self._storage = storage
        self._clock = clock
        self._walks: tuple[Callable[[str], _Walk], ...] = (
            self._pushes,
            *(partial(self._counters, root) for root in (BYTES, REPOSITORY_BYTES)),
            *(partial(self._records, folder) for folder in _RECORDS),
        )
        self._turn = Lock()  # guards the attributes below
        #: the names up to which the walks have come. They begin anywhere, so that processes differ
        self._reached = [secrets.token_hex(2) for _ in self._walks]
        self._next = 0  #: the number of the next walk
        self._next_at_s = float("-inf")

    @property
    def oldest(self) -> float:
        """The time before which a key is expired, in seconds since the epoch."""
        return self._clock.time_s() - EXPIRY_S

    def monotonic_s(self) -> float:
        """Return the time by which waits are measured, in seconds."""
        return self._clock.monotonic_s()

    def tidy(self) -> None:
        """Remove a few things that have expired. Requests call it, so it takes few calls of the storage.

        It looks every ten seconds, and each time at another kind of things. If it finds expired ones, the
        next call goes on.
        """
        if self._clock.monotonic_s() < self._next_at_s or not self._turn.acquire(blocking=False):
            return
        try:
            self._next_at_s = self._clock.monotonic_s() + _TIDY_EACH_S
            with aside():
                is_going_on = self._go_on(self._next, _TIDIED_AT_ONCE, _TIDIED_AT_ONCE)
            if is_going_on:
                self._next_at_s = float("-inf")
            else:
                self._next = (self._next + 1) % len(self._walks)
        except StorageUnavailable as error:
            self._next_at_s = self._clock.monotonic_s() + _AFTER_FAILURE_S
            log.warning("expired uploads are not removed: %s", error.reason)
        finally:
            self._turn.release()

    def tidy_at_start(self) -> None:
        """Remove what has expired, as far as it is among the first things after a random one of each kind."""
        with self._turn:
            try:
                for number in range(len(self._walks)):
                    self._go_on(number, _TIDIED_AT_START, None)
                    if not self._reached[number]:
                        self._go_on(number, _TIDIED_AT_START, None)
            except StorageUnavailable as error:
                log.warning("expired uploads are not removed: %s", error.reason)

    def _go_on(self, number: int, most: int, most_removed: int | None) -> bool:
        """Go on with a walk; return whether something was removed.

        :param most: how many names are looked at.
        :param most_removed: None for all.
        """
        removed = count = 0
        for name, expire in islice(self._walks[number](self._reached[number]), most):
            removed += expire(None if most_removed is None else most_removed - removed)
            if most_removed is not None and removed >= most_removed:
                # there may be more
                return True
            self._reached[number] = name
            count += 1
        if count < most:
            self._reached[number] = ""
        return removed > 0

    def _pushes(self, after: str) -> _Walk:
        for image_id in self._storage.list_folders(layout.UPLOADS, after=after):
            if not image_id.startswith("_"):
                yield image_id, partial(self._count_expired, image_id)

    def _counters(self, root: str, after: str) -> _Walk:
        for counted in self._storage.list_folders(root, after=after):
            yield counted, partial(self._expire_counters, f"{root}/{counted}", _MOST_KEYS)

    def _records(self, folder: str, after: str) -> _Walk:
        prefix = f"{folder}/"
        for stat in self._storage.list(prefix, after=prefix + after):
            yield stat.key.removeprefix(prefix), partial(self._expire_record, stat)

    def expire_all(
        self, looked_at: Callable[[], object] = int, *, goes_on: Callable[[], object] = int
    ) -> Expired:
        """Remove all that has expired, however much it is, and what killed processes left of values.

        :param looked_at: called after each folder of unfinished pushes.
        :param goes_on: called after each look.
        """
        if isinstance(self._storage, FileStorage):
            self._storage.remove_leftovers(layout.UPLOADS)
        pushes = push_bytes = records = 0
        walk = (expire for folder in _RECORDS for _, expire in self._records(folder, ""))
        with closing(at_once(self._storage, lambda expire: expire(None), walk)) as expired_records:
            for number in expired_records:
                records += number
                goes_on()
        image_ids = (name for name in self._storage.list_folders(layout.UPLOADS) if not name.startswith("_"))
        with closing(at_once(self._storage, lambda name: self._expire(name, None), image_ids)) as expired:
            for sizes in expired:
                pushes, push_bytes = pushes + len(sizes), push_bytes + sum(sizes)
                looked_at()
                goes_on()
        for root in (BYTES, REPOSITORY_BYTES):
            folders = (f"{root}/{counted}" for counted in self._storage.list_folders(root))
            counters = at_once(
                self._storage, lambda folder: self._expire_counters(folder, None, None), folders
            )
            with closing(counters):
                for _ in counters:
                    goes_on()
        return Expired(pushes, push_bytes, records)

    def expire(self, image_id: str, owner: str, name: str) -> bool:
        """Remove a push if its last request was too long ago. Tell whether it is gone.

        :param owner: see :func:`push_folder`.
        :param name: see :func:`push_folder`.
        """
        folder, oldest, found = push_folder(image_id, owner, name), self.oldest, False
        for stat in self._storage.list(f"{folder}/"):
            found = True
            if stat.modified.timestamp() >= oldest:
                return False
        push = folder.rpartition("/")[2]
        if found and not _PUSH.fullmatch(push):
            return False
        if found:
            self._remove(image_id, push)
        return True

    def expire_any(self, image_id: str) -> None:
        """Remove one push of an image whose last request was too long ago, if there is one."""
        self._expire(image_id, _MOST_KEYS, 1)

    def _remove(self, image_id: str, push: str) -> None:
        """Remove a push with the keys that count its bytes."""
        self._storage.delete_tree(f"{layout.UPLOADS}/{image_id}/{push}")
        self._remove_counters(counters_of(image_id, push))
        self._storage.delete_tree(counters_of(image_id, push, REPOSITORY_BYTES))

    def _remove_counters(self, folder: str) -> None:
        """Remove the expired counters of a push of a user.

        A fresh one is that of a layer which is arriving (reservations.py).
        """
        for stat in list(self._storage.list(f"{folder}/")):
            self._expire_record(stat, None)

    def _expire(self, image_id: str, most: int | None, most_removed: int | None = None) -> list[int]:
        """Remove the expired pushes of an image; return how many bytes each had.

        :param most: how many keys are looked at, apart from the rest of the last push; None for all.
        :param most_removed: how many pushes are removed; None for all.
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
                    if newest >= oldest:
                        break
                    found[push] = max(newest, rest.modified.timestamp()), size + rest.size
                break
        removed = []
        expired = (push for push, (newest, _) in found.items() if newest < oldest and _PUSH.fullmatch(push))
        for push in islice(expired, most_removed):
            self._remove(image_id, push)
            removed.append(found[push][1])
        return removed

    def _count_expired(self, image_id: str, most_removed: int | None) -> int:
        """Remove expired pushes of an image; return how many."""
        return len(self._expire(image_id, _MOST_KEYS, most_removed))

    def expire_counter(self, folder: str) -> bool:
        """Remove an expired folder of counters if its push is gone, or expired too. Tell whether it is gone.

        :param folder: the counters of one push, see :func:`counters_of`, or of a layer that arrived for it.
        """
        root = BYTES if folder.startswith(f"{BYTES}/") else REPOSITORY_BYTES
        first, _, counted = folder.removeprefix(f"{root}/").partition("/")
        image_id, _, push = counted.partition(".")
        if image_id:
            second = push.partition(".")[0]
            owner, name = (first, second) if root == BYTES else (second, first)
            if not self.expire(image_id, owner, name):
                return False
        if root == BYTES:
            self._remove_counters(folder)
        else:
            self._storage.delete_tree(folder)
        return True

    def _expire_counters(self, folder: str, most: int | None, most_removed: int | None) -> int:
        """Remove the expired counters of a user or a repository; return of how many pushes.

        :param most: how many keys are looked at; None for all.
        :param most_removed: None for all.
        """
        oldest, stale = self.oldest, dict[str, bool]()
        for stat in islice(self._storage.list(f"{folder}/"), most):
            counters = stat.key.rpartition("/")[0]
            stale[counters] = stale.get(counters, True) and stat.modified.timestamp() < oldest
        expired = [counters for counters, is_stale in stale.items() if is_stale]
        # those whose pushes live must not hide others for ever
        random.shuffle(expired)
        return sum(self.expire_counter(counters) for counters in expired[:most_removed])

    def _expire_record(self, stat: Stat, _most_removed: int | None) -> int:
        """Remove a record, or a counter, if it has expired; return how many were removed."""
        if stat.modified.timestamp() < self.oldest:
            # it may have been written again meanwhile
            with suppress(KeyNotFound, KeyConflict):
                self._storage.delete(stat.key, expect=stat.etag)
                return 1
        return 0


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
