"""How one value goes from the source to the destination, and how it is verified."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, NoReturn

from ...storage.base import (
    Blob,
    DataMissing,
    KeyConflict,
    KeyNotFound,
    Stat,
    Storage,
    StorageError,
    StorageUnavailable,
)
from ...storage.dated import DatedStorage
from .gauge import Gauge

#: Values up to this size are read whole, in bytes.
_SMALL_BYTES: Final = 1 << 20

#: Values up to this size may be stored together with others, in bytes.
_TINY_BYTES: Final = 1 << 16

#: How many values are stored together at most.
MOST_TOGETHER: Final = 32


class Changed(Exception):
    """The source has replaced or removed what is being copied. The next pass copies it."""


class Damaged(Exception):
    """A value of the source is not copied.

    :param key: of the value, or a folder whose keys do not fit together.
    """

    def __init__(self, key: str, text: str):
        super().__init__(key, text)
        self.key = key
        self.text = text


class Ready(NamedTuple):
    """A small value of the source that was read, to be stored unless the destination has it."""

    value: bytes
    stat: Stat  #: in the source
    there: Stat | None  #: in the destination


class Values:
    """Copies values between two storages. Safe for threads.

    :param is_dry_run: nothing is written; what would be is counted.
    """

    def __init__(self, source: Storage, destination: Storage, gauge: Gauge, *, is_dry_run: bool = False):
        self._source = source
        self.destination = destination
        self._dated = destination if isinstance(destination, DatedStorage) else None
        self._gauge = gauge
        self.is_dry_run = is_dry_run
        #: values with later times are compared by their bytes: an old server may have written one again in
        #: the same step of the clock
        self.settled_ns = 0
        #: whether all that earlier passes have written was compared, so that times tell what is copied
        self.trusts_times = False
        #: what is younger in the destination was copied by this run, or not copied at all; None if nothing
        #: was there before
        self.copied_until_ns: int | None = None
        self._copied = set[int]()  # hashes of the keys that this run has written and that are younger

    # -- what was copied

    def note(self, key: str, modified_ns: int) -> None:
        """Note that a key of the destination was written by this run, with a time."""
        if self.copied_until_ns is not None and modified_ns >= self.copied_until_ns:
            self._copied.add(hash(key))

    def was_copied(self, there: Stat) -> bool:
        """Tell whether a key of the destination was written by this run or an earlier one."""
        until_ns = self.copied_until_ns
        return until_ns is None or there.modified_ns < until_ns or hash(there.key) in self._copied

    # -- comparing

    def has_time(self, found: Stat, there: Stat | None, *, is_checked: bool = False) -> bool:
        """Tell whether a value has the time of the source, so that it is a copy of the present one.

        :param is_checked: the bytes were compared with a stored sum before the value became visible.
        """
        return (
            (self.trusts_times or is_checked)
            and there is not None
            and self._dated is not None
            and there.modified_ns == found.modified_ns < self.settled_ns
        )

    def is_copied(self, found: Stat, there: Stat | None, *, is_checked: bool = False) -> bool:
        """Tell by size and time whether a value was copied. False if its bytes have to be compared.

        :param is_checked: see :meth:`has_time`.
        """
        is_whole = there is not None and there.size == found.size
        return is_whole and self.has_time(found, there, is_checked=is_checked)

    def has_equal_bytes(self, found: Stat, there: Stat) -> bool:
        """Read a value in both storages; tell whether the bytes are equal."""
        if found.size != there.size:
            return False
        total = hashlib.sha256()
        for _ in self.stream(found, total):
            pass
        return total.digest() == self._digest_there(found.key)

    def is_there(self, key: str) -> bool:
        """Tell whether the destination has a key. In a dry run it has all."""
        return self.is_dry_run or _has(self.destination, key)

    def is_in_source(self, key: str) -> bool:
        """Tell whether the source has a key now."""
        return _has(self._source, key)

    # -- reading

    def read(self, key: str) -> tuple[bytes, Stat]:
        """Return a small value of the source.

        :raises Changed: it was removed.
        :raises Damaged: it cannot be read.
        """
        try:
            value, stat = self._source.read(key)
        except KeyNotFound:
            raise Changed(key) from None
        except StorageUnavailable as error:
            raise Damaged(key, f"it cannot be read: {error.reason}") from error
        self._gauge.read(len(value))
        return value, stat

    def stream(self, found: Stat, *digests: Any) -> Iterator[bytes]:
        """Yield the bytes of a value of the source as it was listed.

        :param digests: objects of hashlib, or alike, which get the bytes too.
        :raises Changed: it was replaced or removed.
        :raises Damaged: it cannot be read.
        """
        try:
            with self._source.open(found.key) as blob:
                if blob.stat.etag != found.etag:
                    raise Changed(found.key)
                yield from self._chunks(blob, digests)
        except KeyNotFound:
            raise Changed(found.key) from None
        except StorageUnavailable as error:
            raise Damaged(found.key, f"it cannot be read: {error.reason}") from error

    def _chunks(self, blob: Blob, digests: Iterable[Any]) -> Iterator[bytes]:
        for chunk in blob:
            for digest in digests:
                digest.update(chunk)
            self._gauge.read(len(chunk))
            yield chunk

    def is_replaced(self, found: Stat) -> bool:
        """Tell whether the source has replaced or removed a value since it was listed."""
        try:
            return self._source.stat(found.key).etag != found.etag
        except KeyNotFound:
            return True

    # -- writing

    def copy(self, found: Stat, there: Stat | None) -> None:
        """Copy a value unless the destination has it, and compare what the destination has then."""
        ready = self.copy_or_read(found, there)
        if ready is not None:
            self.put(*ready)

    def copy_or_read(self, found: Stat, there: Stat | None) -> Ready | None:
        """Copy a value as :meth:`copy` does, or return it if it may be stored together with others.

        :raises Changed: it was replaced or removed.
        :raises Damaged: it cannot be read.
        """
        if self.is_copied(found, there):
            self._gauge.passed(found.size)
        elif found.size <= _TINY_BYTES:
            return Ready(*self.read(found.key), there)
        elif found.size <= _SMALL_BYTES:
            self.put(*self.read(found.key), there)
        elif there is None or not self.has_equal_bytes(found, there):
            self.copy_large(found)
        return None

    def is_different(self, value: bytes, there: Stat) -> bool:
        """Tell whether the destination has a different value."""
        return there.size != len(value) or self.read_there(there.key) != value

    def put(self, value: bytes, stat: Stat, there: Stat | None) -> None:
        """Store a small value that was read, unless the destination has it.

        :param stat: of the value in the source.
        :param there: of the value in the destination.
        """
        if there is not None and not self.is_different(value, there):
            return
        self._gauge.wrote(len(value))
        if self.is_dry_run:
            return
        self._write(stat.key, value, stat.modified_ns)
        if self.read_there(stat.key) != value:
            self._refuse(stat.key)

    def put_many(self, values: Sequence[Ready]) -> None:
        """Store small values in their order, as :meth:`put` does each, with few waits for the destination.

        All differences are found before the first value is stored.

        :raises StorageFull: the destination is full. It may have the first values.
        """
        new = [one for one in values if one.there is None or self.is_different(one.value, one.there)]
        for one in new:
            self._gauge.wrote(len(one.value))
        if self.is_dry_run or not new:
            return
        if self._dated is None:
            self.destination.write_many({stat.key: value for value, stat, _ in new})
        else:
            self._dated.write_many_dated({stat.key: (value, stat.modified_ns) for value, stat, _ in new})
        wanted, different = {stat.key: value for value, stat, _ in new}, list[str]()
        for key, there in self.destination.read_many(wanted):
            if there is None or there[0] != wanted[key]:
                different.append(key)
            else:
                self.note(key, there[1].modified_ns)
        if different:
            self._refuse(*different)

    def copy_large(self, found: Stat, *digests: Any, check: Callable[[], None] | None = None) -> Stat | None:
        """Copy a value of any size; return its Stat in the destination, None in a dry run.

        :param digests: get the bytes.
        :param check: called when all bytes were read, before the value becomes visible. It raises if they do
            not fit a stored sum. If it is None, the bytes are read back and compared.
        :raises Changed: it was replaced or removed.
        :raises Damaged: it cannot be read.
        """
        total = hashlib.sha256()
        used = digests if check is not None else (total, *digests)

        def checked() -> Iterator[bytes]:
            yield from self.stream(found, *used)
            if check is not None:
                check()

        if self.is_dry_run:
            self._gauge.wrote(found.size)
            return None
        stat = self._write(found.key, checked(), found.modified_ns)
        if stat.size != found.size or (check is None and self._digest_there(found.key) != total.digest()):
            self._refuse(found.key)
        self._gauge.wrote(found.size)
        return stat

    def delete(self, there: Stat) -> bool:
        """Remove a value of the destination as it was listed; tell whether it was not replaced since."""
        try:
            if not self.is_dry_run:
                self.destination.delete(there.key, expect=there.etag)
        except KeyNotFound:
            pass
        except KeyConflict:
            self._gauge.changed()
            return False
        self._gauge.removed()
        return True

    def delete_if_there(self, key: str) -> None:
        """Remove a key of the destination if there is one."""
        try:
            self.destination.delete(key)
        except KeyNotFound:
            return

    def _write(self, key: str, data: bytes | Iterable[bytes], modified_ns: int) -> Stat:
        if self._dated is not None:
            stat = self._dated.write_dated(key, data, modified_ns)
        else:
            stat = self.destination.write(key, data)
        self.note(key, stat.modified_ns)
        return stat

    def _refuse(self, *keys: str) -> NoReturn:
        """Remove values that were stored and read back differently, so that no run takes them for copied.

        :raises StorageUnavailable: always.
        """
        with suppress(StorageError):
            self.destination.delete_many(keys)
        raise StorageUnavailable(keys[0], "the destination has other bytes than were written to it")

    # -- what the destination has

    def read_there(self, key: str) -> bytes | None:
        """Return a small value of the destination, None without one, or if its bytes are lost."""
        try:
            return self.destination.read(key)[0]
        except (KeyNotFound, DataMissing):
            return None

    def _digest_there(self, key: str) -> bytes:
        total = hashlib.sha256()
        try:
            with self.destination.open(key) as blob:
                for chunk in blob:
                    total.update(chunk)
        except (KeyNotFound, DataMissing):
            return b""
        return total.digest()


def _has(storage: Storage, key: str) -> bool:
    try:
        storage.stat(key)
    except KeyNotFound:
        return False
    return True
