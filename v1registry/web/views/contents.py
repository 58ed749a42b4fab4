"""The files of a layer, one folder at a time, and the changes of a layer."""

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

#: Maximum length of a path, in characters. Longer paths are cut.
LONGEST_PATH: Final = 4096

#: Maximum number of members shown per layer, including implied parent folders.
MOST_MEMBERS: Final = 200_000

#: How many folders of a path are shown: the last ones.
MOST_OF_WAY: Final = 20

_LONGEST_NAME: Final = 300

#: Approximate memory of a folder without its members, in bytes.
_FOLDER_BYTES: Final = 300

#: Letter of ``…/files`` (registry.md 4.8) -> its meaning, and its bits in a mode.
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

#: Letters of members that have content of their own.
_WITH_SIZE: Final = ("f", "S", "t")

#: Kind of a change as the pages name it -> its key in the answer of ``…/diff``.
KINDS: Final[Mapping[str, str]] = {"added": "created", "changed": "changed", "removed": "deleted"}


@dataclass(frozen=True)
class LayerMember:
    """A file or a folder. Of an implied parent folder only the name is known."""

    name: str
    path: str  #: without a slash at either end
    type: str
    is_folder: bool = False
    is_removed: bool = False  #: the layer removes it
    size_bytes: int | None = None  #: of a folder: the sum of all files in it, at any depth
    file_count: int = 0  #: of a folder: the number of files in it, at any depth
    mode: str = ""
    owner: str = ""
    modified: datetime | None = None

    @property
    def shown_name(self) -> str:
        """The name in a form that is safe to display."""
        return shown(self.name, _LONGEST_NAME)


@dataclass(frozen=True)
class Folder:
    """A folder of a layer. Its folders come first, then its files, both sorted by name."""

    path: str
    entries: Sequence[LayerMember] = ()
    size_bytes: int = 0  #: the sum of all files in it, at any depth
    file_count: int = 0  #: the number of files in it, at any depth

    @property
    def shown_path(self) -> str:
        """The path in a form that is safe to display."""
        return shown(self.path, _LONGEST_NAME)

    @property
    def is_deep(self) -> bool:
        """Whether :attr:`way` leaves out the first folders of the path."""
        return self.path.count("/") >= MOST_OF_WAY

    @property
    def way(self) -> list[tuple[str, str]]:
        """Name and path of the folders of the path, this one last; at most MOST_OF_WAY."""
        found: list[tuple[str, str]] = []
        path = self.path
        while path and len(found) < MOST_OF_WAY:
            above, _, name = path.rpartition("/")
            found.append((shown(name, _LONGEST_NAME), path))
            path = above
        return found[::-1]


class TooManyMembers(ValueError):
    """A layer has more members than are shown."""


def path_of(name: str) -> str:
    """Return the path of a member's name, without slashes at the ends and without empty and ``.`` segments.

    >>> path_of("/etc/passwd"), path_of("./a//b/./c/"), path_of("/"), path_of("../up")
    ('etc/passwd', 'a/b/c', '', '../up')
    """
    path = name.strip("/")
    if "//" in path or "./" in path or path.endswith("."):
        return "/".join(part for part in path.split("/") if part not in ("", "."))
    return path


class LayerTree:
    """The folders of a layer, packed so that they take little memory and each can be read alone. Immutable.

    :param rows: as :meth:`v1registry.registry.images.Images.rows` returns them. The last row of a name
        counts.
    :param most_members: maximum number of files and folders.
    :raises TooManyMembers: there are more.
    """

    def __init__(self, rows: Iterable[Sequence[Any]], *, most_members: int = MOST_MEMBERS):
        tree = _Tree(most_members)
        last: dict[str, Sequence[Any]] = {}
        for row in rows:
            path = path_of(row[0])
            if path:
                last[path] = row
            if len(last) > most_members:
                raise TooManyMembers
        for path, row in last.items():
            tree.enter(path, row)
        self._children = tree.children
        self._folders = tree.packed()
        self.size_bytes = sum(folder.entries.size_bytes for folder in self._folders) + sum(
            _FOLDER_BYTES + 4 * len(name) for _, name in self._children
        )  #: approximate memory

    def folder(self, path: str) -> Folder | None:
        """Return a folder, or for the path of a file a folder with that file; None if the path is unknown.

        :param path: as :func:`path_of` returns it.
        """
        number, above = 0, 0
        parts = path.split("/") if path else []
        for depth, part in enumerate(parts, 1):
            above, found = number, self._children.get((number, part))
            if found is None:
                return self._without_members(above, path, part) if depth == len(parts) else None
            number = found
        folder, prefix = self._folders[number], f"{path}/" if path else ""
        entries = View(folder.entries, lambda entry: _member(entry[1], prefix + entry[1], *entry[2:]))
        return Folder(path, entries, folder.size_bytes, folder.file_count)

    def _without_members(self, above: int, path: str, name: str) -> Folder | None:
        """Return the folder for the path of a file, or of an empty folder."""
        entries = self._folders[above].entries
        for is_file in (False, True):
            index = bisect_left(range(len(entries)), [is_file, name], key=lambda at: entries[at][:2])
            if index < len(entries) and entries[index][:2] == [is_file, name]:
                member = _member(name, path, *entries[index][2:])
                if member.is_folder:
                    return Folder(path)
                return Folder(path, [member], member.size_bytes or 0, int(not member.is_removed))
        return None


