"""A folder for ``serve`` on which a test kills the server at a step that it chooses.

A step is a change of the folder that others see: a rename, a link, a removal. Python reports it before it is
made, so the server dies between two steps, as by ``kill -9`` from outside. Every step below the storage is
met, also those within one of its methods.

``V1REGISTRY_STORAGE=support.killed_at_step:open_folder`` in the environment of the server uses it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from functools import cache
from pathlib import Path

from v1registry import FileStorage

_FOLDER, _ORDER = "KILLED_FOLDER", "KILLED_ORDER"
_STEPS = frozenset(("os.rename", "os.link", "os.remove", "os.rmdir"))
_TESTS = Path(__file__).resolve().parents[1]


class Victim(Enum):
    """What is killed at the step."""

    WORKER = "worker"  #: the process that makes it
    SERVER = "server"  #: all processes of the server


class Killer:
    """Orders a server to be killed.

    :param folder: of the registry's data; it must exist.
    :param order: the path of a file, which is there while an order is not yet carried out.
    """

    def __init__(self, folder: Path, order: Path):
        self._folder = folder
        self._order = order

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables for the server."""
        return {
            "V1REGISTRY_STORAGE": "support.killed_at_step:open_folder",
            "PYTHONPATH": str(_TESTS),
            _FOLDER: str(self._folder),
            _ORDER: str(self._order),
        }

    def order(self, victim: Victim, step: int) -> None:
        """Have a process killed before it makes a step, counted from now on and from 0."""
        # a server sees all of the order, or nothing
        draft = self._order.with_suffix(".new")
        draft.write_text(f"{step} {victim.value}")
        draft.rename(self._order)

    def withdraw(self) -> None:
        """Forget an order that was not carried out."""
        self._order.unlink(missing_ok=True)

    def is_done(self) -> bool:
        """Tell whether the last order was carried out."""
        return not self._order.exists()


def open_folder() -> FileStorage:
    """Return the storage, in the process of the server."""
    _watch()
    return FileStorage(os.environ[_FOLDER])


@cache  # a server opens the storage more than once, and a hook cannot be removed
def _watch() -> None:
    """Count the steps of this process, and of the workers that it becomes."""
    folder, order = os.environ[_FOLDER], Path(os.environ[_ORDER])
    mutex = threading.Lock()

    def see(event: str, arguments: tuple[object, ...]) -> None:
        if event in _STEPS and str(arguments[0]).startswith(f"{folder}/"):
            with mutex, suppress(FileNotFoundError):
                _obey(order)

    sys.addaudithook(see)


def _obey(order: Path) -> None:
    """Count a step, and die if it is the one.

    :raises FileNotFoundError: there is no order.
    """
    left, victim = order.read_text().split()
    if int(left):
        order.write_text(f"{int(left) - 1} {victim}")
        return
    order.unlink()
    if victim == Victim.SERVER.value:
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
