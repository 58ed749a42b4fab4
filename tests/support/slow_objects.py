"""An object store in memory that answers slowly, by the clock of patience."""

from __future__ import annotations

from typing import Any, Final

import obstore
import pytest
from obstore.store import MemoryStore

from v1registry.clock import SYSTEM_CLOCK, Clock
from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.storage import patience
from v1registry.storage.objects import Groups, ObjectStorage

#: How long a request waits in these storages, in seconds.
MOST_S: Final = 25.0


class SlowStore:
    """The functions of obstore. Each call of a function takes a time of the clock of patience."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.takes_s = 0.0
        self.calls = 0
        self.slow_call = 0  #: the number of a call that takes longer than a request waits in all

    def monotonic(self) -> float:
        """Return the time of the clock of patience, in seconds."""
        return self.now_s

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            self.calls += 1
            self.now_s += MOST_S + 1 if self.calls == self.slow_call else self.takes_s
            return getattr(obstore, name)(*args, **options)

        return call


def open_slowly(
    monkeypatch: pytest.MonkeyPatch, clock: Clock = SYSTEM_CLOCK
) -> tuple[ObjectStorage, SlowStore]:
    """Return an empty storage, and its store, which takes no time yet."""
    slow = SlowStore()
    monkeypatch.setattr(patience, "monotonic", slow.monotonic)
    storage = ObjectStorage(MemoryStore(), groups=Groups(KEY_GROUPS), deadline_s=MOST_S, clock=clock)
    storage._access._obstore = slow  # type: ignore[assignment]
    return storage, slow
