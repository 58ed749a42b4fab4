"""A report of what repositories use, and the last one, which is kept for the page of administrators."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Final

from ..clock import SYSTEM_CLOCK, Clock
from ..storage.base import Storage
from .checkpoints import USAGE, Checkpoint

#: How many repositories the kept report names: those that use the most.
MOST_KEPT: Final = 1000


@dataclass(frozen=True)
class RepositoryUsage:
    """What one repository uses."""

    name: str
    own_bytes: int  #: only this repository reaches them
    shared_bytes: int  #: other repositories reach them too
    tags: int  #: of both APIs
    manifests: int  #: of ``/v2/``, tagged or not


@dataclass(frozen=True)
class Totals:
    """What all repositories use together."""

    measured_at_s: float  #: since the epoch, when the report was begun
    repositories: int
    images: int  #: image ids that are stored
    blobs: int
    stored_bytes: int  #: of images and blobs
    shared_bytes: int  #: of these, more than one repository reaches them
    unreachable_bytes: int  #: of these, no tag and no manifest reaches them: garbage collection frees them
    unfinished_bytes: int  #: of unfinished pushes and uploads
    quarantined_bytes: int  #: of damaged values that were moved out of the way

    @property
    def measured_at(self) -> datetime:
        """When the report was begun, aware, in UTC."""
        return datetime.fromtimestamp(self.measured_at_s, timezone.utc)


@dataclass(frozen=True)
class Usage:
    """A report."""

    totals: Totals
    repositories: tuple[RepositoryUsage, ...]  #: the one that uses the most alone is the first


def keep(storage: Storage, usage: Usage, *, clock: Clock = SYSTEM_CLOCK) -> None:
    """Store a report for the page of administrators. Of many repositories the first ones are kept."""
    fields = {
        "totals": asdict(usage.totals),
        "repositories": [asdict(row) for row in usage.repositories[:MOST_KEPT]],
    }
    Checkpoint(storage, USAGE, clock=clock).save(fields)


def kept(storage: Storage) -> Usage | None:
    """Return the report that was stored last; None if there is none, or if it is damaged."""
    fields = Checkpoint(storage, USAGE).read()
    try:
        rows = [RepositoryUsage(**row) for row in fields["repositories"]]
        totals = Totals(**fields["totals"])
        is_whole = totals.measured_at is not None and all(map(_is_row, rows))
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None
    return Usage(totals, tuple(rows)) if is_whole and all(map(_is_number, vars(totals).values())) else None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and 0 <= value < 1 << 63


def _is_row(row: RepositoryUsage) -> bool:
    name, *numbers = vars(row).values()
    return isinstance(name, str) and all(map(_is_number, numbers))
