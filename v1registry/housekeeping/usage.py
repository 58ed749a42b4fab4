"""How many bytes each repository uses, alone and together with others.

Each value is counted once, however many repositories reach it, and however many keys share its bytes: a layer
of v1 and the same blob of ``/v2/`` on a folder. The report is a snapshot. What is pushed or deleted while it
is made may be missing, or counted still.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

from ..clock import SYSTEM_CLOCK, Clock
from ..distribution import layout as blob_layout
from ..names import RepositoryName, is_image_id
from ..registry import layout
from ..rights import Content
from ..storage.at_once import at_once
from ..storage.base import Stat, Storage
from .kept_usage import RepositoryUsage, Totals, Usage
from .pace import UNLIMITED, Pace
from .progress import SILENCE, Progress
from .quarantine import QUARANTINE
from .reach import Reach

#: Instead of the repository that reaches a value.
_UNREACHED: Final = -1
_SHARED: Final = -2


class _Pieces:
    """Stored values, each with its size and what reaches it. Millions fit into memory."""

    def __init__(self) -> None:
        self.sizes = array("Q")
        self._owners = array("l")
        #: name of a folder -> its pieces: the keys that nothing shares, and the one that others may share
        self._folders: dict[int, tuple[int, int]] = {}
        self._by_etag: dict[int, int] = {}

    def add(self, folder: str, stat: Stat, *, is_shareable: bool) -> None:
        """Add a key of a folder."""
        # a number in place of a text: of a million texts, two have the same with odds of one in ten million
        name = hash(folder)
        alone, shareable = self._folders.get(name, (-1, -1))
        if is_shareable:
            shareable = self._by_etag.setdefault(hash(stat.etag), len(self.sizes))
            if shareable == len(self.sizes):
                self._append(stat.size)
        elif alone < 0:
            alone = len(self.sizes)
            self._append(stat.size)
        else:
            self.sizes[alone] += stat.size
        self._folders[name] = alone, shareable

    def _append(self, size: int) -> None:
        self.sizes.append(size)
        self._owners.append(_UNREACHED)

    def end_of_adding(self) -> None:
        """Free what only :meth:`add` needs."""
        self._by_etag.clear()

    def of(self, folders: Iterable[str]) -> set[int]:
        """Return the pieces of folders. Those of unknown ones were stored later, and are left out."""
        found = set[int]()
        for folder in folders:
            found.update(self._folders.get(hash(folder), ()))
        found.discard(-1)
        return found

    def charge(self, pieces: set[int], number: int, own: array[int], shared: array[int]) -> None:
        """Charge a repository for what it reaches.

        :param own: bytes that one repository alone reaches, by the number of the repository.
        :param shared: bytes that others reach too.
        """
        for piece in pieces:
            size, owner = self.sizes[piece], self._owners[piece]
            if owner == _UNREACHED:
                self._owners[piece] = number
                own[number] += size
                continue
            shared[number] += size
            if owner != _SHARED:
                self._owners[piece] = _SHARED
                own[owner] -= size
                shared[owner] += size

    def total(self, owner: int | None = None) -> int:
        """Return the bytes of all pieces, or of those with an owner, such as _SHARED."""
        if owner is None:
            return sum(self.sizes)
        return sum(size for size, found in zip(self.sizes, self._owners, strict=True) if found == owner)


class _Look(NamedTuple):
    """What a repository reaches."""

    name: str
    tags: int
    manifests: int
    pieces: set[int]


class UsageReport:
    """Makes a report about a storage. Beside running servers, for one thread, and for one report."""

    def __init__(
        self,
        storage: Storage,
        *,
        pace: Pace = UNLIMITED,
        progress: Progress = SILENCE,
        clock: Clock = SYSTEM_CLOCK,
    ):
        self._storage = storage
        self._pace = pace
        self._progress = progress
        self._clock = clock
        self._pieces = _Pieces()
        self._with_variants = set[int]()
        self._images = 0
        self._blobs = 0

    def make(self) -> Usage:
        """Return the report. All keys of images and blobs are listed; no layer is read."""
        measured_at_s = self._clock.time_s()
        for stat in self._watched("blobs", self._storage.list(f"{blob_layout.BLOBS}/sha256/")):
            folder, _, name = stat.key.rpartition("/")
            self._blobs += name == blob_layout.DATA
            self._pieces.add(folder, stat, is_shareable=name == blob_layout.DATA)
        self._add_images()
        self._pieces.end_of_adding()
        rows = self._repositories()
        totals = Totals(
            measured_at_s=measured_at_s,
            repositories=len(rows),
            images=self._images,
            blobs=self._blobs,
            stored_bytes=self._pieces.total(),
            shared_bytes=self._pieces.total(_SHARED),
            unreachable_bytes=self._pieces.total(_UNREACHED),
            unfinished_bytes=self._size_below(layout.UPLOADS),
            quarantined_bytes=self._size_below(QUARANTINE),
        )
        rows.sort(key=lambda row: (-row.own_bytes, -row.shared_bytes, row.name))
        return Usage(totals, tuple(rows))

    def _add_images(self) -> None:
        last = ""
        for stat in self._watched("images", self._storage.list(f"{layout.IMAGES}/")):
            _, image_id, *rest = stat.key.split("/")
            if image_id != last and is_image_id(image_id):
                self._images += 1
                last = image_id
            variant = rest[1] if len(rest) == 3 and rest[0] == layout.CONTENTS else ""
            if variant:
                self._with_variants.add(hash(image_id))
            folder = layout.content_folder(Content(image_id, variant))
            self._pieces.add(folder, stat, is_shareable=rest[-1:] == [layout.LAYER])

    def _repositories(self) -> list[RepositoryUsage]:
        reach = Reach(self._storage, has_variants=lambda image_id: hash(image_id) in self._with_variants)
        names, own, shared = list[tuple[str, int, int]](), array("q"), array("q")
        looks = at_once(self._storage, partial(self._look, reach), reach.repositories())
        for look in self._watched("repositories", looks):
            if look.tags or look.manifests:
                names.append((look.name, look.tags, look.manifests))
                own.append(0)
                shared.append(0)
                self._pieces.charge(look.pieces, len(names) - 1, own, shared)
        return [
            RepositoryUsage(name, own[number], shared[number], tags_count, manifests)
            for number, (name, tags_count, manifests) in enumerate(names)
        ]

    def _look(self, reach: Reach, repository: RepositoryName) -> _Look:
        place = reach.place(repository)
        tags, records = reach.v1_tags(place), list(reach.records(place))
        names = {*tags, *reach.sides(place)}

        def folders(image_id: str) -> list[str]:
            return [*map(layout.content_folder, reach.chain(place, image_id))]

        pieces = set[int]()
        for found in at_once(self._storage, folders, set(tags.values())):
            pieces |= self._pieces.of(found)
        blobs = reach.blobs_of(place, records)
        pieces |= self._pieces.of(blob_layout.blob_folder(sha256) for sha256 in blobs)
        return _Look(str(repository), len(names), len(records), pieces)

    def _size_below(self, folder: str) -> int:
        """Return the bytes of the keys below a folder, those that share their bytes once."""
        sizes = {hash(stat.etag): stat.size for stat in self._storage.list(f"{folder}/")}
        return sum(sizes.values())

    def _watched(self, label: str, items: Iterator[Any]) -> Iterator[Any]:
        """Yield items at the pace and with the progress of the report."""
        step = self._progress.start(label, None, label)
        try:
            for item in items:
                yield item
                self._pace.spend(objects=1)
                step.advance(1)
        finally:
            step.finish()
