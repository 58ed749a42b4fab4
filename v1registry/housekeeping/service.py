"""Maintenance of a storage from Python: ``Registry.housekeeping`` (docs/housekeeping.md)."""

from __future__ import annotations

from ..clock import SYSTEM_CLOCK, Clock
from ..registry.expiry import Expired, Expiry
from ..storage.base import Storage
from .garbage import GRACE_S, GarbageCollection
from .garbage_report import GarbageReport
from .kept_usage import Usage, keep, kept
from .pace import UNLIMITED, Pace
from .progress import SILENCE, Progress
from .retention import Retention
from .usage import UsageReport
from .verify import Verification


class Housekeeping:
    """Maintenance of one storage. It may run beside servers. Each call is for one thread.

    :param clock: gives the time by which things expire.
    """

    def __init__(self, storage: Storage, *, clock: Clock = SYSTEM_CLOCK):
        self._storage = storage
        self._clock = clock

    def verify(
        self,
        *,
        reads_layers: bool = True,
        quarantines: bool = False,
        older_than_s: float | None = None,
        restarts: bool = False,
        pace: Pace = UNLIMITED,
        progress: Progress = SILENCE,
    ) -> Verification:
        """Return a search for damaged data, which runs while its findings are iterated.

        :param reads_layers: compare all layers with their sums, and all blobs with their digests.
        :param quarantines: move layers and blobs that do not fit out of the way.
        :param older_than_s: layers and blobs that were read within that time are not read again. None to go
            on with the last run if it was interrupted.
        :param restarts: read everything.
        """
        return Verification(
            self._storage,
            reads_layers=reads_layers,
            quarantines=quarantines,
            older_than_s=older_than_s,
            restarts=restarts,
            pace=pace,
            progress=progress,
            clock=self._clock,
        )

    def usage(self, *, pace: Pace = UNLIMITED, progress: Progress = SILENCE, is_kept: bool = True) -> Usage:
        """Return how many bytes each repository uses, alone and together with others.

        All keys of images and blobs are listed, and no layer is read.

        :param is_kept: store the report for the page of administrators, and for :meth:`last_usage`.
        """
        report = UsageReport(self._storage, pace=pace, progress=progress, clock=self._clock)
        usage = report.make()
        if is_kept:
            keep(self._storage, usage, clock=self._clock)
        return usage

    def last_usage(self) -> Usage | None:
        """Return the report that was stored last, None if none was.

        Of many repositories it has only the 1,000 that use the most alone.
        """
        return kept(self._storage)

    def collect_garbage(
        self,
        *,
        grace_s: float = GRACE_S,
        is_dry_run: bool = False,
        takes_untagged: bool = False,
        retention: Retention | None = None,
        pace: Pace = UNLIMITED,
        progress: Progress = SILENCE,
    ) -> GarbageReport:
        """Remove images, blobs and manifests that nothing refers to; return what was removed.

        :param grace_s: what was stored so lately stays, in seconds. It must be longer than a push takes.
        :param is_dry_run: nothing is changed; what would be removed is returned.
        :param takes_untagged: remove manifests without a tag too, unless a kept index lists them, or their
            subject is kept.
        :param retention: which tags are removed first; None for none.
        :raises CollectionRunning: another collection runs.
        """
        return GarbageCollection(
            self._storage,
            grace_s=grace_s,
            is_dry_run=is_dry_run,
            takes_untagged=takes_untagged,
            retention=retention,
            pace=pace,
            progress=progress,
            clock=self._clock,
        ).run()

    def expire(self, *, pace: Pace = UNLIMITED, progress: Progress = SILENCE) -> Expired:
        """Remove unfinished pushes and uploads whose last request was more than 24 hours ago.

        Records of announced pushes and of deletions that are as old are removed too.
        """
        step = progress.start("unfinished pushes", None, "images")

        def looked_at() -> None:
            pace.spend(objects=1)
            step.advance(1)

        try:
            return Expiry(self._storage, clock=self._clock).expire_all(looked_at)
        finally:
            step.finish()
