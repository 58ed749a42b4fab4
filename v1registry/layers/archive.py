"""Tar archives as Docker's engines read them: one pass, entry by entry, bounded in memory whatever comes.

The sums of old engines (tarsum.py) depend on what their tar reader made of an archive, so this one follows it:
the copy of Go's archive/tar of 2014 that docker up to 1.6 shipped (moby v1.6.2, ``archive/tar/reader.go``; described
in registry.md 7.4). It knows v7, ustar, star, GNU and PAX headers and all four kinds of sparse members. Where that
reader crashes or never ends, the archive is unreadable.

Two wanted differences: a PAX ``size`` that differs from the header's is also how much content there is (as in every
later reader), and an empty PAX sparse map makes a file of zeros.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from struct import Struct
from typing import Final
from zlib import adler32

from .compression import CHUNK_BYTES, LayerTooLarge, Readable, UnreadableLayer, open_decompressed

#: The most that one long name, long link or PAX header may have, in bytes.
EXTENSION_LIMIT_BYTES: Final = 1024 * 1024

#: The most pieces of data that one sparse member may have.
SPARSE_PIECES_LIMIT: Final = 256 * 1024

#: The most headers, PAX records and pieces of sparse members in one archive. Each takes some microseconds, so without
#: this a small layer that expands to nothing else would keep us busy for hours.
RECORDS_LIMIT: Final = 10_000_000

_BLOCK_BYTES = 512
_ZERO_BLOCK = bytes(_BLOCK_BYTES)

# name mode uid gid size mtime checksum typeflag linkname magic uname gname devmajor devminor prefix, and star's mark
_HEADER = Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s8x4s")
_USTAR_MAGIC = b"ustar\0"  # and two bytes of version
_GNU_MAGIC = b"ustar  \0"
_STAR_MARK = b"tar\0"
_DEVICES = (b"3", b"4")
_INT64_LIMIT: Final = 1 << 63
_BAD_NUMBER: Final = "the layer has a tar header with a bad number, or is no tar archive"

_XATTR_PREFIX = b"SCHILY.xattr."
_TEXTS_OF_PAX: Final = {b"path": "name", b"linkpath": "linkname", b"uname": "uname", b"gname": "gname"}
_NUMBERS_OF_PAX: Final = {b"uid": "uid", b"gid": "gid", b"size": "size"}


class Entry:
    """One member of an archive. Texts are the archive's bytes, nothing is decoded.

    A PAX global header is an entry too (type ``g``), with its records as content. The content can be read until the
    iteration goes on; what is left of it then is skipped.
    """

    __slots__ = (
        "_reader",
        "_sparse",
        "devmajor",
        "devminor",
        "gid",
        "gname",
        "header",
        "linkname",
        "mode",
        "mtime",
        "name",
        "pax",
        "size",
        "typeflag",
        "uid",
        "uname",
    )

    name: bytes  #: with ``./`` in front and ``/`` behind where it is stored so
    mode: int  #: all bits of the field
    uid: int
    gid: int
    size: int  #: of the content, in bytes; of a sparse member with its holes
    mtime: int  #: whole seconds since the epoch
    typeflag: bytes  #: one byte, as stored: NUL stays NUL
    linkname: bytes
    uname: bytes
    gname: bytes
    devmajor: int  #: 0 unless the entry is a device
    devminor: int
    pax: dict[bytes, bytes] | None  #: the records of its PAX header, where it has one
    header: bytes  #: the block of 512 bytes as it lies in the archive
    _reader: ArchiveReader
    _sparse: _SparseContent | None

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes of the content, at least one before its end, ``b""`` at the end.

        :param size: at least 1.
        :raises UnreadableLayer: the archive ends before the content does.
        :raises LayerTooLarge: the limit of the ArchiveReader is reached.
        """
        if self._reader.current is not self:
            raise ValueError("the content of an entry cannot be read once the iteration went on")
        return self._reader.take(size) if self._sparse is None else self._sparse.read(size)

    def xattrs(self) -> list[tuple[bytes, bytes]]:
        """Return the extended attributes, name and value, sorted by name.

        Only the dialect of engines counts: records whose keys begin with ``SCHILY.xattr.``.
        """
        if not self.pax:
            return []
        cut = len(_XATTR_PREFIX)
        return sorted((key[cut:], value) for key, value in self.pax.items() if key.startswith(_XATTR_PREFIX))

    def stored_device(self) -> tuple[int, int]:
        """Return the device numbers that the header has, whatever the type. UnreadableLayer if they are none."""
        return _number(self.header[329:337]), _number(self.header[337:345])


