"""What is in a layer: the rows of ``…/files``, and what a layer changed, for ``…/diff``.

Source of the form: docker-registry 0.9.1 ``docker_registry/lib/layers.py``; registry.md 4.8 and 4.9, which also say
where this differs: whiteouts count in every directory, times are whole seconds, and what the image deletes is
deleted in a root image too. PAX global headers are no rows, and change none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias, TypeGuard

from .archive import ArchiveReader, open_archive
from .compression import LayerTooLarge, Readable

#: ``[name, type, deleted, size, mtime, mode, uid, gid]``, as in the JSON.
Row: TypeAlias = list[str | bool | int]

#: The most rows of one layer, and the most bytes of all their names together.
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


class TooManyFiles(LayerTooLarge):
    """The layer has more members, or longer names, than are listed."""


def files(
    layer: Readable,
    *,
    limit_bytes: int | None = None,
    limit_rows: int = ROWS_LIMIT,
    limit_names_bytes: int = NAMES_LIMIT_BYTES,
) -> list[Row]:
    """Return one row for each member of a layer, in the order of the archive.

    Names begin with ``/`` where the archive has ``./`` and have no ``/`` at the end. They are UTF-8; one that is not
    is taken for Latin-1, so that different names stay different.

    :param layer: plain or compressed; read from where it stands to the end of the archive; not closed.
    :param limit_bytes: the most that the layer may expand to.
    :raises UnreadableLayer: the layer is no archive, broken or cut off. UnsupportedCompression, where it cannot be
        read here, and LayerTooLarge, where a limit is reached, are of this kind too.
    :raises OSError: whatever ``layer.read`` raises.
    """
    archive = open_archive(layer, limit_bytes=limit_bytes)
    return rows_of(archive, limit_rows=limit_rows, limit_names_bytes=limit_names_bytes)


def rows_of(
    archive: ArchiveReader,
    *,
    limit_rows: int = ROWS_LIMIT,
    limit_names_bytes: int = NAMES_LIMIT_BYTES,
) -> list[Row]:
    """Return what :func:`files` does, of an archive that is open: it knows afterwards how much was expanded for it."""
    rows: list[Row] = []
    names_bytes = 0
    for entry in archive:
        typeflag = entry.typeflag
        if typeflag == b"g":
            continue
        if len(rows) >= limit_rows:
            raise TooManyFiles(f"the layer has more than the {limit_rows} files that are listed")
        name, is_deleted = entry.name, False
        names_bytes += len(name)
        if names_bytes > limit_names_bytes:
            raise TooManyFiles(
                f"the names in the layer have more than the {limit_names_bytes} bytes that are listed"
            )
        type_ = _TYPES.get(typeflag, _OTHER_TYPE)
        if name.endswith(b"/"):
            if typeflag == b"\0":
                type_ = "d"  # so did v7 archives write directories
            name = name.rstrip(b"/") or b"/"
        if name.startswith(b"./"):
            name = name[1:]
        elif name == b".":
            name = b"/"
        if _WHITEOUT in name:
            folder, slash, base = name.rpartition(b"/")
            if any(part.startswith(_AUFS_METADATA) for part in name.split(b"/")):
                continue
            if base.startswith(_WHITEOUT) and base != _WHITEOUT:
                name, is_deleted = folder + slash + base.removeprefix(_WHITEOUT), True
        try:
            text = name.decode("utf-8")
        except UnicodeDecodeError:
            text = name.decode("latin-1")
        rows.append([text, type_, is_deleted, entry.size, entry.mtime, entry.mode, entry.uid, entry.gid])
    return rows


def is_row_list(value: object) -> TypeGuard[list[Row]]:
    """Tell whether ``value``, from stored JSON, has the form of what :func:`files` returns, as far as :func:`diff` needs it."""
    return isinstance(value, list) and all(
        isinstance(row, list) and len(row) == 8 and isinstance(row[0], str) for row in value
    )


def diff(
    rows: Iterable[Sequence[Any]], ancestors: Iterable[Iterable[Sequence[Any]]]
) -> dict[str, dict[str, list[Any]]]:
    """Return what an image deleted, changed and created: name to the rest of its row, under these three keys.

    Of rows with the same name the last counts. A file is changed if the nearest ancestor that knows it has it, and
    created if that one deleted it or none knows it.

    :param rows: those of the image.
    :param ancestors: the rows of each ancestor, the nearest first; not asked for more once everything is decided.
    """
    undecided = {row[0]: list(row[1:]) for row in rows}
    deleted = {name: rest for name, rest in undecided.items() if rest[1]}
    changed: dict[str, list[Any]] = {}
    created: dict[str, list[Any]] = {}
    for name in deleted:
        del undecided[name]
    remaining = iter(ancestors)
    while undecided and (ancestor := next(remaining, None)) is not None:
        for name, is_deleted in {row[0]: row[2] for row in ancestor if row[0] in undecided}.items():
            (created if is_deleted else changed)[name] = undecided.pop(name)
    created.update(undecided)
    return {"deleted": deleted, "changed": changed, "created": created}
