"""Which layers and blobs were read lately, so that a run of ``verify`` need not read them again.

Keys are noted in their order, so what was read is a few ranges of keys, each with two times. One is when the
first run began that has read some of it: it tells when the range is read again. The other one is when the
last run began that has passed it, and has read what was written since its reading. So a value that was
written later than that is read again: also one that came between two keys while the run went on.

Some values are older than the moment at which they can be seen, because a push or an upload takes time. So
the young ones that a run has seen are remembered by their keys, and others that are as old are read.

A new layer between layers that were read before is a range of its own. If there are too many ranges,
neighbours are joined, and the older times count for both. The ranges are kept below ``housekeeping/verify``,
together with the keys that were damaged, which each run looks at.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, replace
from itertools import islice, pairwise
from typing import Any, Final

from ..clock import SYSTEM_CLOCK, Clock
from ..log import get_logger
from ..registry.expiry import EXPIRY_S
from ..storage.base import Storage, StorageUnavailable
from .checkpoints import VERIFY, Checkpoint

log = get_logger(__name__)

#: How many ranges, damaged keys and young keys are kept. What is not kept is read again.
_MOST_RANGES: Final = 1000
_MOST_DAMAGED: Final = 10_000
_MOST_YOUNG: Final = 2000

#: The time of what no run has read.
_NEVER_S: Final = 0.0

#: How much older than the moment at which it can be seen a value may be, in seconds.
_YOUNG_S: Final = EXPIRY_S


@dataclass(frozen=True)
class _Range:
    """Keys from the first to the last.

    A range whose first key is the next possible one after the last key of another range is its neighbour:
    no stored key is between them that was not read.
    """

    first: str
    last: str
    read_at_s: float  #: all keys were read by runs that began then or later
    passed_at_s: float  #: what was written before was read after it was written
    keys: int = 1  #: about how many there are

    def is_next_to(self, after: _Range) -> bool:
        """Tell whether a range that follows is a neighbour."""
        return after.first in (self.last, _after(self.last))

    def loss(self, after: _Range) -> float:
        """Return how much a join with a neighbour forgets: for how many keys, times how many seconds."""
        read = self if self.read_at_s > after.read_at_s else after
        passed = self if self.passed_at_s > after.passed_at_s else after
        return read.keys * abs(self.read_at_s - after.read_at_s) + passed.keys * abs(
            self.passed_at_s - after.passed_at_s
        )

    def with_(self, after: _Range) -> _Range:
        """Return one range for this one and its neighbour."""
        read_at_s = min(self.read_at_s, after.read_at_s)
        passed_at_s = min(self.passed_at_s, after.passed_at_s)
        return _Range(self.first, after.last, read_at_s, passed_at_s, self.keys + after.keys)


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
        self._now_s = now_s = clock.time_s()
        self._old = _ranges_of(stored.get("ranges"), now_s)
        self._firsts = [range_.first for range_ in self._old]
        self._damaged = _keys_of(stored.get("damaged"))
        self._damaged_now = dict[str, None]()
        self._is_kept = True
        self._young_before = _times_of(stored.get("young"))
        self._young = dict[str, float]()  #: key -> when its value was written
        began_at_s = stored.get("began_at_s")
        self._began_at_s = now_s
        self._since_s = float("inf")
        if not restarts and older_than_s is not None:
            self._since_s = now_s - older_than_s
        elif not restarts and isinstance(began_at_s, (int, float)) and began_at_s <= now_s:
            # the last run was interrupted
            self._began_at_s = self._since_s = began_at_s
        self._before = self._old  # all ranges, without what was noted since the last jump
        self._new: list[_Range] = []  # of this run: neighbours, in their order

    def has(self, key: str, modified_s: float) -> bool:
        """Tell whether a key need not be read. Other threads may ask, too.

        :param modified_s: when the value was written, in seconds since the epoch.
        """
        found = self._range_of(key)
        return (
            found is not None
            and key not in self._damaged
            and self._since_s <= found.read_at_s
            and modified_s < found.passed_at_s
            and (modified_s < found.passed_at_s - _YOUNG_S or self._young_before.get(key) == modified_s)
        )

    def skip(self, key: str, modified_s: float) -> None:
        """Note that a key was left out, because it was read lately. Keys come in their order.

        :param modified_s: when the value was written, in seconds since the epoch.
        """
        found = self._range_of(key)
        self._add(key, _NEVER_S if found is None else found.read_at_s, self._now_s)
        self._note_age(key, modified_s)

    def note(self, key: str, begun_at_s: float, modified_s: float, *, is_damaged: bool) -> None:
        """Note that a key was read. Keys come in their order, apart from a few jumps.

        :param begun_at_s: when the reading began, in seconds since the epoch. If several are read at once,
            the next one may have begun before.
        :param modified_s: when the value was written, in seconds since the epoch.
        """
        at_s = min(begun_at_s, self._now_s) if self._note_damage(key, is_damaged) else _NEVER_S
        self._add(key, at_s, at_s)
        self._note_age(key, modified_s)
        if self._checkpoint.is_due:
            self.save(is_finished=False)

    def note_unread(self, key: str) -> None:
        """Note that a key could not be read. Keys come in their order. Each run looks at it."""
        if not self._note_damage(key, is_damaged=True):
            self._add(key, _NEVER_S, _NEVER_S)

    def note_again(self, key: str, *, is_damaged: bool) -> None:
        """Note that a key was read which the run had passed. Such keys come in any order."""
        self._note_damage(key, is_damaged)

    def now_s(self) -> float:
        """Return the time, in seconds since the epoch. Other threads may ask, too."""
        return self._clock.time_s()

    def save(self, *, is_finished: bool) -> None:
        """Store what was read.

        :param is_finished: the next run does not go on with this one.
        """
        if not self._is_kept:
            return
        young = self._young if is_finished else {**self._young_before, **self._young}
        ranges = _joined([*_painted(self._before, self._new)], _MOST_RANGES)
        fields: dict[str, Any] = {
            "ranges": [list(astuple(range_)) for range_ in ranges],
            "damaged": self._damaged_left() if is_finished else list(self._damaged),
            "young": {key: at_s for key, at_s in young.items() if self._is_young(at_s)},
        }
        if not is_finished:
            fields["began_at_s"] = self._began_at_s
        try:
            self._checkpoint.save(fields)
        except StorageUnavailable as error:
            self._is_kept = False
            log.warning("where the run is cannot be stored, so the next run begins at the start: %s", error)

    def _range_of(self, key: str) -> _Range | None:
        """Return the stored range with a key."""
        place = bisect_left(self._firsts, _after(key)) - 1
        return self._old[place] if place >= 0 and key <= self._old[place].last else None

    def _note_damage(self, key: str, is_damaged: bool) -> bool:
        """Remember whether a key is damaged; tell whether that was possible."""
        if not is_damaged:
            self._damaged.pop(key, None)
            self._damaged_now.pop(key, None)
        elif key in self._damaged or len(self._damaged) < _MOST_DAMAGED:
            self._damaged[key] = None
            self._damaged_now[key] = None
        else:
            return False
        return True

    def _damaged_left(self) -> list[str]:
        """Return the damaged keys after a whole run. Some of those that are gone may come back."""
        gone = (key for key in self._damaged if key not in self._damaged_now)
        return [*self._damaged_now, *islice(gone, max(0, _MOST_DAMAGED // 2 - len(self._damaged_now)))]

    def _is_young(self, modified_s: float) -> bool:
        return modified_s >= self._now_s - _YOUNG_S

    def _note_age(self, key: str, modified_s: float) -> None:
        if self._is_young(modified_s) and len(self._young) < _MOST_YOUNG:
            self._young[key] = modified_s

    def _add(self, key: str, read_at_s: float, passed_at_s: float) -> None:
        """Note a key with its times."""
        if self._new and key <= self._new[-1].last:
            self._before, self._new = [*_painted(self._before, self._new)], []
        last = self._new[-1] if self._new else None
        if last is None:
            self._new.append(_Range(key, key, read_at_s, passed_at_s))
        elif (last.read_at_s, last.passed_at_s) == (read_at_s, passed_at_s):
            self._new[-1] = replace(last, last=key, keys=last.keys + 1)
        else:
            self._new.append(_Range(_after(last.last), key, read_at_s, passed_at_s))
            if len(self._new) > 2 * _MOST_RANGES:
                self._new = _joined(self._new, _MOST_RANGES)


def _after(key: str) -> str:
    """Return the next possible key."""
    return key + "\0"


def _painted(old: list[_Range], new: list[_Range]) -> Iterator[_Range]:
    """Yield two lists of ranges in the order of their keys. Where both have keys, the new ones count.

    A part of an old one may end at the first key of a new one.
    """
    lasts, written = [range_.last for range_ in new], 0
    for range_ in old:
        start, parts = range_.first, list[tuple[str, str]]()
        place = bisect_left(lasts, start)
        while place < len(new) and new[place].first <= range_.last:
            if start < new[place].first:
                parts.append((start, new[place].first))
            start = _after(new[place].last)
            place += 1
        if start <= range_.last:
            parts.append((start, range_.last))
        for first, last in parts:
            while written < len(new) and new[written].first < first:
                yield new[written]
                written += 1
            yield replace(range_, first=first, last=last, keys=max(1, range_.keys // len(parts)))
    yield from new[written:]


def _joined(ranges: list[_Range], most: int) -> list[_Range]:
    """Join neighbours until there are at most so many ranges, those first by which least is lost.

    If there are too many that have no neighbour, those with few keys are forgotten.
    """
    while len(ranges) > most:
        pairs = enumerate(pairwise(ranges))
        losses = sorted((one.loss(after), number) for number, (one, after) in pairs if one.is_next_to(after))
        if not losses:
            largest = sorted(ranges, key=lambda range_: -range_.keys)[:most]
            return sorted(largest, key=lambda range_: range_.first)
        chosen = {number for _, number in losses[: len(ranges) - most]}
        joined = [ranges[0]]
        for number, range_ in enumerate(ranges[1:]):
            if number in chosen:
                joined[-1] = joined[-1].with_(range_)
            else:
                joined.append(range_)
        ranges = joined
    return ranges


def _ranges_of(stored: object, now_s: float) -> list[_Range]:
    """Return stored ranges in the order of their keys; none of what is damaged, or of the future."""
    found = []
    for item in stored if isinstance(stored, list) else []:
        match item:
            case [
                str(first),
                str(last),
                int() | float() as read_at_s,
                int() | float() as passed_at_s,
                int(keys),
            ] if first <= last and read_at_s <= now_s and passed_at_s <= now_s:
                found.append(_Range(first, last, read_at_s, passed_at_s, keys))
    return sorted(found, key=lambda range_: range_.first)


def _keys_of(stored: object) -> dict[str, None]:
    """Return stored keys."""
    keys: Iterable[object] = stored if isinstance(stored, list) else ()
    return dict.fromkeys(item for item in keys if isinstance(item, str))


def _times_of(stored: object) -> dict[str, float]:
    """Return stored keys with their times."""
    times = stored if isinstance(stored, dict) else {}
    return {key: at_s for key, at_s in times.items() if isinstance(at_s, (int, float))}
