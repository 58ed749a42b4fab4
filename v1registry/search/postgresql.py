"""The search index in a PostgreSQL database, for many instances over one storage (docs/internals.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from ..clock import SYSTEM_CLOCK, Clock
from ..registry.repositories import Repositories
from ..rights import Listing
from ..storage.base import Storage
from .conditions import ALWAYS, LONGEST_PART, Where, phrases_of, visible
from .database import Connection
from .indexed import IndexedSearch
from .postgresql_database import PostgresDatabase
from .postgresql_pool import CONNECT_S
from .questions import count_of
from .scan import ScanSearch
from .words import Query, Word

#: How many connections a process has at most, if the URL does not say it.
_CONNECTIONS: Final = 5
_MOST_CONNECTIONS: Final = 100

#: How long a search looks at repositories while the database fails, in seconds.
_SCAN_S: Final = 5.0

#: How many parts of a word with wildcards the database looks for.
_MOST_PARTS: Final = 8

#: How many rows are read at once: few at first, since most callers read few.
_FIRST_ROWS: Final = 100
_FURTHER_ROWS: Final = 500

#: What is added to a URL that does not say otherwise: a server that is gone is noticed within seconds.
_PARAMETERS: Final = {
    "connect_timeout": str(CONNECT_S),
    "application_name": "v1registry",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}


class PostgresSearch(IndexedSearch):
    """Finds repositories by a database of a PostgreSQL server.

    :param url: ``postgresql://USER@HOST/DATABASE``, as libpq takes it, and besides the parameter
        ``connections``: how many a process has at most.
    :raises ValueError: the URL is invalid, or psycopg is missing. The text has no password.
    """

    def __init__(
        self, url: str, storage: Storage, repositories: Repositories, *, clock: Clock = SYSTEM_CLOCK
    ):
        super().__init__(
            PostgresDatabase(*_connections_of(url)),
            PostgresDialect(),
            storage,
            repositories,
            scan=ScanSearch(repositories, most_s=_SCAN_S),
            # many searches may wait for one slow read of the storage
            may_lag=True,
            clock=clock,
        )


class PostgresDialect:
    """How a PostgreSQL database is asked: an index of pg_trgm has the words."""

    most_sorted = 2_000

    def __init__(self) -> None:
        self._numbers = count()

    def insert(self, connection: Connection, statement: str, values: Sequence[Any]) -> int:
        """Insert a row into ``repositories`` and return its id."""
        return int(connection.execute(f"{statement} RETURNING id", values).fetchone()[0])

    def add_words(self, connection: Connection, row: int, text: str) -> None:
        """Do nothing: the index follows the rows."""

    def remove_words(self, connection: Connection, row: int, text: str) -> None:
        """Do nothing: the index follows the rows."""

    def built(self, connection: Connection) -> None:
        """Count values, by which the database decides how it looks for rows."""
        connection.execute("ANALYZE repositories, collaborators")

    def stream(
        self, connection: Connection, statement: str, values: Sequence[Any], *, is_whole: bool
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a statement. They are read only as they are asked for.

        :param is_whole: whether all of them will probably be asked for. Otherwise the server gives the first
            ones soon, even if the others take much longer by that.
        """
        if is_whole:
            connection.execute("SET LOCAL cursor_tuple_fraction = 1.0")
        name = f"rows_{next(self._numbers)}"
        connection.execute(f"DECLARE {name} NO SCROLL CURSOR FOR {statement}", values)
        most, rows = _FIRST_ROWS, connection.execute(f"FETCH {_FIRST_ROWS} FROM {name}").fetchall()
        yield from rows
        while len(rows) == most:
            most, rows = _FURTHER_ROWS, connection.execute(f"FETCH {_FURTHER_ROWS} FROM {name}").fetchall()
            yield from rows

    def merged(self, selects: list[str], order: str, limits: tuple[int, int] | None) -> str:
        """Return the statement that gives the rows of several statements in one order.

        Each of them has the order too: otherwise the server reads all of its rows, and sorts them.
        """
        all_of_it = "" if limits is None else f" LIMIT {limits[0]} OFFSET {limits[1]}"
        if len(selects) == 1:
            return f"{selects[0]} ORDER BY {order}{all_of_it}"
        part = "" if limits is None else f" LIMIT {sum(limits)}"
        parts = " UNION ALL ".join(f"({select} ORDER BY {order}{part})" for select in selects)
        return f"{parts} ORDER BY {order}{all_of_it}"

    def has_words(self, query: Query) -> Where:
        """Return the condition that rows have the words of a query, apart from what :meth:`rest` names."""
        phrases, rest = phrases_of(query)
        where = ALWAYS
        for phrase in phrases:
            where &= Where("repositories.text LIKE ?", (f"%{_escaped(phrase)}%",))
        for word in rest:
            # a part that the index of words was asked for already is only compared
            for part in word.literals[:_MOST_PARTS]:
                where &= Where("strpos(repositories.text, ?) > 0", (part[:LONGEST_PART],))
        return where

    def rest(self, query: Query) -> list[Word]:
        """Return the words that the database cannot compare in linear time."""
        return [word for word in query.words if word.has_wildcard or len(word.text) > LONGEST_PART]

    def few(
        self, connection: Connection, columns: str, query: Query, listing: Listing
    ) -> list[tuple[Any, ...]] | None:
        """Return all rows that match, in any order; None if they are more than ``most_sorted``."""
        where = self.has_words(query) & visible(listing)
        rows = connection.execute(
            f"SELECT {columns} FROM repositories WHERE {where.text} LIMIT {self.most_sorted + 1}",
            where.values,
        ).fetchall()
        return rows if len(rows) <= self.most_sorted else None

    def count(self, connection: Connection, query: Query, listing: Listing) -> int:
        """Return how many rows match."""
        return count_of(connection, "repositories", self.has_words(query) & visible(listing))


def _escaped(text: str) -> str:
    """Return a text as a pattern of LIKE that stands for itself.

    >>> _escaped("100%_a")
    '100\\\\%\\\\_a'
    """
    for character in "\\%_":
        text = text.replace(character, f"\\{character}")
    return text


def _connections_of(url: str) -> tuple[str, int]:
    """Return what libpq takes for a URL, and how many connections there may be.

    :raises ValueError: the URL is invalid, or psycopg is missing.
    """
    try:
        import psycopg
        from psycopg import conninfo
    except ImportError as error:
        raise ValueError(f"needs psycopg: pip install 'v1registry[postgresql]' ({error})") from None
    wanted = "must be a URL such as postgresql://USER:PASSWORD@HOST/DATABASE?sslmode=require"
    try:
        place, _, asked = url.partition("?")
        query = parse_qsl(asked, keep_blank_values=True, strict_parsing=bool(asked))
        connections = int(dict(query).get("connections", _CONNECTIONS))
        known = [(key, value) for key, value in query if key != "connections"]
        found = conninfo.conninfo_to_dict(f"{place}?{urlencode(known)}" if known else place)
        most = conninfo.make_conninfo("", **(_PARAMETERS | found))
    except (ValueError, psycopg.Error):
        # their texts may have parts of the password
        raise ValueError(f"{wanted}; a part of it is invalid, or no parameter of libpq") from None
    if not url.startswith(("postgresql://", "postgres://")) or not 2 <= connections <= _MOST_CONNECTIONS:
        raise ValueError(f"{wanted}; connections is a number of 2 to {_MOST_CONNECTIONS}")
    return most, connections
