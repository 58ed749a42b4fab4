"""Layers that advance a meter as they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from ..layers.compression import Readable
from .progress import Meter
from .spool import LayerSpool


def metered_opener(
    spool: LayerSpool, name: str, meter: Meter
) -> Callable[[], AbstractContextManager[Readable]]:
    """Return a function that opens a complete layer, whose reads advance a meter."""

    @contextmanager
    def opened() -> Iterator[Readable]:
        with spool.open_layer(name) as file:
            yield _Metered(file, meter)

    return opened


class _Metered:
    def __init__(self, file: Readable, meter: Meter):
        self._file = file
        self._meter = meter

    def read(self, size: int, /) -> bytes:
        chunk = self._file.read(size)
        self._meter.advance(len(chunk))
        return chunk
