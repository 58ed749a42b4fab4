"""The rows of an index in a database: written, compared and removed within a transaction of the caller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice, takewhile
from threading import Lock
from typing import Final

from ..clock import Clock
from ..names import RepositoryName
from .database import Connection, Dialect, NoIndexYet
from .facts import Facts, FactsReader

_SELECT: Final = (
    "SELECT id, folded, text, is_private, stars, has_description, version FROM repositories WHERE name = ?"
)
_INSERT: Final = (
    "INSERT INTO repositories"
    " (name, namespace, is_official, version, folded, text, is_private, stars, has_description)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_OTHER: Final = (
    "INSERT INTO others (name, namespace, version) VALUES (?, ?, ?)"
    " ON CONFLICT (name) DO UPDATE SET version = excluded.version"
)
_UPDATE: Final = (
    "UPDATE repositories SET (folded, text, is_private, stars, has_description) = (?, ?, ?, ?, ?)"
    " WHERE id = ?"
)


class _Counts:
    """How the numbers of the table ``state`` change by a transaction."""

    def __init__(self) -> None:
        self.rows = self.repositories = self.public = 0

    def write(self, connection: Connection) -> None:
        """Write them. It is the last thing of a transaction: others that change rows wait from here on."""
        if self.rows:
            connection.execute("UPDATE state SET value = value + ? WHERE key = 'changes'", (self.rows,))
        if self.repositories or self.public:
            connection.execute(
                "UPDATE state SET value = value + CASE key WHEN 'public' THEN ? ELSE ? END"
                " WHERE key IN ('public', 'repositories')",
                (self.public, self.repositories),
            )


#: The numbers of the table ``state`` that a search may need.
_NUMBERS: Final = frozenset({"is_complete", "looked_at_s", "repositories", "public", "changes"})

#: How long after its row was removed a repository is read once more, in seconds. A push that took it for
#: indexed, and so wrote no mark, has ended by then, or was killed.
_DOUBTED_AFTER_S: Final = 120.0

#: How many removed repositories are remembered for that. If there are more, the next walk finds them.
_MOST_REMOVED: Final = 10_000


class Rows:
    """Writes rows. Safe for threads."""

    def __init__(self, reader: FactsReader, dialect: Dialect, clock: Clock):
        self._reader = reader
        self._dialect = dialect
        self._clock = clock
        self._lock = Lock()  # guards the attribute below
        #: repository -> when this process removed its row, the earliest first
        self._removed: dict[RepositoryName, float] = {}

    def doubtful(self, most: int) -> Mapping[RepositoryName, float]:
        """Return repositories whose rows this process removed so long ago that they are read once more.

        Each has the time of its removal, for :meth:`settle`.
        """
        until_s = self._clock.monotonic_s() - _DOUBTED_AFTER_S
        with self._lock:
            due = takewhile(lambda item: item[1] <= until_s, self._removed.items())
            return dict(islice(due, most))

    def settle(self, doubtful: Mapping[RepositoryName, float]) -> None:
        """Forget doubtful repositories, which were read once more, but not those removed again since."""
        with self._lock:
            for name, removed_s in doubtful.items():
                if self._removed.get(name) == removed_s:
                    del self._removed[name]

    def refresh(self, connection: Connection, names: Iterable[RepositoryName]) -> None:
        """Write what the storage has of the repositories.

        :param connection: from ``writing(names)``. The facts are read while nothing else writes these rows.
            So the last transaction for a repository has its last facts.
        """
        counts = _Counts()
        for name, version, facts in self._reader.read_all(names):
            counts.rows += self._put(connection, name, facts, version, counts)
        counts.write(connection)

    def complete(self, connection: Connection) -> None:
        """Write that the index has everything."""
        if not state_of(connection, "is_complete")[0]:
            self._dialect.built(connection)
            set_state(connection, "is_complete", 1)

    def _put(
        self,
        connection: Connection,
        name: RepositoryName,
        facts: Facts | None,
        version: str,
        counts: _Counts,
    ) -> bool:
        text = str(name)
        old = connection.execute(_SELECT, (text,)).fetchone()
        if facts is None:
            if old is not None:
                self._remove(connection, old[0], old[2])
                self._note_removed(name)
                counts.repositories -= 1
                counts.public -= 1 - old[3]
            connection.execute(_INSERT_OTHER, (text, name.namespace, version))
            return old is not None
        folded = facts.text[: facts.text.index("\n")]
        new = (
            None if folded == text else folded,
            facts.text,
            int(facts.is_private),
            facts.stars,
            int(facts.has_description),
        )
        if old is None:
            connection.execute("DELETE FROM others WHERE name = ?", (text,))
            row = self._dialect.insert(
                connection, _INSERT, (text, name.namespace, int(name.is_official), version, *new)
            )
            self._dialect.add_words(connection, row, facts.text)
            counts.repositories += 1
            counts.public += 1 - new[2]
            if facts.collaborators:
                _set_collaborators(connection, row, facts.collaborators)
            return True
        row, before, version_before = old[0], tuple(old[1:6]), old[6]
        is_changed = before != new
        if is_changed:
            if before[1] != new[1]:
                self._dialect.remove_words(connection, row, before[1])
            connection.execute(_UPDATE, (*new, row))
            if before[1] != new[1]:
                self._dialect.add_words(connection, row, new[1])
            counts.public += before[2] - new[2]
        if version != version_before:
            connection.execute("UPDATE repositories SET version = ? WHERE id = ?", (version, row))
        return _set_collaborators(connection, row, facts.collaborators) or is_changed

    def _note_removed(self, name: RepositoryName) -> None:
        with self._lock:
            self._removed.pop(name, None)
            if len(self._removed) < _MOST_REMOVED:
                self._removed[name] = self._clock.monotonic_s()

    def _remove(self, connection: Connection, row: int, text: str) -> None:
        self._dialect.remove_words(connection, row, text)
        connection.execute("DELETE FROM repositories WHERE id = ?", (row,))
        connection.execute("DELETE FROM collaborators WHERE repository = ?", (row,))


def _set_collaborators(connection: Connection, row: int, wanted: frozenset[tuple[str, str]]) -> bool:
    """Write the collaborators of a repository; tell whether they changed."""
    stored = connection.execute(
        "SELECT username, account FROM collaborators WHERE repository = ?", (row,)
    ).fetchall()
    if wanted == frozenset(stored):
        return False
    connection.execute("DELETE FROM collaborators WHERE repository = ?", (row,))
    connection.executemany(
        "INSERT INTO collaborators VALUES (?, ?, ?)", [(*one, row) for one in sorted(wanted)]
    )
    return True


def state_of(connection: Connection, *keys: str) -> list[float]:
    """Return numbers of the table ``state``.

    :raises NoIndexYet: it was emptied.
    """
    found = dict(connection.execute("SELECT key, value FROM state"))
    if not found.keys() >= set(keys):
        raise NoIndexYet("the index was emptied")
    return [found[key] for key in keys]


def set_state(connection: Connection, key: str, value: float) -> None:
    """Write a number of the table ``state``."""
    connection.execute("UPDATE state SET value = ? WHERE key = ?", (value, key))


def mark(connection: Connection, name: RepositoryName, token: str, now_s: float) -> None:
    """Write that a change of a repository is under way."""
    connection.execute(
        "INSERT INTO dirty VALUES (?, ?, ?, ?)", (token, name.namespace, name.repository, now_s)
    )


def unmark(connection: Connection, token: str) -> None:
    """Write that a change has ended."""
    connection.execute("DELETE FROM dirty WHERE token = ?", (token,))


def has(connection: Connection, name: RepositoryName) -> bool:
    """Tell whether the index has a repository."""
    found = connection.execute("SELECT 1 FROM repositories WHERE name = ?", (str(name),))
    return found.fetchone() is not None


def state_and_marked(connection: Connection, most: int) -> tuple[Mapping[str, float], list[RepositoryName]]:
    """Return all numbers of the table ``state``, and repositories whose changes have not ended.

    :param most: how many repositories are returned.
    :raises NoIndexYet: the table was emptied.
    """
    found = connection.execute(
        "SELECT key, NULL, value FROM state UNION ALL SELECT namespace, repository, NULL"
        " FROM (SELECT DISTINCT namespace, repository FROM dirty LIMIT ?) AS marked",
        (most,),
    ).fetchall()
    state = {key: value for key, repository, value in found if repository is None}
    if not state.keys() >= _NUMBERS:
        raise NoIndexYet("the index was emptied")
    return state, [RepositoryName(*row[:2]) for row in found if row[1] is not None]


def unmark_before(connection: Connection, time_s: float) -> None:
    """Remove the marks that are older than a time. Their processes were killed."""
    connection.execute("DELETE FROM dirty WHERE since_s < ?", (time_s,))
