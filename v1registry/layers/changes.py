"""What a layer changes against the layers below it: the answer of ``…/diff`` (registry.md 4.9).

Source: docker-registry 0.9.1 ``docker_registry/lib/layers.py``. Deletions count in a root image too. Names
are compared without a leading ``./`` or ``/``, and opaque folders count (decisions.md 23).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from .compression import ExpansionLimitExceeded, go_on

#: The most names of ancestors that are remembered: deletions, and files below opaque folders.
_NAMES_LIMIT: Final = 1_000_000

#: Longer names lie in no deleted folder. To look for all folders of a long name takes long.
_LONGEST_PATH: Final = 4096

_LEADING: Final = re.compile(r"(?:\./|/)*")

#: After how many rows the check of a look is called.
_ROWS_AT_ONCE: Final = 1000

_REPLACED, _UNDECIDED, _DELETED, _CHANGED, _CREATED = range(5)

#: The keys of the answer, in its order, and the state of their rows.
_KINDS: Final = (("deleted", _DELETED), ("changed", _CHANGED), ("created", _CREATED))


def compared(name: str) -> bytes:
    """Return a name as it is compared: layers of several tools begin with ``./``, ``/`` or neither.

    >>> compared("./etc/a"), compared("/etc/a"), compared("etc/a"), compared(".a"), compared("/")
    (b'etc/a', b'etc/a', b'etc/a', b'.a', b'')
    """
    start = _LEADING.match(name)
    assert start is not None
    return name[start.end() :].rstrip("/").encode("utf-8", "surrogatepass")


class Comparison:
    """The comparison of one layer with its ancestors. Each name takes some 150 bytes of memory.

    Of rows with the same name the last counts. The nearest ancestor with a row for a file decides: the file
    is created if that row is a deletion, or if it lies in a folder that an ancestor between deleted or marked
    as opaque; else it is changed. Without such an ancestor it is created.

    :param rows: the rows of the layer.
    :param opaque: the names of its opaque folders. What ancestors have below them is deleted.
    :param check: called often. What it raises ends the comparison.
    """

    def __init__(
        self, rows: Iterable[Sequence[Any]], opaque: Iterable[str] = (), check: Callable[[], None] = go_on
    ):
        self._check = check
        self._states = bytearray()
        self._positions: dict[bytes, int] = {}
        self._undecided = 0
        for row in self._watched(rows):
            name = compared(row[0])
            before = self._positions.get(name)
            if before is not None:
                self._decide(before, _REPLACED)
            self._positions[name] = len(self._states)
            self._states.append(_DELETED if row[2] else _UNDECIDED)
            self._undecided += not row[2]
        self._opaque = frozenset(map(compared, opaque))
        self._hidden: set[bytes] = set()  # the folders of which an ancestor deletes what lies further below
        self._seen: set[bytes] = set()  # the names below opaque folders for which an ancestor decided
        self._removed: list[bytes] = []  # JSON of the files of ancestors that an opaque folder deletes

    @property
    def is_decided(self) -> bool:
        """Whether no ancestor can change the result."""
        return not self._undecided and not self._opaque

    def compare(self, rows: Iterable[Sequence[Any]], opaque: Iterable[str] = ()) -> None:
        """Compare with the next ancestor. Nothing changes if ``rows`` raises.

        :param rows: its rows.
        :param opaque: the names of its opaque folders.
        :raises ExpansionLimitExceeded: too many files are deleted.
        """
        found: dict[int, int] = {}
        below_opaque: dict[bytes, bytes | None] = {}
        hidden = set(map(compared, opaque))
        for row in self._watched(rows):
            name, is_deleted = compared(row[0]), bool(row[2])
            position = self._positions.get(name)
            if position is not None:
                if self._states[position] == _UNDECIDED:
                    is_gone = is_deleted or _is_below(name, self._hidden)
                    found[position] = _CREATED if is_gone else _CHANGED
            elif self._opaque and name not in self._seen and _is_below(name, self._opaque):
                is_gone = is_deleted or _is_below(name, self._hidden)
                below_opaque[name] = None if is_gone else _entry([row[0], row[1], True, *row[3:]])
            if is_deleted:
                hidden.add(name)
        names = len(self._hidden) + len(hidden) + len(self._seen) + len(below_opaque)
        if names > _NAMES_LIMIT:
            raise ExpansionLimitExceeded(f"the layers below delete more than {_NAMES_LIMIT} files")
        for position, state in found.items():
            self._decide(position, state)
        self._seen.update(below_opaque)
        self._removed += filter(None, below_opaque.values())
        self._hidden |= hidden

    def dump(self, rows: Callable[[], Iterable[Sequence[Any]]]) -> Iterator[bytes]:
        """Yield the JSON of the result in pieces: by kind and name, the rows without the name.

        :param rows: gives the rows of the layer once more; called for each kind that the layer has.
        """
        before = "{"
        for kind, state in _KINDS:
            yield f'{before}"{kind}": {{'.encode("ascii")
            before = "}, "
            yield from _joined(self._entries(rows, state))
        yield b"}}"

    def _entries(self, rows: Callable[[], Iterable[Sequence[Any]]], state: int) -> Iterator[bytes]:
        if state == _DELETED:
            yield from self._removed
        states = (state, _UNDECIDED) if state == _CREATED else (state,)
        if any(wanted in self._states for wanted in states):
            for position, row in enumerate(self._watched(rows())):
                if self._states[position] in states:
                    yield _entry(row)

    def _decide(self, position: int, state: int) -> None:
        self._undecided -= self._states[position] == _UNDECIDED
        self._states[position] = state

    def _watched(self, rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
        for number, row in enumerate(rows):
            if number % _ROWS_AT_ONCE == 0:
                self._check()
            yield row


def _is_below(name: bytes, folders: set[bytes] | frozenset[bytes]) -> bool:
    if not folders or len(name) > _LONGEST_PATH:
        return False
    if b"" in folders and name:
        return True
    at = name.find(b"/")
    while at >= 0:
        if name[:at] in folders:
            return True
        at = name.find(b"/", at + 1)
    return False


def _entry(row: Sequence[Any]) -> bytes:
    return f"{json.dumps(row[0])}: {json.dumps(row[1:])}".encode("ascii")


def _joined(entries: Iterable[bytes]) -> Iterator[bytes]:
    """Yield entries with commas between, several in a piece."""
    separator, batch = b"", list[bytes]()
    for entry in entries:
        batch.append(entry)
        if len(batch) == 200:
            yield separator + b", ".join(batch)
            separator = b", "
            batch.clear()
    if batch:
        yield separator + b", ".join(batch)
