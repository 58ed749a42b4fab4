"""Garbage collection: mark and sweep over images, blobs, and what repositories say of them.

What tags and manifests reach is marked, then everything that is stored is looked at. If something was not
reached, the marking is repeated while requests know that a collection runs, and what was not reached again is
removed. docs/internals.md says why no request loses anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import Final, NamedTuple

from ..access.incarnations import Incarnations
from ..access.marks import Mark, mark_key
from ..clock import SYSTEM_CLOCK, Clock
from ..distribution.blobs import Blobs
from ..distribution.manifest_records import ManifestRecords
from ..distribution.places import Place
from ..distribution.tags import TagPointers
from ..names import RepositoryName, is_v2_tag
from ..registry import layout
from ..registry.expiry import Expiry
from ..registry.repositories import Repositories
from ..storage.at_once import at_once, do_at_once
from ..storage.base import KeyConflict, KeyNotFound, Stat, Storage, StorageFull
from ..storage.sweeping import Sweepable
from .candidates import COLLECTED, Candidate, Candidates, Listing
from .checkpoints import make_room
from .garbage_report import Account, GarbageReport
from .leftovers import Leftovers, name_of
from .live import Live
from .pace import UNLIMITED, Pace
from .progress import SILENCE, Progress
from .repository_folders import repository_folders
from .repository_records import last_segment
from .repository_scan import RepositoryScan, ScannedTag
from .retention import Retention
from .sweep import Sweep

#: How long what is not referred to stays, in seconds: a push must not take longer.
GRACE_S: Final = 24 * 3600


class _Look(NamedTuple):
    """What was removed from a repository."""

    repository: RepositoryName
    tags: int
    manifests: list[Stat]  #: records
    others: list[Stat]
    has_unneeded: bool  #: whether anything was to be removed


class GarbageCollection:
    """One run over a storage. It may run beside servers, and be repeated after an interruption.

    :param grace_s: what is younger stays, and what that builds on.
    :param is_dry_run: nothing is changed.
    :param takes_untagged: manifests without a tag are removed too, unless a kept index lists them, or their
        subject is kept.
    :param retention: which tags are removed first; None for none.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        grace_s: float = GRACE_S,
        is_dry_run: bool = False,
        takes_untagged: bool = False,
        retention: Retention | None = None,
        pace: Pace = UNLIMITED,
        progress: Progress = SILENCE,
        clock: Clock = SYSTEM_CLOCK,
    ):
        self._storage = storage
        self._clock = clock
        self._now_s = clock.time_s()
        self._cutoff_s = self._now_s - grace_s
        self._is_dry_run = is_dry_run
        self._takes_untagged = takes_untagged
        self._retention = retention
        self._pace = pace
        self._progress = progress
        self._repositories = Repositories(storage)
        self._incarnations = Incarnations(storage, self._repositories, clock=clock)
        self._tags = TagPointers(storage, self._repositories, ManifestRecords(storage, Blobs(storage)))
        self._report = GarbageReport(is_dry_run)
        self._account = Account()
        self._owners: dict[str, str] = {}  #: SHA-256 digits of a blob -> the first repository that had it
        self._sweep: Sweep | None = None
        self._has_unneeded = False

    def run(self) -> GarbageReport:
        """Remove what nothing refers to.

        :raises CollectionRunning: another collection runs.
        :raises StorageFull: there is no room for a key of some hundred bytes.
        """
        if not self._is_dry_run:
            self._sweep = self._begin()
        try:
            self._run()
        finally:
            if self._sweep is not None:
                self._sweep.end()
        self._report.freed = self._account.rows()
        return self._report

    def _begin(self) -> Sweep:
        """Let requests know of the run. If no room is left for that, what needs no write is removed first."""
        try:
            return Sweep(self._storage, clock=self._clock)
        except StorageFull:
            Expiry(self._storage, clock=self._clock).expire_all()
            make_room(self._storage)
            return Sweep(self._storage, clock=self._clock)

    def _run(self) -> None:
        live = self._reach(None)
        candidates = self._list(live)
        self._report.images, self._report.blobs = candidates.images, candidates.looked_blobs
        sweep = self._sweep
        if sweep is not None and not (candidates.is_empty and not self._has_unneeded):
            again = Live(images=live.images)
            marks = self._read_marks(candidates)
            self._account, self._owners = Account(), {}
            live = self._reach(sweep, again)
            self._remove_marks(sweep, marks, live)
            do_at_once(self._storage, sweep.tidy, candidates.claims)
        self._take(candidates, live)
        if sweep is not None:
            Expiry(self._storage, clock=self._clock).expire_all(goes_on=sweep.refresh)
        self._sweep_storage()

    def _spend(self, objects: int) -> None:
        """Wait until things that were looked at are within the limits, and let others know of the run.

        :raises CollectionRunning: another collection has taken over.
        """
        for _ in range(objects):
            self._pace.spend(objects=1)
            self._refresh()
        self._refresh()

    def _refresh(self) -> None:
        if self._sweep is not None:
            self._sweep.refresh()

    def _sweep_storage(self) -> None:
        """Remove bytes that no key has any more, if the storage keeps such."""
        if not isinstance(self._storage, Sweepable):
            return
        step = self._progress.start("bytes without keys", None, "objects")

        def look(number: int) -> None:
            step.advance(number)
            self._spend(number)

        try:
            self._report.swept = self._storage.sweep(
                older_than_s=self._now_s - self._cutoff_s, is_dry_run=self._is_dry_run, look=look
            )
        finally:
            step.finish()

    # -- marking

    def _reach(self, sweep: Sweep | None, live: Live | None = None) -> Live:
        """Return what all repositories reach. What they need no more is removed on the way.

        :param sweep: None if nothing is removed.
        """
        live = Live() if live is None else live
        scan = RepositoryScan(self._storage, takes_untagged=self._takes_untagged, cutoff_s=self._cutoff_s)
        self._report.repositories = 0
        self._report.unmatched = set() if self._retention is None else {*self._retention.repositories}
        step = self._progress.start("repositories", None, "repositories")
        try:
            looks = at_once(
                self._storage, partial(self._look, sweep, scan, live), repository_folders(self._storage)
            )
            with closing(looks):
                for look in looks:
                    self._report.repositories += 1
                    if look is not None:
                        self._note(look)
                        step.advance(1)
                        self._spend(1)
        finally:
            step.finish()
        return live

    def _look(
        self, sweep: Sweep | None, scan: RepositoryScan, live: Live, folders: tuple[str, str]
    ) -> _Look | None:
        """Add what a repository reaches, and remove what it needs no more.

        :return: None if it was deleted.
        """
        if self._is_deleted(*folders, sweep):
            return None
        name = layout.repository_from_folders(*folders)
        gone = set[str]()

        def choose(tags: dict[str, ScannedTag]) -> set[str]:
            gone.update(self._retain(sweep, name, tags))
            return gone

        unneeded = scan.scan(*folders, live, choose)
        # records first: without them nothing else is asked for
        manifests = self._drop(sweep, unneeded.manifests)
        others = self._drop(sweep, unneeded.others) + self._drop(sweep, unneeded.blobs)
        return _Look(name, len(gone), manifests, others, bool(gone) or not unneeded.is_empty)

    def _note(self, look: _Look) -> None:
        """Count what was removed from a repository."""
        if self._retention is not None:
            self._report.unmatched -= self._retention.matched(look.repository)
        self._has_unneeded = self._has_unneeded or look.has_unneeded
        row = self._account.of(str(look.repository))
        row.tags += look.tags
        row.manifests += len(look.manifests)
        for stat in (*look.manifests, *look.others):
            self._owners.setdefault(last_segment(stat), str(look.repository))

    def _is_deleted(self, namespace: str, folder: str, sweep: Sweep | None) -> bool:
        """Tell whether a repository was marked as deleted so long ago that its rest is removed now."""
        try:
            stat = self._storage.stat(f"{layout.REPOSITORIES}/{namespace}/{folder}/{layout.DELETED}")
        except KeyNotFound:
            return False
        if stat.modified.timestamp() > self._cutoff_s:
            return False
        if sweep is not None:
            with sweep.changing():
                name = layout.repository_from_folders(namespace, folder)
                self._repositories.end_uploads(name)
                self._repositories.remove_marked_deleted(name)
        return True

    def _drop(self, sweep: Sweep | None, unneeded: Sequence[Stat]) -> list[Stat]:
        """Remove keys that a repository needs no more; return those that were removed."""
        if sweep is None:
            return list(unneeded)
        with closing(at_once(self._storage, sweep.delete, unneeded)) as removals:
            return [stat for stat, is_removed in zip(unneeded, removals, strict=True) if is_removed]

    def _retain(self, sweep: Sweep | None, name: RepositoryName, tags: dict[str, ScannedTag]) -> list[str]:
        """Return the tags that the rules of retention remove; remove them if there is a sweep."""
        if self._retention is None:
            return []
        times = {tag: scanned.set_at_s for tag, scanned in tags.items()}
        chosen = self._retention.removed(name, times, self._now_s)
        if sweep is None or not chosen:
            return chosen

        def remove(tag: str) -> bool:
            with sweep.changing():
                return self._remove_tag(name, tag, tags[tag])

        with closing(at_once(self._storage, remove, chosen)) as removals:
            return [tag for tag, is_removed in zip(chosen, removals, strict=True) if is_removed]

    def _remove_tag(self, name: RepositoryName, tag: str, scanned: ScannedTag) -> bool:
        """Remove a tag if it was not set again meanwhile; tell whether it was removed."""
        if is_v2_tag(tag):
            incarnation = self._incarnations.of(name)
            place = Place(name, incarnation, is_open=not incarnation)
            return self._tags.delete_as_listed(place, tag, scanned.file, scanned.side)
        try:
            if scanned.file is not None:
                self._storage.delete(scanned.file.key, expect=scanned.file.etag)
        except (KeyNotFound, KeyConflict):
            return False
        self._repositories.forget_info(name, tag)
        return True

    # -- listing

    def _list(self, live: Live) -> Candidates:
        step = self._progress.start("images and blobs", None, "objects")

        def spend(number: int) -> None:
            step.advance(number)
            self._spend(number)

        listing = Listing(self._storage, cutoff_s=self._cutoff_s, spend=spend)
        try:
            return listing.candidates(live, self._incarnation_of)
        finally:
            step.finish()

    def _incarnation_of(self, stored_name: str) -> str:
        return self._incarnations.of(name_of(stored_name))

    # -- marks of holders

    def _read_marks(self, candidates: Candidates) -> list[tuple[str, str, Mark, Stat]]:
        """Return the marks that may be removed, as they are before what they are for is looked at again."""
        pairs = [(name, image_id) for name, image_ids in candidates.marks.items() for image_id in image_ids]
        values = self._storage.read_many(mark_key(name_of(name), image_id) for name, image_id in pairs)
        marks = []
        for pair, (_, value) in zip(pairs, values, strict=True):
            self._refresh()
            if value is not None:
                marks.append((*pair, Mark.parse(value[0]), value[1]))
        return marks

    def _remove_marks(self, sweep: Sweep, marks: list[tuple[str, str, Mark, Stat]], live: Live) -> None:
        def remove(found: tuple[Mark, Stat]) -> None:
            mark, stat = found
            if mark.is_published:
                # it still says that older tags do not mean the first content
                sweep.replace(stat, Mark("", COLLECTED, is_published=True).dump())
            else:
                sweep.delete(stat)

        unneeded = (
            (mark, stat)
            for name, image_id, mark, stat in marks
            if not live.has_pair(name, image_id) and stat.modified.timestamp() <= self._cutoff_s
        )
        do_at_once(self._storage, remove, unneeded)

    # -- removing

    def _take(self, candidates: Candidates, live: Live) -> None:
        """Remove the candidates that were not reached, or count what would be removed."""
        sweep, taken = self._sweep, []
        self._account.share(candidates.shared)
        for candidate in (*candidates.contents, *candidates.blobs.values()):
            if _is_live(candidate, live):
                self._stays(candidate)
            else:
                taken.append(candidate)
        if sweep is not None:
            do_at_once(self._storage, sweep.delete, candidates.others)
        removed = self._removed(taken)
        leftovers = Leftovers(self._storage, self._cutoff_s, self._refresh)
        owners = leftovers.owners(removed, self._owners)
        for candidate in removed:
            self._account.add(candidate, owners.get(candidate.folder, ""))
        if sweep is not None:
            leftovers.remove(sweep, removed, self._incarnation_of)

    def _removed(self, taken: list[Candidate]) -> list[Candidate]:
        """Remove candidates; return those that were removed. Without a sweep all count as removed."""
        sweep, removed = self._sweep, []
        step = self._progress.start("remove", len(taken), "objects")

        def remove(candidate: Candidate) -> bool:
            return sweep is None or sweep.remove(candidate, self._cutoff_s)

        try:
            with closing(at_once(self._storage, remove, taken)) as removals:
                for candidate, is_removed in zip(taken, removals, strict=True):
                    if is_removed:
                        removed.append(candidate)
                    else:
                        self._stays(candidate)
                    step.advance(1)
                    self._spend(1)
        finally:
            step.finish()
        return removed

    def _stays(self, candidate: Candidate) -> None:
        self._report.kept += 1
        self._account.stays(candidate)


def _is_live(candidate: Candidate, live: Live) -> bool:
    if candidate.content is None:
        return live.has_blob(candidate.sha256)
    return live.has_content(candidate.content)
