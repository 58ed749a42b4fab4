"""Where ``serve`` writes its logs: the application log to standard error, the access log beside it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import WatchedFileHandler

from ..log import ACCESS_LOGGER, audit_log
from ..settings import Settings


def configure_logs(settings: Settings, *, verbose: bool) -> None:
    """Configure Python's ``logging`` in a process that answers requests.

    Standard error gets warnings, errors, failed log-ins, deletions and changed rights, with ``verbose`` also
    messages. The access log goes to the file of the settings or to standard output if a form is set, and to
    standard error with ``verbose`` alone.
    """
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s",
    )
    audit_log.setLevel(logging.INFO)
    requests = logging.getLogger(ACCESS_LOGGER)
    is_wanted = settings.access_log in ("combined", "json") or settings.access_log_file
    if not is_wanted or settings.access_log == "off":
        return
    handler: logging.Handler = logging.StreamHandler(sys.stdout)
    if settings.access_log_file:
        # opened again once it is renamed, so that logs can be rotated without a signal
        handler = WatchedFileHandler(settings.access_log_file, encoding="ascii")
    handler.setFormatter(logging.Formatter("%(message)s"))
    requests.addHandler(handler)
    requests.setLevel(logging.INFO)
    requests.propagate = False


@contextmanager
def without_repeated_warnings() -> Iterator[None]:
    """Log no warnings within the block, in a worker: the main process has logged those about settings."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
