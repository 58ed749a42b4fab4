"""What a storage may have besides the protocol: the removal of bytes that no key has any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable


class Swept(NamedTuple):
    """What a sweep found."""

    objects: int  #: how many were removed, or would be
    bytes: int  #: of these
    waiting: int  #: how many had no key for the first time, so that a later sweep removes them
    waiting_bytes: int  #: of these


@runtime_checkable
class Sweepable(Protocol):
    """A storage that keeps bytes for a while after their last key was deleted."""

    def sweep(self, *, older_than_s: float, is_dry_run: bool, look: Callable[[int], None]) -> Swept:
        """Remove bytes that no key had, neither now nor when the last sweep ended.

        :param older_than_s: what is younger stays. It must be longer than a value takes to arrive.
        :param look: is called with the number of objects that were looked at since the last call.
        :raises StorageUnavailable: the storage failed. The next call begins again.
        """
