"""Maintenance of a storage from Python: ``Registry.housekeeping`` (docs/housekeeping.md)."""

from __future__ import annotations

from ..clock import SYSTEM_CLOCK, Clock
from ..storage.base import Storage


class Housekeeping:
    """Maintenance of one storage. It may run beside servers. Each call is for one thread.

    :param clock: gives the time by which things expire.
    """

    def __init__(self, storage: Storage, *, clock: Clock = SYSTEM_CLOCK):
        self._storage = storage
        self._clock = clock
