"""The files in a layer: the rows of ``…/files``.

Source of the form: docker-registry 0.9.1 ``docker_registry/lib/layers.py``; registry.md 4.8, which lists the
differences: whiteouts count in every directory, and times are whole seconds. PAX global headers make no rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from .archive import ArchiveReader, Member, open_archive
from .compression import ExpansionLimitExceeded, Readable

#: ``[name, type, deleted, size, mtime, mode, uid, gid]``, as in the JSON.
Row: TypeAlias = list[str | bool | int]

#: The most rows of one layer, and the most bytes of all their names.
ROWS_LIMIT: Final = 500_000
NAMES_LIMIT_BYTES: Final = 64 * 1024 * 1024

_TYPES: Final[dict[bytes, str]] = {
    b"0": "f",
    b"\0": "f",
    b"1": "l",
    b"2": "s",
    b"3": "c",
    b"4": "b",
    b"5": "d",
    b"6": "i",
    b"7": "t",
    b"L": "L",
    b"K": "K",
    b"S": "S",
}
_OTHER_TYPE = "u"
_WHITEOUT = b".wh."
_AUFS_METADATA = b".wh..wh."
_OPAQUE = b".wh..wh..opq"


class TooManyFiles(ExpansionLimitExceeded):
    """The layer has more members, or longer names, than the limits allow."""


def files(
    layer: Readable,
    *,
    limit_bytes: int | None = None,
    limit_rows: int = ROWS_LIMIT,
    limit_names_bytes: int = NAMES_LIMIT_BYTES,
) -> list[Row]:
    """Return one row for each member of a layer, in the order of the archive.

    A leading ``./`` becomes ``/``, and a trailing ``/`` is removed. Names that are not UTF-8 are decoded as
    Latin-1, so that different names stay different.

    :param layer: plain or compressed; read from its current position to the end of the archive; not closed.
    :param limit_bytes: the most bytes that the layer may expand to.
    :param limit_rows: the most rows.
    :param limit_names_bytes: the most bytes of all names.
    :raises UnreadableLayer: the layer is not an archive, damaged or incomplete.
    :raises UnsupportedCompression: the module for the compression is missing.
    :raises ExpansionLimitExceeded: the layer expands to more than ``limit_bytes``.
    :raises TooManyFiles: another limit is reached.
    :raises OSError: whatever ``layer.read`` raises.
    """
    archive = open_archive(layer, limit_bytes=limit_bytes)
    return list(rows_of(archive, limit_rows=limit_rows, limit_names_bytes=limit_names_bytes))


def rows_of(
    archive: ArchiveReader,
    *,
    limit_rows: int = ROWS_LIMIT,
    limit_names_bytes: int = NAMES_LIMIT_BYTES,
    opaque: set[str] | None = None,
) -> Iterator[Row]:
    """Yield the rows of :func:`files` for an open archive.

    :param limit_rows: the most rows.
    :param limit_names_bytes: the most bytes of all names.
    :param opaque: gets the names of the folders that the layer marks as opaque: what ancestors have below
        them is deleted. Rows do not show that.
    :raises UnreadableLayer: the archive is damaged or incomplete.
    :raises ExpansionLimitExceeded: the limit of the archive is reached.
    :raises TooManyFiles: one of the limits here is reached.
    """
    rows = names_bytes = 0
    for member in archive:
        if member.typeflag == b"g":
            continue
        if rows >= limit_rows:
            raise TooManyFiles(f"the layer has more than the limit of {limit_rows} files")
        names_bytes += len(member.name)
        if names_bytes > limit_names_bytes:
            raise TooManyFiles(
                f"the names in the layer have more than the limit of {limit_names_bytes} bytes"
            )
        row = _row_of(member)
        if row is not None:
            rows += 1
            yield row
        elif opaque is not None and member.name.endswith(_OPAQUE):
            opaque.add(_decoded(member.name.removesuffix(_OPAQUE)))


def _row_of(member: Member) -> Row | None:
    """Return the row of a member, None for the metadata of AUFS."""
    name, is_deleted = member.name, False
    type_ = _TYPES.get(member.typeflag, _OTHER_TYPE)
    if name.endswith(b"/"):
        if member.typeflag == b"\0":
            type_ = "d"  # v7 archives have directories in this form
        name = name.rstrip(b"/") or b"/"
    if name.startswith(b"./"):
        name = name[1:]
    elif name == b".":
        name = b"/"
    if _WHITEOUT in name:
        folder, slash, base = name.rpartition(b"/")
        if any(part.startswith(_AUFS_METADATA) for part in name.split(b"/")):
            return None
        if base.startswith(_WHITEOUT) and base != _WHITEOUT:
            name, is_deleted = folder + slash + base.removeprefix(_WHITEOUT), True
    return [
        _decoded(name),
        type_,
        is_deleted,
        member.size,
        member.mtime,
        member.mode,
        member.uid,
        member.gid,
    ]


def _decoded(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("latin-1")
