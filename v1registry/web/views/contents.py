"""What is in a layer, a folder at a time, and what the layer changed."""

from __future__ import annotations

import stat
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Final

from ...registry import layout
from .packed import Packed, View
from .texts import shown

#: Longer paths lead to nothing, in characters.
LONGEST_PATH: Final = 4096

#: How many files and folders of one layer are shown, those folders included that are only the way to others.
MOST_MEMBERS: Final = 200_000

#: How many of the folders on the way to one are named, the last ones.
MOST_OF_WAY: Final = 20

_LONGEST_NAME: Final = 300

#: What is known of one folder takes so much besides its entries, in bytes, about.
_FOLDER_BYTES: Final = 300

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

#: Those letters whose size is one of contents.
_WITH_SIZE: Final = ("f", "S", "t")

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
    entries: Sequence[Entry] = ()
    size_bytes: int = 0  #: of all that is in it
    file_count: int = 0  #: at any depth

    @property
    def shown_path(self) -> str:
        return shown(self.path, _LONGEST_NAME)

    @property
    def is_deep(self) -> bool:
        """Whether :attr:`way` leaves out where it begins."""
        return self.path.count("/") >= MOST_OF_WAY

    @property
    def way(self) -> list[tuple[str, str]]:
        """Name and path of each folder on the way to this one, itself last; of many the last ones."""
        found: list[tuple[str, str]] = []
        path = self.path
        while path and len(found) < MOST_OF_WAY:
            above, _, name = path.rpartition("/")
            found.append((shown(name, _LONGEST_NAME), path))
            path = above
        return found[::-1]


class TooManyMembers(ValueError):
    """A layer has more files and folders than are shown."""


def path_of(name: str) -> str:
    """Return a member's name without what means nothing in it.

    >>> path_of("/etc/passwd"), path_of("./a//b/./c/"), path_of("/"), path_of("../up")
    ('etc/passwd', 'a/b/c', '', '../up')
    """
    path = name.strip("/")
    if "//" in path or "./" in path or path.endswith("."):
        return "/".join(part for part in path.split("/") if part not in ("", "."))
    return path


class Folders:
    """The folders of a layer, in a form that takes little room and shows each of them at once. It never changes.

    :param rows: as :meth:`v1registry.registry.images.Images.rows` gives them; of rows with the same name the last counts.
    :param most_members: TooManyMembers beyond.
    """

    def __init__(self, rows: Iterable[Sequence[Any]], *, most_members: int = MOST_MEMBERS):
        tree = _Tree(most_members)
        last = {path_of(row[0]): row for row in rows}
        last.pop("", None)
        if len(last) > most_members:
            raise TooManyMembers
        for path, row in last.items():
            tree.enter(path, row)
        self._children = tree.children
        self._folders = tree.packed()
        self.size_bytes = sum(folder.entries.size_bytes for folder in self._folders) + sum(
            _FOLDER_BYTES + 4 * len(name) for _, name in self._children
        )  #: what it takes of memory, about

    def folder(self, path: str) -> Folder | None:
        """Return what is in a folder; None where there is no such folder. Of a file, the file alone.

        :param path: as :func:`path_of` gives it.
        """
        number, above = 0, 0
        parts = path.split("/") if path else []
        for depth, part in enumerate(parts, 1):
            above, found = number, self._children.get((number, part))
            if found is None:
                return self._without_members(above, path, part) if depth == len(parts) else None
            number = found
        folder, prefix = self._folders[number], f"{path}/" if path else ""
        entries = View(folder.entries, lambda entry: _entry(entry[1], prefix + entry[1], *entry[2:]))
        return Folder(path, entries, folder.size_bytes, folder.file_count)

    def _without_members(self, above: int, path: str, name: str) -> Folder | None:
        """Return what is at a path below which nothing is."""
        entries = self._folders[above].entries
        for is_file in (False, True):
            index = bisect_left(range(len(entries)), [is_file, name], key=lambda at: entries[at][:2])
            if index < len(entries) and entries[index][:2] == [is_file, name]:
                entry = _entry(name, path, *entries[index][2:])
                if entry.is_folder:
                    return Folder(path)
                return Folder(path, [entry], entry.size_bytes or 0, int(not entry.is_removed))
        return None


