"""Documents: what the object of a group says about its keys.

A document is a JSON object::

    {"format": 1, "writes": ["Zk3….1f", …], "names": {"/json": ["a0B…", 1700000000000000000, 1, "t", "x"]}}

``names`` has what follows the start of the group in each key. An entry is the etag, the time of the write in
nanoseconds, the size in bytes, and where the value is: ``t``, the value as text; ``b``, the value in base64;
or ``d``, the name of a data object. ``writes`` has the last writes of different writers, the newest last.

The size of the object tells listings what is in it: a document without names has exactly
:data:`TOMBSTONE_BYTES` bytes. Of the others, those of an odd size have no name below a slash.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import secrets
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeGuard

from ..base import Stat

if TYPE_CHECKING:
    import msgspec

#: The size of a document without names. No other one has it.
TOMBSTONE_BYTES: Final = 512

#: How many writers a document names. A process whose write has an unknown result looks for it there.
REMEMBERED_WRITERS: Final = 24

#: The longest value that stands in a document.
INLINE_BYTES: Final = 16 << 10

#: A document that is longer gets values of at most so many bytes, because each change writes all of it.
LONG_DOCUMENT_BYTES: Final = 128 << 10
INLINE_BYTES_OF_LONG: Final = 1 << 10

_FORMAT: Final = 1

#: Text of a value that is longer in JSON than this, for each byte, is stored in base64.
_LONGEST_TEXT: Final = 1.34

TEXT: Final = "t"
BASE64: Final = "b"
DATA: Final = "d"


class UnreadableDocument(ValueError):
    """An object that should be a document is none."""


class Entry(NamedTuple):
    """What a document says of one key."""

    etag: str
    modified_ns: int
    size: int  #: bytes
    kind: str  #: TEXT, BASE64 or DATA
    value: str  #: the value, or the name of its data object

    def stat(self, key: str) -> Stat:
        """Return the facts about the value."""
        return Stat(key, self.size, self.etag, self.modified_ns)

    def inline(self) -> bytes | None:
        """Return the value, None if it is in a data object."""
        if self.kind == TEXT:
            return self.value.encode()
        if self.kind == BASE64:
            return base64.b64decode(self.value)
        return None


#: What follows the start of the group in a key -> its entry. Never changed after it was made.
Names = Mapping[str, Entry]


class Writer:
    """Names the writes of one storage in one process. Safe for threads."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._start = f"{secrets.token_urlsafe(6)}."
        self._numbers = itertools.count()

    def next_write(self) -> str:
        """Return a text that no other write has."""
        return f"{self._start}{next(self._numbers):x}"

    def is_mine(self, write: str) -> bool:
        """Tell whether this writer made a write."""
        return write.startswith(self._start)


class Document(NamedTuple):
    """The state of a group."""

    names: Names
    writes: tuple[str, ...] = ()  #: the last one of each of the last writers, the newest last

    @property
    def version(self) -> str:
        """A text that differs after each write; empty if the document was never written."""
        return self.writes[-1] if self.writes else ""

    def followed_by(self, names: Names, writer: Writer) -> Document:
        """Return the document with other names, after one more write."""
        others = [write for write in self.writes if not writer.is_mine(write)]
        return Document(names, (*others[1 - REMEMBERED_WRITERS :], writer.next_write()))

    def dump(self) -> bytes:
        """Return the bytes of the object."""
        document = {"format": _FORMAT, "writes": self.writes, "names": self.names}
        text = _codec().encoder.encode(document)
        if not self.names:
            return text.ljust(TOMBSTONE_BYTES)
        has_names_below = any("/" in name for name in self.names)
        if len(text) % 2 == has_names_below:
            text += b" "
        return text + b"  " if len(text) == TOMBSTONE_BYTES else text


#: The state of a group whose object does not exist.
NO_DOCUMENT: Final = Document({})


class _Codec(NamedTuple):
    """Makes JSON of documents and reads it, many times faster than the standard library."""

    encoder: msgspec.json.Encoder
    decoder: msgspec.json.Decoder[Any]


@cache
def _codec() -> _Codec:
    import msgspec

    form = msgspec.defstruct(
        "form", [("format", int), ("writes", tuple[str, ...]), ("names", dict[str, Entry])]
    )
    return _Codec(msgspec.json.Encoder(), msgspec.json.Decoder(form))


def parse(data: bytes) -> Document:
    """Return the document in the bytes of an object.

    :raises UnreadableDocument: it is not one of this version.
    """
    import msgspec

    try:
        document = _codec().decoder.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadableDocument(_problem(data)) from error
    if document.format != _FORMAT:
        raise UnreadableDocument(_problem(data))
    return Document(document.names, document.writes)


def _problem(data: bytes) -> str:
    """Return why an object cannot be read."""
    try:
        form = json.loads(data)["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        form = _FORMAT
    if form != _FORMAT:
        return f"its format is {form!r:.20}, not {_FORMAT}"
    return "it is not a document of this storage"


def inline_entry(value: bytes, modified_ns: int) -> Entry:
    """Return the entry of a small value, with an etag of its own."""
    kind, text = BASE64, ""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        pass
    else:
        if len(json.dumps(text, ensure_ascii=False).encode()) <= _LONGEST_TEXT * len(value) + 8:
            kind = TEXT
    if kind == BASE64:
        text = base64.b64encode(value).decode("ascii")
    return Entry(new_etag(), modified_ns, len(value), kind, text)


def data_entry(data_name: str, size: int, modified_ns: int) -> Entry:
    """Return the entry of a value in a data object, with an etag of its own."""
    return Entry(new_etag(), modified_ns, size, DATA, data_name)


def is_large(entry: Entry | None) -> TypeGuard[Entry]:
    """Tell whether the bytes of an entry are in a data object."""
    return entry is not None and entry.kind == DATA


def new_etag() -> str:
    """Return an etag that no value has had."""
    return secrets.token_urlsafe(9)


def is_tombstone(size: int) -> bool:
    """Tell from the size of an object that its document has no names."""
    return size == TOMBSTONE_BYTES


def has_names_below(size: int) -> bool:
    """Tell from the size of an object that its document has names with a slash.

    In a group of the kind FOLDER these are all names but that of the start itself.
    """
    return size != TOMBSTONE_BYTES and size % 2 == 0
