"""What a layer holds: its diff id, and a digest of its members for layers that an engine has rewritten.

Engines from 1.10 to 17.05 send a layer through their TarSum reader, which writes each member again: with
other padding, in another format, without fractions of seconds (clients.md 3.3). So the diff id differs from
that of the archive, although both layers unpack to the same files.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from ..archives.convert import EMPTY_TAR_DIFF_ID
from ..layers.archive import ArchiveReader, Member
from ..layers.compression import CHUNK_BYTES, Readable, UnreadableLayer, open_decompressed

_GLOBAL_HEADER = b"g"
_REGULAR_FILE = b"0"
_OTHER_REGULAR_FILES = (b"\0", b"7")


@dataclass(frozen=True)
class LayerFacts:
    """The facts of a layer that was read to its end."""

    diff_id: str
    members: str | None  #: None if the layer is not a tar archive


def facts_of(layer: Readable, *, limit_bytes: int | None = None) -> LayerFacts:
    """Return the facts of a layer.

    The members are digested in their order: names, types, owners, modes, links and contents. Times, names of
    owners and the format of the archive are left out.

    :param layer: plain or compressed; read to its end, not closed.
    :param limit_bytes: the most bytes that the layer may expand to.
    :raises UnreadableLayer: the layer cannot be expanded, or is beyond the limit.
    :raises OSError: whatever ``layer.read`` raises.
    """
    expanded = _Hashed(open_decompressed(layer, limit_bytes=limit_bytes))
    members: str | None
    try:
        members = _digest_of_members(ArchiveReader(expanded, limit_bytes=limit_bytes))
    except UnreadableLayer:
        members = None
    while expanded.read(CHUNK_BYTES):  # raises again if the layer could not be expanded
        pass
    return LayerFacts(expanded.diff_id, members)


class _Hashed:
    """A stream that hashes what is read from it."""

    def __init__(self, stream: Readable):
        self._stream = stream
        self._digest = hashlib.sha256()
        self._is_empty = True

    def read(self, size: int, /) -> bytes:
        chunk = self._stream.read(size)
        self._digest.update(chunk)
        self._is_empty = self._is_empty and not chunk
        return chunk

    @property
    def diff_id(self) -> str:
        """The diff id of what was read. An empty layer counts as the tar that replaces it."""
        return EMPTY_TAR_DIFF_ID if self._is_empty else f"sha256:{self._digest.hexdigest()}"


def _digest_of_members(reader: ArchiveReader) -> str:
    digest = hashlib.sha256()
    for member in reader:
        if member.typeflag != _GLOBAL_HEADER:
            digest.update(_digest_of_member(member))
    return digest.hexdigest()


def _digest_of_member(member: Member) -> bytes:
    content = hashlib.sha256()
    while chunk := member.read(CHUNK_BYTES):
        content.update(chunk)
    facts = (
        member.name.removeprefix(b"./").removesuffix(b"/"),
        _REGULAR_FILE if member.typeflag in _OTHER_REGULAR_FILES else member.typeflag,
        member.mode & 0o7777,
        member.uid,
        member.gid,
        member.linkname,
        member.devmajor,
        member.devminor,
        member.xattrs(),
        content.digest(),
    )
    return hashlib.sha256(repr(facts).encode("ascii")).digest()
