"""Layers for tests: from files to an archive, and back."""

from __future__ import annotations

import io
from collections.abc import Iterator
from posixpath import split

from v1registry.layers.archive import Member, open_archive
from v1registry.storage.base import CHUNK_BYTES

from .pushing.layer_builder import WHITEOUT, Files, Layer

_REGULAR = (b"0", b"\0", b"7")
_HARD_LINK = b"1"


def layer_of(files: Files) -> bytes:
    """Return a layer as engines send it: a tar archive, compressed with gzip. Equal files give equal bytes.

    :param files: name -> content. A name that ends in ``/`` is a directory. None deletes the file of the
        layers below: it becomes a whiteout, ``.wh.NAME``.
    :raises TypeError: a content is neither bytes nor text nor None.

    >>> files_in(layer_of({"etc/motd": "hello", "etc/old": None}))
    {'etc/motd': b'hello', 'etc/old': None}
    """
    return bytes(Layer(files))


def files_in(layer: bytes) -> dict[str, bytes | None]:
    """Return the files of a layer: name -> content, None for those that it deletes.

    Names have no ``./`` or ``/`` in front. Hard links are files. Directories, symbolic links and devices are
    left out.

    :raises UnreadableLayer: the layer is not an archive. It is a ValueError.
    """
    files: dict[str, bytes | None] = {}
    for entry in open_archive(io.BytesIO(layer)):
        name = _plain(entry.name)
        folder, base = split(name)
        if any(part.startswith(WHITEOUT * 2) for part in name.split("/")):
            # internal files of AUFS
            continue
        if base.startswith(WHITEOUT):
            files[f"{folder}/{base.removeprefix(WHITEOUT)}".removeprefix("/")] = None
        elif entry.typeflag in _REGULAR and not entry.name.endswith(b"/"):
            files[name] = b"".join(_content(entry))
        elif entry.typeflag == _HARD_LINK:
            files[name] = files.get(_plain(entry.linkname))
    return files


def _content(member: Member) -> Iterator[bytes]:
    while chunk := member.read(CHUNK_BYTES):
        yield chunk


def _plain(name: bytes) -> str:
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        text = name.decode("latin-1")
    return text.removeprefix("./").strip("/")
