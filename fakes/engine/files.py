"""The file system of a container: the layers of its image, and what was changed (remote.md 8)."""

from __future__ import annotations

import io
import posixpath
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import IO, Final

from .image_store import StoredLayer, read_layer

_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
_CHUNK_BYTES: Final = 256 << 10

#: The kinds of changes, as clients read them.
MODIFIED, ADDED, DELETED = 0, 1, 2


@dataclass(frozen=True)
class Entry:
    """One file, folder or link. Its path has a slash in front.

    :param open: returns the content at its first byte; the caller closes it.
    """

    info: tarfile.TarInfo
    open: Callable[[], IO[bytes]]

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.info.isdir()


class Files:
    """The files of a container: path -> entry. Its callers hold the lock of the engine.

    :param layers: of the image, lowest first. They are read at the first use.
    """

    def __init__(self, layers: Sequence[StoredLayer]):
        self._layers = layers
        self._below: dict[str, Entry] | None = None
        self._changes: dict[str, Entry | None] = {}

    @property
    def below(self) -> Mapping[str, Entry]:
        """The files of the image."""
        if self._below is None:
            self._below = merged(self._layers)
        return self._below

    def all(self) -> dict[str, Entry]:
        """Return all files, sorted by path."""
        found = dict(self.below)
        for path, entry in self._changes.items():
            if entry is None:
                found.pop(path, None)
            else:
                found[path] = entry
        return dict(sorted(found.items()))

    def get(self, path: str) -> Entry | None:
        """Return an entry, None if there is none. The root is always a folder."""
        path = clean(path)
        if path == "/":
            return _folder(path)
        found = self._changes[path] if path in self._changes else self.below.get(path)
        if found is None and any(other.startswith(f"{path}/") for other in self.all()):
            return _folder(path)
        return found

    def tree(self, path: str) -> dict[str, Entry]:
        """Return an entry and everything below it."""
        path = clean(path)
        top = self.get(path)
        found = {} if top is None or path == "/" else {path: top}
        prefix = "/" if path == "/" else f"{path}/"
        return found | {other: entry for other, entry in self.all().items() if other.startswith(prefix)}

    def put(self, path: str, entry: Entry) -> None:
        """Add or replace an entry. What was below a folder that becomes a file is removed."""
        path = clean(path)
        if path == "/":
            return
        if not entry.is_folder:
            for other in self.tree(path):
                self._remove(other)
        self._changes[path] = entry

    def make_folder(self, path: str) -> None:
        """Add a folder unless there is something at the path."""
        if self.get(path) is None:
            self.put(path, _folder(clean(path)))

    def remove(self, path: str) -> None:
        """Remove an entry and everything below it."""
        for other in self.tree(path):
            self._remove(other)

    def _remove(self, path: str) -> None:
        if path in self.below:
            self._changes[path] = None
        else:
            self._changes.pop(path, None)

    def changes(self) -> list[tuple[str, int]]:
        """Return path and kind of each change, with the folders that contain them, sorted."""
        # layers need not have the folders that contain their files
        existing = set(self.below)
        for path in self.below:
            while (path := posixpath.dirname(path)) not in existing:
                existing.add(path)
        kinds: dict[str, int] = {}
        for path, entry in self._changes.items():
            kind = DELETED if entry is None else MODIFIED if path in existing else ADDED
            kinds[path] = kind
            above = posixpath.dirname(path)
            while above != "/":
                kinds.setdefault(above, MODIFIED if above in existing else ADDED)
                above = posixpath.dirname(above)
        return sorted(kinds.items())

    def layer(self) -> StoredLayer:
        """Return the changes as a layer."""
        with tempfile.TemporaryFile() as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                for path, entry in sorted(self._changes.items()):
                    if entry is None:
                        folder, base = posixpath.split(path)
                        archive.addfile(tarfile.TarInfo(posixpath.join(folder, _WHITEOUT + base).lstrip("/")))
                    else:
                        add(archive, path.lstrip("/"), entry)
            file.seek(0)
            return read_layer(_pieces(file))


def merged(layers: Sequence[StoredLayer]) -> dict[str, Entry]:
    """Return the files of layers on top of each other. Whiteouts remove what is below."""
    found: dict[str, Entry] = {}
    for layer in layers:
        added: dict[str, Entry] = {}
        with layer.open() as stream, tarfile.open(fileobj=stream) as archive:
            for member in archive:
                folder, base = posixpath.split(clean(member.name))
                if base == _OPAQUE:
                    _drop_below(found, folder)
                elif base.startswith(_WHITEOUT):
                    path = posixpath.join(folder, base.removeprefix(_WHITEOUT))
                    found.pop(path, None)
                    _drop_below(found, path)
                else:
                    added[clean(member.name)] = _entry(layer, member)
        for path, entry in added.items():
            if not entry.is_folder:
                _drop_below(found, path)
            found[path] = entry
    return found


def contents(files: Files) -> dict[str, bytes]:
    """Return path -> content of all files that are no folders and no links."""
    found = {}
    for path, entry in files.all().items():
        if entry.info.isreg():
            with entry.open() as content:
                found[path] = content.read(entry.info.size)
    return found


def _drop_below(found: dict[str, Entry], folder: str) -> None:
    for path in [path for path in found if path.startswith(f"{folder.rstrip('/')}/")]:
        del found[path]


def _entry(layer: StoredLayer, member: tarfile.TarInfo) -> Entry:
    position, size_bytes = member.offset_data, member.size

    def open_content() -> IO[bytes]:
        stream = layer.open()
        stream.seek(position)
        return stream

    info = copy(member)
    return Entry(info, open_content if size_bytes else lambda: io.BytesIO())


def entry_of(info: tarfile.TarInfo, content: bytes) -> Entry:
    """Return an entry with its content in memory."""
    return Entry(info, lambda: io.BytesIO(content))


def _folder(path: str) -> Entry:
    info = tarfile.TarInfo(path.lstrip("/") or ".")
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    return entry_of(info, b"")


def add(archive: tarfile.TarFile, name: str, entry: Entry) -> None:
    """Write an entry into an archive under a name."""
    info = copy(entry.info)
    info.name = name
    info.pax_headers = {}
    if info.isreg():
        with entry.open() as content:
            archive.addfile(info, content)
    else:
        archive.addfile(info)


def archived(entries: Mapping[str, Entry], base: str) -> Iterator[bytes]:
    """Yield an archive of entries in pieces.

    :param base: the folder above; names in the archive are relative to it.
    """
    prefix = "/" if base == "/" else f"{base}/"
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path, entry in entries.items():
                add(archive, path.removeprefix(prefix), entry)
        file.seek(0)
        yield from _pieces(file)


def clean(path: str) -> str:
    """Return a path from the root, without ``..`` and empty parts.

    >>> clean("./etc//motd/"), clean("../../x"), clean("")
    ('/etc/motd', '/x', '/')
    """
    return "/" + posixpath.normpath("/" + path).lstrip("/")


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk
