"""What is in a layer, a folder at a time, and what the layer changed."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Final

from ..registry import layout
from .texts import shown

#: Longer paths lead to nothing, in characters.
LONGEST_PATH: Final = 4096

_LONGEST_NAME: Final = 300

#: What the letters of ``…/files`` stand for (registry.md 4.8), and what they are in a mode.
_TYPES: Final[Mapping[str, tuple[str, int]]] = {
    "f": ("file", stat.S_IFREG),
    "S": ("file", stat.S_IFREG),
    "t": ("file", stat.S_IFREG),
    "l": ("hard link", stat.S_IFREG),
    "s": ("symbolic link", stat.S_IFLNK),
    "c": ("character device", stat.S_IFCHR),
    "b": ("block device", stat.S_IFBLK),
    "d": ("folder", stat.S_IFDIR),
    "i": ("pipe", stat.S_IFIFO),
}

#: What a layer did to members, in the words of the pages, and the key of the answer of ``…/diff`` for it.
KINDS: Final[Mapping[str, str]] = {"added": "created", "changed": "changed", "removed": "deleted"}


@dataclass(frozen=True)
class Entry:
    """A file or a folder. Of a folder that is only the way to others nothing but its name is known."""

    name: str
    path: str  #: without a slash at either end
    type: str
    is_folder: bool = False
    is_removed: bool = False  #: the layer says that it is to vanish
    size_bytes: int | None = None  #: of a folder: of all that is in it
    file_count: int = 0  #: in a folder, at any depth
    mode: str = ""
    owner: str = ""
    modified: datetime | None = None

    @property
    def shown_name(self) -> str:
        return shown(self.name, _LONGEST_NAME)


@dataclass(frozen=True)
class Folder:
    """A folder of a layer: the folders in it first, both by name."""

    path: str
    entries: Sequence[Entry]

    @property
    def shown_path(self) -> str:
        return shown(self.path, _LONGEST_NAME)

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes or 0 for entry in self.entries)

    @property
    def file_count(self) -> int:
        return sum(entry.file_count if entry.is_folder else not entry.is_removed for entry in self.entries)

    @property
    def way(self) -> list[tuple[str, str]]:
        """Name and path of each folder on the way to this one, itself last."""
        parts = self.path.split("/") if self.path else []
        return [
            (shown(part, _LONGEST_NAME), "/".join(parts[: depth + 1])) for depth, part in enumerate(parts)
        ]


def path_of(name: str) -> str:
    """Return a member's name without what means nothing in it.

    >>> path_of("/etc/passwd"), path_of("./a//b/./c/"), path_of("/"), path_of("../up")
    ('etc/passwd', 'a/b/c', '', '../up')
    """
    path = name.strip("/")
    if "//" in path or "./" in path or path.endswith("."):
        return "/".join(part for part in path.split("/") if part not in ("", "."))
    return path


def folder_of(rows: Iterable[Sequence[Any]], path: str) -> Folder | None:
    """Return what is in a folder of a layer; None where there is no such folder. Of a file, the file alone.

    :param rows: as :meth:`v1registry.registry.images.Images.rows` gives them; of rows with the same name the last counts.
    :param path: as :func:`path_of` gives it.
    """
    prefix = f"{path}/" if path else ""
    own: dict[str, Sequence[Any]] = {}
    below: dict[str, list[int]] = {}  #: folder -> bytes and files in it
    itself: Sequence[Any] | None = None
    for name, row in {path_of(row[0]): row for row in rows}.items():
        if not name.startswith(prefix):
            if name == path:
                itself = row
            continue
        child, slash, _ = name[len(prefix) :].partition("/")
        if not slash:
            if child:
                own[child] = row
            continue
        sums = below.get(child)
        if sums is None:
            sums = below[child] = [0, 0]
        if row[1] != "d" and row[2] is not True:
            sums[0] += row[3] if type(row[3]) is int and row[3] > 0 else 0
            sums[1] += 1
    if not own and not below and path:
        if itself is None:
            return None
        if itself[1] != "d":
            return Folder(path, [_entry(path.rpartition("/")[2], path, itself[1:])])
    entries = [
        _entry(name, prefix + name, own[name][1:] if name in own else None, below.get(name))
        for name in own.keys() | below.keys()
    ]
    return Folder(path, sorted(entries, key=lambda entry: (not entry.is_folder, entry.name)))


def changes_of(diff: bytes) -> dict[str, dict[str, Any]]:
    """Return what a layer added, changed and removed: the name of each member, and what :func:`change` reads.

    :param diff: the JSON of :meth:`v1registry.registry.images.Images.diff`. Odd data counts as nothing.
    """
    parsed = _object(layout.parse_stored(diff))
    return {kind: _object(parsed.get(key)) for kind, key in KINDS.items()}


def change(name: str, facts: Any) -> Entry:
    """Return a member that changed."""
    return _entry(name, path_of(name), facts)


def _entry(name: str, path: str, facts: Any, below: Sequence[int] | None = None) -> Entry:
    """Return what a row tells after its name: type, deleted, size, time, mode, user, group."""
    known = facts if isinstance(facts, list) and len(facts) == 7 else ["d" if below else "", *[None] * 6]
    letter, is_removed, size, modified, mode, user, group = known
    is_folder = letter == "d" or below is not None
    type_, type_bits = _TYPES.get(letter if isinstance(letter, str) else "", ("something else", 0))
    if is_folder:
        type_, type_bits = _TYPES["d"]
    size_bytes = size if type(size) is int and size >= 0 and letter in ("f", "S", "t") else None
    if is_folder:
        size_bytes = below[0] if below else 0
    return Entry(
        name,
        # it becomes a part of an address, where halves of characters have no place
        path.encode("utf-8", "replace").decode("utf-8"),
        type_,
        is_folder,
        is_removed is True,
        None if is_removed is True else size_bytes,
        below[1] if below else 0,
        stat.filemode(type_bits | (mode & 0o7777)) if type(mode) is int else "",
        f"{user}:{group}" if _is_id(user) and _is_id(group) else "",
        _moment(modified),
    )


def _is_id(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _moment(seconds: object) -> datetime | None:
    """Return a time in seconds since the epoch; None for none, which archives made to be reproducible have too."""
    if type(seconds) is not int or seconds <= 0:
        return None
    try:
        return datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
