"""Where grants are: reads, changes and removes them, with the pointers from their codes and tokens.

Nothing is locked. For each step docs/internals.md, "Grants and tokens", names the one write that decides.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Final

from ..accounts.base import BackendUnavailable
from ..clock import Clock
from ..log import audit, get_logger
from ..storage import records
from ..storage.base import KeyConflict, KeyNotFound, Storage, StorageUnavailable
from ..storage.patience import aside
from ..storage.records import Stored
from .records import TOKENS_FOLDER, Grant, Pointer, grant_key, grants_folder, token_key

log = get_logger(__name__)

#: The most pointers that one call of :meth:`GrantStore.tidy` looks at.
_TIDIED: Final = 8

#: A younger pointer may belong to a code or a token that is being issued, in seconds.
_BEING_ISSUED_S: Final = 3600


class GrantStore:
    """The grants in a storage. Safe for threads and, if the storage is, for processes.

    :param storage: holds them below ``accounts/oauth/``.
    :raises StorageUnavailable: from every method: the storage failed, or a record is broken.
    """

    def __init__(self, storage: Storage, clock: Clock):
        self._storage = storage
        self._clock = clock
        self._grants = records.RecentRecords(storage, Grant)
        self._pointers = records.RecentRecords(storage, Pointer)

    def find(self, username: str, grant_id: str) -> Grant | None:
        """Return the grant of a user with this id, or None."""
        return self._grants.find(grant_key(username, grant_id))

    def find_by_digest(self, digest: str) -> Grant | None:
        """Return the grant that lists the digest of a code or a token, or None."""
        pointer = self._pointers.find(token_key(digest))
        grant = None if pointer is None else self.find(pointer.username, pointer.grant_id)
        return grant if grant is not None and digest in grant.digests else None

    def of_user(self, username: str) -> Iterator[Stored[Grant]]:
        """Yield all grants of a user, valid or not. A broken record is logged and left out."""
        return records.find_all(self._storage, f"{grants_folder(username)}/", Grant)

    def create(self, grant: Grant) -> None:
        """Store a new grant and the pointer of its code."""
        self.point(grant, [grant.code.digest])
        records.create(self._storage, _key(grant), grant)

    def point(self, grant: Grant, digests: Iterable[str]) -> None:
        """Store the pointers of new codes or tokens. They prove nothing until the grant lists them."""
        for digest in digests:
            pointer = Pointer(grant.username, grant.id, self._clock.time_s())
            records.create(self._storage, token_key(digest), pointer)

    def update(
        self, grant: Grant, change: Callable[[Grant | None], Grant | None]
    ) -> tuple[Grant | None, Grant | None]:
        """Replace a grant by ``change(grant)``; return the old and the new one. See ``records.update``."""
        return records.update(self._storage, _key(grant), Grant, change)

    def end(self, grant: Grant) -> bool:
        """Remove a grant with all its codes and tokens. Return False if it was removed already."""
        is_ended = self._delete(_key(grant))
        self.forget(grant.digests)
        if is_ended:
            audit("ended a grant of account %r", grant.username)
        return is_ended

    def end_unchanged(self, stored: Stored[Grant]) -> None:
        """Remove a grant as :meth:`end` does, unless it was changed since it was read.

        A grant that looks expired may be redeemed meanwhile; its new tokens stay valid.
        """
        with suppress(KeyNotFound, KeyConflict):
            self._storage.delete(stored.key, expect=stored.etag)
            self.forget(stored.record.digests)

    def forget(self, digests: Iterable[str]) -> None:
        """Remove the pointers of codes and tokens."""
        for digest in digests:
            self._delete(token_key(digest))

    def tidy(self, is_over: Callable[[Grant], bool]) -> None:
        """Look at a few pointers, from a random one on; remove the useless ones, and grants that are over.

        A failure is logged, and the record is left for a later call.

        :param is_over: returns whether a grant can never be used again; it may raise BackendUnavailable.
        """
        with aside():
            self._tidy(is_over)

    # -- inside

    def _tidy(self, is_over: Callable[[Grant], bool]) -> None:
        try:
            keys = list(self._some_pointers())
        except StorageUnavailable as error:
            log.warning("old tokens are not removed now: %s", error.reason)
            return
        for key in keys:
            try:
                self._tidy_one(key, is_over)
            except (StorageUnavailable, BackendUnavailable) as error:
                log.warning("an old token is not removed now: %s", error)

    def _some_pointers(self) -> Iterator[str]:
        """Yield the keys of a few pointers from a random one on, then from the first one on."""
        start, folder = token_key(secrets.token_hex(32)), f"{TOKENS_FOLDER}/"
        keys = [stat.key for stat in islice(self._storage.list(folder, after=start), _TIDIED)]
        yield from keys
        for stat in islice(self._storage.list(folder), _TIDIED - len(keys)):
            if stat.key <= start:
                yield stat.key

    def _tidy_one(self, key: str, is_over: Callable[[Grant], bool]) -> None:
        pointer = records.find(self._storage, key, Pointer)
        if pointer is None:
            return
        stored = records.find_stored(self._storage, grant_key(pointer.username, pointer.grant_id), Grant)
        if stored is None or key.rpartition("/")[2] not in stored.record.digests:
            if self._clock.time_s() - pointer.written_at_s > _BEING_ISSUED_S:
                self._delete(key)
        elif is_over(stored.record):
            self.end_unchanged(stored)

    def _delete(self, key: str) -> bool:
        with suppress(KeyNotFound):
            self._storage.delete(key)
            return True
        return False


def _key(grant: Grant) -> str:
    return grant_key(grant.username, grant.id)
