"""The pieces of an unfinished upload, one for each request that sent bytes, and where they end.

    <folder of the upload>/pieces/<offset>/data    what one request sent
    <folder of the upload>/end                     one of the last pieces, and how many there are up to it

A piece is written only if there is none at its offset, so that one request decides. The key ``end`` is
written after every few pieces. It spares a walk over all of them: readers begin at the piece that it names,
and go on from there. After requests at the same time, or a killed one, it names an earlier piece. It never
goes back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from ..registry.layout import parse_stored
from ..storage.base import ABSENT, KeyConflict, KeyNotFound, Stat, Storage, StorageUnavailable
from ..storage.combined import Beside, write_with
from . import layout

#: How many requests may send pieces of one upload.
MOST_PIECES: Final = 10_000

_PIECES, _END = "pieces", "end"

#: How many pieces there may be after the one that ``end`` names, before it is written again. To look at a
#: piece costs much less than a write.
_MOST_AFTER_END: Final = 16

#: How many digits an offset has in a key: enough for all sizes.
_DIGITS: Final = 20


@dataclass(frozen=True)
class Arrived:
    """What has arrived of an upload."""

    size: int = 0  #: bytes: the offset at which the upload goes on
    number: int = 0  #: pieces
    modified_s: float = 0.0  #: when the last piece was written, in seconds since the epoch
    end_number: int = 0  #: pieces up to the one that the key ``end`` named when it was read
    end_etag: str = ABSENT  #: of that key


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
        end = self._end(folder)
        found = self._walk(folder, end)
        if end.size and found.number == end.number:
            # there is no such piece
            found = self._walk(folder, Arrived(end_etag=end.end_etag))
        return found

    def add(self, folder: str, arrived: Arrived, body: Iterable[bytes], beside: Beside) -> Arrived:
        """Write a piece at the end; return what has arrived with it.

        :param beside: returns what is stored together with it if the storage can do that.
        :raises KeyConflict: another request has written a piece there.
        """
        key = piece_key(folder, arrived.size)
        stat = write_with(self._storage, key, body, beside, expect=ABSENT, is_needed=False)
        after = _with_piece(arrived, stat)
        if after.number - arrived.end_number < _MOST_AFTER_END:
            return after
        value = json.dumps({"start": arrived.size, "number": after.number}).encode("ascii")
        # another request has found more pieces; or the storage failed, and a later request writes it. The
        # piece is stored, so the part must not fail
        with suppress(KeyConflict, StorageUnavailable):
            etag = self._storage.write(f"{folder}/{_END}", value, expect=arrived.end_etag).etag
            after = replace(after, end_number=after.number, end_etag=etag)
        return after

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

    def _end(self, folder: str) -> Arrived:
        """Return what has arrived before the piece that the key ``end`` names."""
        try:
            value, stat = self._storage.read(f"{folder}/{_END}")
        except KeyNotFound:
            return NOTHING
        fields: Any = parse_stored(value)
        start, number = (
            (fields.get("start"), fields.get("number")) if isinstance(fields, dict) else (None, None)
        )
        if not isinstance(start, int) or not isinstance(number, int) or not 0 < number <= start + 1:
            return Arrived(end_etag=stat.etag)  # it is damaged
        return Arrived(start, number - 1, end_number=number, end_etag=stat.etag)

    def _walk(self, folder: str, arrived: Arrived) -> Arrived:
        """Return what has arrived with the pieces from an offset on."""
        while arrived.number < MOST_PIECES:
            try:
                stat = self._storage.stat(piece_key(folder, arrived.size))
            except KeyNotFound:
                break
            arrived = _with_piece(arrived, stat)
        return arrived


def _with_piece(arrived: Arrived, piece: Stat) -> Arrived:
    return replace(
        arrived,
        size=arrived.size + piece.size,
        number=arrived.number + 1,
        modified_s=piece.modified.timestamp(),
    )
