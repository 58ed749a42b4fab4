"""The search index in an SQLite database beside the folder of the storage (docs/internals.md, Search)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..clock import SYSTEM_CLOCK, Clock
from ..registry.repositories import Repositories
from ..rights import Listing
from ..storage.base import Storage
from .conditions import ALWAYS, LONGEST_PART, Where, chosen, phrases_of, visible
from .indexed import IndexedSearch
from .questions import count_of
from .sqlite_database import SqliteDatabase
from .sqlite_schema import has_trigrams
from .words import Query, Word

if TYPE_CHECKING:
    import sqlite3

#: Up to this number of matches, their rows are found by their numbers.
_MOST_NAMED: Final = 500


class SqliteSearch(IndexedSearch):
    """Finds repositories by a database in a file.

    :param folder: the path of the folder of the database, which has nothing else in it.
    """

    def __init__(
        self, folder: str, storage: Storage, repositories: Repositories, *, clock: Clock = SYSTEM_CLOCK
    ):
        super().__init__(SqliteDatabase(folder), SqliteDialect(), storage, repositories, clock=clock)


class SqliteDialect:
    """How an SQLite database is asked: an FTS5 table of trigrams has the words."""

    most_sorted = 2_000

    def insert(self, connection: sqlite3.Connection, statement: str, values: Sequence[Any]) -> int:
        """Insert a row into ``repositories`` and return its id."""
        row = connection.execute(statement, values).lastrowid
        assert row is not None
        return row

    def add_words(self, connection: sqlite3.Connection, row: int, text: str) -> None:
        """Add the text of a row to the index of words."""
        if has_trigrams():
            connection.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (row, text))

    def remove_words(self, connection: sqlite3.Connection, row: int, text: str) -> None:
        """Remove the text of a row from the index of words."""
        if has_trigrams():
            connection.execute("INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)", (row, text))

    def built(self, connection: sqlite3.Connection) -> None:
        """Do nothing: the statements are made for what SQLite does without statistics."""

    def stream(
        self, connection: sqlite3.Connection, statement: str, values: Sequence[Any], *, is_whole: bool
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a statement. They are read only as they are asked for."""
        return connection.execute(statement, values)

    def merged(self, selects: list[str], order: str, limits: tuple[int, int] | None) -> str:
        """Return the statement that gives the rows of several statements in one order."""
        statement = f"{' UNION ALL '.join(selects)} ORDER BY {order}"
        return statement if limits is None else f"{statement} LIMIT {limits[0]} OFFSET {limits[1]}"

    def has_words(self, query: Query) -> Where:
        """Return the condition that rows have the words of a query."""
        return _all_of(query.words)

    def rest(self, query: Query) -> list[Word]:
        """Return no words: the database calls Python for those that are difficult."""
        return []

    def few(
        self, connection: sqlite3.Connection, columns: str, query: Query, listing: Listing
    ) -> list[tuple[Any, ...]] | None:
        """Return all rows that match, in any order; None if they are more than ``most_sorted``."""
        source, where = _matching(query)
        phrases, rest = _asked(query)
        if phrases:
            found = connection.execute(
                f"SELECT rowid FROM words WHERE words MATCH ? LIMIT {self.most_sorted + 1}", (phrases,)
            ).fetchall()
            # to see that there are too many is much faster than to read them
            if len(found) > self.most_sorted:
                return None
            if len(found) <= _MOST_NAMED:
                source = "repositories"
                where = Where(f"id IN ({', '.join(str(row) for (row,) in found)})") & _all_of(rest)
        where &= visible(listing)
        rows = connection.execute(
            f"SELECT {columns} FROM {source} WHERE {where.text} LIMIT {self.most_sorted + 1}", where.values
        ).fetchall()
        return rows if len(rows) <= self.most_sorted else None

    def count(self, connection: sqlite3.Connection, query: Query, listing: Listing) -> int:
        """Return how many rows match."""
        source, where = _matching(query)
        phrases, rest = _asked(query)
        if not phrases or rest or not (listing.is_everything or listing.has_public):
            return count_of(connection, source, where & visible(listing))
        # the index of words alone is faster; what the caller may not see is subtracted
        total = count_of(connection, "words", where)
        if not listing.is_everything:
            some = chosen(listing)
            hidden = Where(f"is_private = 1 AND NOT {some.text}", some.values) & _all_of(query.words)
            total -= count_of(connection, "repositories", hidden)
        return total


def _matching(query: Query) -> tuple[str, Where]:
    """Return from which tables the rows of a query come, and their condition.

    The condition is that of the table of words alone if that suffices.
    """
    phrases, rest = _asked(query)
    if not phrases:
        return "repositories", _all_of(rest)
    where = Where("words MATCH ?", (phrases,)) & _all_of(rest)
    return "words CROSS JOIN repositories ON repositories.id = words.rowid", where


def _asked(query: Query) -> tuple[str, list[Word]]:
    """Return what the table of words is asked, and the words for which the rows must be looked at besides.

    The first is empty if the table cannot be asked.
    """
    if not has_trigrams():
        return "", query.words
    phrases, rest = phrases_of(query)
    return " ".join('"' + phrase.replace('"', '""') + '"' for phrase in phrases), rest


def _all_of(words: list[Word]) -> Where:
    """Return the condition that rows have all of the words."""
    where = ALWAYS
    for word in words:
        if word.has_wildcard or len(word.text) > LONGEST_PART:
            where &= Where("has_word(repositories.text, ?)", (word.text,))
        else:
            where &= Where("instr(repositories.text, ?) > 0", (word.text,))
    return where
