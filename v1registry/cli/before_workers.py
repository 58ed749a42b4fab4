"""Work before the worker processes of ``serve`` start, in a process of its own.

The library for object stores runs threads from its first use on, and no thread survives a fork. So the
process that starts the workers must not use an object store itself.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection

from .exits import UNREACHABLE, CommandFailed


def do_before_workers(action: Callable[[], None]) -> None:
    """Call a function in a process of its own, and wait for it.

    :param action: may print, and its exceptions are raised here; nothing else of it comes back.
    :raises CommandFailed: the process ended before the function did.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_do, args=(action, sender))
    process.start()
    sender.close()
    try:
        error = receiver.recv()
    except EOFError:
        raise CommandFailed("the process that looks at the storage was ended", UNREACHABLE) from None
    finally:
        process.join()
        receiver.close()
    if error is not None:
        raise error


def _do(action: Callable[[], None], sender: Connection) -> None:
    error: Exception | None = None
    try:
        action()
    except Exception as failure:  # noqa: BLE001 (it is raised in the other process)
        error = failure
    sys.stdout.flush()
    sender.send(error)
    sender.close()
