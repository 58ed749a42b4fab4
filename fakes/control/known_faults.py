"""The faults that a test sets by numbers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..faults.faults import Fault


class KnownFaults:
    """The faults that the control API set and that are not undone, by number. Safe for threads."""

    def __init__(self) -> None:
        self._faults: dict[int, Fault] = {}
        self._lock = threading.Lock()
        self._last = 0

    def add(self, fault: Fault) -> int:
        """Add a fault, and return its number."""
        with self._lock:
            self._last += 1
            self._faults[self._last] = fault
            return self._last

    def all(self) -> dict[int, Fault]:
        """Return those that are not undone."""
        with self._lock:
            self._faults = {number: fault for number, fault in self._faults.items() if not fault.is_undone}
            return dict(self._faults)
