"""The gzip form of layers that engines cannot read as they are stored."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

#: The level of zlib. The bytes depend on it, so it must never change.
_LEVEL: Final = 6


def gzip_form(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the gzip form of expanded bytes. Equal content gives equal bytes: no time and no name are in the
    head.

    >>> zlib.decompress(b"".join(gzip_form([b"lay", b"er"])), wbits=31)
    b'layer'
    """
    encoder = zlib.compressobj(_LEVEL, zlib.DEFLATED, wbits=31)
    for chunk in chunks:
        if data := encoder.compress(chunk):
            yield data
    yield encoder.flush()
