"""What one repository reaches, and which of its keys it needs no more.

What may be removed is listed before the references to it are read. A request that writes a reference later
finds the collection, and writes the keys that it needs again (``registry/keeping.py``). So a key that still
has the etag of the list is needed by no reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from ..access.incarnations import Incarnations
from ..distribution import layout as v2_layout
from ..names import is_image_id
from ..registry import layout
from ..registry.repositories import Repositories
from ..storage.base import Stat, Storage
from .live import HeldImages, Live
from .repository_records import Records, is_sha256, last_segment, may_count

#: Values of tags are not longer, in bytes.
_MOST_TAG_BYTES: Final = 100


@dataclass
class Unneeded:
    """The keys of one repository that nothing needs, as they were listed."""

    manifests: list[Stat] = field(default_factory=list)  #: records
    blobs: list[Stat] = field(default_factory=list)  #: marks
    others: list[Stat] = field(default_factory=list)  #: entries of referrers, and lists of sources

    @property
    def is_empty(self) -> bool:
        """Whether there are none."""
        return not (self.manifests or self.blobs or self.others)


@dataclass(frozen=True)
class ScannedTag:
    """A tag, as one of the two APIs or both have it."""

    file: Stat | None = None  #: of docker-registry
    side: Stat | None = None  #: of the distribution API

    @property
    def set_at_s(self) -> float:
        """When the tag was set, in seconds since the epoch."""
        return max(stat.modified.timestamp() for stat in (self.file, self.side) if stat is not None)


@dataclass(frozen=True)
class Side:
    """What the side of the distribution API says of a tag."""

    sha256: str
    image_id: str | None  #: None if v1 cannot express the manifest


#: Chooses the tags that are to be removed, removes them if that is wanted, and returns those that are gone.
ChooseTags = Callable[["dict[str, ScannedTag]"], "set[str]"]


class RepositoryScan:
    """Looks at folders of repositories. Safe for threads.

    :param takes_untagged: manifests without a tag are not reachable.
    :param cutoff_s: younger keys stay, in seconds since the epoch.
    """

    def __init__(self, storage: Storage, *, takes_untagged: bool, cutoff_s: float):
        self._storage = storage
        self._takes_untagged = takes_untagged
        self._cutoff_s = cutoff_s
        self._incarnations = Incarnations(storage, Repositories(storage))

    def scan(self, namespace: str, folder_name: str, live: Live, choose: ChooseTags) -> Unneeded:
        """Add what a repository reaches; return what it needs no more.

        :param choose: what retention removes.
        """
        name = layout.repository_from_folders(namespace, folder_name)
        folder = f"{layout.REPOSITORIES}/{namespace}/{folder_name}"
        incarnation = self._incarnations.of(name)
        held = HeldImages(self._storage, name, incarnation, live)
        if layout.V2 not in self._storage.list_folders(folder):
            self._reach_tags(choose, self._file_tags(folder), {}, held)
            return Unneeded()
        inside = f"{folder}/{layout.V2}"
        marks = list(self._storage.list(f"{inside}/{v2_layout.MARKS}/"))
        referrers = list(self._storage.list(f"{inside}/{v2_layout.REFERRERS}/"))
        sources = list(self._storage.list(f"{inside}/{v2_layout.IMAGES}/"))
        records = Records(self._storage, f"{inside}/{v2_layout.MANIFESTS}/", incarnation)
        tags = self._file_tags(folder)
        for stat in self._storage.list(f"{inside}/{v2_layout.TAGS}/"):
            tag = last_segment(stat)
            tags[tag] = ScannedTag(tags[tag].file if tag in tags else None, stat)
        sides = self._sides(tags, incarnation)
        targets = self._reach_tags(choose, tags, sides, held)
        needed = self._needed(records, targets, sides, sources, held)
        return self._unneeded(records, needed, marks, referrers, sources, held, live)

    def _file_tags(self, folder: str) -> dict[str, ScannedTag]:
        prefix = f"{folder}/{layout.TAG_PREFIX}"
        return {
            layout.unstore_part(stat.key[len(prefix) :]): ScannedTag(stat)
            for stat in self._storage.list(prefix)
            if stat.size <= _MOST_TAG_BYTES
        }

    def _reach_tags(
        self, choose: ChooseTags, tags: dict[str, ScannedTag], sides: dict[str, Side], held: HeldImages
    ) -> dict[str, str]:
        """Reach the images of the tags that stay; return tag -> image id. Removed sides are left out too."""
        files = {scanned.file.key: tag for tag, scanned in tags.items() if scanned.file is not None}
        targets = {}
        for key, value in self._storage.read_many(files):
            image_id = "" if value is None else value[0].strip().decode("latin-1")
            if is_image_id(image_id):
                targets[files[key]] = image_id
        # without a file, a side that names an image says that v1 deleted the tag
        here_only = {tag for tag, side in sides.items() if side.image_id is None}
        for tag in choose({tag: tags[tag] for tag in targets.keys() | here_only}):
            targets.pop(tag, None)
            sides.pop(tag, None)
        held.add(targets.values())
        return targets

    def _sides(self, tags: dict[str, ScannedTag], incarnation: str) -> dict[str, Side]:
        """Return tag -> what its side of the distribution API says, whether or not it decides."""
        keys = {scanned.side.key: tag for tag, scanned in tags.items() if scanned.side is not None}
        found = {}
        for key, value in self._storage.read_many(keys):
            fields: Any = None if value is None else layout.parse_stored(value[0])
            if (
                isinstance(fields, dict)
                and may_count(fields, incarnation)
                and is_sha256(fields.get("digest"))
            ):
                image_id = fields.get("image_id")
                found[keys[key]] = Side(fields["digest"], image_id if isinstance(image_id, str) else None)
        return found

    # -- manifests

    def _needed(
        self,
        records: Records,
        targets: dict[str, str],
        sides: dict[str, Side],
        sources: Iterable[Stat],
        held: HeldImages,
    ) -> set[str]:
        """Return the SHA-256 digits of the manifests that stay."""
        # a side that names an image decides only if there is a file too (distribution/tags.py)
        roots = {side.sha256 for tag, side in sides.items() if side.image_id is None or tag in targets}
        tagged = set(targets.values())
        for _, listed in self._lists(stat for stat in sources if last_segment(stat) in tagged):
            # the newest manifest that became the image of a tag
            known = [sha256 for sha256 in listed if sha256 in records.found]
            roots.update(known[-1:])
        for sha256, record in records.found.items():
            if record.is_converted:
                is_root = record.image_id in held.ids
            else:
                is_root = not self._takes_untagged
            if is_root or self._is_young(record.stat):
                roots.add(sha256)
        return records.closure(roots & records.found.keys())

    def _lists(self, stats: Iterable[Stat]) -> Iterator[tuple[Stat, list[str]]]:
        """Yield the Stats of stored lists with the texts in them; none of what is missing or damaged."""
        by_key = {stat.key: stat for stat in stats}
        for key, value in self._storage.read_many(by_key):
            parsed: Any = None if value is None else layout.parse_stored(value[0])
            listed = parsed if isinstance(parsed, list) else []
            yield by_key[key], [item for item in listed if isinstance(item, str)]

    def _unneeded(
        self,
        records: Records,
        needed: set[str],
        marks: Iterable[Stat],
        referrers: Iterable[Stat],
        sources: Iterable[Stat],
        held: HeldImages,
        live: Live,
    ) -> Unneeded:
        found, named = Unneeded(), set[str]()
        records.load(needed)
        for sha256 in needed:
            named.update(records.references(sha256))
            live.add_blob(sha256)
        found.manifests = [record.stat for sha256, record in records.found.items() if sha256 not in needed]
        found.manifests += filter(self._is_old, records.damaged)
        for stat in marks:
            if self._is_young(stat) or last_segment(stat) in named:
                if is_sha256(last_segment(stat)):
                    live.add_blob(last_segment(stat))
            else:
                found.blobs.append(stat)
        for stat in referrers:
            if last_segment(stat) not in needed and self._is_old(stat):
                found.others.append(stat)
        for stat, listed in self._lists(stat for stat in sources if last_segment(stat) not in held.ids):
            if needed.isdisjoint(listed) and self._is_old(stat):
                found.others.append(stat)
        for sha256 in named:
            live.add_blob(sha256)
        return found

    def _is_young(self, stat: Stat) -> bool:
        return stat.modified.timestamp() > self._cutoff_s

    def _is_old(self, stat: Stat) -> bool:
        return not self._is_young(stat)
