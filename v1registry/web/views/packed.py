"""Long lists that take little memory. Reading one page of a list decodes only that page."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar, overload

T = TypeVar("T")

#: How many values are in one piece: as many as are on one page.
_PIECE: Final = 200

#: Approximate overhead of a Python object, in bytes.
_OVERHEAD_BYTES: Final = 50


class Packed:
    """A list of JSON values, encoded in pieces. Immutable.

    >>> Packed([["a", 1], ["b", None]])[-1]
    ['b', None]
    """

    def __init__(self, values: Sequence[Any]):
        self._count = len(values)
        self._pieces = tuple(
            json.dumps(values[start : start + _PIECE], separators=(",", ":")).encode("ascii")
            for start in range(0, self._count, _PIECE)
        )

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Any:
        index = range(self._count)[index]
        return json.loads(self._pieces[index // _PIECE])[index % _PIECE]

    def part(self, start: int, stop: int) -> list[Any]:
        """Return the values from ``start`` up to but not including ``stop``. Neither may be negative."""
        if start >= stop:
            return []
        first = start // _PIECE
        values: list[Any] = []
        for piece in self._pieces[first : (stop - 1) // _PIECE + 1]:
            values += json.loads(piece)
        return values[start - first * _PIECE : stop - first * _PIECE]

    @property
    def size_bytes(self) -> int:
        """Approximate memory."""
        return sum(len(piece) + _OVERHEAD_BYTES for piece in self._pieces) + 3 * _OVERHEAD_BYTES


class View(Sequence[T], Generic[T]):
    """A sequence over a packed list. ``read`` converts each value when it is accessed."""

    def __init__(self, packed: Packed, read: Callable[[Any], T]):
        self._packed = packed
        self._read = read

    def __len__(self) -> int:
        return len(self._packed)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...

    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, int):
            return self._read(self._packed[index])
        start, stop, step = index.indices(len(self))
        if step != 1:
            raise ValueError(f"the step of a slice must be 1, not {step}")
        return [self._read(value) for value in self._packed.part(start, stop)]