class ArchiveReader:
    """The entries of a tar archive in their order, to be iterated once.

    The archive ends with two blocks of zeros, or where the stream ends between two entries; what follows the zeros
    is not looked at. The iteration raises UnreadableLayer, LayerTooLarge, and whatever the stream raises.

    :param stream: the archive without compression; read in pieces, not closed.
    :param limit_bytes: the most that is read from the stream and made of the holes of sparse members, together.
    :param expand_pax_sparse: False takes the sparse members of PAX archives for the plain members as which they
        are stored, as readers did that did not know them.
    """

    def __init__(self, stream: Readable, *, limit_bytes: int | None = None, expand_pax_sparse: bool = True):
        self._stream = stream
        self._limit_bytes = limit_bytes
        self._expand_pax_sparse = expand_pax_sparse
        self._expanded_bytes = 0  # read and made so far
        self._records = 0  # see RECORDS_LIMIT
        self._buffer = b""
        self._at = 0  # where in the buffer the next byte is
        self._left = 0  # bytes of the current entry that are stored and not yet read
        self._padding = 0  # bytes behind them up to the next block
        self.current: Entry | None = None  #: the entry whose content can be read

    def __iter__(self) -> Iterator[Entry]:
        pax: dict[bytes, bytes] | None = None
        long_name: bytes | None = None
        long_link: bytes | None = None
        while header := self._next_header():
            entry = self._entry(header)
            if pax is None:
                # Of several long names the first one counts, and more than the PAX path behind it. All of it applies
                # to the next header that is none of these; a PAX header to the very next one.
                if entry.typeflag == b"x":
                    pax, count = _parse_pax(self._take_extension())
                    self._count_records(count)
                    continue
                if entry.typeflag == b"L":
                    text = self._take_extension().partition(b"\0")[0]
                    long_name = text if long_name is None else long_name
                    continue
                if entry.typeflag == b"K":
                    text = self._take_extension().partition(b"\0")[0]
                    long_link = text if long_link is None else long_link
                    continue
            else:
                self._merge(entry, pax)
            if entry.typeflag == b"S":
                self._expand_gnu_sparse(entry)
            elif pax is not None and self._expand_pax_sparse:
                self._expand_sparse_of_pax(entry, pax)
            if long_name is not None:
                entry.name = long_name
            if long_link is not None:
                entry.linkname = long_link
            pax = long_name = long_link = None
            self.current = entry
            yield entry
        self.current = None
        if not (pax is None and long_name is None and long_link is None):
            raise UnreadableLayer("the layer ends behind a header that belongs to the next one")

    def drain(self) -> None:
        """Read whatever the stream has behind the archive: a compression that is cut or broken there shows itself."""
        self._left = self._padding = 0
        while self._fill():
            pass

    def take(self, size: int) -> bytes:
        """Return at most ``size`` stored bytes of the current entry, ``b""`` at their end. UnreadableLayer."""
        if self._at == len(self._buffer) and self._left and not self._fill():
            raise UnreadableLayer("the layer ends in the middle of a file")
        chunk = self._buffer[self._at : self._at + min(size, self._left)]
        self._at += len(chunk)
        self._left -= len(chunk)
        return chunk

    @property
    def expanded_bytes(self) -> int:
        """How many bytes were read from the stream and made of holes so far."""
        return self._expanded_bytes

    def count(self, size_bytes: int) -> None:
        """Take note of bytes that were read or made. LayerTooLarge."""
        self._expanded_bytes += size_bytes
        if self._limit_bytes is not None and self._expanded_bytes > self._limit_bytes:
            raise LayerTooLarge(f"the layer expands to more than the {self._limit_bytes} bytes that are read")

    def _count_records(self, count: int) -> None:
        self._records += count
        if self._records > RECORDS_LIMIT:
            raise LayerTooLarge(f"the layer has more than {RECORDS_LIMIT} tar headers and records")

    # -- blocks

    def _fill(self) -> bool:
        """Replace the buffer by what the stream has next; False at its end."""
        self._buffer, self._at = self._stream.read(CHUNK_BYTES), 0
        self.count(len(self._buffer))
        return bool(self._buffer)

    def _next_header(self) -> bytes:
        """Skip what is left of the current entry and return the next header; ``b""`` at the end of the archive."""
        self._at += self._left + self._padding
        while self._at > len(self._buffer):
            missing = self._at - len(self._buffer)
            if not self._fill():
                if missing > self._padding:
                    raise UnreadableLayer("the layer ends in the middle of a file")
                break  # nothing but the last padding is missing
            self._at = missing
        self._left = self._padding = 0
        header = self._next_block()
        if header != _ZERO_BLOCK:
            return header
        if self._next_block().strip(b"\0"):
            raise UnreadableLayer("the layer has a single block of zeros and then more data")
        return b""

    def _next_block(self) -> bytes:
        """Return the next 512 bytes, or ``b""`` if the stream ends here. UnreadableLayer if it ends within them."""
        block = self._buffer[self._at : self._at + _BLOCK_BYTES]
        self._at += len(block)
        while len(block) < _BLOCK_BYTES:
            if not self._fill():
                if block:
                    raise UnreadableLayer(
                        "the layer ends in the middle of a tar header, or is no tar archive"
                    )
                break
            self._at = min(_BLOCK_BYTES - len(block), len(self._buffer))
            block += self._buffer[: self._at]
        return block

    def _take_exactly(self, size: int) -> bytes:
        """Return the next ``size`` stored bytes of the current entry. UnreadableLayer if it has fewer."""
        data = bytearray()
        while len(data) < size:
            if not (chunk := self.take(size - len(data))):
                raise UnreadableLayer("the layer has a sparse file whose map is cut off")
            data += chunk
        return bytes(data)

    def _take_extension(self) -> bytes:
        if self._left > EXTENSION_LIMIT_BYTES:
            raise LayerTooLarge(
                f"the layer has a name or PAX header of more than {EXTENSION_LIMIT_BYTES} bytes"
            )
        return self._take_exactly(self._left)

    # -- headers

    def _entry(self, header: bytes) -> Entry:
        """Unpack a header, and make its content the one that is read next. UnreadableLayer."""
        entry = Entry()
        # fmt: off
        (name, mode, uid, gid, size, mtime, checksum, typeflag, linkname,
         magic, uname, gname, devmajor, devminor, prefix, mark) = _HEADER.unpack(header)
        # fmt: on
        if not _is_checksum(checksum, header):
            raise UnreadableLayer("the layer has a tar header with a wrong checksum, or is no tar archive")
        entry._reader = self
        entry._sparse = entry.pax = None
        entry.header = header
        entry.name = name.partition(b"\0")[0]
        entry.mode = _number(mode)
        entry.uid = _number(uid)
        entry.gid = _number(gid)
        entry.size = _number(size)
        entry.mtime = _number(mtime)
        entry.typeflag = typeflag
        entry.linkname = linkname.partition(b"\0")[0]
        if magic.startswith(_USTAR_MAGIC) or magic == _GNU_MAGIC:
            entry.uname = uname.partition(b"\0")[0]
            entry.gname = gname.partition(b"\0")[0]
            if typeflag in _DEVICES:
                entry.devmajor = _number(devmajor)
                entry.devminor = _number(devminor)
            else:
                entry.devmajor = entry.devminor = 0
            if mark == _STAR_MARK and magic != _GNU_MAGIC:
                # The times of access and change are nothing to us, but must be numbers.
                _number(prefix[131:143])
                _number(prefix[143:])
                prefix = prefix[:131]
            if not prefix.startswith(b"\0"):
                entry.name = prefix.partition(b"\0")[0] + b"/" + entry.name
        else:
            entry.uname = entry.gname = b""
            entry.devmajor = entry.devminor = 0
        self._set_stored_size(entry.size)
        self._count_records(1)
        return entry

    def _set_stored_size(self, size_bytes: int) -> None:
        if size_bytes < 0:
            raise UnreadableLayer("the layer has a tar header with a negative size")
        self._left = size_bytes
        self._padding = -size_bytes % _BLOCK_BYTES

    def _merge(self, entry: Entry, pax: dict[bytes, bytes]) -> None:
        """Replace what the PAX header says better. A value that is no number leaves the header's."""
        entry.pax = pax
        for key, value in pax.items():
            number: int | None
            if key in _TEXTS_OF_PAX:
                setattr(entry, _TEXTS_OF_PAX[key], value)
            elif key in _NUMBERS_OF_PAX:
                if (number := _decimal(value)) is not None:
                    setattr(entry, _NUMBERS_OF_PAX[key], number)
            elif key == b"mtime":
                seconds, _, fraction = value.partition(b".")
                number = _decimal(seconds)
                if number is not None and (not fraction or fraction[:9].isdigit()):
                    entry.mtime = number
        self._set_stored_size(entry.size)

    # -- sparse members

    def _expand_gnu_sparse(self, entry: Entry) -> None:
        """Read the map of a member of type S, in its header and in the blocks that follow it."""
        entry.size = _number(entry.header[483:495])
        pieces = array("q")
        table, has_more = entry.header[386:482], entry.header[482]
        while True:
            for at in range(0, len(table), 24):
                offset, length = _number(table[at : at + 12]), _number(table[at + 12 : at + 24])
                if offset == 0 and length == 0:
                    break
                pieces.extend((offset, length))
            if len(pieces) > 2 * SPARSE_PIECES_LIMIT:
                raise _too_many_pieces()
            if not has_more:
                break
            self._count_records(1)
            block = self._next_block()
            if not block:
                raise UnreadableLayer("the layer has a sparse file whose map is cut off")
            table, has_more = block[:504], block[504]
        self._make_sparse(entry, pieces)

    def _expand_sparse_of_pax(self, entry: Entry, pax: dict[bytes, bytes]) -> None:
        """Find out whether a member is sparse, and how; an unknown form is a plain file."""
        major, minor = pax.get(b"GNU.sparse.major"), pax.get(b"GNU.sparse.minor")
        if major is not None and minor is not None:
            version = major + b"." + minor
        elif b"GNU.sparse.name" in pax and b"GNU.sparse.map" in pax:
            version = b"0.1"
        elif b"GNU.sparse.size" in pax:
            version = b"0.0"
        else:
            return
        if version not in (b"0.0", b"0.1", b"1.0"):
            return
        entry.name = pax.get(b"GNU.sparse.name", entry.name)
        size = pax.get(b"GNU.sparse.size", pax.get(b"GNU.sparse.realsize"))
        if size is not None:
            entry.size = _sparse_number(size)
        self._make_sparse(entry, self._read_sparse_map() if version == b"1.0" else _parse_sparse_map(pax))

    def _read_sparse_map(self) -> array[int]:
        """Read a map of version 1.0: lines in front of the content, up to a whole number of blocks."""
        pieces, wanted, rest = array("q"), -1, b""
        while len(pieces) != wanted:
            *lines, rest = (rest + self._take_exactly(_BLOCK_BYTES)).split(b"\n")
            if not lines:
                raise UnreadableLayer("the layer has a sparse file with a bad map")
            if wanted < 0:
                wanted = 2 * _sparse_number(lines.pop(0))
                if wanted > 2 * SPARSE_PIECES_LIMIT:
                    raise _too_many_pieces()
            pieces.extend(_sparse_number(line) for line in lines[: wanted - len(pieces)])
        return pieces

    def _make_sparse(self, entry: Entry, pieces: array[int]) -> None:
        self._count_records(len(pieces) // 2)
        end = 0
        for offset, length in zip(pieces[::2], pieces[1::2], strict=True):
            if offset < end or length < 0:
                raise UnreadableLayer("the layer has a sparse file whose pieces overlap")
            end = offset + length
        if end > entry.size or sum(pieces[1::2]) > self._left:
            raise UnreadableLayer("the layer has a sparse file with less content than its map says")
        entry._sparse = _SparseContent(self, pieces, entry.size)


class _SparseContent:
    """The content of a sparse member, with zeros in its holes."""

    def __init__(self, reader: ArchiveReader, pieces: array[int], size_bytes: int):
        self._reader = reader
        self._pieces = pieces  # offset, length, offset, length …, ascending
        self._next_piece = 0
        self._size_bytes = size_bytes
        self._position = 0

    def read(self, size: int) -> bytes:
        while self._next_piece < len(self._pieces):
            offset, length = self._pieces[self._next_piece], self._pieces[self._next_piece + 1]
            if self._position < offset:
                return self._zeros(min(size, offset - self._position))
            if self._position < offset + length:
                chunk = self._reader.take(min(size, offset + length - self._position))
                self._position += len(chunk)
                return chunk
            self._next_piece += 2
        return self._zeros(min(size, self._size_bytes - self._position))

    def _zeros(self, size: int) -> bytes:
        size = min(size, CHUNK_BYTES)
        self._reader.count(size)
        self._position += size
        return bytes(size)


def open_archive(layer: Readable, *, limit_bytes: int | None = None) -> ArchiveReader:
    """Return the entries of a layer, compressed or not.

    :param layer: read in pieces from where it stands, ahead of what is asked for; not closed.
    :param limit_bytes: the most that it may expand to, the holes of sparse files included; then LayerTooLarge.
    :raises UnsupportedCompression: nothing is installed that reads it.
    """
    return ArchiveReader(open_decompressed(layer, limit_bytes=limit_bytes), limit_bytes=limit_bytes)


def _is_checksum(field: bytes, header: bytes) -> bool:
    """Tell whether ``field`` has the sum of the header's bytes, its own taken for blanks; as signed bytes will do."""
    # The lower half of adler32 is the sum of the bytes modulo 65521, which up to 256 bytes do not reach. It takes a
    # tenth of the time of sum().
    unsigned = 8 * 32 + (adler32(header[:148], 0) & 0xFFFF)
    unsigned += (adler32(header[156:400], 0) & 0xFFFF) + (adler32(header[400:], 0) & 0xFFFF)
    given = _number(field)
    if given == unsigned:
        return True
    return given == unsigned - 256 * sum(byte > 127 for byte in header[:148] + header[156:])


def _number(field: bytes) -> int:
    """Return the number in a field: octal digits, or big-endian binary where the first bit is set. UnreadableLayer.

    The binary form has no sign of its own, but wraps at 64 bits like the reference's, so long ones can be negative.
    """
    digits = field.strip(b" \0")
    if not digits.isdigit():
        if field[0] & 0x80:
            number = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
            return (number + _INT64_LIMIT) % (2 * _INT64_LIMIT) - _INT64_LIMIT
        digits = digits.partition(b"\0")[0]
        if not digits:
            return 0
        if not digits.isdigit():
            raise UnreadableLayer(_BAD_NUMBER)
    try:
        return int(digits, 8)
    except ValueError:
        raise UnreadableLayer(_BAD_NUMBER) from None


def _decimal(text: bytes) -> int | None:
    """Return a decimal number of 64 bits; None for anything else."""
    digits = text[1:] if text[:1] in (b"+", b"-") else text
    if not digits.isdigit() or len(digits) > 100:
        return None
    number = int(text)
    return number if -_INT64_LIMIT <= number < _INT64_LIMIT else None


def _parse_pax(body: bytes) -> tuple[dict[bytes, bytes], int]:
    """Return the records of a PAX header, of a repeated key the last, and how many there are. UnreadableLayer.

    The repeated keys of a sparse map of version 0.0 are gathered into one of version 0.1.
    """
    records: dict[bytes, bytes] = {}
    sparse_map: list[bytes] = []
    at = count = 0
    while at < len(body):
        blank = body.find(b" ", at, at + 20)
        length = _decimal(body[at:blank]) if blank > at else None
        if length is None or not blank < at + length - 1 < len(body):
            raise UnreadableLayer("the layer has a bad PAX header")
        key, equals, value = body[blank + 1 : at + length - 1].partition(b"=")
        if not equals:
            raise UnreadableLayer("the layer has a bad PAX header")
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            sparse_map.append(value)
        else:
            records[key] = value
        at += length
        count += 1
    if sparse_map:
        records[b"GNU.sparse.map"] = b",".join(sparse_map)
    return records, count


def _parse_sparse_map(pax: dict[bytes, bytes]) -> array[int]:
    """Return the pieces of a map of version 0.0 or 0.1. UnreadableLayer."""
    wanted = 2 * _sparse_number(pax.get(b"GNU.sparse.numblocks", b""))
    if wanted > 2 * SPARSE_PIECES_LIMIT:
        raise _too_many_pieces()
    text = pax.get(b"GNU.sparse.map", b"")
    if (text.count(b",") + 1 if text else 0) != wanted:
        raise UnreadableLayer("the layer has a sparse file with a bad map")
    return array("q", map(_sparse_number, text.split(b",") if text else ()))


def _sparse_number(text: bytes) -> int:
    number = _decimal(text)
    if number is None or number < 0:
        raise UnreadableLayer("the layer has a sparse file with a bad map")
    return number


def _too_many_pieces() -> LayerTooLarge:
    return LayerTooLarge(f"the layer has a sparse file of more than {SPARSE_PIECES_LIMIT} pieces")
