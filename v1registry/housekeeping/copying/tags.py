"""Tags, the last part of a pass: each is copied only if the destination has all that it reaches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from ...distribution import layout as v2_layout
from ...distribution.blobs import Blobs
from ...distribution.tags import Target
from ...names import RepositoryName
from ...registry import layout
from ...registry.contents import Contents
from ...registry.layout import parse_stored
from ...registry.tags import is_info_value
from ...rights import Content
from ...storage.at_once import at_once
from ...storage.base import Stat, Storage
from ..reach import Reach, StoredPlace
from .gauge import Gauge
from .parts import distant_of, folders_of, joined, may_be_info
from .report import LeftOutTag
from .values import Changed, Values

#: For how many images it is remembered whether they have contents beside the first.
_REMEMBERED: Final = 100_000


@dataclass(frozen=True)
class TagKeys:
    """The keys of a tag in one folder of a repository: its file, and its side of the distribution API."""

    repository: RepositoryName
    tag: str
    file: Stat | None
    side: Stat | None
    file_there: Stat | None
    side_there: Stat | None

    @property
    def stats(self) -> list[Stat]:
        """What the source has."""
        return [stat for stat in (self.file, self.side) if stat is not None]

    @property
    def extra(self) -> int:
        """How many keys the destination has of a tag that the source does not have."""
        return 0 if self.stats else sum(stat is not None for stat in (self.file_there, self.side_there))


def all_tags(source: Storage, destination: Storage) -> Iterator[TagKeys]:
    """Yield the tags that one of the storages has, repository by repository."""
    found = at_once(
        distant_of(source, destination),
        lambda folders: list(_tags_of(source, destination, *folders)),
        folders_of(source, destination),
    )
    for tags in found:
        yield from tags


def _tags_of(source: Storage, destination: Storage, namespace: str, folder: str) -> Iterator[TagKeys]:
    repository = layout.repository_from_folders(namespace, folder)
    path = f"{layout.REPOSITORIES}/{namespace}/{folder}"
    files, sides = f"{path}/{layout.TAG_PREFIX}", f"{path}/{layout.V2}/{v2_layout.TAGS}/"

    def name_of(key: str) -> str:
        return key.removeprefix(files).removeprefix(sides)

    streams = [storage.list(prefix) for prefix in (files, sides) for storage in (source, destination)]
    for name, (file, file_there, side, side_there) in joined(streams, name_of):
        yield TagKeys(repository, layout.unstore_part(name), file, side, file_there, side_there)


class TagCopies:
    """Copies tags. Safe for threads."""

    def __init__(self, source: Storage, values: Values, gauge: Gauge):
        self._source = source
        self._values = values
        self._gauge = gauge
        self._reach = Reach(source)
        self._there = _There(values.destination)

    def copy(self, keys: TagKeys) -> None:
        """Copy a tag that the source has, or report why not.

        :raises Damaged: it cannot be read.
        :raises Changed: it was set or deleted meanwhile.
        """
        if not self._is_copied(keys):
            with self._source.moment():
                self._copy(keys)

    def _copy(self, keys: TagKeys) -> None:
        place = self._reach.place(keys.repository)
        file = None if keys.file is None else self._values.read(keys.file.key)
        if file is not None and may_be_info(file[1].key) and is_info_value(file[0]):
            file = None  # it is the information of a different tag
        side = None if keys.side is None else self._values.read(keys.side.key)
        if file is None and side is None:
            return
        target = self._reach.target(place, keys.tag)
        if any(self._values.is_replaced(stat) for _, stat in filter(None, (file, side))):
            raise Changed(keys.tag)
        if target is None and file is None:
            if side is not None and keys.file is None and _names_image(side[0]):
                self._delete(keys)
            return
        missing = None if self._values.is_dry_run else self._there.missing(keys.repository, target)
        if missing is not None:
            self._gauge.left_out(LeftOutTag(f"{keys.repository}:{keys.tag}", missing))
            return
        self._write(keys, file, side)

    def _is_copied(self, keys: TagKeys) -> bool:
        pairs = ((keys.file, keys.file_there), (keys.side, keys.side_there))
        return all(
            there is None if found is None else self._values.is_copied(found, there) for found, there in pairs
        )

    def _write(self, keys: TagKeys, file: tuple[bytes, Stat] | None, side: tuple[bytes, Stat] | None) -> None:
        """Write the keys of a tag in the order of a server, so that each moment has a meaning."""
        if file is None:
            if side is not None:
                self._values.put(*side, keys.side_there)
            if keys.file is None and keys.file_there is not None:
                # this decides
                self._values.delete(keys.file_there)
            return
        if side is None and keys.side_there is not None:
            self._values.delete(keys.side_there)
        # this decides
        self._values.put(*file, keys.file_there)
        if side is not None:
            self._values.put(*side, keys.side_there)

    def _delete(self, keys: TagKeys) -> None:
        """Delete a tag that v1 has deleted in the source, in the order of a server."""
        stats = [keys.file_there, keys.side_there]
        if keys.side_there is not None and not _names_image(self._values.read_there(keys.side_there.key)):
            # without the file a side with null would decide
            stats.reverse()
        for there in stats:
            if there is not None and self._values.was_copied(there) and not self._values.delete(there):
                return


def _names_image(side: bytes | None) -> bool:
    """Tell whether a stored side has the id of an image, so that without a file the tag is not set."""
    fields: Any = parse_stored(side or b"")
    return isinstance(fields, dict) and isinstance(fields.get("image_id"), str)


class _There:
    """What the destination has of what tags reach. Safe for threads."""

    def __init__(self, destination: Storage):
        self._destination = destination
        self._contents = Contents(destination)
        self._blobs = Blobs(destination)
        self._has_variants = lru_cache(_REMEMBERED)(self._lists_variants)
        self._reach = Reach(destination, has_variants=self._has_variants)
        self._whole = set[int]()  # hashes of what was found

    def missing(self, repository: RepositoryName, target: Target | None) -> str | None:
        """Return what a tag reaches and the destination lacks, None if it has all.

        :param target: what the tag points to in the source; None if that is nothing of a known form.
        """
        if target is None:
            return "it points to nothing"
        with self._destination.moment():
            return self._missing(repository, target)

    def _missing(self, repository: RepositoryName, target: Target) -> str | None:
        place = self._reach.place(repository)
        if target.image_id is not None:
            for content in self._reach.chain(place, target.image_id):
                if not self._has_content(content):
                    return f"the image {content.image_id} is missing or damaged"
        if target.record is None or target.record.image_id is not None:
            return None
        record = self._reach.record(place, target.record.sha256)
        if record is None:
            return f"the manifest sha256:{target.record.sha256} is missing"
        for sha256 in self._reach.blobs_of(place, [record]):
            if not self._has_blob(place, sha256):
                return f"the blob sha256:{sha256} is missing or damaged"
        return None

    def _has_content(self, content: Content) -> bool:
        known = hash((content.image_id, content.variant))
        if known in self._whole:
            return True
        whole = self._contents.whole(content) if content.variant else self._contents.first(content.image_id)
        if whole is not None:
            self._whole.add(known)
        return whole is not None

    def _has_blob(self, place: StoredPlace, sha256: str) -> bool:
        known = hash(sha256)
        if known in self._whole:
            return True
        if self._blobs.stat(sha256) is None:
            return self._reach.awaits(place, sha256)
        self._whole.add(known)
        return True

    def _lists_variants(self, image_id: str) -> bool:
        return next(iter(self._contents.variants(image_id)), None) is not None