@dataclass
class _Branch:
    """A folder while the rows of a layer are sorted into folders."""

    above: int  #: the number of the folder in which it is
    own: dict[str, Sequence[Any]] = field(default_factory=dict)  #: name -> row
    names: list[str] = field(default_factory=list)  #: of the folders in it that have members
    size_bytes: int = 0  #: of the files in it; in the end of all below it
    file_count: int = 0


@dataclass(frozen=True)
class _PackedFolder:
    """A folder. An entry is whether it is a file, its name, what its row tells after that, and the bytes and files below it."""

    entries: Packed
    size_bytes: int
    file_count: int


class _Tree:
    """The folders of a layer that have members, by number; that of the root is 0."""

    def __init__(self, most_members: int):
        self._most_members = most_members
        self._branches = [_Branch(0)]
        self._known = {"": 0}  # path -> number, of folders that have rows of their own
        #: number of a folder and name of one in it -> number of that. Whole paths would take too much: they grow with the depth
        self.children: dict[tuple[int, str], int] = {}

    def enter(self, path: str, row: Sequence[Any]) -> None:
        """Put a member into its folder. TooManyMembers."""
        above, _, name = path.rpartition("/")
        number = self._known.get(above)
        if number is None:
            number = self._known[above] = self._number_of(above)
        branch = self._branches[number]
        branch.own[name] = row
        if row[1] != "d" and row[2] is not True:
            branch.size_bytes += _size_in(row[3])
            branch.file_count += 1

    def _number_of(self, path: str) -> int:
        number = 0
        for name in path.split("/"):
            found = self.children.get((number, name))
            if found is None:
                found = len(self._branches)
                if found > self._most_members:
                    raise TooManyMembers
                self.children[number, name] = found
                self._branches[number].names.append(name)
                self._branches.append(_Branch(number))
            number = found
        return number

    def packed(self) -> list[_PackedFolder]:
        """Return the folders; call it once."""
        # each one is behind that in which it is
        for branch in self._branches[:0:-1]:
            above = self._branches[branch.above]
            above.size_bytes += branch.size_bytes
            above.file_count += branch.file_count
        return [self._packed(number, branch) for number, branch in enumerate(self._branches)]

    def _packed(self, number: int, branch: _Branch) -> _PackedFolder:
        entries: list[list[Any]] = []
        size_bytes = file_count = 0
        for name in {**branch.own, **dict.fromkeys(branch.names)}:
            row, child = branch.own.get(name), self.children.get((number, name))
            below = None
            if child is not None:
                inside = self._branches[child]
                below = [inside.size_bytes, inside.file_count]
                size_bytes += inside.size_bytes
                file_count += inside.file_count
            elif row is not None and row[1] != "d" and row[2] is not True:
                size_bytes += _size_in(row[3]) if row[1] in _WITH_SIZE else 0
                file_count += 1
            is_file = below is None and row is not None and row[1] != "d"
            entries.append([is_file, name, None if row is None else row[1:], below])
        entries.sort(key=lambda entry: entry[:2])
        return _PackedFolder(Packed(entries), size_bytes, file_count)


class Changes:
    """What a layer added, changed and removed, in a form that takes little room. It never changes.

    :param diff: the JSON of :meth:`v1registry.registry.images.Images.diff`. Odd data counts as nothing.
    """

    def __init__(self, diff: bytes):
        self._kinds = {
            kind: Packed(sorted(found.items(), key=_name)) for kind, found in changes_of(diff).items()
        }
        self.size_bytes = sum(packed.size_bytes for packed in self._kinds.values())  #: in memory, about

    def of(self, kind: str) -> Sequence[Entry]:
        """Return the members of one of the KINDS, by name."""
        return View(self._kinds[kind], lambda found: change(*found))

    @property
    def counts(self) -> dict[str, int]:
        return {kind: len(packed) for kind, packed in self._kinds.items()}


def _name(found: tuple[str, Any]) -> str:
    return found[0]


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
    size_bytes = _size_in(size) if _is_number(size) and letter in _WITH_SIZE else None
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
        f"{user}:{group}" if _is_number(user) and _is_number(group) else "",
        _moment(modified),
    )


def _size_in(value: object) -> int:
    """Return a size in bytes, 0 for what is none."""
    return value if type(value) is int and 0 <= value < 1 << 63 else 0


def _is_number(value: object) -> bool:
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
