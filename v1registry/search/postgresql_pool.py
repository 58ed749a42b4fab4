"""Connections to a PostgreSQL server: a bounded number for each process, none of them used across a fork."""

from __future__ import annotations

import os
import socket
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Condition, Lock, Semaphore, Thread
from typing import TYPE_CHECKING, Any, Final

from .database import NoDatabase

if TYPE_CHECKING:
    import psycopg

#: How long a connection may take to be made, in seconds. libpq takes 1 as 2.
CONNECT_S: Final = 2

#: How long a thread waits for a connection that others use, in seconds.
_WAIT_S: Final = 1.0

#: After a failure to connect, no attempt is made for this long, and for the time that it took times five.
_PAUSE_S: Final = 1.0
_PAUSE_TIMES: Final = 5.0

#: How exact the limits of statements are, in seconds, and how long the thread that watches them waits for
#: the next one.
_WATCH_S: Final = 0.25
_WATCH_IDLE_S: Final = 10.0


class Watchdog:
    """Ends connections whose server is silent for too long: libpq waits for ever. Safe for threads."""

    def __init__(self) -> None:
        self._condition = Condition()
        self._limits: dict[psycopg.Connection[Any], float] = {}
        self._thread: Thread | None = None
        self._is_idle = False

    @contextmanager
    def watching(self, connection: psycopg.Connection[Any], limit_s: float) -> Iterator[None]:
        """End the connection if the context does not end within ``limit_s``. What waits for it fails then."""
        with self._condition:
            self._limits[connection] = time.monotonic() + limit_s
            if self._thread is None:
                self._start()
            elif self._is_idle:
                self._condition.notify()
        try:
            yield
        finally:
            with self._condition:
                self._limits.pop(connection, None)

    def _start(self) -> None:
        thread = Thread(target=self._run, name="v1registry-search-watch", daemon=True)
        # the interpreter is ending, or threads are off
        with suppress(RuntimeError):
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        with self._condition:
            while True:
                if not self._limits:
                    self._is_idle = True
                    self._condition.wait(_WATCH_IDLE_S)
                    self._is_idle = False
                    if not self._limits:
                        self._thread = None
                        return
                self._end_late_ones()
                self._condition.wait(_WATCH_S)

    def _end_late_ones(self) -> None:
        now_s = time.monotonic()
        for connection in [one for one, limit_s in self._limits.items() if limit_s < now_s]:
            del self._limits[connection]
            with suppress(OSError, ValueError), socket.socket(fileno=os.dup(connection.fileno())) as ended:
                ended.shutdown(socket.SHUT_RDWR)


class Pool:
    """Connections, and those that wait for their next use. Safe for threads, and for processes that fork.

    :param conninfo: where the server is, as libpq takes it. It may have a password, so it is never logged.
    :param most: how many connections there are at most.
    """

    def __init__(self, conninfo: str, most: int):
        self._conninfo = conninfo
        self._most = most
        self._retry_s = float("-inf")
        self._idle: list[psycopg.Connection[Any]] = []
        self._renew()
        _pools.add(self)
        weakref.finalize(self, _close, self._idle)

    def _renew(self) -> None:
        self.watchdog = Watchdog()
        self._lock = Lock()
        self._free = Semaphore(self._most)
        self._used: set[psycopg.Connection[Any]] = set()

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """Give a connection until the context ends. It is closed if a transaction has not ended then.

        :raises NoDatabase: there is none: all are used, or the server does not answer.
        """
        if not self._free.acquire(timeout=_WAIT_S):
            raise NoDatabase(f"all {self._most} connections to the database are used")
        try:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                connection = self._connect()
            with self._lock:
                self._used.add(connection)
            try:
                yield connection
            finally:
                if connection.info.transaction_status:
                    connection.close()
                with self._lock:
                    self._used.discard(connection)
                    if not connection.closed:
                        self._idle.append(connection)
        finally:
            self._free.release()

    def clear(self) -> None:
        """Close the connections that wait: the server has ended one of them, so it has probably ended all."""
        with self._lock:
            idle, self._idle[:] = self._idle[:], []
        _close(idle)

    def pause(self, took_s: float) -> None:
        """Make no connections for a while.

        :param took_s: how long a failure took.
        """
        self._retry_s = time.monotonic() + max(_PAUSE_S, _PAUSE_TIMES * took_s)

    def leave_to_parent(self) -> None:
        """Let the connections go, in a process that was just forked: the parent goes on to use them."""
        connections = [*self._idle, *self._used]
        self._idle.clear()
        nothing = os.open(os.devnull, os.O_RDWR)
        for connection in connections:
            # so that closing them tells the server nothing
            with suppress(OSError):
                os.dup2(nothing, connection.fileno())
        os.close(nothing)
        _close(connections)
        self._renew()

    def _connect(self) -> psycopg.Connection[Any]:
        import psycopg

        started_s = time.monotonic()
        if started_s < self._retry_s:
            raise NoDatabase("the database did not answer lately")
        try:
            return psycopg.connect(
                self._conninfo,
                autocommit=True,
                # prepared statements do not pass every pooler, and have worse plans for parts of words
                prepare_threshold=None,
            )
        except psycopg.Error as error:
            self.pause(time.monotonic() - started_s)
            raise NoDatabase(f"the database does not answer: {first_line(error)}") from error


#: All pools of the process.
_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def first_line(error: BaseException) -> str:
    """Return what an error of the server says, without the details: they may be values, and are long."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _close(connections: list[psycopg.Connection[Any]]) -> None:
    while connections:
        connections.pop().close()


def _after_fork() -> None:
    for pool in list(_pools):
        pool.leave_to_parent()


os.register_at_fork(after_in_child=_after_fork)
