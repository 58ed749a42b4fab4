"""Tar archives as Docker's engines read them: one pass, member by member, in bounded memory.

The reader is our own, because TarSums depend on the bugs of the engines' reader, which no library has.
It follows the copy of Go's archive/tar of 2014 in docker up to 1.6 (moby v1.6.2, ``archive/tar/reader.go``;
registry.md 7.4): v7, ustar, star, GNU and PAX headers, and all four kinds of sparse members. If that reader
crashes or never ends, the archive is unreadable here.

Two differences are wanted. A PAX ``size`` that differs from the header's is the size of the content, as in
every later reader. An empty PAX sparse map makes a file of zeros.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import Final

from . import sparse
from .compression import (
    CHUNK_BYTES,
    ExpansionLimitExceeded,
    Readable,
    UnreadableLayer,
    go_on,
    open_decompressed,
)
from .tar_headers import BLOCK_BYTES, Header, number_of, parse_pax

#: The largest long name, long link or PAX header, in bytes.
EXTENSION_LIMIT_BYTES: Final = 1024 * 1024

#: The most headers, PAX records and pieces of sparse members in one archive. Each takes some microseconds, so
#: a small layer that expands to nothing else could occupy the process for hours.
RECORDS_LIMIT: Final = 1_000_000

_ZERO_BLOCK = bytes(BLOCK_BYTES)

#: The types of headers that belong to the next one: PAX header, long name, long link.
_EXTENSIONS: Final = (b"x", b"L", b"K")


class Member(Header):
    """One member of an archive.

    A PAX global header is a member too (type ``g``), with its records as content. The content can be read
    until the iteration continues, which skips the rest.
    """

    __slots__ = ("_reader", "_sparse")

    _reader: ArchiveReader
    _sparse: sparse.SparseContent | None

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes of the content, at least one before its end, ``b""`` at the end.

        :param size: at least 1.
        :raises UnreadableLayer: the archive ends before the content does.
        :raises ExpansionLimitExceeded: the limit of the ArchiveReader is reached.
        """
        if self._reader.current is not self:
            raise ValueError("the content of a member cannot be read after the iteration continued")
        return self._reader.take(size) if self._sparse is None else self._sparse.read(size)