@dataclass
class _Branch:
    """A folder while the rows of a layer are sorted into folders."""

    above: int  #: the number of its parent folder
    own: dict[str, Sequence[Any]] = field(default_factory=dict)  #: name -> row
    names: list[str] = field(default_factory=list)  #: the names of its folders that have members
    size_bytes: int = 0  #: the sum of its own files, and finally of all files below it
    file_count: int = 0


@dataclass(frozen=True)
class _PackedFolder:
    """A folder. An entry is ``[is_file, name, row, below]``; row (without the name) and below may be None."""

    entries: Packed
    size_bytes: int
    file_count: int


class _Tree:
    """The folders of a layer that have members, by number. The root has number 0."""

    def __init__(self, most_members: int):
        self._most_members = most_members
        self._branches = [_Branch(0)]
        self._known = {"": 0}  # path -> number, for parent folders of rows
        #: (number of a folder, name in it) -> number. Whole paths would need much more memory in deep trees
        self.children: dict[tuple[int, str], int] = {}

    def enter(self, path: str, row: Sequence[Any]) -> None:
        """Put a member into its folder.

        :raises TooManyMembers: there are too many folders.
        """
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
        """Return the folders by number. Call this once."""
        # a folder comes after its parent
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
    """The changes of a layer, packed so that they take little memory. Immutable.

    :param diff: the JSON of :meth:`v1registry.registry.images.Images.diff`. Values of a wrong type are
        ignored.
    """

    def __init__(self, diff: bytes):
        self._kinds = {
            kind: Packed(sorted(found.items(), key=_name)) for kind, found in changes_of(diff).items()
        }
        self.size_bytes = sum(packed.size_bytes for packed in self._kinds.values())  #: approximate memory

    def of(self, kind: str) -> Sequence[LayerMember]:
        """Return the members of one of the KINDS, sorted by name."""
        return View(self._kinds[kind], lambda found: change(*found))

    @property
    def counts(self) -> dict[str, int]:
        """Kind -> the number of changes."""
        return {kind: len(packed) for kind, packed in self._kinds.items()}


def _name(found: tuple[str, Any]) -> str:
    return found[0]


def changes_of(diff: bytes) -> dict[str, dict[str, Any]]:
    """Return kind -> name of a member -> its facts, as :func:`change` reads them.

    :param diff: the JSON of :meth:`v1registry.registry.images.Images.diff`. Values of a wrong type are
        ignored.
    """
    parsed = _object(layout.parse_stored(diff))
    return {kind: _object(parsed.get(key)) for kind, key in KINDS.items()}


def change(name: str, facts: Any) -> LayerMember:
    """Return a member that changed."""
    return _member(name, path_of(name), facts)


def _member(name: str, path: str, facts: Any, below: Sequence[int] | None = None) -> LayerMember:
    """Return a member.

    :param facts: the rest of a row: type, deleted, size, time, mode, user, group. None if there is no row.
    :param below: of a folder with members: the bytes and the number of files below it.
    """
    known = facts if isinstance(facts, list) and len(facts) == 7 else ["", *[None] * 6]
    letter, deleted, size, modified, mode, user, group = known
    is_folder = letter == "d" or below is not None
    is_removed = deleted is True
    type_, type_bits = _type_of("d" if is_folder else letter)
    return LayerMember(
        name,
        # it becomes a part of a URL, which cannot contain surrogates
        path.encode("utf-8", "replace").decode("utf-8"),
        type_,
        is_folder=is_folder,
        is_removed=is_removed,
        size_bytes=None if is_removed else _content_size(letter, size, is_folder, below),
        file_count=below[1] if below else 0,
        mode=stat.filemode(type_bits | (mode & 0o7777)) if type(mode) is int else "",
        owner=f"{user}:{group}" if _is_number(user) and _is_number(group) else "",
        modified=_moment(modified),
    )


def _type_of(letter: object) -> tuple[str, int]:
    """Return the type of a member in words, and its bits in a mode."""
    return _TYPES.get(letter if isinstance(letter, str) else "", ("unknown type", 0))


def _content_size(letter: object, size: object, is_folder: bool, below: Sequence[int] | None) -> int | None:
    """Return the bytes of a file, or of all files below a folder; None if they are unknown."""
    if is_folder:
        return below[0] if below else 0
    return _size_in(size) if _is_number(size) and letter in _WITH_SIZE else None


def _size_in(value: object) -> int:
    """Return a size in bytes; 0 for an invalid value."""
    return value if type(value) is int and 0 <= value < 1 << 63 else 0


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _moment(seconds: object) -> datetime | None:
    """Return a time given in seconds since the epoch; None for 0, which reproducible archives have."""
    if type(seconds) is not int or seconds <= 0:
        return None
    try:
        return datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
