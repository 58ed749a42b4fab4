"""The PostgreSQL database of an index: its transactions and its failures."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from ..log import get_logger
from ..names import RepositoryName
from .database import DatabaseBusy, NoDatabase, NoIndexYet
from .postgresql_pool import Pool, Watchdog, first_line
from .postgresql_schema import SCHEMA_NAME, SCHEMA_VERSION, NewerSchema, OlderSchema, are_sound, migrate
from .rows import state_of

if TYPE_CHECKING:
    import psycopg

log = get_logger(__name__)

#: Advisory locks are two numbers. The first one is that of repositories, or that of all else.
_LOCKS_OF_NAMES: Final = 0x76315265
_LOCKS: Final = 0x76315266
_UPKEEP, _TABLES = 1, 2

#: Codes of errors, see the appendix of PostgreSQL's manual.
_IS_BUSY: Final = frozenset({"55P03", "40P01", "40001"})
_IS_MISSING: Final = frozenset({"42P01", "42703", "3F000"})
_TOOK_TOO_LONG: Final = "57014"

#: How much longer than the limit of a statement its answer may take, in seconds.
_GRACE_S: Final = 2.0

#: A failure that took longer, in seconds, is none of a connection that had been ended while it waited.
_AT_ONCE_S: Final = 1.0


@dataclass(frozen=True)
class _Kind:
    """A kind of transactions."""

    modes: str
    statement_s: float  #: how long a statement may take
    lock_s: float  #: how long it may wait for others
    checks_version: bool = True

    @property
    def begin(self) -> str:
        """The statements that begin it, in one request."""
        table = f"{SCHEMA_NAME}.schema_version"
        # the lock comes before the first snapshot: one from before the tables were replaced would see no rows
        lock = f"; LOCK TABLE {table} IN ACCESS SHARE MODE; SELECT max(version) FROM {table}"
        version = lock if self.checks_version else ""
        return (
            f"BEGIN {self.modes}; SET LOCAL search_path = {SCHEMA_NAME}; SET LOCAL jit = off;"
            f" SET LOCAL statement_timeout = {self.statement_s * 1000:.0f};"
            f" SET LOCAL lock_timeout = {self.lock_s * 1000:.0f};"
            f" SET LOCAL idle_in_transaction_session_timeout = 60000{version}"
        )


_READING: Final = _Kind("ISOLATION LEVEL REPEATABLE READ READ ONLY", 5.0, 1.0)
_WRITING: Final = _Kind("ISOLATION LEVEL READ COMMITTED READ WRITE", 3.0, 1.0)
_MAKING: Final = _Kind("ISOLATION LEVEL READ COMMITTED READ WRITE", 120.0, 30.0, checks_version=False)
_FINISHING: Final = _Kind("ISOLATION LEVEL READ COMMITTED READ WRITE", 60.0, 10.0)


class Transaction:
    """A transaction; see :class:`~v1registry.search.database.Connection`.

    :param limit_s: how long the answer to a statement may take, in seconds.
    """

    def __init__(self, connection: psycopg.Connection[Any], watchdog: Watchdog, limit_s: float):
        self.connection = connection
        self._watchdog = watchdog
        self._limit_s = limit_s

    def execute(self, statement: str, values: Sequence[object] = ()) -> psycopg.Cursor[Any]:
        """Run a statement. The values stand for its ``?``. Without values, it may be several statements."""
        with self._watchdog.watching(self.connection, self._limit_s):
            if not values:
                return self.connection.execute(statement.encode())
            return self.connection.execute(_translated(statement), list(map(_kept, values)))

    def executemany(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement for each of the rows."""
        for row in rows:
            self.execute(statement, row)


