"""The pieces of an unfinished upload, one for each request that sent bytes, and where they end.

    <folder of the upload>/pieces/<offset>/data    what one request sent
    <folder of the upload>/end                     which piece is the last one, and how many there are

A piece is written only if there is none at its offset, so that one request decides. The key ``end`` is
written after it. It spares a walk over all pieces: readers begin at the piece that it names, and go on from
there. After requests at the same time, or a killed one, it names an earlier piece. It never goes back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from ..registry.layout import parse_stored
from ..storage.base import ABSENT, KeyConflict, KeyNotFound, Stat, Storage
from . import layout

#: How many requests may send pieces of one upload.
MOST_PIECES: Final = 10_000

_PIECES, _END = "pieces", "end"

#: How many digits an offset has in a key: enough for all sizes.
_DIGITS: Final = 20


@dataclass(frozen=True)
class Arrived:
    """What has arrived of an upload."""

    size: int = 0  #: bytes: the offset at which the upload goes on
    number: int = 0  #: pieces
    modified_s: float = 0.0  #: when the last piece was written, in seconds since the epoch
    end_etag: str = ABSENT  #: of the key ``end`` as it was read


NOTHING: Final = Arrived()


def piece_key(folder: str, start: int) -> str:
    """Return the key of the piece at an offset.

    :param folder: of the upload.
    """
    return f"{folder}/{_PIECES}/{start:0{_DIGITS}d}/{layout.DATA}"


class Pieces:
    """The pieces of the uploads of one storage. Safe for threads and processes."""

    def __init__(self, storage: Storage):
        self._storage = storage

    def arrived(self, folder: str) -> Arrived:
        """Return what has arrived of an upload. The cost does not grow with the number of pieces."""
        start, number, etag = self._end(folder)
        found = self._walk(folder, Arrived(start, number, end_etag=etag))
        if start and found.number == number:
            # there is no such piece
            found = self._walk(folder, Arrived(end_etag=etag))
        return found

    def add(self, folder: str, arrived: Arrived, body: Iterable[bytes]) -> tuple[Arrived, Stat]:
        """Write a piece at the end; return what has arrived with it, and the Stat of the piece.

        :raises KeyConflict: another request has written a piece there.
        """
        stat = self._storage.write(piece_key(folder, arrived.size), body, expect=ABSENT)
        after = Arrived(
            arrived.size + stat.size, arrived.number + 1, stat.modified.timestamp(), arrived.end_etag
        )
        value = json.dumps({"start": arrived.size, "number": after.number}).encode("ascii")
        with suppress(KeyConflict):  # another request has found more pieces
            etag = self._storage.write(f"{folder}/{_END}", value, expect=arrived.end_etag).etag
            after = replace(after, end_etag=etag)
        return after, stat

    def joined(self, folder: str, size: int) -> Iterator[bytes]:
        """Yield the bytes of all pieces.

        :param size: of all together.
        :raises KeyNotFound: a piece was removed meanwhile.
        """
        start = 0
        while start < size:
            with self._storage.open(piece_key(folder, start)) as blob:
                yield from blob
            start += max(1, blob.stat.size)  # none is empty, unless it is damaged

    def _end(self, folder: str) -> tuple[int, int, str]:
        """Return offset and number of the last known piece, and the etag of the key that says so."""
        try:
            value, stat = self._storage.read(f"{folder}/{_END}")
        except KeyNotFound:
            return 0, 0, ABSENT
        fields: Any = parse_stored(value)
        start, number = (
            (fields.get("start"), fields.get("number")) if isinstance(fields, dict) else (None, None)
        )
        if not isinstance(start, int) or not isinstance(number, int) or not 0 < number <= start + 1:
            return 0, 0, stat.etag  # it is damaged
        return start, number - 1, stat.etag

    def _walk(self, folder: str, arrived: Arrived) -> Arrived:
        """Return what has arrived with the pieces from an offset on."""
        while arrived.number < MOST_PIECES:
            try:
                stat = self._storage.stat(piece_key(folder, arrived.size))
            except KeyNotFound:
                break
            modified_s = stat.modified.timestamp()
            arrived = Arrived(arrived.size + stat.size, arrived.number + 1, modified_s, arrived.end_etag)
        return arrived
