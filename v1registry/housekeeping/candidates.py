"""What is stored and was not reached: what may be removed, as it was listed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, Final

from ..access.marks import Mark
from ..distribution import layout as v2_layout
from ..names import is_image_id
from ..registry import layout
from ..registry.keeping import CLAIM
from ..rights import Content
from ..storage.at_once import at_once
from ..storage.base import ABSENT, KeyNotFound, Stat, Storage
from .ancestries import Ancestries
from .live import Live
from .repository_records import is_sha256, last_segment

#: The incarnation in a mark that says only that its content was published with it. No repository has it.
COLLECTED: Final = "collected"


@dataclass(frozen=True)
class Candidate:
    """Bytes that were not reached: a content of an image, or a blob."""

    folder: str
    claim: str  #: what a claim of the collection expects: an etag, or ABSENT
    size: int  #: of all keys but the bytes themselves
    data: tuple[str, int] | None  #: etag and size of the bytes; equal etags are one file
    content: Content | None  #: None for a blob
    names: tuple[str, ...] = ()  #: of the repositories that have marks there

    @property
    def sha256(self) -> str:
        """The digest of a blob."""
        return self.folder.rpartition("/")[2]


@dataclass
class Candidates:
    """All that may be removed. Memory grows with that, and little with what stays."""

    contents: list[Candidate] = field(default_factory=list)
    blobs: dict[str, Candidate] = field(default_factory=dict)  #: by SHA-256 digits
    marks: dict[str, list[str]] = field(default_factory=dict)  #: stored name of a repository -> image ids
    others: list[Stat] = field(default_factory=list)  #: conversions
    claims: list[Stat] = field(default_factory=list)  #: of earlier runs
    shared: set[int] = field(default_factory=set)  #: hashes of the etags of bytes that stay
    images: int = 0  #: how many were looked at
    looked_blobs: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove."""
        return not (self.contents or self.blobs or self.marks or self.others or self.claims)


