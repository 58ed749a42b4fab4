"""Files that advance a meter as they are read."""

from __future__ import annotations

import os
from collections.abc import Callable

from .progress import Meter


class MeteredFile:
    """A file that advances a meter as it is read, and a context manager that closes it."""

    def __init__(self, path: str | os.PathLike[str], meter: Meter):
        self._meter = meter
        self._file = open(path, "rb")  # noqa: SIM115  closed by __exit__

    @classmethod
    def opener(cls, path: str | os.PathLike[str], meter: Meter) -> Callable[[], MeteredFile]:
        """Return a function that opens the file."""
        return lambda: cls(path, meter)

    def __enter__(self) -> MeteredFile:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes."""
        chunk = self._file.read(size)
        self._meter.advance(len(chunk))
        return chunk
