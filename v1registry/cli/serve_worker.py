"""The worker of ``serve``: a loop that waits for clients, and threads that work.

A thread is occupied only by the application and by bodies that it reads, whose number the application
bounds (``max_bodies``). Idle connections, unfinished handshakes, headers and small bodies, and clients that
do not read their answer are waited for by the loop, which never blocks.
"""

from __future__ import annotations

import errno
import os
import selectors
import signal
import socket
import ssl
import time
from collections import deque
from typing import Any, Final

from gunicorn import sock as gunicorn_sock
from gunicorn.http.errors import NoMoreData, ParseException
from gunicorn.workers.base import Worker

from .serve_connection import HEAD_BYTES, UNSENT_BYTES, Connection, Phase, is_of_client
from .serve_exchange import Exchange
from .serve_threads import ThreadPool

#: How long each phase may last, in seconds, besides ``BODY``. A client that sends or reads ends a phase.
_LIMITS_S: Final = {
    Phase.HANDSHAKE: 10.0,
    Phase.IDLE: 65.0,
    Phase.HEAD: 10.0,
    Phase.SENDING: 60.0,
    Phase.CLOSING: 2.0,
}

#: The answer to a client that did not finish in time.
_TIMEOUT_STATUS: Final = "408 Request Timeout"

#: How much a client may send after the last answer.
_DISCARDED_BYTES: Final = 1 << 20

#: How many bytes of unfinished requests are kept in all.
_COLLECTED_BYTES: Final = 64 << 20

#: How many bytes of answers are kept in memory for clients that do not read, in all.
_UNSENT_MEMORY_BYTES: Final = 256 << 20

#: How many descriptors the application may need besides one for each connection.
OTHER_FILES: Final = 128

#: How often the loop looks for clients that are late, in seconds.
_SWEEP_S: Final = 1.0

#: How long a worker that ends waits for the first request of a connection, in seconds.
_FIRST_REQUEST_S: Final = 1.0

#: How long the loop rests if the system has no more open files, in seconds.
_PAUSE_S: Final = 0.01

#: How many connections are accepted before others get their turn.
_ACCEPTED_AT_ONCE: Final = 64

#: How much of gunicorn's ``graceful_timeout`` is left to threads that clean up after their connection was
#: cut, in seconds.
LAST_WORK_S: Final = 3.0


