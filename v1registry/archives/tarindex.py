"""The members of a tar file that somebody else wrote: looked up by name, read where they lie, never unpacked.

Everything in the archive is suspected: names and links that lead out of it, names that come twice, links in circles,
devices, headers that claim more than there is. All of it is refused before the first member is read.
"""

from __future__ import annotations

import io
import os
import tarfile
from dataclasses import dataclass
from typing import IO, Final

#: No header of a save archive comes near this; tarfile reads a header's extension into memory at once.
_HEADER_LIMIT_BYTES: Final = 1 << 20

_LINKS_FOLLOWED: Final = 16


class UnreadableArchive(Exception):
    """The file is no save archive that can be read, or one that nobody should read; the text says what is wrong."""


@dataclass(frozen=True)
class Limits:
    """What an archive may cost. A violation is an UnreadableArchive that names the limit."""

    members: int = 100_000
    document_bytes: int = 16 << 20  #: one JSON document
    layer_bytes: int = 64 << 30  #: one layer, as it lies in the archive and uncompressed
    archive_bytes: int = 256 << 30  #: the whole archive, uncompressed


@dataclass(frozen=True)
class _Member:
    offset: int
    size: int
    link: str | None = None  #: the name that it stands for, inside the archive


class TarIndex:
    """A tar file's regular files and links by their clean names. It reads from ``file``, which stays the caller's.

    :param file: an uncompressed tar in a real file. Streams of several members may be read at once, in threads.
    :raises UnreadableArchive: see the module.
    """

    def __init__(self, file: IO[bytes], limits: Limits):
        self._descriptor = file.fileno()
        self._limits = limits
        self._members: dict[str, _Member] = {}
        size_bytes = os.fstat(self._descriptor).st_size
        if size_bytes > limits.archive_bytes:
            raise UnreadableArchive(f"it has more than the {limits.archive_bytes} bytes that are read")
        try:
            self._scan(file, size_bytes)
        except (tarfile.TarError, ValueError, OverflowError) as exc:
            raise UnreadableArchive(f"it is no complete tar archive: {exc}") from exc

    def _scan(self, file: IO[bytes], size_bytes: int) -> None:
        file.seek(0)
        guarded: IO[bytes] = _HeaderReader(file)  # type: ignore[assignment]  # tarfile needs no more of a file
        folders: set[str] = set()
        with tarfile.TarFile(fileobj=guarded, mode="r", errorlevel=2) as archive:
            if archive.firstmember is None:  # type: ignore[attr-defined]  # tarfile of 3.10 stumbles over archives without members
                return
            for count, info in enumerate(iter(archive.next, None), start=1):
                archive.members = []  # type: ignore[attr-defined]  # or it would keep every header
                if count > self._limits.members:
                    raise UnreadableArchive(f"it has more than {self._limits.members} members")
                name = clean_name(info.name)
                if info.isdir():
                    folders.add(name)
                elif not name:
                    raise UnreadableArchive("it has a file without a name")
                elif name in self._members:
                    raise UnreadableArchive(f"it has more than one member {name!r}")
                else:
                    self._members[name] = self._member(info, name, size_bytes)
        for name in folders & self._members.keys():
            raise UnreadableArchive(f"its member {name!r} is a file and a folder")
        for name in self._members:
            self._follow(name)

    def _member(self, info: tarfile.TarInfo, name: str, size_bytes: int) -> _Member:
        if info.issym():
            if info.linkname.startswith("/"):
                raise UnreadableArchive(f"its link {name!r} leads out of the archive")
            folder = name.rpartition("/")[0]
            return _Member(0, 0, link=_resolve(f"{folder}/{info.linkname}", name))
        if info.islnk():
            return _Member(0, 0, link=clean_name(info.linkname))
        if not info.isreg() or info.issparse():
            raise UnreadableArchive(f"its member {name!r} is neither a file nor a folder nor a link")
        if info.size > self._limits.layer_bytes:
            raise UnreadableArchive(f"its member {name!r} has more than {self._limits.layer_bytes} bytes")
        if info.size < 0 or info.offset_data + info.size > size_bytes:
            raise UnreadableArchive(f"it ends within its member {name!r}")
        return _Member(info.offset_data, info.size)

    def _follow(self, name: str) -> _Member | None:
        """Return the file that ``name`` is or leads to, None when it does not exist."""
        member = self._members.get(name)
        for _ in range(_LINKS_FOLLOWED):
            if member is None or member.link is None:
                return member
            member = self._members.get(member.link)
        raise UnreadableArchive(f"its link {name!r} leads in a circle, or over too many other links")

    def __contains__(self, name: str) -> bool:
        """Whether ``name`` is a file, or a link to one."""
        return self._follow(name) is not None

    def folders_with(self, name: str) -> list[str]:
        """Return, sorted, the folders at the top that hold a file ``name``."""
        pairs = (path.split("/") for path in self._members)
        return sorted(pair[0] for pair in pairs if len(pair) == 2 and pair[1] == name)

    def size(self, name: str) -> int:
        """Return the size of a file in bytes. UnreadableArchive when it is missing."""
        return self._file(name).size

    def read_document(self, name: str) -> bytes:
        """Return a small file whole. UnreadableArchive when it is missing or beyond ``limits.document_bytes``."""
        if self.size(name) > self._limits.document_bytes:
            raise UnreadableArchive(f"its {name} has more than {self._limits.document_bytes} bytes")
        with self.open(name) as stream:
            return stream.read()

    def open(self, name: str) -> io.BufferedReader:
        """Return a file's bytes as a stream. UnreadableArchive when it is missing."""
        member = self._file(name)
        return io.BufferedReader(_MemberStream(self._descriptor, member), buffer_size=128 * 1024)

    def _file(self, name: str) -> _Member:
        member = self._follow(clean_name(name))
        if member is None:
            raise UnreadableArchive(f"it has no {name}")
        return member


def clean_name(name: str) -> str:
    """Return a member's name without ``./`` and double slashes. UnreadableArchive when it leads out of the archive.

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
    """A file as tarfile sees it while it looks for headers: it may move, and read a header's worth at once."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _HEADER_LIMIT_BYTES:
            raise UnreadableArchive(f"one of its headers has more than {_HEADER_LIMIT_BYTES} bytes")
        return self._file.read(size)


class _MemberStream(io.RawIOBase):
    """One member's bytes, read at their place without moving the file's own position."""

    def __init__(self, descriptor: int, member: _Member):
        self._descriptor = descriptor
        self._at = member.offset
        self._end = member.offset + member.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # any buffer would do
        wanted = min(len(buffer), self._end - self._at)
        if wanted <= 0:
            return 0
        count = os.preadv(self._descriptor, [memoryview(buffer)[:wanted]], self._at)
        if not count:
            raise UnreadableArchive("the file became shorter while it was read")
        self._at += count
        return count
