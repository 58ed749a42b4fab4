"""What a run of maintenance keeps in the storage, so that an interrupted one goes on where it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from ..clock import SYSTEM_CLOCK, Clock
from ..registry.layout import parse_stored
from ..storage.at_once import Distant
from ..storage.base import DataMissing, KeyNotFound, Storage

#: The folder of all keys of maintenance. Each of them may be deleted: the next run begins at the start.
HOUSEKEEPING: Final = "housekeeping"

#: The last report of ``v1registry usage``, what ``v1registry verify`` has read, and of what the storage is a
#: copy, see ``v1registry copy``.
USAGE: Final = "usage"
VERIFY: Final = "verify"
COPY: Final = "copy"

#: How often a run writes where it is, in seconds. In an object store each write of more than 16 KiB leaves an
#: object that ``gc`` removes.
SAVED_EACH_S: Final = 10.0
SAVED_FAR_AWAY_EACH_S: Final = 60.0


class Checkpoint:
    """One JSON object below ``housekeeping/``. For one thread.

    :param name: the name of the key in the folder.
    """

    def __init__(self, storage: Storage, name: str, *, clock: Clock = SYSTEM_CLOCK):
        self._storage = storage
        self._key = f"{HOUSEKEEPING}/{name}"
        self._clock = clock
        self._saved_at_s = clock.monotonic_s()
        self._saved_each_s = SAVED_FAR_AWAY_EACH_S if isinstance(storage, Distant) else SAVED_EACH_S

    def read(self) -> dict[str, Any]:
        """Return what was saved; an empty object if nothing was, or if it is damaged or lost."""
        try:
            stored = parse_stored(self._storage.read(self._key)[0])
        except (KeyNotFound, DataMissing):
            return {}
        return stored if isinstance(stored, dict) else {}

    @property
    def is_due(self) -> bool:
        """Whether the last write is so long ago that the run should save where it is."""
        return self._clock.monotonic_s() - self._saved_at_s >= self._saved_each_s

    def save(self, fields: Mapping[str, Any]) -> None:
        """Replace what is stored."""
        self._storage.write(self._key, json.dumps(fields, sort_keys=True).encode("ascii"))
        self._saved_at_s = self._clock.monotonic_s()

    def remove(self) -> None:
        """Remove what is stored, if anything is."""
        with suppress(KeyNotFound):
            self._storage.delete(self._key)


def make_room(storage: Storage) -> None:
    """Remove what maintenance keeps, for keys that are needed more if the storage is full."""
    for name in (USAGE, VERIFY):
        Checkpoint(storage, name).remove()
