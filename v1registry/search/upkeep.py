"""Keeps an index in a database right: builds it, and finds what other programs changed in the storage.

All of it is one walk over the folders of the storage, in small transactions with pauses between. Whatever is
interrupted is continued by the next walk, because each row says for which state of its folder it is right.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from threading import Lock, Thread
from typing import Final, TypeVar

from ..clock import Clock
from ..log import get_logger
from ..names import RepositoryName
from ..registry import layout
from ..storage.base import Storage, StorageError
from .database import Database, DatabaseBusy, NoDatabase
from .facts import FactsReader, may_be_kept
from .rows import Rows, set_state, state_of

log = get_logger(__name__)


@dataclass(frozen=True)
class Periods:
    """How often other programs are looked for, if there are searches."""

    look_s: float  #: between looks at the folders of namespaces
    walk_s: float  #: between looks at the folders of all repositories


#: Of a folder or of memory, and of storages that are far away: each look is a request for each namespace, and
#: each walk some for each repository.
NEAR: Final = Periods(2.0, 60.0)
FAR: Final = Periods(300.0, 3600.0)

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

_INSERT_NAMESPACE: Final = (
    "INSERT INTO namespaces (folder, namespace, version) VALUES (?, ?, ?)"
    " ON CONFLICT (folder) DO UPDATE SET namespace = excluded.namespace, version = excluded.version"
)

T = TypeVar("T")


class Upkeep:
    """Walks over the folders of a storage.

    :param sees_folders: whether the version of a folder of the storage changes with each folder in it.
    """

    def __init__(
        self,
        database: Database,
        storage: Storage,
        reader: FactsReader,
        rows: Rows,
        clock: Clock,
        *,
        sees_folders: bool,
    ):
        self._database = database
        self._storage = storage
        self._reader = reader
        self._rows = rows
        self._clock = clock
        self._sees_folders = sees_folders
        self.periods = FAR if reader.is_far else NEAR
        self._lock = Lock()
        self._thread: Thread | None = None
        self._next_look_s = self._next_walk_s = self._next_try_s = float("-inf")
        self._is_checked = False
        #: whether the last attempt failed because the database could not be written
        self.is_failing = False

    @property
    def is_due(self) -> bool:
        """Whether :meth:`wake` starts something, if there is a whole index."""
        if self._clock.monotonic_s() < min(self._next_look_s, self._next_walk_s):
            return False
        thread = self._thread
        return thread is None or not thread.is_alive()

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
        self._next_try_s, self._next_look_s = now_s + _RETRY_S, now_s + self.periods.look_s

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
        if started_s >= self._next_look_s and self._claim("looked_at_s", self.periods.look_s):
            for folder, namespace in self._namespaces():
                self._look_into(folder, namespace, is_whole=False)
        # a look takes at most a twentieth of the time
        now_s = self._clock.monotonic_s()
        self._next_look_s = now_s + max(self.periods.look_s, 20 * (now_s - started_s))
        if now_s >= self._next_walk_s:
            if self._claim("walked_at_s", self.periods.walk_s):
                self._walk(_WALK_PAUSE)
            ended_s = self._clock.monotonic_s()
            self._next_walk_s = ended_s + max(self.periods.walk_s, 4 * (ended_s - now_s))

    def _is_complete(self) -> bool:
        with self._database.reading() as connection:
            return bool(state_of(connection, "is_complete")[0])

    def _claim(self, key: str, period_s: float) -> bool:
        """Tell whether this process does what is due once in a period, and note the time."""
        now_s = self._clock.time_s()
        with self._database.reading() as connection:
            (last_s,) = state_of(connection, key)
        if last_s <= now_s < last_s + period_s / 2:
            return False
        self._set(key, now_s)
        return True

    def _set(self, key: str, value: float) -> None:
        with self._database.writing() as connection:
            set_state(connection, key, value)

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
        token = 1 + secrets.randbits(48)
        if not self._become_walker(token, takes_over):
            return
        pacer = _Pacer(pause)
        for folder, namespace in self._namespaces():
            self._keep_walking(token)
            self._look_into(folder, namespace, is_whole=True, pacer=pacer, token=token, seen=on_repository)
        with self._database.writing() as connection:
            self._rows.complete(connection)
            set_state(connection, "walker", 0)

    def _become_walker(self, token: int, takes_over: bool) -> bool:
        now_s = self._clock.time_s()
        with self._database.writing() as connection:
            walker, seen_s = state_of(connection, "walker", "walker_seen_s")
            if walker and not takes_over and seen_s <= now_s < seen_s + _ABANDONED_S:
                return False
            set_state(connection, "walker", token)
            set_state(connection, "walker_seen_s", now_s)
        return True

    def _keep_walking(self, token: int) -> None:
        """Say that the walk goes on.

        :raises NoDatabase: another process has taken it over.
        """
        with self._database.reading() as connection:
            walker, seen_s = state_of(connection, "walker", "walker_seen_s")
        if walker != token:
            raise NoDatabase("another process walks over the repositories")
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
            connection.execute(_INSERT_NAMESPACE, ("", "", version))

    def _look_into(
        self,
        folder: str,
        namespace: str,
        *,
        is_whole: bool,
        pacer: _Pacer | None = None,
        token: int = 0,
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
        found = (layout.repository_from_folders(folder, name) for name in self._storage.list_folders(place))
        there = set(filter(may_be_kept, found))
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
                versions = self._reader.versions(names)
                stale = [
                    name
                    for name, version_now in zip(names, versions, strict=True)
                    if version_now != (known[name] or None)
                ]
                for some in _parts(stale, _AT_ONCE):
                    self._refresh(some, pacer)
                pacer.rest()
                if token:
                    self._keep_walking(token)
        with self._database.writing() as connection:
            if there:
                connection.execute(_INSERT_NAMESPACE, (folder, namespace, version))
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
                with self._database.writing(names) as connection:
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
