"""Random access to the members of an untrusted tar file, by name and without unpacking it.

Hostile archives are refused before the first member is read: names and links that lead out of the archive,
circular links, devices, and headers that claim more bytes than the file has. If several members have one
name, the last one counts, as for tar and for engines.
"""

from __future__ import annotations

import io
import os
import tarfile
from dataclasses import dataclass
from typing import IO, Final

#: The largest extension of a header. tarfile reads it into memory at once; those of save archives are small.
_HEADER_LIMIT_BYTES: Final = 1 << 20

_LINKS_FOLLOWED: Final = 16

#: Names at the top of a root file system.
_SYSTEM_FOLDERS: Final = frozenset(
    ".dockerenv bin boot dev etc home lib lib64 media mnt opt proc root run sbin srv sys tmp usr var".split()
)
#: Names in save archives: at the top, and in the folders of images.
_SAVED_FILES: Final = frozenset(("manifest.json", "repositories", "index.json", "oci-layout"))
_SAVED_IN_FOLDERS: Final = frozenset(("json", "layer.tar", "VERSION"))

_FILE_SYSTEM_HINT: Final = (
    "; it looks like a file system of docker export, or like a layer: use an archive of docker save, "
    "and docker import to make an image of a file system"
)


class UnreadableArchive(Exception):
    """The file is not a readable save archive, or hostile. The subject of the text is "it" or "its …"."""


@dataclass(frozen=True)
class ArchiveLimits:
    """Limits of a save archive. An archive beyond one raises UnreadableArchive, which names the limit."""

    members: int = 100_000
    document_bytes: int = 16 << 20  #: one JSON document
    layer_bytes: int = 64 << 30  #: one layer, both as stored in the archive and uncompressed
    archive_bytes: int = 256 << 30  #: the whole archive, uncompressed


@dataclass(frozen=True)
class _Member:
    offset: int
    size: int
    links: tuple[str, ...] = ()  #: the names that its target may have in the archive; empty for a file


