"""Typed records: frozen dataclasses that are stored as JSON objects, each under a key of its own.

A value is checked against the types of the dataclass when it is read. Fields with a default may be missing
from it. Fields that the dataclass does not know are ignored, and :func:`update` keeps them, so a newer
version can add some.

JSON is read by the standard library and not by msgspec, which refuses the lone surrogates that stored names
may hold. msgspec is imported with the first record that is read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from urllib.parse import quote_from_bytes

from ..log import get_logger
from .base import ABSENT, KeyNotFound, Stat, Storage, StorageUnavailable
from .base import update as update_value
from .recent_values import ParsedValues

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

log = get_logger(__name__)

T = TypeVar("T", bound="DataclassInstance")

#: In characters. Longer names are replaced by their digest; a segment of a key has at most 255 characters.
_LONGEST_SEGMENT: Final = 200

#: Names that are segments as they are, as nearly all are.
_PLAIN_NAME: Final = re.compile(rf"[A-Za-z0-9_~-][A-Za-z0-9_.~-]{{0,{_LONGEST_SEGMENT - 1}}}")


#: How many records of one kind are kept in parsed form. Longer ones are parsed for each use.
_KEPT: Final = 4096
_LONGEST_KEPT_BYTES: Final = 4096


class BrokenRecord(StorageUnavailable):
    """The stored value is not a record of the expected type; nothing changed."""


@dataclass(frozen=True)
class Stored(Generic[T]):
    """A record as it was read, with the key and the etag of its value."""

    key: str
    etag: str
    record: T


def dumped(record: DataclassInstance) -> bytes:
    """Return the bytes to store for a record: indented JSON, in UTF-8 that may hold lone surrogates."""
    return _dumped(asdict(record))


def parsed(key: str, value: bytes, kind: type[T]) -> T:
    """Return the record that a stored value holds.

    :param key: names the value in errors.
    :param kind: the dataclass of the record.
    :raises BrokenRecord: the value is not JSON, or has missing fields or wrong types.
    """
    return _converted(key, _loaded(key, value), kind)


def find(storage: Storage, key: str, kind: type[T]) -> T | None:
    """Return the record under a key, None if nothing is stored there.

    :raises BrokenRecord: the value is not a record of this kind.
    :raises StorageUnavailable: the storage failed.
    """
    found = find_stored(storage, key, kind)
    return None if found is None else found.record


def find_stored(storage: Storage, key: str, kind: type[T]) -> Stored[T] | None:
    """Return the record under a key with its etag, None if nothing is stored there.

    :raises BrokenRecord: the value is not a record of this kind.
    :raises StorageUnavailable: the storage failed.
    """
    try:
        value, stat = storage.read(key)
    except KeyNotFound:
        return None
    return Stored(key, stat.etag, parsed(key, value, kind))


class RecentRecords(Generic[T]):
    """The records of one kind in a storage. One that was read lately costs a look at its etag. Safe for
    threads.

    :param kind: the dataclass of the records, with fields that cannot be changed.
    """

    def __init__(self, storage: Storage, kind: type[T]) -> None:
        self._values = ParsedValues(
            storage, lambda key, value: parsed(key, value, kind), _KEPT, _LONGEST_KEPT_BYTES
        )

    def find(self, key: str) -> T | None:
        """Return the record under a key as it is stored now, None if nothing is stored there.

        :raises BrokenRecord: the value is not a record of this kind.
        :raises StorageUnavailable: the storage failed.
        """
        try:
            return self._values.read(key)[0]
        except KeyNotFound:
            return None


def find_all(storage: Storage, prefix: str, kind: type[T]) -> Iterator[Stored[T]]:
    """Yield the records whose keys begin with a prefix, in the order of their keys.

    A broken record is logged and left out, so it does not hide the others.

    :raises StorageUnavailable: the storage failed.
    """
    for stat in storage.list(prefix):
        try:
            found = find_stored(storage, stat.key, kind)
        except BrokenRecord as error:
            log.error("%s", error)
            continue
        if found is not None:  # it may be deleted since the listing
            yield found


def create(storage: Storage, key: str, record: DataclassInstance) -> Stat:
    """Store a record under a key that is unused.

    :raises KeyConflict: something is stored there; nothing changed.
    :raises StorageUnavailable: the storage failed.
    """
    return storage.write(key, dumped(record), expect=ABSENT)


def update(
    storage: Storage, key: str, kind: type[T], change: Callable[[T | None], T | None]
) -> tuple[T | None, T | None]:
    """Replace a record by ``change(record)`` without losing other changes; return the old and the new record.

    :param change: gets the stored record, None if there is none. It returns the new record, or None to change
        nothing; the old record is then returned twice. It is called again if another writer was faster, so it
        must not have side effects. Its exceptions pass through.
    :raises BrokenRecord: the stored value is not a record of this kind.
    :raises StorageUnavailable: the storage failed.
    """

    def changed(value: bytes | None) -> bytes | None:
        fields = {} if value is None else _loaded(key, value)
        record = None if value is None else _converted(key, fields, kind)
        new = change(record)
        # an equal record may be formatted in a different way
        return None if new is None or new == record else _dumped(fields | asdict(new))

    old, new = update_value(storage, key, changed)
    return _optional(key, old, kind), _optional(key, new, kind)


def quoted(name: str) -> str:
    """Return a name, which may be any text, as one segment of a key. Different names have different segments.

    >>> quoted("mira_k"), quoted("a/b"), quoted(".."), quoted("")
    ('mira_k', 'a%2Fb', '%2E.', '%')
    >>> quoted("é" * 100)
    '%%f42ec48e1e4b487e590e0b3d4e58437c8327efa855d769709f4942a4f73a7eb6'
    """
    if _PLAIN_NAME.fullmatch(name):
        return name
    data = name.encode("utf-8", "surrogatepass")
    segment = quote_from_bytes(data, safe="")
    if segment.startswith("."):
        segment = f"%2E{segment[1:]}"
    if len(segment) > _LONGEST_SEGMENT:
        # no other segment has two percent signs in a row
        return f"%%{hashlib.sha256(data).hexdigest()}"
    return segment or "%"


def _optional(key: str, value: bytes | None, kind: type[T]) -> T | None:
    return None if value is None else parsed(key, value, kind)


def _dumped(fields: dict[str, Any]) -> bytes:
    # not escaped: escapes would join two lone surrogates to one character
    return json.dumps(fields, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")


def _loaded(key: str, value: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(value.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise _broken(key, "not JSON") from error
    if not isinstance(fields, dict):
        raise _broken(key, f"expected a JSON object, got {type(fields).__name__}")
    return fields


def _converted(key: str, fields: dict[str, Any], kind: type[T]) -> T:
    import msgspec

    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise _broken(key, str(error)) from error


def _broken(key: str, problem: str) -> BrokenRecord:
    return BrokenRecord(key, f"the stored record is broken: {problem}")
