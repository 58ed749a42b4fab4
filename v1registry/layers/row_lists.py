"""Lists of rows as JSON, written and read row by row, so that a long list is never in memory."""

from __future__ import annotations

import json
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from .compression import CHUNK_BYTES, Readable

#: How many rows are encoded at once.
_ROWS_AT_ONCE: Final = 200

_DECODER: Final = json.JSONDecoder()
_BLANKS: Final = " \t\n\r"


class MalformedRows(ValueError):
    """The stored JSON is not a list of rows."""


def dump_rows(rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    """Yield the JSON of a list of rows in pieces.

    >>> b"".join(dump_rows([["a", 1], ["b", 2]]))
    b'[["a", 1], ["b", 2]]'
    """
    yield b"["
    separator = b""
    batch: list[Sequence[Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _ROWS_AT_ONCE:
            yield separator + _inner(batch)
            separator = b", "
            batch.clear()
    yield (separator + _inner(batch) if batch else b"") + b"]"


def _inner(batch: list[Sequence[Any]]) -> bytes:
    return json.dumps(batch)[1:-1].encode("ascii")


def read_rows(stream: Readable) -> Iterator[list[Any]]:
    """Yield the rows of a stored list. Each has eight values, and the first one is text.

    :param stream: read to its end, in pieces; not closed.
    :raises MalformedRows: the JSON is invalid, or something else than a list of rows.
    """
    texts = _Texts(stream)
    if texts.next_character() != "[":
        raise MalformedRows
    texts.at += 1
    if texts.next_character() != "]":
        while True:
            row = texts.next_value()
            if not (isinstance(row, list) and len(row) == 8 and isinstance(row[0], str)):
                raise MalformedRows
            yield row
            mark = texts.next_character()
            texts.at += 1
            if mark == "]":
                break
            if mark != ",":
                raise MalformedRows
    else:
        texts.at += 1
    if texts.next_character():
        raise MalformedRows


class _Texts:
    """The text of a stream, of which a part is in memory."""

    def __init__(self, stream: Readable):
        self._stream = stream
        self._decoder = getincrementaldecoder("utf-8")()
        self._text = ""
        self._is_whole = False
        self.at = 0

    def next_character(self) -> str:
        """Move to the next character that is not blank, and return it; empty at the end."""
        while True:
            while self.at < len(self._text):
                if self._text[self.at] not in _BLANKS:
                    return self._text[self.at]
                self.at += 1
            if not self._read_on(CHUNK_BYTES):
                return ""

    def next_value(self) -> Any:
        """Return the next value of JSON, an array or an object, and move behind it."""
        self.next_character()
        while True:
            try:
                value, self.at = _DECODER.raw_decode(self._text, self.at)
            except (ValueError, RecursionError):
                # the value may be incomplete; each try reads twice as much as the one before
                if not self._read_on(max(CHUNK_BYTES, len(self._text) - self.at)):
                    raise MalformedRows from None
            else:
                return value

    def _read_on(self, size: int) -> bool:
        """Read more of the stream, and drop what is behind; return False at the end of the stream."""
        if self._is_whole:
            return False
        parts = [self._text[self.at :]]
        self.at = 0
        while size > 0:
            chunk = self._stream.read(size)
            size -= len(chunk)
            try:
                parts.append(self._decoder.decode(chunk, final=not chunk))
            except UnicodeDecodeError:
                raise MalformedRows from None
            if not chunk:
                self._is_whole = True
                break
        self._text = "".join(parts)
        return True