class ServeWorker(Worker):  # type: ignore[misc]  # gunicorn has no types
    """A process that answers requests."""

    def init_process(self) -> None:
        """Make what belongs to the process, then serve until the end."""
        self._main_pipe, end_of_main = self.app.main_pipe
        os.close(end_of_main)
        self._selector = selectors.DefaultSelector()
        self._threads = ThreadPool(self.cfg.threads, self._work)
        self._done: deque[Connection] = deque()
        self._is_asleep = False
        #: connections that no thread has, in the order in which they began to wait
        self._waiting: dict[Connection, None] = {}
        self._working: set[Connection] = set()
        #: requests whose answer is not yet sent
        self._exchanges: dict[Connection, Exchange] = {}
        self._collected_bytes = 0
        self._unsent: dict[Connection, int] = {}  # what the answers that wait for a client take in memory
        self._unsent_bytes = 0
        self._next_sweep_s = 0.0
        self._most = self.cfg.worker_connections
        self._limits_s = {**_LIMITS_S, Phase.BODY: self.app.body_timeout_s}
        self._tls = gunicorn_sock.ssl_context(self.cfg) if self.cfg.is_ssl else None
        super().init_process()

    def init_signals(self) -> None:
        """Leave Ctrl-C to the main process, which sends SIGTERM. It reaches the workers directly too."""
        super().init_signals()
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def run(self) -> None:
        """Serve until a signal, or until the main process is gone."""
        self._selector.register(self.PIPE[0], selectors.EVENT_READ)
        self._selector.register(self._main_pipe, selectors.EVENT_READ)
        for listener in self.sockets:
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ)
        while self.alive and self.ppid == os.getppid():
            self._turn(_SWEEP_S)
        self._end()

    # -- the loop

    def _turn(self, timeout_s: float) -> None:
        self._is_asleep = True
        events = self._selector.select(0 if self._done else timeout_s)
        self._is_asleep = False
        for key, _ in events:
            if isinstance(key.fileobj, Connection):
                self._continue(key.fileobj)
            elif key.fileobj == self.PIPE[0]:
                os.read(self.PIPE[0], 4096)
            elif key.fileobj == self._main_pipe:
                # the main process is gone: a new one wants the port at once
                self._selector.unregister(self._main_pipe)
                self.alive = False
            else:
                self._accept(key.fileobj)
        while self._done:
            self._after_work(self._done.popleft())
        now_s = time.monotonic()
        if now_s >= self._next_sweep_s:
            self._next_sweep_s = now_s + _SWEEP_S
            self.notify()
            self._sweep(now_s)

    def _accept(self, listener: Any) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            if len(self._waiting) + len(self._working) >= self._most:
                self._make_room()
            try:
                client, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self._make_room()
                    time.sleep(_PAUSE_S)  # otherwise the loop would spin if there is no room
                return
            if len(self._waiting) + len(self._working) >= self._most:
                client.close()
                continue
            try:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
                if self._tls is not None:
                    client = self._tls.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
            except OSError:
                # the client is gone
                client.close()
                continue
            connection = Connection(client, address, listener.getsockname())
            self._wait_for(connection, connection.phase)

    def _make_room(self) -> None:
        """Close the connection that has waited longest, preferably one that is owed no answer."""
        first = next((one for one in self._waiting if one.phase is not Phase.SENDING), None)
        oldest = first or next(iter(self._waiting), None)
        if oldest is not None:
            self._drop(oldest)

    def _wait_for(self, connection: Connection, phase: Phase, event: int = selectors.EVENT_READ) -> None:
        connection.phase = phase
        connection.deadline_s = time.monotonic() + self._limits_s[phase]
        try:
            self._selector.register(connection, event)
        except (OSError, ValueError):
            self._close(connection)
            return
        self._waiting[connection] = None
        self._collected_bytes += len(connection.received)

    def _wait_to_send(self, connection: Connection) -> None:
        """Wait for a client that does not read. Of many large answers, the longest waiting are given up."""
        self._wait_for(connection, Phase.SENDING, selectors.EVENT_WRITE)
        size = connection.unsent_memory
        if size and connection in self._waiting:
            self._unsent[connection] = size
            self._unsent_bytes += size
        while self._unsent_bytes > _UNSENT_MEMORY_BYTES:
            self._drop(next(iter(self._unsent)))

    def _stop_waiting(self, connection: Connection) -> None:
        self._selector.unregister(connection)
        del self._waiting[connection]
        self._collected_bytes -= len(connection.received)
        self._unsent_bytes -= self._unsent.pop(connection, 0)

    def _drop(self, connection: Connection) -> None:
        """Close a connection that the loop waits for."""
        self._stop_waiting(connection)
        self._close(connection)

    def _close(self, connection: Connection) -> None:
        exchange = self._exchanges.pop(connection, None)
        if exchange is not None:
            try:
                exchange.close()
            except Exception:
                self.log.exception("an answer cannot be closed")
        connection.close()

    def _continue(self, connection: Connection) -> None:
        """Go on with a connection whose client did something."""
        if connection not in self._waiting:
            return
        try:
            if connection.phase is Phase.SENDING:
                self._stop_waiting(connection)
                self._start_work(connection)
            elif connection.phase is Phase.CLOSING:
                self._discard(connection)
            elif connection.phase is not Phase.HANDSHAKE or self._shake_hands(connection):
                self._collect(connection)
        except OSError:
            if connection in self._waiting:
                self._drop(connection)

    def _shake_hands(self, connection: Connection) -> bool:
        """Tell whether the handshake is done.

        :raises OSError: it failed.
        """
        assert isinstance(connection.socket, ssl.SSLSocket)
        try:
            connection.socket.do_handshake()
        except ssl.SSLWantReadError:
            self._selector.modify(connection, selectors.EVENT_READ)
            return False
        except ssl.SSLWantWriteError:
            self._selector.modify(connection, selectors.EVENT_WRITE)
            return False
        except ssl.SSLError as error:
            if error.reason != "HTTP_REQUEST":
                raise
            connection.refuse_plain_http()
            connection.sent_bytes = 0
            self._change_phase(connection, Phase.CLOSING)
            return False
        self._selector.modify(connection, selectors.EVENT_READ)
        self._change_phase(connection, Phase.IDLE)
        return True

    def _change_phase(self, connection: Connection, phase: Phase) -> None:
        if phase is not connection.phase:
            connection.phase = phase
            is_ending = phase is Phase.IDLE and not self.alive
            limit_s = _FIRST_REQUEST_S if is_ending else self._limits_s[phase]
            connection.deadline_s = time.monotonic() + limit_s

    def _collect(self, connection: Connection) -> None:
        before = len(connection.received)
        is_open = connection.collect()
        self._collected_bytes += len(connection.received) - before
        missing = connection.missing()
        if missing is Phase.THREAD:
            self._stop_waiting(connection)
            self._start_work(connection)
        elif missing is Phase.HEAD and connection.is_malformed:
            connection.say_goodbye("400 Bad Request")
            connection.end_answers()
            connection.sent_bytes = 0
            self._change_phase(connection, Phase.CLOSING)
        elif not is_open:
            if connection.received:
                connection.say_goodbye("400 Bad Request")
            self._drop(connection)
        elif missing is Phase.HEAD and len(connection.received) > HEAD_BYTES:
            connection.say_goodbye("431 Request Header Fields Too Large")
            self._drop(connection)
        else:
            self._change_phase(connection, missing)
            if self._collected_bytes > _COLLECTED_BYTES:
                self._drop(next(one for one in self._waiting if one.received))

    def _discard(self, connection: Connection) -> None:
        try:
            size = connection.discard()
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        connection.sent_bytes -= size
        if not size or connection.sent_bytes < -_DISCARDED_BYTES:
            self._drop(connection)

    def _sweep(self, now_s: float) -> None:
        for connection in [one for one in self._waiting if one.deadline_s < now_s]:
            if connection.phase in (Phase.HEAD, Phase.BODY):
                connection.say_goodbye(_TIMEOUT_STATUS)
            self._drop(connection)

    def _start_work(self, connection: Connection) -> None:
        connection.phase = Phase.THREAD
        connection.is_used = True
        self._working.add(connection)
        self._threads.put(connection)

    def _after_work(self, connection: Connection) -> None:
        """Take a connection back from a thread, which has set its phase."""
        self._working.discard(connection)
        if connection.phase is Phase.SENDING:
            self._wait_to_send(connection)
        elif connection.phase is Phase.CLOSING:
            try:
                connection.end_answers()
            except OSError:
                self._close(connection)
                return
            connection.sent_bytes = 0
            self._wait_for(connection, Phase.CLOSING)
        elif connection.phase is Phase.IDLE and self.alive:
            missing = connection.missing()
            if missing is Phase.THREAD:
                self._start_work(connection)
            else:
                self._wait_for(connection, missing)
                if connection.has_decoded:
                    self._continue(connection)
        else:
            self._close(connection)

    def _end(self) -> None:
        """Let running requests finish, for a limited time."""
        for listener in self.sockets:
            self._selector.unregister(listener)
            listener.close()
        for connection in list(self._waiting):
            if connection.is_used and connection.phase is Phase.IDLE:
                self._drop(connection)
            elif connection.phase in (Phase.HANDSHAKE, Phase.IDLE):
                # the client may be about to send its first request
                connection.deadline_s = min(connection.deadline_s, time.monotonic() + _FIRST_REQUEST_S)
        end_s = time.monotonic() + self.cfg.graceful_timeout - LAST_WORK_S
        while (self._working or self._waiting) and time.monotonic() < end_s:
            self._turn(0.1)
        for connection in self._working:
            connection.interrupt()
        end_s = time.monotonic() + LAST_WORK_S / 2
        while self._working and time.monotonic() < end_s:
            self._turn(0.1)

    # -- the threads

    def _work(self, connection: Connection) -> None:
        try:
            connection.phase = self._serve(connection)
        except Exception as error:
            if not is_of_client(error):
                self.log.exception("the answer cannot be sent")
            connection.phase = Phase.OVER
        self._done.append(connection)
        if self._is_asleep:
            self._is_asleep = False
            os.write(self.PIPE[1], b".")

    def _serve(self, connection: Connection) -> Phase:
        """Work on a request until its answer is sent or the client takes no more; return the next phase.

        :raises OSError: the connection is broken.
        """
        exchange = self._exchanges.get(connection)
        if exchange is None:
            try:
                exchange = Exchange(self.cfg, connection)
            except (NoMoreData, StopIteration):
                return Phase.OVER
            except ParseException as error:
                self.handle_error(None, connection, connection.client, error)
                connection.flush(0.0)
                return Phase.CLOSING
            self._exchanges[connection] = exchange
            exchange.run(self.wsgi)
            exchange.begin_answer(is_last=not self.alive)
        if not exchange.advance():
            return Phase.SENDING
        del self._exchanges[connection]
        exchange.close()
        if not exchange.is_connection_usable():
            return Phase.CLOSING
        connection.put_back(exchange.rest())
        return Phase.IDLE
