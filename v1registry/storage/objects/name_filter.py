"""A set of names that takes the same memory for any number of names (a Bloom filter)."""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

#: The size of a filter, in bytes. With ten million names, one of 200 others is taken for one of them.
FILTER_BYTES: Final = 16 << 20

#: The bits of a name: four numbers of 32 bits.
_POSITIONS: Final = struct.Struct("<4I")


class NameFilter:
    """Knows each name that was added for sure, and takes a few others for added ones.

    Each filter errs in other names.

    :param size: in bytes; a power of two, at most 512 MiB.
    """

    def __init__(self, size: int = FILTER_BYTES):
        self._bits = bytearray(size)
        self._mask = 8 * size - 1
        self._salt = secrets.token_bytes(16)

    def add(self, name: str) -> None:
        """Add a name."""
        for position in self._positions(name):
            self._bits[position >> 3] |= 1 << (position & 7)

    def may_have(self, name: str) -> bool:
        """Tell whether a name was added. False is certain."""
        return all(self._bits[position >> 3] & 1 << (position & 7) for position in self._positions(name))

    def _positions(self, name: str) -> Iterator[int]:
        digest = blake2b(name.encode(), digest_size=_POSITIONS.size, key=self._salt).digest()
        return (number & self._mask for number in _POSITIONS.unpack(digest))
