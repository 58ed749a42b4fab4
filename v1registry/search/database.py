"""What an index needs of its database, whichever it is, and the failures of a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ..names import RepositoryName
from ..rights import Listing
from .conditions import Where
from .words import Query, Word


class NoDatabase(Exception):
    """There is no database, or it cannot be used now."""


class NoIndexYet(NoDatabase):
    """There is nothing that a change would have to be written to. The index is still to be made."""


class DatabaseBusy(NoDatabase):
    """Others were writing for too long."""


class DatabaseDamaged(NoDatabase):
    """The file is not what was written. It was removed."""


class Cursor(Protocol):
    """The rows that a statement found."""

    def fetchone(self) -> Any:
        """Return the next row, None if there is none."""

    def fetchall(self) -> list[Any]:
        """Return all further rows."""

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """A connection within a transaction. The values of a statement stand for its ``?``."""

    def execute(self, statement: str, values: Sequence[object] = ..., /) -> Cursor:
        """Run a statement."""

    def executemany(self, statement: str, rows: Iterable[Sequence[object]], /) -> object:
        """Run a statement for each of the rows."""


class Database(Protocol):
    """A database. Safe for threads, and for processes that fork. Nothing is opened before its first use."""

    def exists(self) -> bool:
        """Tell whether there may be a database, without a connection. If not, changes are not written."""

    def reading(self) -> AbstractContextManager[Any]:
        """Give a :class:`Connection` that sees the database as it is now, until the context ends.

        :raises NoDatabase: there is none, or it failed.
        """

    def writing(self, names: Iterable[RepositoryName] | None = None) -> AbstractContextManager[Any]:
        """Give a :class:`Connection` that may write until the context ends. If it fails, nothing is written.

        :param names: the repositories whose rows are written: nothing else writes them meanwhile. If it is
            None, the state of the upkeep is written, and nothing else writes that.
        :raises NoDatabase: there is none, or it failed, or others are writing.
        """

    def check(self) -> None:
        """Look for damage in the whole database.

        :raises DatabaseDamaged: there is some.
        :raises NoDatabase: there is no database.
        """

    def create(self, *, replaces: bool = False) -> None:
        """Make the tables if they are missing.

        :param replaces: remove those that there are.
        :raises NoDatabase: they cannot be made.
        """


class Dialect(Protocol):
    """What differs between the databases in what they are asked."""

    #: up to this number of matches, all are read and sorted; if there are more, the first ones are looked for
    #: in the order of the result, where they are soon found
    most_sorted: int

    def insert(self, connection: Any, statement: str, values: Sequence[object]) -> int:
        """Insert a row into ``repositories`` and return its id."""

    def add_words(self, connection: Any, row: int, text: str) -> None:
        """Add the text of a row to the index of words."""

    def remove_words(self, connection: Any, row: int, text: str) -> None:
        """Remove the text of a row from the index of words."""

    def built(self, connection: Any) -> None:
        """Do what is due once all rows are there."""

    def stream(
        self, connection: Any, statement: str, values: Sequence[object], *, is_whole: bool
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a statement. They are read only as they are asked for.

        :param is_whole: whether all of them will probably be asked for.
        """

    def merged(self, selects: list[str], order: str, limits: tuple[int, int] | None) -> str:
        """Return the statement that gives the rows of several statements in one order.

        :param order: in which an index has the rows of each of them.
        :param limits: how many rows it gives, and how many it leaves out before; None for all.
        """

    def has_words(self, query: Query) -> Where:
        """Return the condition that rows have the words of a query, for rows that are read in an order.

        Rows with the words of :meth:`rest` may be too many.
        """

    def rest(self, query: Query) -> list[Word]:
        """Return the words that the caller has to look for in the texts of the rows."""

    def few(
        self, connection: Any, columns: str, query: Query, listing: Listing
    ) -> list[tuple[Any, ...]] | None:
        """Return all rows that match, in any order; None if they are more than ``most_sorted``."""

    def count(self, connection: Any, query: Query, listing: Listing) -> int:
        """Return how many rows match."""
