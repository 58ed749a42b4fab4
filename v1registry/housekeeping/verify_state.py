"""Which layers and blobs were read lately, so that a run of ``verify`` need not read them again.

Keys are noted in their order, so what was read is a few ranges of keys, each with the time at which the first
of these readings began. A value that was written later than that is read again. They are kept below
``housekeeping/verify``, together with the keys that were damaged, which each run looks at.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any, Final

from ..clock import SYSTEM_CLOCK, Clock
from ..log import get_logger
from ..storage.base import Storage, StorageUnavailable
from .checkpoints import VERIFY, Checkpoint

log = get_logger(__name__)

#: How many ranges and damaged keys are kept. What is not kept is read again.
_MOST_RANGES: Final = 1000
_MOST_DAMAGED: Final = 10_000


@dataclass(frozen=True)
class _Range:
    """Keys from the first to the last, all of which were read from a time on."""

    first: str
    last: str
    read_at_s: float


class ReadLately:
    """What was read lately. For one thread, unless a method says otherwise.

    :param older_than_s: what was read within that time is not read again; None to go on with the last run if
        it was interrupted.
    :param restarts: read everything.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        older_than_s: float | None = None,
        restarts: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ):
        self._clock = clock
        self._checkpoint = Checkpoint(storage, VERIFY, clock=clock)
        stored = self._checkpoint.read()
        self._old = _ranges_of(stored.get("ranges"))
        self._firsts = [range_.first for range_ in self._old]
        self._damaged = _keys_of(stored.get("damaged"))
        self._is_kept = True
        now_s, began_at_s = clock.time_s(), stored.get("began_at_s")
        self._began_at_s = now_s
        self._since_s = float("inf")
        if not restarts and older_than_s is not None:
            self._since_s = now_s - older_than_s
        elif not restarts and isinstance(began_at_s, (int, float)) and began_at_s <= now_s:
            # the last run was interrupted
            self._began_at_s = self._since_s = began_at_s
        self._new: list[_Range] = []
        self._is_open = False

    def has(self, key: str, modified_s: float) -> bool:
        """Tell whether a key need not be read. Other threads may ask, too.

        :param modified_s: when the value was written, in seconds since the epoch.
        """
        place = bisect_left(self._firsts, key + "\0") - 1
        found = self._old[place] if place >= 0 else None
        return (
            found is not None
            and key <= found.last
            and key not in self._damaged
            and self._since_s <= found.read_at_s
            and modified_s < found.read_at_s
        )

    def skip(self) -> None:
        """Note that a key was left out."""
        self._is_open = False

    def note(self, key: str, begun_at_s: float, *, is_damaged: bool) -> None:
        """Note that a key was read. Keys come in their order, apart from a few jumps.

        :param begun_at_s: when the reading began, in seconds since the epoch. If several are read at once,
            the next one may have begun before.
        """
        if self._is_open and self._new[-1].last < key:
            last = self._new[-1]
            self._new[-1] = _Range(last.first, key, min(last.read_at_s, begun_at_s))
        else:
            self._new.append(_Range(key, key, begun_at_s))
            self._is_open = True
        if is_damaged:
            self._damaged[key] = None
        else:
            self._damaged.pop(key, None)
        if self._checkpoint.is_due:
            self.save(is_finished=False)

    def now_s(self) -> float:
        """Return the time, in seconds since the epoch. Other threads may ask, too."""
        return self._clock.time_s()

    def save(self, *, is_finished: bool) -> None:
        """Store what was read.

        :param is_finished: the next run does not go on with this one.
        """
        if not self._is_kept:
            return
        fields: dict[str, Any] = {
            "ranges": [[each.first, each.last, each.read_at_s] for each in self._merged()],
            "damaged": list(self._damaged)[:_MOST_DAMAGED],
        }
        if not is_finished:
            fields["began_at_s"] = self._began_at_s
        try:
            self._checkpoint.save(fields)
        except StorageUnavailable as error:
            self._is_kept = False
            log.warning("where the run is cannot be stored, so the next run begins at the start: %s", error)

    def _merged(self) -> list[_Range]:
        """Return all ranges in the order of their keys. New ones replace old ones."""
        found: list[_Range] = []
        for range_ in (*self._old, *self._new):
            found = [part for other in found for part in _without(other, range_)] + [range_]
        # the newest say the most
        found.sort(key=lambda range_: -range_.read_at_s)
        return sorted(found[:_MOST_RANGES], key=lambda range_: range_.first)


def _without(old: _Range, new: _Range) -> list[_Range]:
    """Return the parts of a range that are not in a different one.

    The first part may end at the first key of that one, where that one counts.
    """
    if new.last < old.first or new.first > old.last:
        return [old]
    parts = []
    if old.first < new.first:
        parts.append(_Range(old.first, new.first, old.read_at_s))
    if old.last > new.last:
        parts.append(_Range(new.last + "\0", old.last, old.read_at_s))
    return parts


def _ranges_of(stored: object) -> list[_Range]:
    """Return stored ranges in the order of their keys; none of what is damaged."""
    found = []
    for item in stored if isinstance(stored, list) else []:
        match item:
            case [str(first), str(last), int() | float() as read_at_s] if first <= last:
                found.append(_Range(first, last, read_at_s))
    return sorted(found, key=lambda range_: range_.first)


def _keys_of(stored: object) -> dict[str, None]:
    """Return stored keys."""
    return dict.fromkeys(item for item in stored if isinstance(item, str)) if isinstance(stored, list) else {}
