"""The members of tar archives that are given as bytes."""

from __future__ import annotations

import io
from typing import Any

from v1registry.layers.archive import ArchiveReader, Member
from v1registry.layers.compression import CHUNK_BYTES


def content_of(member: Member) -> bytes:
    """Return the whole content of a member."""
    pieces = []
    while piece := member.read(CHUNK_BYTES):
        pieces.append(piece)
    return b"".join(pieces)


def read(data: bytes, **options: Any) -> list[tuple[Member, bytes]]:
    """Return the members of an archive with their contents."""
    return [(member, content_of(member)) for member in ArchiveReader(io.BytesIO(data), **options)]


def only(data: bytes, **options: Any) -> tuple[Member, bytes]:
    """Return the only member of an archive with its content."""
    ((member, content),) = read(data, **options)
    return member, content


FIELDS = ("name", "mode", "uid", "gid", "size", "mtime", "typeflag", "linkname", "uname", "gname")


def names(data: bytes) -> list[bytes]:
    return [entry.name for entry, _ in read(data)]
