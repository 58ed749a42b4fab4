"""A search index in a database, whichever it is (docs/internals.md, Search)."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from threading import Lock
from typing import Final

from ..clock import SYSTEM_CLOCK, Clock
from ..log import get_logger
from ..names import RepositoryName
from ..registry.repositories import Repositories
from ..storage.base import Storage, StorageError
from ..storage.filesystem import FileStorage
from . import rows as rows_
from .base import MOST_LEFT_OUT, Caller, Found, Hit
from .database import Connection, Database, DatabaseBusy, Dialect, NoDatabase, NoIndexYet
from .facts import FactsReader, may_be_kept
from .questions import Match, Questions
from .rare_warnings import RareWarnings
from .rows import Rows
from .scan import MOST_EXAMINED, ScanSearch
from .upkeep import Upkeep
from .words import Query

log = get_logger(__name__)

#: How long a mark of a change is kept whose process may have been killed, in seconds.
_OLDEST_MARK_S: Final = 600.0

#: How many marked repositories a search reads again.
_MOST_SETTLED: Final = 100

#: How many missed updates are remembered. If there are more, the next walk finds them.
_MOST_MISSED: Final = 10_000

#: How many missed updates are caught up with a later change.
_MOST_CAUGHT_UP: Final = 5

#: Up to this number of hits, each is looked at before it is shown. Longer answers are for machines.
_MOST_CHECKED: Final = 100

#: How often a search is repeated because a hit was wrong.
_ATTEMPTS: Final = 3

#: How long a search waits for a look at the folders that is due.
_LOOK_WAIT_S: Final = 0.03

#: An index that this process cannot look after counts if another one looked at the folders so lately.
_TRUSTED_S: Final = 60.0


class _NotReady(NoDatabase):
    """The index has not everything. That was logged if it should not be so."""


class IndexedSearch:
    """Finds repositories by a database. It is a :class:`~v1registry.search.base.SearchIndex`, and an observer
    of the repositories.

    The tables are made at the first search. Until they are whole, and if the database fails, every repository
    is looked at instead.

    :param scan: looks at every repository.
    :param may_lag: whether a search may go on without a change that another process is writing just now.
        Otherwise it looks at every repository, if that takes too long.
    """

    def __init__(
        self,
        database: Database,
        dialect: Dialect,
        storage: Storage,
        repositories: Repositories,
        *,
        scan: ScanSearch | None = None,
        may_lag: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ):
        self._may_lag = may_lag
        self._storage = storage
        self._repositories = repositories
        self._clock = clock
        self._scan = scan or ScanSearch(repositories)
        self._database = database
        self._warnings = RareWarnings(clock)
        reader = FactsReader(storage, repositories)
        self._rows = Rows(reader, dialect, clock)
        self._questions = Questions(dialect)
        self.upkeep = Upkeep(
            self._database,
            storage,
            reader,
            self._rows,
            clock,
            sees_folders=isinstance(storage, FileStorage),
        )
        self._missed: set[RepositoryName] = set()
        self._lock = Lock()

    # -- SearchIndex

    def find(self, query: str, caller: Caller, start: int, most: int, *, needs_total: bool = True) -> Found:
        """Return a part of what a query finds, the best first: see ``SearchIndex.find``."""
        start = min(start, MOST_LEFT_OUT)
        try:
            return self._find(Query(query), caller, start, most, needs_total)
        except _NotReady:
            pass
        except NoDatabase as error:
            self._warnings.warn("search looks at every repository: %s", error)
        self._begin_to_build()
        return self._scan.find(query, caller, start, most, needs_total=needs_total)

    def names_after(
        self, after: str, caller: Caller, most: int, accepts: Callable[[str], bool]
    ) -> tuple[list[str], str | None]:
        """Return names and where the next part begins: see ``SearchIndex.names_after``."""
        try:
            return self._names_after(after, caller, most, accepts)
        except _NotReady:
            pass
        except NoDatabase as error:
            self._warnings.warn("a list looks at every repository: %s", error)
        self._begin_to_build()
        return self._scan.names_after(after, caller, most, accepts)

    def problems(self) -> list[str]:
        """Try the database; return what is wrong. That there is none yet is not wrong."""
        try:
            with self._database.reading():
                return []
        except NoIndexYet:
            return []
        except NoDatabase as error:
            return [f"search: every repository is looked at: {error}"]

    # -- RebuildableIndex

    def rebuild(self, on_repository: Callable[[RepositoryName], None]) -> None:
        """Build the index again, from nothing.

        :raises NoDatabase: it cannot be written.
        """
        self.upkeep.build(on_repository)

    # -- RepositoryObserver

    @contextmanager
    def changing(self, name: RepositoryName, *, only_appears: bool) -> Iterator[None]:
        """Mark a repository while it is changed, and read it again afterwards. Nothing is raised."""
        token = self._begin(name, only_appears)
        try:
            yield
        finally:
            self._end(name, token, only_appears)

    # -- inside: searching

    @contextmanager
    def _asking(self, *, again: bool = False) -> Iterator[tuple[Connection, Mapping[str, float]]]:
        """Give a connection to an index that has everything, and the numbers of its table ``state``.

        Mostly nothing is due, and one transaction does.

        :param again: whether the same search has had one.
        :raises NoDatabase: the index has not everything, or it failed.
        """
        is_due = (
            again or self._missed or self._rows.doubtful(1) or self.upkeep.is_due or self.upkeep.is_failing
        )
        if not is_due:
            try:
                with self._database.reading() as connection:
                    state, marked = rows_.state_and_marked(connection, 1)
                    if state["is_complete"] and not marked:
                        yield connection, state
                        return
            except NoIndexYet:
                raise _NotReady from None
        if not again and not self._is_ready():
            raise _NotReady
        with self._database.reading() as connection:
            yield connection, rows_.state_and_marked(connection, 0)[0]

    def _is_ready(self) -> bool:
        """Tell whether the index has everything. What changed is read before."""
        try:
            with self._database.reading() as connection:
                state, marked = rows_.state_and_marked(connection, _MOST_SETTLED)
        except NoIndexYet:
            return False
        except NoDatabase as error:
            self._warnings.warn("search looks at every repository: %s", error)
            return False
        if not state["is_complete"]:
            return False
        if (marked or self._missed or self._rows.doubtful(1)) and not self._settle(marked):
            return False
        self.upkeep.wake(wait_s=_LOOK_WAIT_S)
        trusted_s = max(_TRUSTED_S, 2 * self.upkeep.periods.look_s)
        return not self.upkeep.is_failing or abs(self._clock.time_s() - state["looked_at_s"]) < trusted_s

    def _begin_to_build(self) -> None:
        """Let a thread make the index. A search makes no folder for a storage that has none yet."""
        if not isinstance(self._storage, FileStorage) or os.path.isdir(self._storage.path):
            self.upkeep.wake(is_needed=True)

    def _settle(self, marked: list[RepositoryName]) -> bool:
        """Read repositories again whose changes have not ended, or whose updates were missed.

        Tell whether it succeeded.
        """
        with self._lock:
            missed = set(islice(self._missed, _MOST_SETTLED))
        doubtful = self._rows.doubtful(_MOST_SETTLED)
        names = {*marked, *missed, *doubtful}
        try:
            with self._database.writing(names) as connection:
                self._rows.refresh(connection, names)
                rows_.unmark_before(connection, self._clock.time_s() - _OLDEST_MARK_S)
        except (NoDatabase, StorageError) as error:
            if self._may_lag and not missed and isinstance(error, DatabaseBusy):
                return True
            self._warnings.warn("the search index misses recent changes: %s", error)
            return False
        self._rows.settle(doubtful)
        with self._lock:
            self._missed -= missed
        return True

    def _find(self, query: Query, caller: Caller, start: int, most: int, needs_total: bool) -> Found:
        if not query.is_encodable:
            return Found([], False, 0)
        listing = caller.listing()
        hits: list[Hit] = []
        for attempt in range(_ATTEMPTS):
            with self._asking(again=attempt > 0) as (connection, state):
                matches, total = self._questions.find(
                    connection, state, query, listing, start, most + 1, needs_total=needs_total
                )
            wrong = self._wrong(matches[:most], caller)
            if not wrong or attempt == _ATTEMPTS - 1:
                break
            self._note(wrong)
            self._settle([])
        hits = [self._hit(match) for match in matches[:most] if match.name not in wrong]
        return Found(hits, len(matches) > most, total)

    def _wrong(self, matches: list[Match], caller: Caller) -> set[RepositoryName]:
        """Return what the index would show and the storage does not.

        So a repository that has just become private is not shown, whatever the index says.
        """
        wrong = {match.name for match in matches if not caller.may_list(match.name)}
        if len(matches) <= _MOST_CHECKED:
            wrong |= {match.name for match in matches if not self._repositories.exists(match.name)}
        return wrong

    def _names_after(
        self, after: str, caller: Caller, most: int, accepts: Callable[[str], bool]
    ) -> tuple[list[str], str | None]:
        listing, found = caller.listing(), list[str]()
        with self._asking() as (connection, _):
            names = self._questions.names_after(connection, after, listing)
            for examined, name in enumerate(names):
                if len(found) == most or examined == MOST_EXAMINED:
                    return found, after
                after = str(name)
                if accepts(after) and caller.may_list(name):
                    found.append(after)
        return found, None

    def _hit(self, match: Match) -> Hit:
        description = self._repositories.description(match.name) if match.has_description else ""
        return Hit(match.name, description, match.stars)

    # -- inside: changes

    def _begin(self, name: RepositoryName, only_appears: bool) -> str | None:
        """Mark a repository; None if there is no need."""
        try:
            if not may_be_kept(name) or not self._database.exists() or (only_appears and self._has(name)):
                return None
            token = secrets.token_hex(8)
            with self._database.writing(()) as connection:
                rows_.mark(connection, name, token, self._clock.time_s())
            return token
        except NoIndexYet:
            pass
        except (NoDatabase, StorageError) as error:
            self._warnings.warn("the search index may learn of a change of %s later: %s", name, error)
        except Exception:
            log.exception("the search index may learn of a change of %s later", name)
        return None

    def _end(self, name: RepositoryName, token: str | None, only_appears: bool) -> None:
        """Read a repository again, and remove its mark. Changes that were missed before are caught up."""
        try:
            if not may_be_kept(name) or not self._database.exists():
                return
            if only_appears and token is None and self._has(name):
                return
            with self._lock:
                missed = set(islice(self._missed, _MOST_CAUGHT_UP))
            doubtful = self._rows.doubtful(_MOST_CAUGHT_UP)
            names = {name, *missed, *doubtful}
            with self._database.writing(names) as connection:
                self._rows.refresh(connection, names)
                if token is not None:
                    rows_.unmark(connection, token)
            self._rows.settle(doubtful)
            if missed:
                with self._lock:
                    self._missed -= missed
            return
        except NoIndexYet:
            return  # whatever makes it reads the repository
        except (NoDatabase, StorageError) as error:
            self._warnings.warn("the search index will learn of a change of %s later: %s", name, error)
        except Exception:
            log.exception("the search index will learn of a change of %s later", name)
        self._note({name})

    def _has(self, name: RepositoryName) -> bool:
        with self._database.reading() as connection:
            return rows_.has(connection, name)

    def _note(self, names: set[RepositoryName]) -> None:
        """Remember what the next search has to read again."""
        with self._lock:
            if len(self._missed) < _MOST_MISSED:
                self._missed |= names
