"""Layers for tests: from files to an archive, and back."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator, Mapping
from posixpath import split

from v1registry.layers.archive import Member, open_archive
from v1registry.storage.base import CHUNK_BYTES

#: The contents of a layer: name -> bytes, or text in UTF-8, or None for a file that the layer deletes.
Files = Mapping[str, bytes | str | None]

_WHITEOUT = ".wh."
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
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            if content is None:
                folder, base = split(name.rstrip("/"))
                name, content = f"{folder}/{_WHITEOUT}{base}".removeprefix("/"), b""
            elif isinstance(content, str):
                content = content.encode("utf-8")
            elif not isinstance(content, (bytes, bytearray)):
                raise TypeError(
                    f"the content of {name!r} must be bytes, text or None, not {type(content).__name__}"
                )
            member = tarfile.TarInfo(name.rstrip("/"))
            if name.endswith("/"):
                member.type, member.mode = tarfile.DIRTYPE, 0o755
            else:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(archive.getvalue(), mtime=0)


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
        if any(part.startswith(_WHITEOUT * 2) for part in name.split("/")):
            # internal files of AUFS
            continue
        if base.startswith(_WHITEOUT):
            files[f"{folder}/{base.removeprefix(_WHITEOUT)}".removeprefix("/")] = None
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
