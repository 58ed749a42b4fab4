"""A search for damaged data (decisions.md 22), and for the tags that it hurts."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from functools import partial
from itertools import islice
from threading import Lock
from typing import Final, TypeAlias

from ..clock import SYSTEM_CLOCK, Clock
from ..distribution import layout as blob_layout
from ..names import RepositoryName
from ..registry import layout
from ..registry.contents import Contents
from ..registry.image_lists import is_list
from ..registry.tags import TagRule, is_info_value, is_tag_value
from ..rights import Content
from ..storage.at_once import at_once
from ..storage.base import DataMissing, InvalidKey, KeyNotFound, Stat, Storage
from .findings import MOVE, RESTORE, HurtTag, Problem, lost
from .pace import UNLIMITED, Pace
from .progress import SILENCE, Progress, Step
from .quarantine import Quarantine
from .reach import Reach, Reached, StoredPlace
from .repository_folders import repository_folders
from .verify_blobs import BlobVerification
from .verify_images import ImageVerification, Known, Reading
from .verify_state import ReadLately

#: Below these keys each value is a record: a JSON object.
_RECORDS: Final = (
    "accounts/users/",
    "accounts/addresses/",
    "accounts/oauth/applications/",
    "accounts/oauth/grants/",
)

#: How many values of a repository are looked at together.
_TOGETHER: Final = 32

#: How many damaged or missing values of a tag are named.
_MOST_NAMED: Final = 10

Finding: TypeAlias = Problem | HurtTag


class Verification:
    """Looks at all values of a storage. Safe beside running servers; for one thread, and for one run.

    :param reads_layers: compare all layers with their sums, and all blobs with their digests. All bytes are
        read.
    :param quarantines: move layers and blobs that do not fit out of the way.
    :param older_than_s: layers and blobs that were read within that time are not read again. None to go on
        with the last run if it was interrupted.
    :param restarts: read everything.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        reads_layers: bool = False,
        quarantines: bool = False,
        older_than_s: float | None = None,
        restarts: bool = False,
        pace: Pace = UNLIMITED,
        progress: Progress = SILENCE,
        clock: Clock = SYSTEM_CLOCK,
    ):
        self._storage = storage
        self._pace = pace
        self._progress = progress
        self._counting = Lock()  # guards the number of bytes, and the step while bytes are counted
        self._step: Step | None = None
        self._shows_bytes = False
        self._known = Known()
        self._reading: Reading | None = None
        if reads_layers:
            lately = ReadLately(storage, older_than_s=older_than_s, restarts=restarts, clock=clock)
            quarantine = Quarantine(storage, clock=clock) if quarantines else None
            self._reading = Reading(lately, quarantine, self._count)
        self._contents = Contents(storage)
        self._images = ImageVerification(storage, self._known, self._reading, self._looked_at)
        self._blobs = BlobVerification(storage, self._known, self._reading, self._looked_at)
        self._reach = Reach(storage, has_variants=self._images.has_variants)
        #: hashes of the keys of all problems, of which there may be millions
        self._told = set[int]()
        self.repositories = 0  #: how many repositories were looked at
        self.problems = 0  #: how many were found so far
        self.hurt_tags = 0  #: how many were found so far
        self.read_bytes = 0  #: of layers and blobs

    @property
    def images(self) -> int:
        """How many image ids were looked at."""
        return self._images.images

    @property
    def blobs(self) -> int:
        """How many blobs were looked at."""
        return self._blobs.blobs

    @property
    def skipped(self) -> int:
        """How many layers and blobs were not read, because they were read lately."""
        return 0 if self._reading is None else self._reading.skipped

    def findings(self) -> Generator[Finding, None, None]:
        """Yield what is damaged, as it is found: images, blobs, repositories with hurt tags, and accounts.

        If the iteration ends early, the next run goes on where it ended.
        """
        is_finished = False
        try:
            with closing(self._findings()) as findings:
                for finding in findings:
                    if isinstance(finding, Problem):
                        self._told.add(hash(finding.key))
                        self.problems += 1
                    else:
                        self.hurt_tags += 1
                    yield finding
            is_finished = True
        finally:
            if self._step is not None:
                self._step.finish()
            if self._reading is not None:
                self._reading.lately.save(is_finished=is_finished)

    def _findings(self) -> Generator[Finding, None, None]:
        if self._reading is not None:
            self._blobs.note_linked()
        self._begin("images")
        yield from self._images.problems()
        self._begin("blobs")
        yield from self._blobs.problems()
        self._begin("repositories", is_read=False)
        with closing(at_once(self._storage, self._problems_in, repository_folders(self._storage))) as found:
            for problems in found:
                self.repositories += 1
                yield from problems
                self._looked_at()
        with closing(at_once(self._storage, self._hurt_tags, self._reach.repositories())) as hurt:
            for found_there in hurt:
                for finding in found_there:
                    # tags share values, and most values were looked at before
                    if isinstance(finding, HurtTag) or hash(finding.key) not in self._told:
                        yield finding
        for prefix in _RECORDS:
            with closing(
                at_once(self._storage, self._problem_of_record, self._storage.list(prefix))
            ) as found:
                for problem in found:
                    if problem is not None:
                        yield problem

    def _problem_of_record(self, stat: Stat) -> Problem | None:
        try:
            is_record = isinstance(layout.parse_stored(self._value(stat.key)), dict)
        except DataMissing as error:
            return lost(error)
        return None if is_record else Problem(stat.key, f"the record is empty or cut: {RESTORE}")

    # -- progress

    def _begin(self, label: str, *, is_read: bool = True) -> None:
        """Begin a step, whose progress is that of the bytes that are read, if any are."""
        if self._step is not None:
            self._step.finish()
        self._shows_bytes = is_read and self._reading is not None
        self._step = self._progress.start(label, None, "B" if self._shows_bytes else label)

    def _looked_at(self) -> None:
        """Count an image, a blob or a repository."""
        if self._step is not None and not self._shows_bytes:
            self._step.advance(1)
        self._pace.spend(objects=1)

    def _count(self, size_bytes: int) -> None:
        """Count bytes that were read, perhaps by another thread."""
        with self._counting:
            self.read_bytes += size_bytes
            if self._step is not None:
                self._step.advance(size_bytes)
        self._pace.spend(size_bytes=size_bytes)

    # -- repositories

    def _problems_in(self, folders: tuple[str, str]) -> list[Problem]:
        """Return what is damaged in the folder of a repository."""
        folder = f"{layout.REPOSITORIES}/{'/'.join(folders)}/"
        looks = at_once(self._storage, partial(self._look, folder), _in_parts(self._storage.list(folder)))
        return [problem for problems in looks for problem in problems]

    def _look(self, folder: str, stats: list[Stat]) -> list[Problem]:
        """Return which of some values are damaged. A storage that is far away is asked once for some."""
        keys = [stat.key for stat in stats]
        with self._storage.moment():
            try:
                values = list(self._storage.read_many(keys))
            except DataMissing:
                return [problem for key in keys for problem in self._look_at_one(folder, key)]
            return [
                problem
                for key, found in values
                if found is not None  # else it was removed since the listing
                for problem in self._problems_of(folder, key, found[0])
            ]

    def _look_at_one(self, folder: str, key: str) -> list[Problem]:
        """Return the problem of a value beside others of which one is lost; none if it is whole."""
        try:
            value = self._storage.read(key)[0]
        except KeyNotFound:
            return []
        except DataMissing as error:
            return [lost(error)]
        return self._problems_of(folder, key, value)

    def _problems_of(self, folder: str, key: str, value: bytes) -> list[Problem]:
        """Return the problem of a value that was read; none if it is whole, or was replaced meanwhile."""
        text = self._problem_of(key.removeprefix(folder), value)
        try:
            return [Problem(key, text)] if text and self._is_still(key, value) else []
        except DataMissing as error:
            return [lost(error)]

    def _problem_of(self, name: str, value: bytes) -> str:
        if name.startswith(f"{layout.V2}/"):
            return self._blobs.problem_of(name, value)
        text = _problem_of(name, value)
        if not text and name.startswith(layout.TAG_PREFIX) and is_tag_value(value):
            target = value.strip().decode("ascii")
            try:
                is_complete = self._contents.open_content(target) is not None
            except DataMissing as error:
                return f"the tag names the image {target}, which cannot be read: see {error.key}"
            if not is_complete:
                return f"the tag names the image {target}, which is not complete: push it again"
        return text

    # -- hurt tags

    def _hurt_tags(self, repository: RepositoryName) -> list[Finding]:
        """Return the tags of a repository that reach damaged or missing values, and values that are lost."""
        try:
            with self._storage.moment():
                place = self._reach.place(repository)
                names = self._reach.tags(place)
        except DataMissing as error:
            return [lost(error)]
        found = at_once(self._storage, partial(self._hurt_tag, place), names)
        return [finding for findings in found for finding in findings]

    def _hurt_tag(self, place: StoredPlace, tag: str) -> list[Finding]:
        name = f"{place.repository}:{tag}"
        try:
            with self._storage.moment():
                reached = self._reach.tag(place, tag)
                keys = [] if reached is None else self._damaged_in(place, reached)
                # it may have been moved or deleted meanwhile
                if keys and self._reach.tag(place, tag) == reached:
                    return [HurtTag(name, tuple(keys[:_MOST_NAMED]))]
        except DataMissing as error:
            # what it reaches beyond this value is not known
            is_blob = error.key.startswith(f"{blob_layout.BLOBS}/")
            return [lost(error, MOVE if is_blob else ""), HurtTag(name, (error.key,))]
        return []

    def _damaged_in(self, place: StoredPlace, reached: Reached) -> list[str]:
        contents = (content for content in reached.contents if not self._is_whole(content))
        blobs = (
            blob_layout.blob_key(sha256)
            for sha256 in reached.blobs
            if not self._is_stored(blob_layout.blob_key(sha256)) and not self._reach.awaits(place, sha256)
        )
        return sorted([*map(layout.content_folder, contents), *blobs])

    def _is_whole(self, content: Content) -> bool:
        folder = layout.content_folder(content)
        if self._known.is_whole(folder):
            return True
        if folder in self._known.damaged:
            return False
        try:
            # it may have been pushed since the images were looked at
            if self._contents.whole(content) is None:
                return False
        except DataMissing:
            return False
        self._known.add_whole(folder)
        return True

    def _is_stored(self, key: str) -> bool:
        if self._known.is_whole(key):
            return True
        if key in self._known.damaged:
            return False
        try:
            self._storage.stat(key)
        except KeyNotFound:
            return False
        self._known.add_whole(key)
        return True

    # -- keys

    def _value(self, key: str) -> bytes:
        try:
            return self._storage.read(key)[0]
        except KeyNotFound:  # removed since the listing
            return b""

    def _is_still(self, key: str, value: bytes) -> bool:
        """Tell whether a value is still stored."""
        with suppress(KeyNotFound, InvalidKey):
            return self._storage.read(key)[0] == value
        return False


def _in_parts(stats: Iterator[Stat]) -> Iterator[list[Stat]]:
    while part := list(islice(stats, _TOGETHER)):
        yield part


def _problem_of(name: str, value: bytes) -> str:
    """Return what is wrong with a value in the folder of a repository; empty if nothing is."""
    if name == layout.IMAGE_LIST and not is_list(value):
        return "the image list is empty or cut: it is answered from the tags, and the next push writes it"
    if name == layout.INCARNATION and not value:
        return "the repository lost what it holds: push it again"
    if name == layout.TAG_RULE and value.decode("latin-1") not in {rule.value for rule in TagRule}:
        return "the rule of the tags is empty or cut: set it again"
    if name.startswith(layout.TAG_PREFIX):
        return "" if is_tag_value(value) or is_info_value(value) else "the tag is empty or cut: push it again"
    is_object = name in (layout.COLLABORATORS, layout.INFO) or name.endswith("_json")
    if is_object and not is_info_value(value):
        return "the value is empty or cut: set it again"
    return ""