class TarIndex:
    """The regular files and links of a tar file by their clean names. Safe for threads.

    :param file: an uncompressed tar in a real file; not closed.
    :raises UnreadableArchive: the file is not a complete tar archive, hostile, or beyond a limit.
    """

    def __init__(self, file: IO[bytes], limits: ArchiveLimits):
        self._descriptor = file.fileno()
        self._limits = limits
        self._members: dict[str, _Member] = {}
        self._folders: set[str] = set()
        self._has_system_folders = False
        self._has_saved_files = False
        size_bytes = os.fstat(self._descriptor).st_size
        if size_bytes > limits.archive_bytes:
            raise UnreadableArchive(f"it has more than the limit of {limits.archive_bytes} bytes")
        try:
            self._scan(file, size_bytes)
        except (tarfile.TarError, ValueError, OverflowError) as exc:
            raise UnreadableArchive(f"it is not a complete tar archive: {exc}") from exc
        except RecursionError as exc:  # tarfile calls itself for each extension of a header
            raise UnreadableArchive("it has too many header extensions in a row") from exc
        except UnreadableArchive as exc:
            raise UnreadableArchive(f"{exc}{self.hint}") from exc

    @property
    def hint(self) -> str:
        """What to add to an error message if this looks like a file system; ``""`` otherwise."""
        return _FILE_SYSTEM_HINT if self._has_system_folders and not self._has_saved_files else ""

    def _scan(self, file: IO[bytes], size_bytes: int) -> None:
        file.seek(0)
        guarded: IO[bytes] = _HeaderReader(file)  # type: ignore[assignment]  # tarfile uses no other methods
        with tarfile.TarFile(fileobj=guarded, mode="r", errorlevel=2) as archive:
            if archive.firstmember is None:  # type: ignore[attr-defined]  # tarfile of 3.10 fails on empty archives
                return
            for count, info in enumerate(iter(archive.next, None), start=1):
                archive.members = []  # type: ignore[attr-defined]  # otherwise it keeps every header
                self._note_kind(info.name)
                if count > self._limits.members:
                    raise UnreadableArchive(f"it has more than {self._limits.members} members")
                name = clean_name(info.name)
                if info.isdir():
                    self._folders.add(name)
                elif not name:
                    raise UnreadableArchive("it has a file without a name")
                else:
                    self._members[name] = self._member(info, name, size_bytes)
        for name in self._folders & self._members.keys():
            raise UnreadableArchive(f"its member {name!r} is a file and a folder")
        for name in self._members:
            self._follow(name)

    def _note_kind(self, name: str) -> None:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        self._has_system_folders |= parts[:1] != [] and parts[0] in _SYSTEM_FOLDERS
        self._has_saved_files |= len(parts) == 1 and parts[0] in _SAVED_FILES
        self._has_saved_files |= len(parts) == 2 and parts[1] in _SAVED_IN_FOLDERS

    def _member(self, info: tarfile.TarInfo, name: str, size_bytes: int) -> _Member:
        if info.issym():
            if info.linkname.startswith("/"):
                raise UnreadableArchive(f"its link {name!r} leads out of the archive")
            folder = name.rpartition("/")[0]
            target = _resolve(f"{folder}/{info.linkname}", name)
            # Some tools write links that are relative to the root of the archive.
            parts = info.linkname.split("/")
            return _Member(0, 0, links=(target,) if ".." in parts else (target, clean_name(info.linkname)))
        if info.islnk():
            return _Member(0, 0, links=(clean_name(info.linkname),))
        if not info.isreg() or info.issparse():
            raise UnreadableArchive(f"its member {name!r} is neither a file nor a folder nor a link")
        if info.size > self._limits.layer_bytes:
            raise UnreadableArchive(f"its member {name!r} has more than {self._limits.layer_bytes} bytes")
        if info.size < 0 or info.offset_data + info.size > size_bytes:
            raise UnreadableArchive(f"it ends within its member {name!r}")
        return _Member(info.offset_data, info.size)

    def _follow(self, name: str) -> _Member | None:
        """Return the file that ``name`` is or links to, None if it does not exist."""
        member = self._members.get(name)
        for _ in range(_LINKS_FOLLOWED):
            if member is None or not member.links:
                return member
            member = next((self._members[link] for link in member.links if link in self._members), None)
        raise UnreadableArchive(
            f"its link {name!r} is circular, or leads over more than {_LINKS_FOLLOWED} links"
        )

    def __contains__(self, name: str) -> bool:
        """Tell whether ``name`` is a file, or a link to one."""
        return self._follow(name) is not None

    def folders_with(self, name: str) -> list[str]:
        """Return the sorted names of the top-level folders with a file ``name``."""
        pairs = (path.split("/") for path in self._members)
        return sorted(pair[0] for pair in pairs if len(pair) == 2 and pair[1] == name)

    def size(self, name: str) -> int:
        """Return the size of a file in bytes.

        :raises UnreadableArchive: it is missing.
        """
        return self._file(name).size

    def read_document(self, name: str) -> bytes:
        """Return the content of a small file.

        :raises UnreadableArchive: it is missing, or larger than ``limits.document_bytes``.
        """
        if self.size(name) > self._limits.document_bytes:
            raise UnreadableArchive(f"its {name} has more than {self._limits.document_bytes} bytes")
        with self.open(name) as stream:
            return stream.read()

    def open(self, name: str) -> io.BufferedReader:
        """Return a file as a stream, which the caller closes.

        :raises UnreadableArchive: it is missing.
        """
        member = self._file(name)
        return io.BufferedReader(_MemberStream(self._descriptor, member), buffer_size=128 * 1024)

    def _file(self, name: str) -> _Member:
        name = clean_name(name)
        member = self._follow(name)
        if member is None and name in self._members:
            links = " or ".join(map(repr, self._members[name].links))
            raise UnreadableArchive(f"its {name} is a link to {links}, which it does not have")
        if member is None:
            raise UnreadableArchive(f"it has no {name}")
        return member


def clean_name(name: str) -> str:
    """Return a member's name without ``./`` and double slashes.

    :raises UnreadableArchive: the name leads out of the archive.

    >>> clean_name("./abc//json")
    'abc/json'
    """
    if name.startswith("/"):
        raise UnreadableArchive(f"its member {name!r} has an absolute path")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise UnreadableArchive(f"its member {name!r} has a path that leads upwards")
    return "/".join(parts)


def _resolve(path: str, name: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts:
                raise UnreadableArchive(f"its link {name!r} leads out of the archive")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


class _HeaderReader:
    """A file for tarfile that refuses to read more than a header at once."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _HEADER_LIMIT_BYTES:
            raise UnreadableArchive(f"one of its headers has more than {_HEADER_LIMIT_BYTES} bytes")
        return self._file.read(size)


class _MemberStream(io.RawIOBase):
    """The bytes of one member, read without moving the position of the file."""

    def __init__(self, descriptor: int, member: _Member):
        self._descriptor = descriptor
        self._start = self._at = member.offset
        self._end = member.offset + member.size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: self._start, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        self._at = min(max(base + offset, self._start), self._end)
        return self._at - self._start

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # any buffer would do
        wanted = min(len(buffer), self._end - self._at)
        if wanted <= 0:
            return 0
        count = os.preadv(self._descriptor, [memoryview(buffer)[:wanted]], self._at)
        if not count:
            raise UnreadableArchive("it became shorter while it was read")
        self._at += count
        return count
