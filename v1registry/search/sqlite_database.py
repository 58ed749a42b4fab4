"""The SQLite database of an index: its file, its connections, and its failures.

The file lies in a folder of its own, whose name no other file ever has. So a process that still has a removed
database open never writes into the files of the next one.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from ..log import get_logger
from ..names import RepositoryName
from .database import DatabaseBusy, DatabaseDamaged, NoDatabase, NoIndexYet
from .sqlite_schema import SCHEMA, SCHEMA_VERSION, WORDS, has_trigrams
from .words import Word

if TYPE_CHECKING:
    import sqlite3

log = get_logger(__name__)

_FILE: Final = "index.sqlite3"

#: How long a write waits for the writes of others, in seconds. Afterwards a repair is due.
_BUSY_S: Final = 0.25

#: How many connections wait for their next use.
_MOST_IDLE: Final = 8

#: What SQLite says of damage, besides errors that are not operational.
_DAMAGE: Final = (
    "no such table", "no such column", "malformed", "disk I/O error", "logic error", "not a database",
    "vtable constructor failed",
)  # fmt: skip

#: Connections of a parent process: closing one in the child would disturb the parent.
_abandoned: list[sqlite3.Connection] = []


class _Pool:
    """Connections that wait for their next use. All are to the database at ``path``. Safe for threads."""

    def __init__(self) -> None:
        self.path = ""
        self._process = os.getpid()
        self._lock = Lock()
        self._idle: list[sqlite3.Connection] = []

    def take(self, path: str) -> sqlite3.Connection | None:
        """Return a connection to a database, None if there is none."""
        with self._lock:
            return self._idle.pop() if self._idle and self.path == path else None

    def give_back(self, path: str, connection: sqlite3.Connection) -> None:
        """Keep a connection that is not used any more, or close it."""
        with self._lock:
            if path == self.path and len(self._idle) < _MOST_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def change(self, path: str) -> None:
        """Close all connections, and take those to a different database from now on."""
        with self._lock:
            idle, self._idle, self.path = self._idle, [], path
        if os.getpid() == self._process:
            for connection in idle:
                connection.close()
        else:
            self._process = os.getpid()
            _abandoned.extend(idle)

    def is_of_parent(self) -> bool:
        """Tell whether the process was forked since the connections were made."""
        return os.getpid() != self._process

    def end(self) -> None:
        """Close all connections: the database is not used any more."""
        self.change("")


class SqliteDatabase:
    """The database below a folder. Safe for threads, and for processes that fork. Nothing is opened before
    its first use.

    :param folder: the path of the folder, which has nothing else in it.
    """

    def __init__(self, folder: str):
        self._folder = folder
        self._pool = _Pool()
        self._inode = (0, 0)
        weakref.finalize(self, self._pool.end)

    @cached_property
    def _prefix(self) -> str:
        """How the names of databases begin: versions that differ use different ones."""
        if has_trigrams():
            return f"{SCHEMA_VERSION}-"
        log.warning("this SQLite has no FTS5 with trigrams: search looks at every row of its index")
        return f"{SCHEMA_VERSION}-plain-"

    def exists(self) -> bool:
        """Tell whether there is a database."""
        return self._current() is not None

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that sees the database as it is now, until the context ends.

        :raises NoDatabase: there is none, or it failed.
        """
        with self._connection() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                # some failures have ended it, and must not be hidden by one of their end
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def writing(self, names: Iterable[RepositoryName] | None = None) -> Iterator[sqlite3.Connection]:
        """Give a connection that alone may write until the context ends. If it fails, nothing is written.

        :param names: makes no difference: a file has one writer at a time.
        :raises NoDatabase: there is none, or it failed, or others are writing.
        """
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def check(self) -> None:
        """Look for damage in the whole file.

        :raises DatabaseDamaged: there is some.
        :raises NoDatabase: there is no database.
        """
        import sqlite3

        with self._connection() as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found)

    def create(self, *, replaces: bool = False) -> None:
        """Make an empty database if there is none.

        :param replaces: remove the one that there is.
        :raises NoDatabase: the folder cannot be written.
        """
        import sqlite3

        try:
            os.makedirs(self._folder, exist_ok=True)
            self._give_to_owner(self._folder)
            with open(os.path.join(self._folder, "lock"), "a", encoding="ascii") as lock:
                self._give_to_owner(lock.name)
                fcntl.flock(lock, fcntl.LOCK_EX)
                current = self._find()
                if current is not None and not replaces:
                    return
                self._remove_all()
                self._make()
        except (OSError, sqlite3.Error) as error:
            raise NoDatabase(f"the index in {self._folder} cannot be made: {error}") from error

    # -- inside

    def _make(self) -> None:
        import sqlite3

        name = f"{self._prefix}{secrets.token_hex(8)}"
        made = os.path.join(self._folder, f"new-{name}")
        os.mkdir(made)
        connection = sqlite3.connect(os.path.join(made, _FILE), isolation_level=None)
        try:
            # nothing is lost if a power cut takes an empty database
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(SCHEMA + (WORDS if has_trigrams() else ""))
        finally:
            connection.close()
        self._give_to_owner(made, *(os.path.join(made, each) for each in os.listdir(made)))
        os.rename(made, os.path.join(self._folder, name))

    def _give_to_owner(self, *paths: str) -> None:
        """If root makes the index, give it to the owner of the folder around it, as whom the server runs.

        SQLite gives the files that it makes later to the owner of the database.
        """
        if os.geteuid() != 0:
            return
        around = os.stat(os.path.dirname(os.path.abspath(self._folder)))
        for path in paths:
            try:
                os.chown(path, around.st_uid, around.st_gid, follow_symlinks=False)
            except PermissionError:
                owner = f"{around.st_uid}:{around.st_gid}"
                log.warning("a server cannot write this index of root: chown -R %s %s", owner, self._folder)
                return

    def _remove_all(self) -> None:
        """Remove all databases of this version. The file goes first, by which others see it."""
        for name in os.listdir(self._folder):
            if not name.removeprefix("new-").startswith(self._prefix):
                continue
            folder = os.path.join(self._folder, name)
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, _FILE))
            shutil.rmtree(folder, ignore_errors=True)

    def _find(self) -> str | None:
        """Return the path of the database, None if there is none."""
        try:
            names = os.listdir(self._folder)
        except OSError:
            return None
        for name in sorted(names):
            path = os.path.join(self._folder, name, _FILE)
            if name.startswith(self._prefix) and os.path.exists(path):
                return path
        return None

    def _current(self) -> str | None:
        """Return the path of the database that is there now. Connections to a former one are closed."""
        path = "" if self._pool.is_of_parent() else self._pool.path
        try:
            status = os.stat(path)
            if (status.st_dev, status.st_ino) == self._inode:
                return path
        except OSError:
            pass  # it was removed, or not looked for yet
        found = self._find() or ""
        self._pool.change(found)
        try:
            status = os.stat(found)
        except OSError:
            return None
        self._inode = (status.st_dev, status.st_ino)
        return found

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        import sqlite3

        path = self._current()
        if path is None:
            raise NoIndexYet("there is no index yet")
        connection = None
        try:
            connection = self._pool.take(path) or _connect(path)
            yield connection
        except sqlite3.Error as error:
            if connection is not None:
                connection.close()
                connection = None
            raise self._failure(path, error) from error
        except BaseException:
            if connection is not None:
                connection.close()
                connection = None
            raise
        finally:
            if connection is not None:
                self._pool.give_back(path, connection)

    def _failure(self, path: str, error: sqlite3.Error) -> NoDatabase:
        """Return what to raise for a failure. A damaged file is removed, so that the index is built again."""
        import sqlite3

        text = str(error)
        if isinstance(error, sqlite3.OperationalError) and ("locked" in text or "busy" in text):
            return DatabaseBusy(f"others were writing into the index for more than {_BUSY_S} s")
        if not _is_damage(error):
            return NoDatabase(f"the index cannot be used: {text}")
        if not os.path.exists(path):
            return NoIndexYet("the index was removed")
        log.warning("the index %s is damaged, and is built again: %s", path, text)
        with suppress(OSError):
            os.unlink(path)
        return DatabaseDamaged(text)


def _connect(path: str) -> sqlite3.Connection:
    import sqlite3

    connection = sqlite3.connect(
        f"file:{quote(path)}?mode=rw",
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        # what a power cut takes is found again by the times of folders; no commit waits for the disk
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA temp_store = MEMORY")
        # for words with wildcards, and for long ones
        connection.create_function(
            "has_word", 2, lambda text, word: Word(word).is_in(text), deterministic=True
        )
    except BaseException:
        connection.close()
        raise
    return connection


def _is_damage(error: sqlite3.Error) -> bool:
    """Tell whether an error means that the file is not what was written."""
    import sqlite3

    if isinstance(error, sqlite3.OperationalError):
        return any(words in str(error) for words in _DAMAGE)
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, (sqlite3.ProgrammingError, sqlite3.NotSupportedError, sqlite3.DataError)
    )
