"""Which keys a copy takes, and the order in which it takes them.

What a value refers to is copied before it: bytes first, tags last. So the destination is consistent at each
moment, as a storage is beside a push.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Final

from ...distribution import layout as v2_layout
from ...registry import layout
from ...registry.keeping import CLAIM
from ...storage.at_once import Distant, at_once
from ...storage.base import Stat, Storage
from ..checkpoints import HOUSEKEEPING
from ..quarantine import QUARANTINE

ACCOUNTS: Final = "accounts"

#: What is left out: unfinished pushes, state of maintenance, damaged values, keys of health checks, and the
#: index of the search, which servers build again.
LEFT_OUT: Final = frozenset({layout.UPLOADS, HOUSEKEEPING, QUARANTINE, "_status", "search"})

#: Notes of deleted repositories, by which late writes are not taken for old data.
_DELETIONS: Final = f"{layout.UPLOADS}/_deleted/"

_TAG_FOLDER: Final = f"{layout.V2}/{v2_layout.TAGS}/"


class Part(Enum):
    """A part of the keys, in the order of a copy."""

    BLOBS = "blobs"
    CONTENTS = "contents of images"
    MARKS = "marks of images"
    RECORDS = "records"
    IMAGE_LISTS = "image lists"
    TAGS = "tags"

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The prefixes of its keys, sorted."""
        return _PREFIXES[self]


_PREFIXES: Final = {
    Part.BLOBS: (f"{v2_layout.BLOBS}/",),
    Part.CONTENTS: (f"{layout.IMAGES}/",),
    Part.MARKS: (f"{layout.IMAGES}/",),
    Part.RECORDS: (
        f"{ACCOUNTS}/",
        f"{v2_layout.CONVERSIONS}/",
        f"{layout.REPOSITORIES}/",
        f"{layout.STARRED}/",
        _DELETIONS,
    ),
    Part.IMAGE_LISTS: (f"{layout.REPOSITORIES}/",),
    Part.TAGS: (f"{layout.REPOSITORIES}/",),
}

#: The folders of a registry.
COPIED: Final = (
    frozenset(prefix.partition("/")[0] for prefixes in _PREFIXES.values() for prefix in prefixes) - LEFT_OUT
)


def part_of(key: str) -> Part | None:
    """Return the part of a key, None if it is left out.

    >>> part_of("images/0123/_held_by/ns/app"), part_of("repositories/ns/app/tag_latest")
    (<Part.MARKS: 'marks of images'>, <Part.TAGS: 'tags'>)
    """
    root, _, rest = key.partition("/")
    if root == layout.REPOSITORIES:
        _, _, name = rest.partition("/")[2].partition("/")
        if name in (layout.IMAGE_LIST, IMAGES_LIST):
            return Part.IMAGE_LISTS
        return Part.TAGS if name.startswith((layout.TAG_PREFIX, _TAG_FOLDER)) else Part.RECORDS
    if key.endswith(f"/{CLAIM}") and root in (layout.IMAGES, v2_layout.BLOBS):
        return None
    if root == layout.IMAGES:
        return Part.MARKS if rest.partition("/")[2].startswith(f"{layout.HELD}/") else Part.CONTENTS
    if root == v2_layout.BLOBS:
        return Part.BLOBS
    return Part.RECORDS if root in COPIED or key.startswith(_DELETIONS) else None


#: The list of an external index, in the folder of a repository.
IMAGES_LIST: Final = "_images_list"

#: How the names of all image lists begin.
_BEGINNING_OF_LISTS: Final = "_i"


def may_be_info(key: str) -> bool:
    """Tell whether the key of a tag may be that of the information of a different tag."""
    return key.endswith("_json")


def joined(
    streams: Sequence[Iterator[Stat]], name_of: Callable[[str], str] = lambda key: key
) -> Iterator[tuple[str, list[Stat | None]]]:
    """Yield each name once, sorted, with what each stream has under it.

    :param streams: each sorted by the names of its keys.
    :param name_of: returns the name of a key.
    """
    heads = [next(stream, None) for stream in streams]
    while True:
        names = [None if head is None else name_of(head.key) for head in heads]
        present = [name for name in names if name is not None]
        if not present:
            return
        first = min(present)
        row = [head if name == first else None for head, name in zip(heads, names, strict=True)]
        yield first, row
        heads = [
            next(stream, None) if name == first else head
            for stream, name, head in zip(streams, names, heads, strict=True)
        ]


def keys_of(part: Part, *storages: Storage) -> Iterator[tuple[str, list[Stat | None]]]:
    """Yield each key of a part, sorted, with its Stat in each storage."""
    for key, row in keys_beside(part, *storages):
        if part_of(key) is part:
            yield key, row


def keys_beside(part: Part, *storages: Storage) -> Iterator[tuple[str, list[Stat | None]]]:
    """Yield each key of a part, and those of other parts between them, with its Stat in each storage."""
    for prefix in part.prefixes:
        yield from joined([storage.list(prefix) for storage in storages])


def image_lists_of(*storages: Storage) -> Iterator[tuple[str, list[Stat | None]]]:
    """Yield the keys of the image lists, with their Stats, without a look at other keys."""

    def lists_in(folders: tuple[str, str]) -> list[tuple[str, list[Stat | None]]]:
        path = f"{layout.REPOSITORIES}/{'/'.join(folders)}/{_BEGINNING_OF_LISTS}"
        rows = joined([storage.list(path) for storage in storages])
        return [(key, row) for key, row in rows if part_of(key) is Part.IMAGE_LISTS]

    for found in at_once(distant_of(*storages), lists_in, folders_of(*storages)):
        yield from found


def folders_of(*storages: Storage) -> Iterator[tuple[str, str]]:
    """Yield namespace and folder of each repository that one of the storages has."""

    def folders_in(namespace: str) -> list[tuple[str, str]]:
        return [(namespace, name) for name in _folders(f"{layout.REPOSITORIES}/{namespace}", *storages)]

    for found in at_once(distant_of(*storages), folders_in, _folders(layout.REPOSITORIES, *storages)):
        yield from found


def distant_of(*storages: Storage) -> Storage:
    """Return a storage whose calls take long; any one if there is none."""
    return next((storage for storage in storages if isinstance(storage, Distant)), storages[0])


def _folders(above: str, *storages: Storage) -> Iterator[str]:
    streams = [(Stat(name, 0, "", 0) for name in storage.list_folders(above)) for storage in storages]
    for name, _ in joined(streams):
        yield name