class PostgresDatabase:
    """The tables of an index in a database of a PostgreSQL server. Safe for threads, and for processes that
    fork. Nothing is opened before its first use.

    :param conninfo: where the server is, as libpq takes it.
    :param most_connections: how many connections a process has at most.
    """

    def __init__(self, conninfo: str, most_connections: int):
        self._pool = Pool(conninfo, most_connections)

    def exists(self) -> bool:
        """Tell that there may be a database: a different process may have made it."""
        return True

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Give a connection that sees the database as it is now, until the context ends.

        :raises NoDatabase: there is none, or it failed.
        """
        with self._transaction(_READING) as transaction:
            yield transaction

    @contextmanager
    def writing(self, names: Iterable[RepositoryName] | None = None) -> Iterator[Transaction]:
        """Give a connection that may write until the context ends. If it fails, nothing is written.

        :param names: the repositories whose rows are written: nothing else writes them meanwhile. If it is
            None, the state of the upkeep is written, and nothing else writes that.
        :raises NoDatabase: there is none, or it failed, or others are writing.
        """
        with self._transaction(_WRITING if names is not None else _FINISHING) as transaction:
            if names is None:
                transaction.execute("SELECT pg_advisory_xact_lock(?, ?)", (_LOCKS, _UPKEEP))
            else:
                # in one order, so that two transactions never wait for each other
                keys = sorted({crc32(str(name).encode()) - 0x80000000 for name in names})
                if keys:
                    transaction.execute(
                        "SELECT pg_advisory_xact_lock(?, key) FROM unnest(?::integer[]) AS key",
                        (_LOCKS_OF_NAMES, keys),
                    )
            yield transaction

    def check(self) -> None:
        """Compare the numbers of rows with what was counted. If they differ, the tables are made again.

        :raises NoDatabase: there is no database.
        """
        with self._transaction(_READING) as transaction:
            counted = tuple(state_of(transaction, "repositories", "public"))
            found = transaction.execute(
                "SELECT count(*), count(*) FILTER (WHERE is_private = 0) FROM repositories"
            ).fetchone()
        if found != counted:
            log.warning("the search index has lost rows, and is built again: %s, not %s", found, counted)
            self.create(replaces=True)

    def create(self, *, replaces: bool = False) -> None:
        """Make the tables if they are missing or old. Processes that do it at the same time wait.

        :param replaces: remove those that there are.
        :raises NoDatabase: they cannot be made.
        """
        if not replaces:
            try:
                with self._transaction(_READING) as transaction:
                    if are_sound(transaction):
                        return
            except (NoIndexYet, OlderSchema):
                pass
        with self._transaction(_MAKING) as transaction:
            transaction.execute("SELECT pg_advisory_xact_lock(?, ?)", (_LOCKS, _TABLES))
            migrate(transaction, replaces=replaces)

    # -- inside

    @contextmanager
    def _transaction(self, kind: _Kind) -> Iterator[Transaction]:
        import psycopg

        with ExitStack() as stack:
            transaction = self._begun(kind, stack)
            started_s = time.monotonic()
            try:
                yield transaction
                transaction.execute("COMMIT")
            except psycopg.Error as error:
                raise self._failure(error, transaction, started_s) from error
            finally:
                if transaction.connection.info.transaction_status and not transaction.connection.closed:
                    _roll_back(transaction)

    def _begun(self, kind: _Kind, stack: ExitStack) -> Transaction:
        """Return a transaction on a connection of the pool, which gets it back when the stack is closed."""
        import psycopg

        for is_last in (False, True):
            started_s = time.monotonic()
            with ExitStack() as used:
                connection = used.enter_context(self._pool.connection())
                transaction = Transaction(connection, self._pool.watchdog, kind.statement_s + _GRACE_S)
                try:
                    answer = transaction.execute(kind.begin)
                    if kind.checks_version:
                        _check_version(answer)
                except psycopg.Error as error:
                    took_s = time.monotonic() - started_s
                    if connection.closed and not is_last and took_s < _AT_ONCE_S:
                        # the server has been restarted since the connection was used
                        self._pool.clear()
                        continue
                    failure = self._failure(error, transaction, started_s)
                    _roll_back(transaction)
                    raise failure from error
                except NoDatabase:
                    _roll_back(transaction)
                    raise
                stack.push(used.pop_all())
                return transaction
        raise AssertionError("unreachable")

    def _failure(self, error: psycopg.Error, transaction: Transaction, started_s: float) -> NoDatabase:
        """Return what to raise for an error of the database."""
        if error.sqlstate in _IS_BUSY:
            return DatabaseBusy(f"others were writing into the index for too long: {first_line(error)}")
        if error.sqlstate in _IS_MISSING:
            return NoIndexYet(f"there is no index yet: {first_line(error)}")
        took_s = time.monotonic() - started_s
        if transaction.connection.closed and took_s > _AT_ONCE_S:
            self._pool.pause(took_s)
        if error.sqlstate == _TOOK_TOO_LONG:
            return NoDatabase(f"the database took too long: {first_line(error)}")
        return NoDatabase(f"the database failed: {first_line(error)}")


def _roll_back(transaction: Transaction) -> None:
    import psycopg

    try:
        if not transaction.connection.closed:
            transaction.execute("ROLLBACK")
    except psycopg.Error:
        transaction.connection.close()


def _check_version(answer: psycopg.Cursor[Any]) -> None:
    """Compare the version of the tables with that of the program.

    :param answer: of the statements that begin a transaction.
    :raises NoIndexYet: the tables are missing.
    :raises OlderSchema: they are older.
    :raises NewerSchema: they are newer.
    """
    while answer.nextset():
        pass
    (version,) = answer.fetchone() or (None,)
    if version is None:
        raise NoIndexYet("there is no index yet")
    if version != SCHEMA_VERSION:
        raise (NewerSchema if version > SCHEMA_VERSION else OlderSchema)(version)


@lru_cache(maxsize=256)
def _translated(statement: str) -> bytes:
    """Return a statement with the marks of psycopg.

    >>> _translated("SELECT ? WHERE name LIKE '%'")
    b"SELECT %s WHERE name LIKE '%%'"
    """
    return statement.replace("%", "%%").replace("?", "%s").encode()


def _kept(value: object) -> object:
    """Return a value as the database can keep it: without a NUL."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
