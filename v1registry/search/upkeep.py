"""Keeps the SQLite index right: builds it, and finds what other programs changed in the folder.

All of it is one walk over the folders of the storage, in small transactions with pauses between. Whatever is
interrupted is continued by the next walk, because each row says for which state of its folder it is right.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from threading import Lock, Thread
from typing import TYPE_CHECKING, Final, TypeVar

from ..clock import Clock
from ..log import get_logger
from ..names import RepositoryName
from ..registry import layout
from ..registry.repositories import Repositories
from ..storage.base import Storage, StorageError
from .database import Database, DatabaseBusy, NoDatabase
from .facts import FactsReader
from .rows import Rows

if TYPE_CHECKING:
    import sqlite3

log = get_logger(__name__)

#: How often the folders of namespaces are looked at, in seconds, if there are searches.
LOOK_S: Final = 2.0

#: How often the folders of all repositories are looked at.
WALK_S: Final = 60.0

#: How long a failed attempt is not repeated, in seconds.
_RETRY_S: Final = 1.0

#: A walk whose process has not been heard of for this long is continued by another process.
_ABANDONED_S: Final = 30.0

#: Pauses are this many times as long as the work between them: while an index is built, and of a walk.
_BUILD_PAUSE: Final = 1.0
_WALK_PAUSE: Final = 4.0

#: How many repositories are read in one transaction. Writers wait meanwhile.
_AT_ONCE: Final = 50

#: How many folders are looked at before a pause, if none has changed.
_LOOKED_AT: Final = 500

T = TypeVar("T")


class Upkeep:
    """Walks over the folders of a storage.

    :param sees_folders: whether the version of a folder of the storage changes with each folder in it.
    """

    def __init__(
        self,
        database: Database,
        storage: Storage,
        repositories: Repositories,
        reader: FactsReader,
        rows: Rows,
        clock: Clock,
        *,
        sees_folders: bool,
    ):
        self._database = database
        self._storage = storage
        self._repositories = repositories
        self._reader = reader
        self._rows = rows
        self._clock = clock
        self._sees_folders = sees_folders
        self._lock = Lock()
        self._thread: Thread | None = None
        self._next_look_s = self._next_walk_s = self._next_try_s = float("-inf")
        self._is_checked = False
        #: whether the last attempt failed because the database could not be written
        self.is_failing = False

    def wake(self, *, is_needed: bool = False, wait_s: float = 0.0) -> None:
        """Start what is due in a thread of its own, unless it runs.

        :param is_needed: there is no whole index.
        :param wait_s: how long to wait for the end.
        """
        now_s = self._clock.monotonic_s()
        if now_s < (self._next_try_s if is_needed else min(self._next_look_s, self._next_walk_s)):
            return
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return
            self._thread = thread = Thread(target=self._run, name="v1registry-search", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is ending, or threads are off
                self._thread = None
                return
        thread.join(wait_s)

    def wait(self, timeout_s: float) -> None:
        """Wait for the end of what runs."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)

    def build(self, on_repository: Callable[[RepositoryName], None]) -> None:
        """Build the index again, without pauses.

        :param on_repository: called for each repository that was read.
        :raises NoDatabase: the index cannot be written.
        """
        self._database.create(replaces=True)
        self._walk(0.0, on_repository, takes_over=True)

    def _run(self) -> None:
        try:
            self._do_what_is_due()
            self.is_failing = False
            return
        except NoDatabase as error:
            self.is_failing = True
            log.info("the search index is not looked after now: %s", error)
        except StorageError as error:
            log.warning("the search index is not looked after now: %s", error)
        except Exception:
            log.exception("the upkeep of the search index failed")
        now_s = self._clock.monotonic_s()
        self._next_try_s, self._next_look_s = now_s + _RETRY_S, now_s + LOOK_S

    def _do_what_is_due(self) -> None:
        self._database.create()
        if not self._is_checked:
            self._database.check()
            self._is_checked = True
        if not self._is_complete():
            self._walk(_BUILD_PAUSE)
            if not self._is_complete():
                # another process is building
                self._next_try_s = self._clock.monotonic_s() + _RETRY_S
                return
        started_s = self._clock.monotonic_s()
        if started_s >= self._next_look_s and self._claim("looked_at_s", LOOK_S):
            for folder, namespace in self._namespaces():
                self._look_into(folder, namespace, is_whole=False)
        # a look takes at most a twentieth of the time
        now_s = self._clock.monotonic_s()
        self._next_look_s = now_s + max(LOOK_S, 20 * (now_s - started_s))
        if now_s >= self._next_walk_s:
            if self._claim("walked_at_s", WALK_S):
                self._walk(_WALK_PAUSE)
            ended_s = self._clock.monotonic_s()
            self._next_walk_s = ended_s + max(WALK_S, 4 * (ended_s - now_s))

    def _is_complete(self) -> bool:
        with self._database.reading() as connection:
            return bool(_value(connection, "is_complete"))

    def _claim(self, key: str, period_s: float) -> bool:
        """Tell whether this process does what is due once in a period, and note the time."""
        now_s = self._clock.time_s()
        with self._database.reading() as connection:
            last_s = _value(connection, key)
        if last_s <= now_s < last_s + period_s / 2:
            return False
        self._set(key, now_s)
        return True

    def _set(self, key: str, value: object) -> None:
        with self._database.writing() as connection:
            connection.execute("UPDATE state SET value = ? WHERE key = ?", (value, key))

    # -- walks

    def _walk(
        self,
        pause: float,
        on_repository: Callable[[RepositoryName], None] = lambda name: None,
        *,
        takes_over: bool = False,
    ) -> None:
        """Look at all repositories; afterwards the index is whole. Another process may be doing it.

        :param pause: how long pauses are, as a multiple of the work.
        :param takes_over: end the walk of another process.
        """
        token = secrets.token_hex(8)
        if not self._become_walker(token, takes_over):
            return
        pacer = _Pacer(pause)
        for folder, namespace in self._namespaces():
            self._keep_walking(token)
            self._look_into(folder, namespace, is_whole=True, pacer=pacer, token=token, seen=on_repository)
        with self._database.writing() as connection:
            connection.execute("UPDATE state SET value = 1 WHERE key = 'is_complete'")
            connection.execute("UPDATE state SET value = '' WHERE key = 'walker'")

    def _become_walker(self, token: str, takes_over: bool) -> bool:
        now_s = self._clock.time_s()
        with self._database.writing() as connection:
            seen_s = _value(connection, "walker_seen_s")
            is_free = takes_over or _is_walker(connection, "")
            if not is_free and seen_s <= now_s < seen_s + _ABANDONED_S:
                return False
            connection.execute("UPDATE state SET value = ? WHERE key = 'walker'", (token,))
            connection.execute("UPDATE state SET value = ? WHERE key = 'walker_seen_s'", (now_s,))
        return True

    def _keep_walking(self, token: str) -> None:
        """Say that the walk goes on.

        :raises NoDatabase: another process has taken it over.
        """
        with self._database.reading() as connection:
            if not _is_walker(connection, token):
                raise NoDatabase("another process walks over the repositories")
            seen_s = _value(connection, "walker_seen_s")
        now_s = self._clock.time_s()
        if not seen_s <= now_s < seen_s + _ABANDONED_S / 10:
            self._set("walker_seen_s", now_s)

    def _namespaces(self) -> Iterator[tuple[str, str]]:
        """Yield the folders of all namespaces, and of those that the index still has, with their names."""
        version = (self._storage.folder_version(layout.REPOSITORIES) or "") if self._sees_folders else ""
        with self._database.reading() as connection:
            known = dict(connection.execute("SELECT folder, version FROM namespaces"))
        # the row of the root has an empty name
        is_same = version and known.pop("", None) == version
        there = set() if is_same else set(self._storage.list_folders(layout.REPOSITORIES))
        for folder in sorted((known.keys() | there) - {""}):
            yield folder, layout.unstore_part(folder)
        with self._database.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO namespaces VALUES ('', '', ?)", (version,))

    def _look_into(
        self,
        folder: str,
        namespace: str,
        *,
        is_whole: bool,
        pacer: _Pacer | None = None,
        token: str = "",
        seen: Callable[[RepositoryName], None] = lambda name: None,
    ) -> None:
        """Compare a namespace with its rows, and read what differs.

        :param is_whole: look at the folder of each repository too, not only which there are.
        """
        place = f"{layout.REPOSITORIES}/{folder}"
        version = (self._storage.folder_version(place) or "") if self._sees_folders else ""
        with self._database.reading() as connection:
            row = connection.execute("SELECT version FROM namespaces WHERE folder = ?", (folder,)).fetchone()
        if not is_whole and version and row is not None and row[0] == version:
            return
        pacer = pacer or _Pacer(_WALK_PAUSE)
        # in the order of their names, so that the names of the storage and of the index can be merged
        there = {layout.repository_from_folders(folder, name) for name in self._storage.list_folders(place)}
        known = self._known(namespace)
        different = sorted(there.symmetric_difference(known), key=str)
        for some in _parts(different, _AT_ONCE):
            self._refresh(some, pacer)
            for name in some:
                seen(name)
            if token:
                self._keep_walking(token)
        if is_whole:
            for names in _parts(sorted(there & known.keys(), key=str), _LOOKED_AT):
                stale = [name for name in names if self._reader.version(name) != (known[name] or None)]
                for some in _parts(stale, _AT_ONCE):
                    self._refresh(some, pacer)
                pacer.rest()
                if token:
                    self._keep_walking(token)
        with self._database.writing() as connection:
            if there:
                connection.execute(
                    "INSERT OR REPLACE INTO namespaces VALUES (?, ?, ?)", (folder, namespace, version)
                )
            else:
                connection.execute("DELETE FROM namespaces WHERE folder = ?", (folder,))
            # folders that are gone need no row
            gone = [(str(name),) for name in different if name not in there]
            connection.executemany("DELETE FROM others WHERE name = ?", gone)

    def _known(self, namespace: str) -> dict[RepositoryName, str]:
        """Return repository -> version of its folder, of all rows of a namespace."""
        start = len(namespace) + 1
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT name, version FROM repositories WHERE namespace = ? "
                "UNION ALL SELECT name, version FROM others WHERE namespace = ?",
                (namespace, namespace),
            )
            return {RepositoryName(namespace, name[start:]): version for name, version in rows}

    def _refresh(self, names: list[RepositoryName], pacer: _Pacer) -> None:
        for attempt in range(20):
            try:
                with self._database.writing() as connection:
                    self._rows.refresh(connection, names)
                break
            except DatabaseBusy:
                if attempt == 19:
                    raise
        pacer.rest()


class _Pacer:
    """Makes pauses in work.

    :param pause: how long they are, as a multiple of the work.
    """

    def __init__(self, pause: float):
        self._pause = pause
        self._since_s = time.monotonic()

    def rest(self) -> None:
        """Pause for the work since the last pause."""
        if self._pause:
            time.sleep(min(1.0, self._pause * (time.monotonic() - self._since_s)))
        self._since_s = time.monotonic()


def _parts(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part


def _value(connection: sqlite3.Connection, key: str) -> float:
    found: float = connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()[0]
    return found


def _is_walker(connection: sqlite3.Connection, token: str) -> bool:
    found = connection.execute("SELECT 1 FROM state WHERE key = 'walker' AND value = ?", (token,))
    return found.fetchone() is not None
