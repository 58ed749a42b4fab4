"""The headers of a tar archive: 512 bytes as fields, and the records of PAX headers.

Source: moby v1.6.2 ``archive/tar/reader.go``, the copy of Go's reader of 2014 (registry.md 7.4).
"""

from __future__ import annotations

from struct import Struct
from typing import Final
from zlib import adler32

from .compression import UnreadableLayer

BLOCK_BYTES: Final = 512

# name mode uid gid size mtime checksum typeflag linkname magic uname gname devmajor devminor prefix star_mark
_HEADER = Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s8x4s")
_USTAR_MAGIC = b"ustar\0"  # followed by two bytes of version
_GNU_MAGIC = b"ustar  \0"
_STAR_MARK = b"tar\0"
_DEVICES = (b"3", b"4")
_INT64_LIMIT: Final = 1 << 63
_BAD_NUMBER: Final = "the layer has a tar header with an invalid number, or is not a tar archive"
_BAD_PAX: Final = "the layer has an invalid PAX header"

_XATTR_PREFIX = b"SCHILY.xattr."
_TEXTS_OF_PAX: Final = {b"path": "name", b"linkpath": "linkname", b"uname": "uname", b"gname": "gname"}
_NUMBERS_OF_PAX: Final = {b"uid": "uid", b"gid": "gid", b"size": "size"}


class Header:
    """The fields of one header. Texts are the archive's bytes; nothing is decoded."""

    __slots__ = (
        "block",
        "devmajor",
        "devminor",
        "gid",
        "gname",
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

    name: bytes  #: as stored, with a leading ``./`` and a trailing ``/``
    mode: int  #: all bits of the field
    uid: int
    gid: int
    size: int  #: of the content, in bytes; of a sparse member with its holes
    mtime: int  #: whole seconds since the epoch
    typeflag: bytes  #: one byte, as stored: NUL stays NUL
    linkname: bytes
    uname: bytes
    gname: bytes
    devmajor: int  #: 0 unless the member is a device
    devminor: int
    pax: dict[bytes, bytes] | None  #: the records of its PAX header; None without one
    block: bytes  #: the 512 bytes of the header in the archive

    def unpack(self, block: bytes) -> None:
        """Set all fields from the 512 bytes of a header.

        :raises UnreadableLayer: a number or the checksum is invalid.
        """
        # fmt: off
        (name, mode, uid, gid, size, mtime, checksum, typeflag, linkname,
         magic, uname, gname, devmajor, devminor, prefix, mark) = _HEADER.unpack(block)
        # fmt: on
        if not _is_checksum(checksum, block):
            raise UnreadableLayer("the layer has a tar header with a wrong checksum, or is not a tar archive")
        self.pax = None
        self.block = block
        self.name = name.partition(b"\0")[0]
        self.mode = number_of(mode)
        self.uid = number_of(uid)
        self.gid = number_of(gid)
        self.size = number_of(size)
        self.mtime = number_of(mtime)
        self.typeflag = typeflag
        self.linkname = linkname.partition(b"\0")[0]
        if not (magic.startswith(_USTAR_MAGIC) or magic == _GNU_MAGIC):
            self.uname = self.gname = b""
            self.devmajor = self.devminor = 0
            return
        self.uname = uname.partition(b"\0")[0]
        self.gname = gname.partition(b"\0")[0]
        if typeflag in _DEVICES:
            self.devmajor = number_of(devmajor)
            self.devminor = number_of(devminor)
        else:
            self.devmajor = self.devminor = 0
        if mark == _STAR_MARK and magic != _GNU_MAGIC:
            # The times of access and change are not used, but the reference requires numbers.
            number_of(prefix[131:143])
            number_of(prefix[143:])
            prefix = prefix[:131]
        if not prefix.startswith(b"\0"):
            self.name = prefix.partition(b"\0")[0] + b"/" + self.name

    def apply_pax(self, pax: dict[bytes, bytes]) -> None:
        """Replace the fields that a PAX header sets. An invalid number leaves the field as it is."""
        self.pax = pax
        for key, value in pax.items():
            number: int | None
            if key in _TEXTS_OF_PAX:
                setattr(self, _TEXTS_OF_PAX[key], value)
            elif key in _NUMBERS_OF_PAX:
                if (number := decimal_of(value)) is not None:
                    setattr(self, _NUMBERS_OF_PAX[key], number)
            elif key == b"mtime":
                seconds, _, fraction = value.partition(b".")
                number = decimal_of(seconds)
                if number is not None and (not fraction or fraction[:9].isdigit()):
                    self.mtime = number

    def xattrs(self) -> list[tuple[bytes, bytes]]:
        """Return the extended attributes, name and value, sorted by name.

        Engines use the records whose keys begin with ``SCHILY.xattr.``; other dialects are ignored.
        """
        if not self.pax:
            return []
        cut = len(_XATTR_PREFIX)
        return sorted((key[cut:], value) for key, value in self.pax.items() if key.startswith(_XATTR_PREFIX))

    def stored_device(self) -> tuple[int, int]:
        """Return the device numbers in the header, whatever the type.

        :raises UnreadableLayer: a number is invalid.
        """
        return number_of(self.block[329:337]), number_of(self.block[337:345])


def _is_checksum(field: bytes, block: bytes) -> bool:
    """Tell whether ``field`` is the sum of the header's bytes, its own 8 counted as blanks.

    Sums of signed bytes are accepted too, as old tar programs wrote them.
    """
    # The lower half of adler32 is the sum of the bytes modulo 65521, which 256 bytes cannot reach. It takes a
    # tenth of the time of sum().
    unsigned = 8 * 32 + (adler32(block[:148], 0) & 0xFFFF)
    unsigned += (adler32(block[156:400], 0) & 0xFFFF) + (adler32(block[400:], 0) & 0xFFFF)
    given = number_of(field)
    if given == unsigned:
        return True
    return given == unsigned - 256 * sum(byte > 127 for byte in block[:148] + block[156:])


def number_of(field: bytes) -> int:
    """Return the number in a field: octal digits, or big-endian binary if the first bit is set.

    The binary form has no sign, but wraps at 64 bits as in the reference, so long fields can be negative.

    :raises UnreadableLayer: the field has neither form.
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


def decimal_of(text: bytes) -> int | None:
    """Return a decimal number of 64 bits; None for any other text."""
    digits = text[1:] if text[:1] in (b"+", b"-") else text
    if not digits.isdigit() or len(digits) > 100:
        return None
    number = int(text)
    return number if -_INT64_LIMIT <= number < _INT64_LIMIT else None


def parse_pax(body: bytes) -> tuple[dict[bytes, bytes], int]:
    """Return the records of a PAX header and their count. Of a repeated key the last one counts.

    The repeated keys of a sparse map of version 0.0 are joined to one of version 0.1.

    :raises UnreadableLayer: a record is invalid.
    """
    records: dict[bytes, bytes] = {}
    sparse_map: list[bytes] = []
    at = count = 0
    while at < len(body):
        blank = body.find(b" ", at, at + 20)
        length = decimal_of(body[at:blank]) if blank > at else None
        if length is None or not blank < at + length - 1 < len(body):
            raise UnreadableLayer(_BAD_PAX)
        key, equals, value = body[blank + 1 : at + length - 1].partition(b"=")
        if not equals:
            raise UnreadableLayer(_BAD_PAX)
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            sparse_map.append(value)
        else:
            records[key] = value
        at += length
        count += 1
    if sparse_map:
        records[b"GNU.sparse.map"] = b",".join(sparse_map)
    return records, count
