"""The rows of the SQLite index: written, compared and removed within a transaction of the caller."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ..names import RepositoryName
from .facts import Facts, FactsReader
from .schema import has_trigrams

if TYPE_CHECKING:
    import sqlite3

_SELECT: Final = (
    "SELECT id, folded, text, is_private, stars, has_description, version FROM repositories WHERE name = ?"
)
_INSERT: Final = (
    "INSERT INTO repositories"
    " (name, namespace, is_official, version, folded, text, is_private, stars, has_description)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_UPDATE: Final = (
    "UPDATE repositories SET (folded, text, is_private, stars, has_description) = (?, ?, ?, ?, ?)"
    " WHERE id = ?"
)


class Rows:
    """Writes rows."""

    def __init__(self, reader: FactsReader):
        self._reader = reader

    def refresh(self, connection: sqlite3.Connection, names: Iterable[RepositoryName]) -> int:
        """Write what the storage has of the repositories; return how many rows changed.

        The facts are read while the transaction holds the lock of writers. So the last transaction for a
        repository has its last facts.
        """
        changed = 0
        for name in names:
            # the version first: a change between the two is seen by the next look
            version = self._reader.version(name)
            changed += self._put(connection, name, self._reader.read(name), version)
        if changed:
            connection.execute("UPDATE state SET value = value + ? WHERE key = 'changes'", (changed,))
        return changed

    def _put(
        self, connection: sqlite3.Connection, name: RepositoryName, facts: Facts | None, version: str
    ) -> bool:
        text = str(name)
        old = connection.execute(_SELECT, (text,)).fetchone()
        if facts is None:
            if old is not None:
                self._remove(connection, old[0], old[2], old[3])
            connection.execute(
                "INSERT OR REPLACE INTO others VALUES (?, ?, ?)", (text, name.namespace, version)
            )
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
            row = connection.execute(
                _INSERT,
                (text, name.namespace, int(name.is_official), version, *new),
            ).lastrowid
            assert row is not None
            self._add_words(connection, row, facts.text)
            _count(connection, 1, 1 - new[2])
            if facts.collaborators:
                _set_collaborators(connection, row, facts.collaborators)
            return True
        row, before, version_before = old[0], tuple(old[1:6]), old[6]
        is_changed = before != new
        if is_changed:
            if before[1] != new[1]:
                self._remove_words(connection, row, before[1])
            connection.execute(_UPDATE, (*new, row))
            if before[1] != new[1]:
                self._add_words(connection, row, new[1])
            _count(connection, 0, before[2] - new[2])
        if version != version_before:
            connection.execute("UPDATE repositories SET version = ? WHERE id = ?", (version, row))
        return _set_collaborators(connection, row, facts.collaborators) or is_changed

    def _remove(self, connection: sqlite3.Connection, row: int, text: str, is_private: int) -> None:
        self._remove_words(connection, row, text)
        connection.execute("DELETE FROM repositories WHERE id = ?", (row,))
        connection.execute("DELETE FROM collaborators WHERE repository = ?", (row,))
        _count(connection, -1, is_private - 1)

    def _add_words(self, connection: sqlite3.Connection, row: int, text: str) -> None:
        if has_trigrams():
            connection.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (row, text))

    def _remove_words(self, connection: sqlite3.Connection, row: int, text: str) -> None:
        if has_trigrams():
            connection.execute("INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)", (row, text))


def _count(connection: sqlite3.Connection, repositories: int, public: int) -> None:
    if repositories or public:
        connection.execute(
            "UPDATE state SET value = value + CASE key WHEN 'public' THEN ? ELSE ? END"
            " WHERE key IN ('public', 'repositories')",
            (public, repositories),
        )


def _set_collaborators(connection: sqlite3.Connection, row: int, wanted: frozenset[tuple[str, str]]) -> bool:
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


def state_of(connection: sqlite3.Connection, *keys: str) -> list[float]:
    """Return numbers of the table ``state``."""
    found = dict(connection.execute("SELECT key, value FROM state"))
    return [found[key] for key in keys]


def mark(connection: sqlite3.Connection, name: RepositoryName, token: str, now_s: float) -> None:
    """Write that a change of a repository is under way."""
    connection.execute(
        "INSERT INTO dirty VALUES (?, ?, ?, ?)", (token, name.namespace, name.repository, now_s)
    )


def unmark(connection: sqlite3.Connection, token: str) -> None:
    """Write that a change has ended."""
    connection.execute("DELETE FROM dirty WHERE token = ?", (token,))


def has(connection: sqlite3.Connection, name: RepositoryName) -> bool:
    """Tell whether the index has a repository."""
    found = connection.execute("SELECT 1 FROM repositories WHERE name = ?", (str(name),))
    return found.fetchone() is not None


def marked(connection: sqlite3.Connection, most: int) -> list[RepositoryName]:
    """Return repositories whose changes have not ended."""
    found = connection.execute("SELECT DISTINCT namespace, repository FROM dirty LIMIT ?", (most,))
    return [RepositoryName(*row) for row in found]


def unmark_before(connection: sqlite3.Connection, time_s: float) -> None:
    """Remove the marks that are older than a time. Their processes were killed."""
    connection.execute("DELETE FROM dirty WHERE since_s < ?", (time_s,))
