"""How ``serve`` uses gunicorn: its main process, its log, and its settings."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from .serve_worker import LAST_WORK_S, OTHER_FILES, ServeWorker

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

#: Threads for requests that have arrived, besides those that bodies may occupy.
_OTHER_THREADS: Final = 256

#: How long running requests may take after SIGTERM or SIGINT, in seconds.
_LAST_REQUESTS_S: Final = 10

#: After how many seconds a worker whose loop does not run is replaced.
_HANGING_S: Final = 120

_MOST_CONNECTIONS: Final = 16384

#: Blocks of memory from this size on go back to the system when they are freed.
_RETURNED_BYTES: Final = 4 << 20

#: ``M_MMAP_THRESHOLD`` of mallopt(3).
_MMAP_THRESHOLD: Final = -3


def run(
    load: Callable[[], WSGIApplication],
    *,
    listener: int,
    workers: int,
    most_bodies: int,
    body_timeout_s: int,
    certificate: Path | None,
    key: Path | None,
    is_verbose: bool,
) -> None:
    """Serve until a signal ends it.

    :param load: makes the application in each worker.
    :param listener: the descriptor of a socket that listens.
    :param most_bodies: how many bodies may occupy threads in one worker.
    :param body_timeout_s: how long a small body may take to arrive.
    :param certificate: the certificate chain in PEM, for https; None for plain http.
    :param key: the key of the certificate, in PEM.
    """
    settings: dict[str, Any] = {
        "bind": [f"fd://{listener}"],
        "workers": workers,
        "worker_class": ServeWorker,
        "threads": most_bodies + _OTHER_THREADS,
        "worker_connections": _most_connections(),
        "timeout": _HANGING_S,
        "graceful_timeout": _LAST_REQUESTS_S + int(LAST_WORK_S),
        "certfile": str(certificate) if certificate else None,
        "keyfile": str(key) if key else None,
        "limit_request_line": 8190,
        # X_Forwarded_For would replace X-Forwarded-For in the WSGI environ
        "header_map": "drop",
        # the application alone decides which proxies it trusts
        "forwarded_allow_ips": "",
        "forwarder_headers": "",
        "secure_scheme_headers": {},
        "logger_class": _Log,
        "loglevel": "info" if is_verbose else "error",
        "control_socket_disable": True,
    }
    _return_large_blocks()
    application = _Application(settings, load, body_timeout_s)
    _Arbiter(application).run()


def _return_large_blocks() -> None:
    """Let the C library return large blocks to the system, in this process and its workers.

    Otherwise glibc keeps them for each arena, of which there are eight a processor: after some hundred
    log-ins, each of which needs 19 MiB for a moment, a worker kept hundreds of MiB. Other C libraries have no
    such function, or return blocks anyway.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _RETURNED_BYTES)


def _most_connections() -> int:
    """Raise the limit of open files as far as the system allows, and return how many connections fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * _MOST_CONNECTIONS + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    # each connection may need a file of the storage
    return max(16, min(_MOST_CONNECTIONS, (soft - OTHER_FILES) // 2))


class _Application(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's view of the registry.

    :param settings: of gunicorn.
    :param load: makes the application.
    """

    def __init__(self, settings: dict[str, Any], load: Callable[[], WSGIApplication], body_timeout_s: int):
        self._settings = settings
        self._load = load
        self.body_timeout_s = body_timeout_s  #: for the worker
        #: the ends of a pipe into which nothing is written. Workers close the second one, so that the first
        #: one is at its end for them as soon as the main process is gone
        self.main_pipe = os.pipe()
        super().__init__(prog="v1registry serve")

    def load_config(self) -> None:
        """Set gunicorn's settings."""
        for name, value in self._settings.items():
            self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        """Make the application, in a worker."""
        return self._load()


class _Arbiter(Arbiter):  # type: ignore[misc]  # gunicorn has no types
    """The main process. Ctrl-C lets running requests finish, as SIGTERM does; a second one does not."""

    def handle_int(self) -> None:
        """End after the running requests."""
        self.handle_term()


class _Log(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's lines in the form of the application's."""

    error_fmt = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
    datefmt = None
