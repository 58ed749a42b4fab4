"""What a storage has too if it can keep the times of values that are copied from a different one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

from .base import Stat


@runtime_checkable
class DatedStorage(Protocol):
    """Writes with times. See :class:`v1registry.storage.base.Storage` for all other methods."""

    def write_dated(self, key: str, data: bytes | Iterable[bytes], modified_ns: int) -> Stat:
        """Store ``data`` under ``key`` as :meth:`Storage.write` does, with a time that the caller gives.

        :param modified_ns: when the value was written, in nanoseconds since 1970. A different value under the
            same key must have a different time.
        :raises StorageFull: no room is left.
        """

    def write_many_dated(self, values: Mapping[str, tuple[bytes, int]]) -> None:
        """Store small values as :meth:`Storage.write_many` does, each with its time as :meth:`write_dated`.

        :param values: value and time of each key.
        :raises StorageFull: no room is left.
        """
