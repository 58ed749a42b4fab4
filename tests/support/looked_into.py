"""A storage that counts how often layers are read, and can stop a reader until a test lets it go on."""

from __future__ import annotations

from collections import Counter
from threading import Event

from v1registry import MemoryStorage
from v1registry.storage.base import Blob


class WatchedStorage(MemoryStorage):
    """A storage in memory. ``opened`` counts the reads of each key. A layer is read when ``gate`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: Counter[str] = Counter()
        self.reached = Event()  #: set when a reader waits at the gate
        self.gate = Event()
        self.gate.set()

    def open(self, key: str, start: int = 0, stop: int | None = None) -> Blob:
        self.opened[key] += 1
        if key.endswith("/layer"):
            self.reached.set()
            assert self.gate.wait(60)
        return super().open(key, start, stop)

    def looks(self, image_id: str) -> int:
        """Return how often the layer of an image was read."""
        return self.opened[f"images/{image_id}/layer"]
