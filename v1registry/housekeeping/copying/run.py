"""A copy of a registry: passes over all keys, until one finds nothing to do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final

from ...clock import SYSTEM_CLOCK, Clock
from ...registry import layout
from ...storage.base import DataMissing, Stat, Storage, StorageFull, StorageUnavailable
from ...storage.filesystem import FileStorage
from ..findings import Problem
from ..pace import UNLIMITED, Pace
from ..progress import SILENCE, Progress, Step
from .blobs import copy_blob, sha256_in
from .contents import ContentCopies, contents_of
from .gauge import Cancelled, Gauge, Pass
from .parts import (
    COPIED,
    LEFT_OUT,
    Part,
    image_lists_of,
    keys_beside,
    keys_of,
    may_be_info,
    part_of,
)
from .records import copy_info, copy_record
from .report import CopyReport, Deleted
from .shared import SharedBytes
from .state import CopyRefused, CopyState
from .tags import TagCopies, all_tags
from .values import MOST_TOGETHER, Changed, Damaged, Ready, Values
from .workers import Workers

#: How many passes are made at most, unless the caller says otherwise.
PASSES: Final = 10

#: How many values are copied at a time.
THREADS: Final = 8

#: Times of files of old servers advance in steps that are shorter than this, in nanoseconds.
_STEP_NS: Final = 2_000_000_000


def copy_storage(
    source: Storage,
    destination: Storage,
    *,
    passes: int = PASSES,
    threads: int = THREADS,
    is_dry_run: bool = False,
    deletes: bool = False,
    into_existing: bool = False,
    source_name: str = "",
    deleted: Callable[[Deleted], None] = lambda _: None,
    pace: Pace = UNLIMITED,
    progress: Progress = SILENCE,
    clock: Clock = SYSTEM_CLOCK,
) -> CopyReport:
    """Copy a registry to a different storage; return what was done. See docs/migrating.md.

    It may run beside servers over the source, and goes on where an interrupted run ended.

    :param passes: how many passes are made at most. Each finds what changed during the one before.
    :param threads: how many values are copied at a time.
    :param is_dry_run: nothing is written; what would be is counted.
    :param deletes: remove what the source has lost since a copy was complete. Before that it always is.
    :param into_existing: the destination may have other data, which stays; equal keys are replaced.
    :param source_name: what tells the source from others; the path of a folder, or the type, if empty.
    :param deleted: called with each key that is removed from the destination.
    :raises CopyRefused: the source is empty, the destination is not, or one is a part of the other. Nothing
        was changed.
    :raises CopyRunning: another copy to the destination runs.
    :raises StorageFull: the destination is full. The next run goes on.
    :raises StorageUnavailable: a storage failed. The next run goes on.
    """
    _check(source, destination)
    state = CopyState(
        destination, source_name or name_of(source), is_shared=into_existing, deletes=deletes, clock=clock
    )
    copy = _Copy(source, destination, state, Gauge(pace), progress, deleted, is_dry_run=is_dry_run)
    return copy.run(1 if is_dry_run else passes, threads)


def name_of(storage: Storage) -> str:
    """Return what tells a storage from others."""
    return storage.path if isinstance(storage, FileStorage) else type(storage).__name__


def _check(source: Storage, destination: Storage) -> None:
    if source is destination:
        raise CopyRefused("the source and the destination are the same storage")
    if isinstance(source, FileStorage) and isinstance(destination, FileStorage):
        paths = [os.path.realpath(storage.path) for storage in (source, destination)]
        if os.path.commonpath(paths) in paths:
            raise CopyRefused(f"one of the folders {source.path} and {destination.path} is in the other one")
    folders = set(source.list_folders(""))
    if not folders & COPIED:
        raise CopyRefused(
            "the source has no registry: name the folder or the bucket with the folders "
            f"{layout.IMAGES} and {layout.REPOSITORIES}, and look whether it is mounted"
        )


def _settled_ns(since_s: float | None) -> int:
    """Return from which time on values may have been written again after they were copied."""
    return 0 if since_s is None else int(since_s * 1e9) - _STEP_NS


class _Copy:
    """One run."""

    def __init__(
        self,
        source: Storage,
        destination: Storage,
        state: CopyState,
        gauge: Gauge,
        progress: Progress,
        deleted: Callable[[Deleted], None],
        *,
        is_dry_run: bool,
    ):
        self._source = source
        self._destination = destination
        self._state = state
        self._gauge = gauge
        self._progress = progress
        self._deleted = deleted
        self._is_dry_run = is_dry_run
        self._values = Values(source, destination, gauge, is_dry_run=is_dry_run)
        self._values.copied_until_ns = state.copied_until_ns
        self._step: Step | None = None
        self._gathered: list[tuple[Stat, Stat | None]] = []  # records that are to be copied together

    def run(self, passes: int, threads: int) -> CopyReport:
        report = CopyReport(self._is_dry_run)
        folders = self._source.list_folders("")
        report.left_out_folders = tuple(name for name in folders if name not in COPIED | LEFT_OUT)
        is_complete = self._state.is_complete
        try:
            while report.passes < passes and not report.is_settled:
                self._values.settled_ns = _settled_ns(self._state.last_pass_s)
                self._values.trusts_times = self._state.is_compared
                if not self._is_dry_run:
                    self._state.begin_pass(is_complete=is_complete)
                self._gauge.current = Pass()
                self._pass_with(Workers(threads, self._look, self._gauge.cancelled))
                report.passes += 1
                report.is_settled = self._gauge.current.changes == 0
                is_complete = is_complete or report.is_settled
        except StorageFull as error:
            raise StorageFull(error.key, f"the destination is full: {error.reason}") from error
        finally:
            if not self._is_dry_run:
                with suppress(StorageUnavailable):
                    self._state.end(is_complete=is_complete)
        self._fill(report)
        return report

    def _fill(self, report: CopyReport) -> None:
        gauge, last = self._gauge, self._gauge.current
        report.keys, report.extra = last.keys, last.extra
        report.problems = sorted(last.problems, key=lambda problem: problem.key)
        report.left_out_tags = sorted(last.left_out_tags, key=lambda left_out: left_out.tag)
        report.copied, report.copied_bytes = gauge.copied, gauge.copied_bytes
        report.linked, report.deleted = gauge.linked, gauge.deleted

    # -- one pass

    def _pass_with(self, workers: Workers) -> None:
        try:
            with workers:
                self._pass(workers)
        finally:
            if workers.are_done:
                self._state.note_compared()

    def _pass(self, workers: Workers) -> None:
        shared = SharedBytes(self._destination)
        with self._showing("images and blobs", "B", self._count_bytes()):
            self._copy_blobs(workers, shared)
            self._copy_contents(workers, shared)
        with self._showing("records and tags", "keys"):
            self._copy_marks(workers)
            self._copy_records(workers)
            self._copy_image_lists(workers)
            self._copy_tags(workers)
        if self._gauge.current.extra and self._state.deletes:
            self._gauge.current.extra = 0
            for part in reversed(Part):
                self._delete_lost(part)

    def _copy_blobs(self, workers: Workers, shared: SharedBytes) -> None:
        for _, (found, there) in keys_of(Part.BLOBS, self._source, self._destination):
            if found is None:
                self._gauge.current.extra += 1
                continue
            if sha256_in(found.key) is not None:
                shared.note(found)
            self._do(workers, partial(copy_blob, self._values, self._gauge, found, there))
        workers.finish()

    def _copy_contents(self, workers: Workers, shared: SharedBytes) -> None:
        copies = ContentCopies(self._source, self._values, shared, self._gauge)
        for keys in contents_of(self._source, self._destination):
            self._gauge.current.extra += len(keys.there.keys() - keys.found.keys() - {layout.IN_PROGRESS})
            self._do(workers, partial(copies.copy, keys), keys=len(keys.found))
        workers.finish()

    def _copy_marks(self, workers: Workers) -> None:
        for _, (found, there) in keys_of(Part.MARKS, self._source, self._destination):
            self._copy_record(workers, found, there)
        self._copy_gathered(workers)
        workers.finish()

    def _copy_records(self, workers: Workers) -> None:
        for key, (found, there) in keys_beside(Part.RECORDS, self._source, self._destination):
            part = part_of(key)
            if part is Part.RECORDS:
                self._copy_record(workers, found, there)
            elif part is Part.TAGS and found is not None and may_be_info(key):
                self._do(workers, partial(copy_info, self._values, found, there), keys=0)
        self._copy_gathered(workers)
        workers.finish()

    def _copy_image_lists(self, workers: Workers) -> None:
        for _, (found, there) in image_lists_of(self._source, self._destination):
            self._copy_record(workers, found, there)
        self._copy_gathered(workers)
        workers.finish()

    def _copy_record(self, workers: Workers, found: Stat | None, there: Stat | None) -> None:
        if found is None:
            assert there is not None
            if there.key.endswith(f"/{layout.DELETED}") and not self._state.is_shared:
                # a repository was made again under the name
                self._remove(there)
            else:
                self._gauge.current.extra += 1
        elif self._values.is_copied(found, there):
            self._looked_at(1)
            self._look()
        else:
            self._gathered.append((found, there))
            if len(self._gathered) >= MOST_TOGETHER:
                self._copy_gathered(workers)

    def _copy_gathered(self, workers: Workers) -> None:
        """Copy the records that were gathered, in one task."""
        if self._gathered:
            self._do(workers, partial(self._copy_together, self._gathered), keys=len(self._gathered))
            self._gathered = []

    def _copy_together(self, rows: Sequence[tuple[Stat, Stat | None]]) -> None:
        """Copy records; one that is damaged or has changed does not keep the others."""
        ready: list[Ready] = []

        def copy(found: Stat, there: Stat | None) -> None:
            is_shared = self._state.is_shared
            one = copy_record(self._values, self._gauge, found, there, is_shared=is_shared)
            if one is not None:
                ready.append(one)

        for found, there in rows:
            self._try(partial(copy, found, there))
        self._try(partial(self._values.put_many, ready))

    def _copy_tags(self, workers: Workers) -> None:
        copies = TagCopies(self._source, self._values, self._gauge)
        for keys in all_tags(self._source, self._destination):
            self._gauge.current.extra += keys.extra
            if keys.stats:
                self._do(workers, partial(copies.copy, keys), keys=len(keys.stats))
        workers.finish()

    # -- what the source has lost

    def _delete_lost(self, part: Part) -> None:
        for _, (found, there) in keys_of(part, self._source, self._destination):
            if found is None and there is not None:
                self._look()
                self._remove(there)

    def _remove(self, there: Stat) -> None:
        """Remove a key that the source has lost. What was not copied stays."""
        if not self._values.was_copied(there) or self._values.is_in_source(there.key):
            self._gauge.current.extra += 1
            return
        if part_of(there.key) is Part.CONTENTS:
            document = f"{there.key.rpartition('/')[0]}/{layout.JSON}"
            if not self._is_dry_run and document != there.key and not self._values.is_in_source(document):
                # without it, the others count for nothing
                self._values.delete_if_there(document)
        if self._values.delete(there):
            self._deleted(Deleted(there.key))

    # -- tasks and progress

    def _do(self, workers: Workers, task: Callable[[], None], *, keys: int = 1) -> None:
        self._looked_at(keys)
        workers.do(partial(self._try, task))

    def _looked_at(self, keys: int) -> None:
        for _ in range(keys):
            self._gauge.looked_at()
        if self._step is not None and not self._shows_bytes:
            self._step.advance(keys)

    def _try(self, task: Callable[[], None]) -> None:
        try:
            task()
        except Changed:
            self._gauge.changed()
        except Damaged as damaged:
            if isinstance(damaged.__cause__, StorageUnavailable):
                # if the whole source has failed, this fails too
                self._values.is_in_source(damaged.key)
            self._gauge.found(Problem(damaged.key, damaged.text))
        except DataMissing as error:
            self._gauge.found(Problem(error.key, f"it cannot be read: {error.reason}"))
        except Cancelled:
            return

    def _look(self) -> None:
        """Show how many bytes were copied, and let other runs know that this one still works."""
        size = self._gauge.take_bytes()
        if self._step is not None and self._shows_bytes and size:
            self._step.advance(size)
        if not self._is_dry_run:
            self._state.refresh()

    @contextmanager
    def _showing(self, label: str, unit: str, total: int | None = None) -> Iterator[None]:
        self._shows_bytes = unit == "B"
        self._step = self._progress.start(label, total, unit)
        try:
            yield
        finally:
            self._step.finish()
            self._step = None

    def _count_bytes(self) -> int | None:
        """Return how many bytes images and blobs have, for the progress; None if that is not shown."""
        if self._progress is SILENCE:
            return None
        return sum(
            found.size
            for part in (Part.BLOBS, Part.CONTENTS)
            for _, (found,) in keys_of(part, self._source)
            if found is not None
        )