class Listing:
    """Lists what is stored.

    :param cutoff_s: younger keys stay, in seconds since the epoch.
    :param spend: called with the number of things after they were looked at, and often with 0.
    """

    def __init__(self, storage: Storage, *, cutoff_s: float, spend: Callable[[int], None]):
        self._storage = storage
        self._cutoff_s = cutoff_s
        self._spend = spend
        self._ancestries = Ancestries(storage)

    def candidates(self, live: Live, incarnation_of: Callable[[str], str]) -> Candidates:
        """Return what may be removed. What is young, and what it builds on, is added to ``live``.

        :param incarnation_of: of a repository by its stored name.
        """
        found = Candidates()
        young: list[Content] = []
        self._protect_pushes(live)
        doubtful = self._images(live, found, young)
        marks = at_once(self._storage, partial(self._mark, incarnation_of), doubtful)
        for (name, stat), mark in marks:
            self._spend(0)
            self._note_mark(name, stat, mark, found, young)
        for image_ids in at_once(self._storage, self._ancestries.of, young):
            self._spend(0)
            for image_id in image_ids:
                live.add_image(image_id)
        self._drop_live(live, found)
        self._blobs(live, found)
        self._conversions(live, found)
        return found

    @staticmethod
    def _drop_live(live: Live, found: Candidates) -> None:
        """Leave out what was reached after it was listed."""
        contents, found.contents = found.contents, []
        for candidate in contents:
            if candidate.content is None or not live.has_content(candidate.content):
                found.contents.append(candidate)
            elif candidate.data is not None:
                found.shared.add(hash(candidate.data[0]))
        marks, found.marks = found.marks, {}
        for name, image_ids in marks.items():
            left = [image_id for image_id in image_ids if not live.has_pair(name, image_id)]
            if left:
                found.marks[name] = left

    def _protect_pushes(self, live: Live) -> None:
        """Reach what unfinished pushes build on."""
        pushed = filter(is_image_id, self._storage.list_folders(layout.UPLOADS))
        for kept_ids in at_once(self._storage, self._needed_by_pushes, pushed):
            self._spend(0)
            for kept_id in kept_ids:
                live.add_image(kept_id)

    def _needed_by_pushes(self, image_id: str) -> set[str]:
        """Return the ids of the images that unfinished pushes of an image build on."""
        stats = self._storage.list(f"{layout.UPLOADS}/{image_id}/")
        sent = (stat for stat in stats if "/sent/" in stat.key)
        return {kept_id for stat in sent for kept_id in self._ancestry_of_push(stat)}

    def _ancestry_of_push(self, stat: Stat) -> list[str]:
        head = b""
        with suppress(KeyNotFound), self._storage.open(stat.key) as blob:
            for chunk in blob:
                head += chunk
                if b"\n" in chunk:
                    break
        facts = layout.parse_stored(head.partition(b"\n")[0])
        ancestry = facts.get("ancestry") if isinstance(facts, dict) else None
        return [item for item in ancestry if isinstance(item, str)] if isinstance(ancestry, list) else []

    # -- images

    def _images(self, live: Live, found: Candidates, young: list[Content]) -> Iterator[tuple[str, Stat]]:
        """Look at all images; yield the marks that nothing needs, with the stored names of repositories."""
        for image_id, stats in _grouped(self._storage.list(f"{layout.IMAGES}/"), 1):
            if is_image_id(image_id):
                found.images += 1
                yield from self._image(image_id, list(stats), live, found, young)
                self._spend(1)

    def _image(
        self, image_id: str, stats: list[Stat], live: Live, found: Candidates, young: list[Content]
    ) -> Iterator[tuple[str, Stat]]:
        folder = f"{layout.image_folder(image_id)}/"
        contents: dict[str, list[Stat]] = {}
        marks: list[Stat] = []
        for stat in stats:
            name, _, rest = stat.key.removeprefix(folder).partition("/")
            if name == layout.HELD:
                marks.append(stat)
            elif name == layout.CONTENTS:
                contents.setdefault(rest.partition("/")[0], []).append(stat)
            elif not rest:
                contents.setdefault("", []).append(stat)
        if not contents:
            return  # an index whose images are elsewhere has marks alone
        names = tuple(stat.key.removeprefix(f"{folder}{layout.HELD}/") for stat in marks)
        for variant, keys in contents.items():
            content = Content(image_id, variant)
            if live.has_content(content):
                _note_kept(keys, found)
            elif any(map(self._is_young, keys)):
                young.append(content)
                _note_kept(keys, found)
            else:
                found.contents.append(_candidate(keys, layout.LAYER, content, names))
        for name, stat in zip(names, marks, strict=True):
            if not live.has_pair(name, image_id):
                yield name, stat

    def _mark(
        self, incarnation_of: Callable[[str], str], found: tuple[str, Stat]
    ) -> tuple[tuple[str, Stat], tuple[Mark, bool] | None]:
        """Return what was found with the mark, and whether it counts; None if it was removed."""
        name, stat = found
        try:
            mark = Mark.parse(self._storage.read(stat.key)[0])
        except KeyNotFound:
            return found, None
        return found, (mark, mark.counts(incarnation_of(name)))

    def _note_mark(
        self, name: str, stat: Stat, read: tuple[Mark, bool] | None, found: Candidates, young: list[Content]
    ) -> None:
        if read is None:
            return
        mark, is_live = read
        image_id = stat.key.split("/", 2)[1]
        if is_live and self._is_young(stat):
            young.append(Content(image_id, mark.variant))
        elif not self._is_young(stat) and (is_live or not mark.is_published):
            found.marks.setdefault(name, []).append(image_id)

    # -- blobs and conversions

    def _blobs(self, live: Live, found: Candidates) -> None:
        """Look at all blobs. What facts of a blob that stays name stays too."""
        given = set[str]()
        for other in at_once(self._storage, self._given, self._kept_with_facts(live, found)):
            self._spend(0)
            given.add(other)
        for sha256 in given & found.blobs.keys():
            candidate = found.blobs.pop(sha256)
            live.add_blob(sha256)
            if candidate.data is not None:
                found.shared.add(hash(candidate.data[0]))

    def _kept_with_facts(self, live: Live, found: Candidates) -> Iterator[str]:
        """Look at all blobs; yield those that stay and have facts."""
        for sha256, stats in _grouped(self._storage.list(f"{v2_layout.BLOBS}/sha256/"), 3):
            keys = list(stats)
            if not is_sha256(sha256):
                continue
            found.looked_blobs += 1
            self._spend(1)
            if not live.has_blob(sha256) and not any(map(self._is_young, keys)):
                found.blobs[sha256] = _candidate(keys, v2_layout.DATA, None, ())
                continue
            live.add_blob(sha256)
            _note_kept(keys, found)
            if any(last_segment(stat) == v2_layout.FACTS for stat in keys):
                yield sha256

    def _given(self, sha256: str) -> str:
        """Return the blob that v1 gets in place of another one; empty if that is unknown."""
        key = f"{v2_layout.blob_folder(sha256)}/{v2_layout.FACTS}"
        with suppress(KeyNotFound):
            fields: Any = layout.parse_stored(self._storage.read(key)[0])
            if isinstance(fields, dict) and is_sha256(fields.get("given")):
                return str(fields["given"])
        return ""

    def _conversions(self, live: Live, found: Candidates) -> None:
        """Look for conversions whose manifests no repository needs."""
        stats = self._storage.list(f"{v2_layout.CONVERSIONS}/")
        old = (stat for stat in stats if is_sha256(last_segment(stat)) and not self._is_young(stat))
        for stat, digests in at_once(self._storage, self._manifests_of, old):
            self._spend(0)
            if digests is not None and not any(live.has_blob(digest) for digest in digests):
                found.others.append(stat)

    def _manifests_of(self, stat: Stat) -> tuple[Stat, list[str] | None]:
        """Return the Stat of a conversion with its manifests; None if it was removed."""
        try:
            fields: Any = layout.parse_stored(self._storage.read(stat.key)[0])
        except KeyNotFound:
            return stat, None
        digests: list[Any] = [fields.get("oci"), fields.get("docker")] if isinstance(fields, dict) else []
        return stat, [digest for digest in digests if is_sha256(digest)]

    def _is_young(self, stat: Stat) -> bool:
        return stat.modified.timestamp() > self._cutoff_s and last_segment(stat) != CLAIM


