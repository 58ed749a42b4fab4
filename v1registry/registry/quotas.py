"""Bounds of unfinished pushes: how many, and how many bytes. They are for users, and for repositories too.

    uploads/_bytes/<owner>/<image id>.<push>/<entry>.<size>          stored
    uploads/_bytes/<owner>/<image id>.<push>.<entry>/<entry>.<size>  a layer that arrives
    uploads/_repositories/<repository>/…                             the same for a repository

An empty key counts the bytes of one JSON or one layer. It is written **before** the bytes are stored, and
then all keys of the owner are added up. So of two parallel requests at least one sees the other one, and
together they cannot exceed the bound. If an entry has several keys, the largest counts.

A layer that arrives has a folder of its own, so that it is still counted if the push ends meanwhile. If the
counters of the push stay, and its size is known, it is counted as a stored one from the beginning.

Counters expire with their push, and expired ones are not added up. A request removes few of them; the walk of
expiry.py removes the others.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from .. import errors
from ..rights import OPEN_OWNERS, PushKey
from ..storage.base import KeyNotFound, Stat, Storage, StorageError
from ..storage.patience import cleanup
from .expiry import BYTES, Expiry, counters_of
from .reservations import LATER_S, Reservation

#: How many counters are added up, of one owner or of all. More of them count as too many bytes.
_MOST_COUNTERS: Final = 25_000

#: How many expired folders of counters a reservation looks at, to remove them. A request reserves for a user
#: and for a repository, so it removes at most twice as many.
_MOST_LOOKED_AT: Final = 2

#: How often a reservation is tried again, because parallel ones may have withdrawn for the same reason; and
#: the longest pause before, in seconds.
_ATTEMPTS: Final = 5
_PAUSE_S: Final = 0.05


@dataclass
class _Usage:
    """What the keys of one owner count."""

    sizes: dict[tuple[str, str], int] = field(default_factory=dict)  #: folder of the push, entry -> bytes
    is_endless: bool = False  #: there are too many keys to add them up

    def add(self, folder: str, entry: str, size: int) -> None:
        push = folder.removesuffix(f".{entry}")
        self.sizes[push, entry] = max(size, self.sizes.get((push, entry), 0))

    @property
    def total_bytes(self) -> int:
        return sum(self.sizes.values())

    @property
    def pushes(self) -> int:
        return len({push for push, _ in self.sizes})


@dataclass(frozen=True)
class Excess:
    """The failures of one kind of bound. Each is made from its limit."""

    bytes: Callable[[int], errors.RegistryError] = errors.TooManyUnfinishedBytes
    pushes: Callable[[int], errors.RegistryError] = errors.TooManyUnfinishedPushes


class _Looks:
    """The looks of one reservation at expired counters. There are few, because each costs calls.

    A counter may look expired although its push goes on, if it was written by an older version.
    """

    def __init__(self, expiry: Expiry):
        self._expiry = expiry
        self._is_gone: dict[str, bool] = {}  #: folder of counters -> whether it was removed

    def without_push(self, expired: list[str]) -> list[str]:
        """Return the folders that count nothing, and remove a few.

        :param expired: folders of counters. Those whose pushes were seen to go on are left out.
        """
        # those whose pushes go on must not hide others for ever
        for counters in random.sample(expired, len(expired)):
            if len(self._is_gone) >= _MOST_LOOKED_AT:
                break
            if counters not in self._is_gone:
                self._is_gone[counters] = self._expiry.expire_counter(counters)
        return [counters for counters in expired if self._is_gone.get(counters, True)]


class Quotas:
    """Counts the unfinished pushes of users, or of repositories. Safe for threads and processes.

    :param most_bytes: of the unfinished pushes of one owner.
    :param most_pushes: how many unfinished pushes one owner may have.
    :param most_total_bytes: of the unfinished pushes of all owners on an open server, where a client can be
        any number of them; None if that is not bounded.
    :param root: BYTES if owners are users; REPOSITORY_BYTES if they are repositories.
    :param excess: what is raised beyond the two bounds of an owner.
    :param pause: sleeps for a number of seconds.
    """

    def __init__(
        self,
        storage: Storage,
        expiry: Expiry,
        *,
        most_bytes: int,
        most_pushes: int,
        most_total_bytes: int | None = None,
        root: str = BYTES,
        excess: Excess = Excess(),
        pause: Callable[[float], None] = time.sleep,
    ):
        self._storage = storage
        self._expiry = expiry
        self._most_bytes = most_bytes
        self._most_pushes = most_pushes
        self._most_total_bytes = most_total_bytes
        self._root = root
        self._excess_of = excess
        self._pause = pause

    def begin(self, image_id: str, key: PushKey, entry: str, size: int, *, is_first: bool) -> None:
        """Count a JSON that is going to be stored.

        :param entry: the name of the JSON in its push.
        :param is_first: the push begins with it.
        :raises TooManyUnfinishedBytes: the owner would have too many bytes.
        :raises TooManyUnfinishedPushes: the owner has too many pushes already.
        :raises UnfinishedTotalExceeded: all owners together would have too many bytes.
        """
        most_pushes = self._most_pushes if is_first else None
        self._reserve(self._counters(image_id, key), entry, size, most_pushes)

    def counts(self, image_id: str, key: PushKey, entry: str) -> bool:
        """Tell whether an entry that was counted by :meth:`begin` is still counted."""
        return any(self._storage.list(f"{self._counters(image_id, key)}/{entry}."))

    def renew(self, image_id: str, key: PushKey, entry: str, size: int) -> None:
        """Let the counter of an entry be as new as the entry, which is stored again with the same size."""
        self._storage.write(f"{self._counters(image_id, key)}/{entry}.{size}", b"")

    def reserve(self, image_id: str, key: PushKey, entry: str, *, stays: bool = False) -> Reservation:
        """Return a reservation of a layer, with no bytes yet.

        :param entry: the name of the layer in its push.
        :param stays: whether other requests remove only those counters of the push that have expired.
        """
        return Reservation(
            self._storage,
            self._counters(image_id, key),
            entry,
            self._reserve,
            self._most_bytes,
            now_s=self._expiry.monotonic_s,
            stays=stays,
        )

    def release(self, image_id: str, key: PushKey, entry: str, size: int) -> None:
        """Count bytes no more, because they were removed."""
        self._storage.delete_many(self.counters(image_id, key, {entry: size}))

    def counters(self, image_id: str, key: PushKey, sizes: Mapping[str, int]) -> list[str]:
        """Return the keys that count bytes, for a caller that removes them with what they count.

        :param sizes: entry -> bytes.
        """
        folder = self._counters(image_id, key)
        return [f"{folder}/{entry}.{size}" for entry, size in sizes.items()]

    def recount(self, image_id: str, key: PushKey, entry: str, old: int, reservation: Reservation) -> None:
        """Count what a reservation has received for an entry, which the reservation counts no more.

        The bounds are not checked.

        :param old: bytes of the entry that were counted before.
        """
        folder = self._counters(image_id, key)
        new = f"{folder}/{entry}.{old + reservation.received}"
        reservation.give_way(new, f"{folder}/{entry}.{old}")

    def end(self, image_id: str, key: PushKey) -> None:
        """Count nothing of a push any more, because it was removed. Layers that arrive are still counted."""
        self._storage.delete_tree(self._counters(image_id, key))

    # -- inside

    def _counters(self, image_id: str, key: PushKey) -> str:
        return counters_of(image_id, f"{key.owner}-{key.name}", self._root)

    def _reserve(self, folder: str, entry: str, size: int, most_pushes: int | None = None) -> None:
        """Write the key of an entry if the owner then is within the bounds.

        :raises TooManyUnfinishedBytes: see :meth:`begin`.
        :raises TooManyUnfinishedPushes: see :meth:`begin`.
        :raises UnfinishedTotalExceeded: see :meth:`begin`.
        """
        counter = f"{folder}/{entry}.{size}"
        looks = _Looks(self._expiry)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._storage.write(counter, b"")
                usage, is_total_exceeded = self._added_up(folder, looks)
            except StorageError:
                # the caller does not know the key
                with cleanup(), suppress(StorageError):
                    self._storage.delete(counter)
                raise
            usage.add(folder, entry, size)
            error = self._excess(usage, most_pushes)
            if error is None and not is_total_exceeded:
                return
            with suppress(KeyNotFound):
                self._storage.delete(counter)
            if error is None:
                assert self._most_total_bytes is not None
                raise errors.UnfinishedTotalExceeded(self._most_total_bytes)
            self._pause(random.uniform(0, _PAUSE_S))  # noqa: S311 (not for secrets)
            usage = self._usage(folder, looks)
            usage.add(folder, entry, size)
            if attempt == _ATTEMPTS or self._excess(usage, most_pushes) is not None:
                raise error

    def _excess(self, usage: _Usage, most_pushes: int | None) -> errors.RegistryError | None:
        if usage.is_endless or usage.total_bytes > self._most_bytes:
            return self._excess_of.bytes(self._most_bytes)
        if most_pushes is not None and usage.pushes > most_pushes:
            return self._excess_of.pushes(most_pushes)
        return None

    def _added_up(self, folder: str, looks: _Looks) -> tuple[_Usage, bool]:
        """Return what the owner of a folder of counters has, and whether all owners have too many bytes.

        Too many counters to add them up each time are too many bytes.
        """
        if self._most_total_bytes is None:
            return self._usage(folder, looks), False
        prefix, total = self._prefix_of(folder), 0
        own: list[Stat] = []
        of_all = f"{self._root}/{OPEN_OWNERS}"
        listed = self._storage.list(of_all)
        if not prefix.startswith(of_all):
            listed = chain(listed, self._storage.list(prefix))
        for number, stat in enumerate(listed, 1):
            size = stat.key.rpartition(".")[2]
            if size.isdigit() and stat.modified.timestamp() >= self._oldest:
                total += int(size)
            if total > self._most_total_bytes or number > _MOST_COUNTERS:
                return self._usage(folder, looks), True
            if stat.key.startswith(prefix):
                own.append(stat)
        return self._usage_in(own, looks), False

    @property
    def _oldest(self) -> float:
        """The time before which a counter has expired, in seconds since the epoch.

        What it counts may be newer, by the time in which its bytes arrived.
        """
        return self._expiry.oldest - LATER_S

    def _prefix_of(self, folder: str) -> str:
        """Return what the keys of the owner of a folder of counters begin with."""
        owner = folder.removeprefix(f"{self._root}/").partition("/")[0]
        return f"{self._root}/{owner}/"

    def _usage(self, folder: str, looks: _Looks) -> _Usage:
        """Return what the owner of a folder of counters has."""
        return self._usage_in(self._storage.list(self._prefix_of(folder)), looks)

    def _usage_in(self, listed: Iterable[Stat], looks: _Looks) -> _Usage:
        """Return what counters of one owner count. Expired ones count nothing, and a few are removed."""
        stats: dict[str, list[Stat]] = {}
        usage = _Usage()
        for number, stat in enumerate(listed, 1):
            if number > _MOST_COUNTERS:
                usage.is_endless = True
                break
            stats.setdefault(stat.key.rpartition("/")[0], []).append(stat)
        newest = {counters: max(stat.modified for stat in found) for counters, found in stats.items()}
        oldest = self._oldest
        # a layer that arrives is as new as its push
        expired = [
            counters
            for counters, modified in newest.items()
            if max(modified, newest.get(_of_push(counters), modified)).timestamp() < oldest
        ]
        for counters in looks.without_push(expired):
            del stats[counters]
        for counters, found in stats.items():
            for stat in found:
                entry, _, size = stat.key.rpartition("/")[2].rpartition(".")
                if size.isdigit():
                    usage.add(counters, entry, int(size))
        return usage


def _of_push(counters: str) -> str:
    """Return the folder of counters of the push to which a layer arrives, or which it is itself.

    :param counters: ``<root>/<owner>/<image id>.<push>``, or the same with the entry of the layer.
    """
    return ".".join(counters.split(".")[:2])
