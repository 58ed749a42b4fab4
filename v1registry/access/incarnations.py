"""The incarnation of a repository: a random value that is made with it and deleted with it."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from ..clock import SYSTEM_CLOCK, Clock
from ..names import RepositoryName
from ..registry import layout
from ..registry.expiry import EXPIRY_S
from ..registry.repositories import Repositories
from ..storage.base import ABSENT, InvalidKey, KeyConflict, KeyNotFound, Stat, Storage, StorageUnavailable
from ..storage.recent_values import ParsedValues
from .marks import ADOPTED

#: How often a value is written again because other requests changed it.
_ATTEMPTS: Final = 100

#: How many incarnations are kept in memory, and the longest of them, in bytes.
_KEPT: Final = 10_000
_LONGEST_KEPT_BYTES: Final = 64


class Incarnations:
    """The incarnations of the repositories of one storage. Safe for threads and processes."""

    def __init__(self, storage: Storage, repositories: Repositories, *, clock: Clock = SYSTEM_CLOCK):
        self._storage = storage
        self._repositories = repositories
        self._clock = clock
        self._values = ParsedValues(
            storage, lambda key, stored: stored.decode("latin-1"), _KEPT, _LONGEST_KEPT_BYTES
        )

    def of(self, repository: RepositoryName) -> str:
        """Return the incarnation; empty if the repository has none, or a damaged one."""
        found = self.stored(repository)
        return "" if found is None else found[0]

    def stored(self, repository: RepositoryName) -> tuple[str, Stat] | None:
        """Return the stored value and its Stat; None if there is none. A damaged value may be empty."""
        for folder in layout.repository_folders(repository):
            with suppress(KeyNotFound, InvalidKey):
                return self._values.read(f"{folder}/{layout.INCARNATION}")
        return None

    def make(self, repository: RepositoryName, value: str) -> str:
        """Give the repository an incarnation if it has none; return the one that it has.

        An empty value is damaged. It is replaced, but the repository is not old data, so it is not adopted.

        :raises InvalidRepositoryName: the name may not be written.
        """
        key = f"{self._repositories.folder_to_write(repository)}/{layout.INCARNATION}"
        for _ in range(_ATTEMPTS):
            found = self.stored(repository)
            if found is not None and found[0]:
                return found[0]
            expect = ABSENT
            if found is not None:
                value, expect = value.removesuffix(ADOPTED), found[1].etag
            try:
                self._storage.write(key, value.encode("ascii"), expect=expect)
            except KeyConflict:
                continue
            return value
        raise StorageUnavailable(key, "it is changed again and again")

    def end(self, stored: tuple[str, Stat]) -> None:
        """Delete an incarnation as it was read. A different one, of a later repository, stays."""
        with suppress(KeyNotFound, KeyConflict):
            self._storage.delete(stored[1].key, expect=stored[1].etag)

    def note_deletion(self, repository: RepositoryName) -> None:
        """Note that what appears in the folder for some time is not old data, but late writes of the deleted
        repository.
        """
        with suppress(InvalidKey):  # no new repository can have this name either
            self._storage.write(_deletion_key(repository), str(int(self._clock.time_s())).encode("ascii"))

    def may_be_old(self, repository: RepositoryName) -> bool:
        """Tell whether a repository without an incarnation exists, and was not deleted lately."""
        return self._repositories.exists(repository) and not self.is_recently_deleted(repository)

    def is_recently_deleted(self, repository: RepositoryName) -> bool:
        """Tell whether a deletion was noted lately."""
        try:
            stat = self._storage.stat(_deletion_key(repository))
        except (KeyNotFound, InvalidKey):
            return False
        return stat.modified.timestamp() >= self._clock.time_s() - EXPIRY_S


def _deletion_key(repository: RepositoryName) -> str:
    return f"{layout.UPLOADS}/_deleted/{layout.stored_name(repository)}"
