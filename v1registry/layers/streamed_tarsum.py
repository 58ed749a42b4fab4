"""TarSums that are computed while a layer arrives, so that nothing has to look into it afterwards.

The reader of archives asks for bytes, and so does the storage that keeps them. So the reader has a thread of
its own, which gets what the storage got. It costs no more than a small multiple of what the client sent.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from .archive import ArchiveReader
from .compression import ExpansionLimitExceeded, UnreadableLayer, open_decompressed
from .tarsum import RightSums, engine_tarsums

#: How many layers of one process may have their TarSums computed while they arrive.
MOST_STREAMS: Final = 16

#: How many bytes a layer may expand to while it arrives: so many, and so many for each byte that came. Layers
#: of engines expand to 2 to 10 times their size.
_FREE_BYTES: Final = 1 << 20
_RATIO: Final = 50

_RECORDS_LIMIT: Final = 100_000

#: How many pieces wait for the reader, and how long the upload waits for it, in seconds.
_MOST_PIECES: Final = 4
_WAIT_S: Final = 5.0

#: Their decompressors need too much memory for several at once.
_UNFIT: Final = ("xz", "zstd")


class TarSumStreams:
    """Gives streams to uploads, as long as there are not too many. Safe for threads."""

    def __init__(self, most: int = MOST_STREAMS):
        self._places = threading.Semaphore(most)
        self._work = threading.Lock()  # one thread at a time computes, for one piece of a layer

    @contextmanager
    def open(self) -> Iterator[TarSumStream | None]:
        """Give a stream for a layer that begins to arrive; None if too many layers have one."""
        if not self._places.acquire(blocking=False):
            yield None
            return
        stream = TarSumStream(self._work)
        try:
            yield stream
        finally:
            stream.end()
            self._places.release()


class TarSumStream:
    """Computes the TarSums of one layer from its pieces.

    :param work: held while a piece is worked on.
    """

    def __init__(self, work: threading.Lock):
        self._work = work
        self._changed = threading.Condition()  # guards all that follows
        self._pieces: deque[bytes] = deque()
        self._is_whole = False
        self._is_over = False
        self._received_bytes = 0
        self._sums: RightSums | None = None
        self._thread = threading.Thread(target=self._run, name="v1registry-tarsum", daemon=True)
        self._thread.start()

    def through(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the pieces of the layer as they are, and add them. Wait a little if the reader is slower."""
        for chunk in chunks:
            with self._changed:
                if not self._changed.wait_for(self._has_room, _WAIT_S):
                    self._is_over = True
                if not self._is_over:
                    self._pieces.append(bytes(chunk))  # it may be a buffer that the caller fills again
                    self._received_bytes += len(chunk)
                self._changed.notify_all()
            yield chunk

    def right_sums(self) -> RightSums | None:
        """Return the TarSums by the rules of all engines, after all pieces were added.

        None if they cannot be told without another look: the layer is damaged, expands too far, or the reader
        was too slow.
        """
        with self._changed:
            self._is_whole = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_over, _WAIT_S)
            return self._sums

    def end(self) -> None:
        """Stop the thread, also in the middle of a layer."""
        with self._changed:
            self._is_over = True
            self._pieces.clear()
            self._changed.notify_all()

    def read(self, size: int, /) -> bytes:
        """Return the next piece, for the reader in the thread; ``b""`` at the end.

        :raises UnreadableLayer: the upload failed.
        """
        self._work.release()
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._pieces or self._is_whole or self._is_over)
                if self._is_over:
                    raise UnreadableLayer("the layer did not arrive")
                if not self._pieces:
                    return b""
                piece = self._pieces.popleft()
                if len(piece) > size:
                    self._pieces.appendleft(piece[size:])
                self._changed.notify_all()
                return piece[:size]
        finally:
            self._work.acquire()

    def _has_room(self) -> bool:
        return self._is_over or len(self._pieces) < _MOST_PIECES

    def _run(self) -> None:
        sums = None
        try:
            with self._work:
                sums = self._compute()
        except UnreadableLayer:
            pass
        finally:
            with self._changed:
                self._sums = sums
                self._is_over = True
                self._pieces.clear()
                self._changed.notify_all()

    def _compute(self) -> RightSums | None:
        expanded = open_decompressed(self)
        if expanded.compression in _UNFIT:
            return None

        def check() -> None:
            if archive.expanded_bytes > _FREE_BYTES + _RATIO * self._received_bytes:
                raise ExpansionLimitExceeded("the layer expands too far to be read while it arrives")

        archive = ArchiveReader(expanded, limit_records=_RECORDS_LIMIT, check=check)
        return engine_tarsums(archive)
