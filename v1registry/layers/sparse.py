"""Sparse members of tar archives: the four kinds of maps, and the content with its holes.

A map is an array of numbers: offset and length of each piece of data, in ascending order.
Source: moby v1.6.2 ``archive/tar/reader.go`` (registry.md 7.4).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Final, Literal, Protocol, TypeAlias

from .compression import CHUNK_BYTES, ExpansionLimitExceeded, UnreadableLayer
from .tar_headers import decimal_of, number_of

#: The most pieces of data that one sparse member may have.
SPARSE_PIECES_LIMIT: Final = 256 * 1024

PaxVersion: TypeAlias = Literal["0.0", "0.1", "1.0"]

_PAX_VERSIONS: Final[dict[bytes, PaxVersion]] = {b"0.0": "0.0", b"0.1": "0.1", b"1.0": "1.0"}
_BAD_MAP: Final = "the layer has a sparse file with an invalid map"


class Source(Protocol):
    """The archive that a sparse member is in."""

    def take(self, size: int) -> bytes:
        """Return at most ``size`` stored bytes of the member, at least one before their end."""

    def count(self, size_bytes: int) -> None:
        """Count bytes that were made of a hole."""


class SparseContent:
    """The content of a sparse member, with zeros in its holes."""

    def __init__(self, source: Source, pieces: array[int], size_bytes: int):
        """:param size_bytes: the size with all holes."""
        self._source = source
        self._pieces = pieces
        self._next_piece = 0
        self._size_bytes = size_bytes
        self._position = 0

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes, at least one before the end, ``b""`` at the end."""
        while self._next_piece < len(self._pieces):
            offset, length = self._pieces[self._next_piece], self._pieces[self._next_piece + 1]
            if self._position < offset:
                return self._zeros(min(size, offset - self._position))
            if self._position < offset + length:
                chunk = self._source.take(min(size, offset + length - self._position))
                self._position += len(chunk)
                return chunk
            self._next_piece += 2
        return self._zeros(min(size, self._size_bytes - self._position))

    def _zeros(self, size: int) -> bytes:
        size = min(size, CHUNK_BYTES)
        self._source.count(size)
        self._position += size
        return bytes(size)


def check_pieces(pieces: array[int], size_bytes: int, stored_bytes: int) -> None:
    """Check that pieces are in order and fit the member.

    :param size_bytes: the size of the member with all holes.
    :param stored_bytes: the number of its bytes in the archive.
    :raises UnreadableLayer: they do not fit.
    """
    end = 0
    for offset, length in zip(pieces[::2], pieces[1::2], strict=True):
        if offset < end or length < 0:
            raise UnreadableLayer("the layer has a sparse file whose pieces overlap")
        end = offset + length
    if end > size_bytes or sum(pieces[1::2]) > stored_bytes:
        raise UnreadableLayer("the layer has a sparse file with less content than its map says")


# -- GNU: type S


def read_gnu_map(header: bytes, next_block: Callable[[], bytes]) -> array[int]:
    """Return the map of a member of type ``S``, which begins in its header.

    :param next_block: returns the block that continues the map, ``b""`` at the end of the archive.
    :raises UnreadableLayer: the map is invalid or incomplete.
    :raises ExpansionLimitExceeded: it has more than SPARSE_PIECES_LIMIT pieces.
    """
    pieces = array("q")
    table, has_more = header[386:482], header[482]
    while True:
        for at in range(0, len(table), 24):
            offset, length = number_of(table[at : at + 12]), number_of(table[at + 12 : at + 24])
            if offset == 0 and length == 0:
                break
            pieces.extend((offset, length))
        _check_count(len(pieces) // 2)
        if not has_more:
            return pieces
        block = next_block()
        if not block:
            raise UnreadableLayer("the layer has a sparse file with an incomplete map")
        table, has_more = block[:504], block[504]


# -- PAX: versions 0.0, 0.1 and 1.0


def pax_version_of(pax: dict[bytes, bytes]) -> PaxVersion | None:
    """Return the version of a sparse member's map; None for other members and unknown versions."""
    major, minor = pax.get(b"GNU.sparse.major"), pax.get(b"GNU.sparse.minor")
    if major is not None and minor is not None:
        return _PAX_VERSIONS.get(major + b"." + minor)
    if b"GNU.sparse.name" in pax and b"GNU.sparse.map" in pax:
        return "0.1"
    if b"GNU.sparse.size" in pax:
        return "0.0"
    return None


def parse_pax_size(pax: dict[bytes, bytes]) -> int | None:
    """Return the size with all holes in bytes, None if the records do not have it.

    :raises UnreadableLayer: it is not a number.
    """
    size = pax.get(b"GNU.sparse.size", pax.get(b"GNU.sparse.realsize"))
    return None if size is None else _number(size)


def parse_pax_map(pax: dict[bytes, bytes]) -> array[int]:
    """Return a map of version 0.0 or 0.1, which is in the records.

    :raises UnreadableLayer: the map is invalid.
    :raises ExpansionLimitExceeded: it has more than SPARSE_PIECES_LIMIT pieces.
    """
    wanted = _number(pax.get(b"GNU.sparse.numblocks", b""))
    _check_count(wanted)
    text = pax.get(b"GNU.sparse.map", b"")
    if (text.count(b",") + 1 if text else 0) != 2 * wanted:
        raise UnreadableLayer(_BAD_MAP)
    return array("q", map(_number, text.split(b",") if text else ()))


def read_stored_map(take_block: Callable[[], bytes]) -> array[int]:
    """Return a map of version 1.0: lines in front of the content, in whole blocks.

    :param take_block: returns the next 512 stored bytes of the member.
    :raises UnreadableLayer: the map is invalid.
    :raises ExpansionLimitExceeded: it has more than SPARSE_PIECES_LIMIT pieces.
    """
    pieces, wanted, rest = array("q"), -1, b""
    while len(pieces) != wanted:
        *lines, rest = (rest + take_block()).split(b"\n")
        if not lines:
            raise UnreadableLayer(_BAD_MAP)
        if wanted < 0:
            count = _number(lines.pop(0))
            _check_count(count)
            wanted = 2 * count
        pieces.extend(_number(line) for line in lines[: wanted - len(pieces)])
    return pieces


def _number(text: bytes) -> int:
    number = decimal_of(text)
    if number is None or number < 0:
        raise UnreadableLayer(_BAD_MAP)
    return number


def _check_count(count: int) -> None:
    if count > SPARSE_PIECES_LIMIT:
        raise ExpansionLimitExceeded(f"the layer has a sparse file of more than {SPARSE_PIECES_LIMIT} pieces")