class ArchiveReader:
    """The members of a tar archive in their order, to be iterated once.

    The archive ends with two blocks of zeros, or if the stream ends between two members; what follows the
    zeros is ignored. The iteration raises UnreadableLayer, ExpansionLimitExceeded, and whatever the stream
    raises.

    :param stream: the archive without compression; read in pieces, not closed.
    :param limit_bytes: the most bytes that are read from the stream and made of holes, together.
    :param limit_records: the most headers, PAX records and pieces of sparse members.
    :param check: called for each piece that is read or made of a hole. What it raises ends the iteration.
    :param expand_pax_sparse: False treats sparse members of PAX archives as plain members with their stored
        content, as readers without PAX sparse support did.
    """

    def __init__(
        self,
        stream: Readable,
        *,
        limit_bytes: int | None = None,
        limit_records: int = RECORDS_LIMIT,
        check: Callable[[], None] = go_on,
        expand_pax_sparse: bool = True,
    ):
        self._stream = stream
        self._limit_bytes = limit_bytes
        self._limit_records = limit_records
        self._check = check
        self._expand_pax_sparse = expand_pax_sparse
        self._expanded_bytes = 0  # read and made so far
        self._records = 0
        self._buffer = b""
        self._at = 0  # the position of the next byte in the buffer
        self._left = 0  # stored bytes of the current member that were not read yet
        self._padding = 0  # bytes behind them up to the next block
        self.current: Member | None = None  #: the member whose content can be read

    def __iter__(self) -> Iterator[Member]:
        pax: dict[bytes, bytes] | None = None
        long_name: bytes | None = None
        long_link: bytes | None = None
        while block := self._next_header():
            member = self._member(block)
            if pax is not None:
                member.apply_pax(pax)
                self._set_stored_size(member.size)
            elif member.typeflag in _EXTENSIONS:
                # Names and links apply to the next header that is no extension, a PAX header to the next one.
                # The first long name counts, and takes precedence over a PAX path.
                if member.typeflag == b"x":
                    pax = self._take_pax()
                elif member.typeflag == b"L":
                    long_name = self._take_text(long_name)
                else:
                    long_link = self._take_text(long_link)
                continue
            if member.typeflag == b"S":
                self._expand_gnu_sparse(member)
            elif pax is not None and self._expand_pax_sparse:
                self._expand_sparse_of_pax(member, pax)
            if long_name is not None:
                member.name = long_name
            if long_link is not None:
                member.linkname = long_link
            pax = long_name = long_link = None
            self.current = member
            yield member
        self.current = None
        if not (pax is None and long_name is None and long_link is None):
            raise UnreadableLayer("the layer ends after a header that belongs to the next one")

    def drain(self) -> None:
        """Read the rest of the stream behind the archive, so that a broken compression there is noticed."""
        self._left = self._padding = 0
        while self._fill():
            pass

    def take(self, size: int) -> bytes:
        """Return at most ``size`` stored bytes of the current member, ``b""`` at their end.

        :raises UnreadableLayer: the archive ends before.
        """
        if self._at == len(self._buffer) and self._left and not self._fill():
            raise UnreadableLayer("the layer ends in the middle of a file")
        chunk = self._buffer[self._at : self._at + min(size, self._left)]
        self._at += len(chunk)
        self._left -= len(chunk)
        return chunk

    @property
    def expanded_bytes(self) -> int:
        """The number of bytes that were read from the stream and made of holes so far."""
        return self._expanded_bytes

    def count(self, size_bytes: int) -> None:
        """Count bytes that were read or made of a hole.

        :raises ExpansionLimitExceeded: there are more than ``limit_bytes``.
        """
        self._check()
        self._expanded_bytes += size_bytes
        if self._limit_bytes is not None and self._expanded_bytes > self._limit_bytes:
            raise ExpansionLimitExceeded(
                f"the layer expands to more than the limit of {self._limit_bytes} bytes"
            )

    def _count_records(self, count: int) -> None:
        self._records += count
        if self._records > self._limit_records:
            raise ExpansionLimitExceeded(
                f"the layer has more than {self._limit_records} tar headers and records"
            )

    # -- blocks

    def _fill(self) -> bool:
        """Replace the buffer by the next bytes of the stream; return False at its end."""
        self._buffer, self._at = self._stream.read(CHUNK_BYTES), 0
        self.count(len(self._buffer))
        return bool(self._buffer)

    def _next_header(self) -> bytes:
        """Skip the rest of the member and return the next header; ``b""`` at the end of the archive."""
        self._at += self._left + self._padding
        while self._at > len(self._buffer):
            missing = self._at - len(self._buffer)
            if not self._fill():
                if missing > self._padding:
                    raise UnreadableLayer("the layer ends in the middle of a file")
                break  # only the last padding is missing
            self._at = missing
        self._left = self._padding = 0
        block = self._next_block()
        if block != _ZERO_BLOCK:
            return block
        if self._next_block().strip(b"\0"):
            raise UnreadableLayer("the layer has a single block of zeros and then more data")
        return b""

    def _next_block(self) -> bytes:
        """Return the next 512 bytes, or ``b""`` if the stream ends here."""
        block = self._buffer[self._at : self._at + BLOCK_BYTES]
        self._at += len(block)
        while len(block) < BLOCK_BYTES:
            if not self._fill():
                if block:
                    raise UnreadableLayer(
                        "the layer ends in the middle of a tar header, or is not a tar archive"
                    )
                break
            self._at = min(BLOCK_BYTES - len(block), len(self._buffer))
            block += self._buffer[: self._at]
        return block

    def _take_exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            if not (chunk := self.take(size - len(data))):
                raise UnreadableLayer("the layer has a sparse file with an incomplete map")
            data += chunk
        return bytes(data)

    # -- headers

    def _member(self, block: bytes) -> Member:
        """Unpack a header, and make its content the next one to be read."""
        member = Member()
        member.unpack(block)
        member._reader = self
        member._sparse = None
        self._set_stored_size(member.size)
        self._count_records(1)
        return member

    def _set_stored_size(self, size_bytes: int) -> None:
        if size_bytes < 0:
            raise UnreadableLayer("the layer has a tar header with a negative size")
        self._left = size_bytes
        self._padding = -size_bytes % BLOCK_BYTES

    def _take_extension(self) -> bytes:
        if self._left > EXTENSION_LIMIT_BYTES:
            raise ExpansionLimitExceeded(
                f"the layer has a name or PAX header of more than {EXTENSION_LIMIT_BYTES} bytes"
            )
        return self._take_exactly(self._left)

    def _take_pax(self) -> dict[bytes, bytes]:
        pax, count = parse_pax(self._take_extension())
        self._count_records(count)
        return pax

    def _take_text(self, earlier: bytes | None) -> bytes:
        text = self._take_extension().partition(b"\0")[0]
        return text if earlier is None else earlier

    # -- sparse members

    def _expand_gnu_sparse(self, member: Member) -> None:
        def next_block() -> bytes:
            self._count_records(1)
            return self._next_block()

        member.size = number_of(member.block[483:495])
        self._make_sparse(member, sparse.read_gnu_map(member.block, next_block))

    def _expand_sparse_of_pax(self, member: Member, pax: dict[bytes, bytes]) -> None:
        version = sparse.pax_version_of(pax)
        if version is None:
            return
        member.name = pax.get(b"GNU.sparse.name", member.name)
        size = sparse.parse_pax_size(pax)
        if size is not None:
            member.size = size
        if version == "1.0":
            pieces = sparse.read_stored_map(lambda: self._take_exactly(BLOCK_BYTES))
        else:
            pieces = sparse.parse_pax_map(pax)
        self._make_sparse(member, pieces)

    def _make_sparse(self, member: Member, pieces: array[int]) -> None:
        self._count_records(len(pieces) // 2)
        sparse.check_pieces(pieces, member.size, self._left)
        member._sparse = sparse.SparseContent(self, pieces, member.size)


def open_archive(
    layer: Readable,
    *,
    limit_bytes: int | None = None,
    limit_records: int = RECORDS_LIMIT,
    check: Callable[[], None] = go_on,
) -> ArchiveReader:
    """Return the members of a layer, compressed or not.

    :param layer: read in pieces from its current position, ahead of the members; not closed.
    :param limit_bytes: the most bytes that the layer may expand to, the holes of sparse files included;
        beyond, the iteration raises ExpansionLimitExceeded.
    :param limit_records: see :class:`ArchiveReader`.
    :param check: called for each piece of data. What it raises ends the iteration.
    :raises UnsupportedCompression: the module for the compression is missing.
    :raises OSError: whatever ``layer.read`` raises.
    """
    expanded = open_decompressed(layer, limit_bytes=limit_bytes, check=check)
    return ArchiveReader(expanded, limit_bytes=limit_bytes, limit_records=limit_records, check=check)
