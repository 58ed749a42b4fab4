"""Actions in forked children, which may be killed at one of their calls of the system."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable
from typing import Any


def run_in_child(action: Callable[[], object], *, is_beside_threads: bool = False) -> int:
    """Run an action in a forked child, and return the status with which ``os.waitpid`` reports its end.

    A child of a process with threads may wait without end for what they held, and Python 3.12 and later
    warn of it. So what makes threads, such as a change of several values, belongs into a child too.

    :param is_beside_threads: whether this process may have threads; the warning is not shown then.
    :raises AssertionError: this process has threads, and must not.
    """
    assert is_beside_threads or threading.active_count() == 1, threading.enumerate()
    with warnings.catch_warnings():
        if is_beside_threads:
            warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException:  # noqa: BLE001 (the child must not go on with the code of its parent)
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def killed_at(step: int, calls: Iterable[str], action: Callable[[], object]) -> Callable[[], object]:
    """Return an action that ends by SIGKILL before one of its calls. Run it in a child.

    :param step: before which of the calls, counted from 1. With less calls the action ends by itself.
    :param calls: the names of the functions of ``os`` that count.
    """
    left = itertools.count(step, -1)

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if next(left) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    def killed() -> None:
        for name in calls:
            setattr(os, name, dying(getattr(os, name)))
        action()

    return killed
