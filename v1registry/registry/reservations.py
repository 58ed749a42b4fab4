"""Counting the bytes of a layer, or of a part of a blob, while they arrive. See quotas.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final

from .. import errors
from ..storage.base import CHUNK_BYTES, Storage
from ..storage.combined import exchange, held_bytes, taken

#: How many bytes a body of unknown length reserves at once. The smaller steps are for the rest of the bound.
_STEPS: Final = (256 << 20, 16 << 20, 1 << 20, 0)

#: How old the counter of a layer may be when the layer has arrived, in seconds; and how much later than
#: pushes counters expire, because the layer is stored after that.
_FRESH_S: Final = 15
LATER_S: Final = 45

#: How long a fresh counter is relied on that other requests may remove when it has expired, in seconds.
_RELIED_ON_S: Final = 3600


class Reservation:
    """The bytes of one layer that are counted while it arrives. For one thread.

    Use :meth:`counted` around the chunks, and then :meth:`settle` or :meth:`release`.

    :param folder: the counters of the push.
    :param now_s: returns the time in seconds, on a monotonic clock.
    :param stays: whether other requests remove only those counters of the push that have expired.
    """

    def __init__(
        self,
        storage: Storage,
        folder: str,
        entry: str,
        reserve: Callable[[str, str, int], None],
        most_bytes: int,
        *,
        now_s: Callable[[], float],
        stays: bool,
    ):
        self._storage = storage
        self._folder = folder
        self._entry = entry
        self._reserve = reserve
        self._most_bytes = most_bytes
        self._now_s = now_s
        self._stays = stays
        self._since_s = 0.0  #: when the counter was written
        self._reserved = -1  #: bytes; negative if nothing is reserved yet
        self._counter: str | None = None  #: the key that counts them
        self._outdated: list[str] = []  #: keys in whose place it is, as long as their removal fails
        self.received = 0  #: bytes of chunks so far

    def counted(self, chunks: Iterable[bytes], extra: int, announced: int | None) -> Iterator[bytes]:
        """Yield the chunks. Bytes are reserved before they are yielded.

        :param extra: how many bytes will be stored beside the layer.
        :param announced: the size of the layer, None if it is unknown.
        :raises TooManyUnfinishedBytes: the owner would have too many bytes.
        """
        most_held = held_bytes(self._storage)
        if announced is not None and announced > most_held:
            most_held = CHUNK_BYTES
            if self._stays:
                # as if it were stored, so that it need not be counted again
                self._reserve_in(self._folder, extra + announced)
            else:
                self._cover(extra + announced, (0,))
        iterator, first, held = iter(chunks), list[bytes](), 0
        for chunk in iterator:
            first.append(chunk)
            held += len(chunk)
            if held > most_held:
                break
        else:
            # a short body is in memory now, so it is counted as if it were stored
            self._reserve_in(self._folder, extra + held)
        for chunk in chain(taken(first), iterator):
            self.received += len(chunk)
            if self._stays and self._reserved >= 0 and self._age_s > _RELIED_ON_S:
                self._stays = False
                self._reserve_in(self._arriving, self._reserved)
            self._cover(extra + self.received, _STEPS)
            yield chunk

    def settle(self, size: int) -> None:
        """Count exactly so many bytes, which were stored, as those of the push."""
        counter = f"{self._folder}/{self._entry}.{size}"
        if self._counter != counter or self._age_s > _FRESH_S:
            self._put(counter, size)
            exchange(self._storage, {counter: b""}, self._outdated)
            self._outdated.clear()

    def give_way(self, counter: str, other: str) -> None:
        """Count nothing any more, because another counter takes the place of this one.

        :param counter: the key of the other one.
        :param other: a key that gives way too.
        """
        removed = {other, self._counter, *self._outdated} - {None, counter}
        exchange(self._storage, {counter: b""}, sorted(filter(None, removed)))
        self._counter, self._reserved = None, -1
        self._outdated.clear()

    def release(self) -> None:
        """Count nothing, because nothing was stored."""
        self._replace(None, -1)

    def _cover(self, size: int, steps: tuple[int, ...]) -> None:
        if size <= self._reserved:
            return
        for step in steps if size < self._most_bytes else (0,):
            try:
                self._reserve_in(self._arriving, min(size + step, max(size, self._most_bytes)))
            except (errors.TooManyUnfinishedBytes, errors.RepositoryBytesExceeded):
                if step == 0:
                    raise
                continue
            return

    @property
    def _arriving(self) -> str:
        """The folder of a counter that stays if the push ends meanwhile."""
        return f"{self._folder}.{self._entry}"

    @property
    def _age_s(self) -> float:
        """How long ago the counter was written, in seconds."""
        return self._now_s() - self._since_s

    def _reserve_in(self, folder: str, size: int) -> None:
        self._since_s = self._now_s()
        self._reserve(folder, self._entry, size)
        self._replace(f"{folder}/{self._entry}.{size}", size)

    def _replace(self, counter: str | None, size: int) -> None:
        self._put(counter, size)
        if self._outdated:
            self._storage.delete_many(self._outdated)
            self._outdated.clear()

    def _put(self, counter: str | None, size: int) -> None:
        if self._counter is not None and self._counter != counter:
            self._outdated.append(self._counter)
        self._counter, self._reserved = counter, size
