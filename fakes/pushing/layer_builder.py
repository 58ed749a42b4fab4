"""Layer: build a layer for a test, member by member."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from datetime import datetime
from posixpath import split
from typing import Final, Literal

#: The contents of a layer: name -> bytes, or text in UTF-8, or None for a file that the layer deletes.
Files = Mapping[str, bytes | str | None]

Compression = Literal["gzip", "zstd"]

WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"

_DEVICES: Final = {"character": tarfile.CHRTYPE, "block": tarfile.BLKTYPE, "fifo": tarfile.FIFOTYPE}


class Layer:
    """A layer that is built member by member: a tar archive, compressed with gzip as engines send it.

    Each method adds one member and returns the layer, so that calls can be chained. Members keep their order,
    and names are written as they are given, odd ones too. Equal calls make equal bytes. ``bytes(layer)`` is
    the archive, and ``add_image(layer=layer)`` pushes it.

    :param files: the first members: name -> content. A name that ends in ``/`` is a directory. None deletes
        the file of the layers below.
    :raises TypeError: a content is neither bytes nor text nor None.

    >>> layer = Layer({"etc/motd": "hello"}).symlink("motd", "etc/motd").whiteout("etc/old")
    >>> with tarfile.open(fileobj=io.BytesIO(bytes(layer))) as archive:
    ...     archive.getnames()
    ['etc/motd', 'motd', 'etc/.wh.old']
    """

    def __init__(self, files: Files | None = None):
        self._members: list[tuple[tarfile.TarInfo, bytes]] = []
        self._compression: Compression | None = "gzip"
        for name, content in (files or {}).items():
            if content is None:
                self.whiteout(name)
            elif name.endswith("/"):
                self.directory(name)
            else:
                self.file(name, _encoded(name, content, "bytes, text or None"))

    def file(
        self,
        name: str,
        content: bytes | str = b"",
        *,
        mode: int = 0o644,
        uid: int = 0,
        gid: int = 0,
        mtime: float | datetime = 0,
    ) -> Layer:
        """Add a regular file.

        :param content: bytes, or text in UTF-8.
        :param mode: such as ``0o4755``.
        :param mtime: when it was changed: seconds since the epoch, or a datetime.
        :raises TypeError: the content is neither bytes nor text.
        """
        data = _encoded(name, content, "bytes or text")
        member = _member(name, tarfile.REGTYPE, mode, uid, gid, mtime)
        member.size = len(data)
        return self._add(member, data)

    def directory(
        self, name: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0, mtime: float | datetime = 0
    ) -> Layer:
        """Add a directory.

        :param mtime: seconds since the epoch, or a datetime.
        """
        return self._add(_member(name.rstrip("/"), tarfile.DIRTYPE, mode, uid, gid, mtime))

    def symlink(
        self, name: str, target: str, *, uid: int = 0, gid: int = 0, mtime: float | datetime = 0
    ) -> Layer:
        """Add a symbolic link.

        :param target: written as it is; it need not exist.
        :param mtime: seconds since the epoch, or a datetime.
        """
        member = _member(name, tarfile.SYMTYPE, 0o777, uid, gid, mtime)
        member.linkname = target
        return self._add(member)

    def hardlink(self, name: str, target: str) -> Layer:
        """Add a hard link.

        :param target: the name of a member before it, written as it is.
        """
        member = _member(name, tarfile.LNKTYPE, 0o644, 0, 0, 0)
        member.linkname = target
        return self._add(member)

    def device(
        self,
        name: str,
        *,
        kind: Literal["character", "block", "fifo"] = "character",
        major: int = 0,
        minor: int = 0,
        mode: int = 0o600,
    ) -> Layer:
        """Add a device, or a named pipe, which has no numbers.

        :param major: the major number.
        :param minor: the minor number.
        :raises ValueError: there is no such kind.
        """
        if kind not in _DEVICES:
            raise ValueError(f"kind must be one of {', '.join(_DEVICES)}, not {kind!r}")
        member = _member(name, _DEVICES[kind], mode, 0, 0, 0)
        member.devmajor, member.devminor = major, minor
        return self._add(member)

    def whiteout(self, name: str) -> Layer:
        """Delete a file or directory of the layers below: add ``.wh.NAME`` beside it."""
        folder, base = split(name.rstrip("/"))
        return self.file(f"{folder}/{WHITEOUT}{base}".removeprefix("/"))

    def opaque(self, folder: str) -> Layer:
        """Hide what the layers below have in a directory: add ``.wh..wh..opq`` to it."""
        return self.file(f"{folder.rstrip('/')}/{_OPAQUE}".removeprefix("/"))

    def compressed(self, compression: Compression | None) -> Layer:
        """Choose how the archive is compressed; None leaves it plain.

        :raises ValueError: it is no compression that engines know.
        """
        if compression not in ("gzip", "zstd", None):
            raise ValueError(f"compression must be gzip, zstd or None, not {compression!r}")
        self._compression = compression
        return self

    def __bytes__(self) -> bytes:
        """Return the archive.

        :raises ImportError: it is compressed with zstd, and zstandard is not installed.
        """
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for member, content in self._members:
                tar.addfile(member, io.BytesIO(content))
        if self._compression == "gzip":
            return gzip.compress(archive.getvalue(), mtime=0)
        return _with_zstd(archive.getvalue()) if self._compression == "zstd" else archive.getvalue()

    def __repr__(self) -> str:
        names = ", ".join(member.name for member, _ in self._members[:10])
        more = ", …" if len(self._members) > 10 else ""
        return f"<Layer {self._compression or 'plain'}: {names or 'empty'}{more}>"

    def _add(self, member: tarfile.TarInfo, content: bytes = b"") -> Layer:
        self._members.append((member, content))
        return self


def _member(
    name: str, kind: bytes, mode: int, uid: int, gid: int, mtime: float | datetime
) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.uid, member.gid = kind, mode, uid, gid
    member.mtime = mtime.timestamp() if isinstance(mtime, datetime) else mtime
    return member


def _encoded(name: str, content: bytes | str, expected: str) -> bytes:
    if isinstance(content, str):
        return content.encode("utf-8")
    if not isinstance(content, (bytes, bytearray)):
        raise TypeError(f"the content of {name!r} must be {expected}, not {type(content).__name__}")
    return bytes(content)


def _with_zstd(archive: bytes) -> bytes:
    try:
        import zstandard
    except ImportError as error:
        raise ImportError(
            f"a layer with zstd needs zstandard: pip install 'v1registry[zstd]' ({error})"
        ) from error
    return zstandard.ZstdCompressor().compress(archive)