def _grouped(stats: Iterator[Stat], segment: int) -> Iterator[tuple[str, Iterator[Stat]]]:
    """Group keys in order by one segment; keys that have none are together under an empty text."""
    return groupby(stats, key=lambda stat: "".join(stat.key.split("/", segment + 1)[segment : segment + 1]))


def _candidate(keys: list[Stat], data: str, content: Content | None, names: tuple[str, ...]) -> Candidate:
    claim = next((stat for stat in keys if last_segment(stat) == CLAIM), None)
    bytes_ = next((stat for stat in keys if last_segment(stat) == data), None)
    folder = v2_layout.blob_folder(keys[0].key.split("/")[3]) if content is None else None
    return Candidate(
        folder=folder or layout.content_folder(content or Content("")),
        claim=ABSENT if claim is None else claim.etag,
        size=sum(stat.size for stat in keys if stat is not claim and stat is not bytes_),
        data=None if bytes_ is None else (bytes_.etag, bytes_.size),
        content=content,
        names=names,
    )


def _note_kept(keys: list[Stat], found: Candidates) -> None:
    for stat in keys:
        if last_segment(stat) == CLAIM:
            found.claims.append(stat)
        elif last_segment(stat) in (layout.LAYER, v2_layout.DATA):
            found.shared.add(hash(stat.etag))
