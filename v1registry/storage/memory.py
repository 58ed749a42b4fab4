"""A storage in the memory of one process, for tests and for registries whose data may be lost."""

from __future__ import annotations

import io
import itertools
import os
import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO

from ..clock import SYSTEM_CLOCK, Clock
from .base import (
    ABSENT,
    ANY,
    CHUNK_BYTES,
    Blob,
    InvalidKey,
    KeyConflict,
    KeyNotFound,
    Stat,
    check_folders,
    check_key,
    clip_range,
)
from .many import delete_in_order, no_moment, read_in_order, write_in_order

#: How many keys a listing reads at once. Writers wait meanwhile.
_PAGE_KEYS = 256


class MemoryStorage:
    """Keeps every value as one bytes object. Safe for threads, not shared by processes.

    A new one costs some microseconds, so each test can have its own.

    :param clock: gives the time that :class:`~v1registry.storage.base.Stat` has as ``modified``.

    >>> storage = MemoryStorage()
    >>> storage.write("greeting", b"hello").size
    5
    >>> storage.read("greeting")[0]
    b'hello'
    """

    shared_by_processes = False

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        # Etags go into HTTP answers, so the next process must not use the same ones for other values.
        self._etag_prefix = os.urandom(5).hex()
        self._writes = itertools.count(1)
        self._mutex = threading.Lock()  # guards the attributes below
        self._values: dict[str, tuple[bytes, Stat]] = {}
        self._entries: dict[str, set[str]] = {}  # folder -> names directly in it; the root is ""
        self._versions: dict[str, str] = {}  # folder -> what folder_version returns
        self._sorted_keys: list[str] | None = None  # None before the first listing

    @classmethod
    def from_url(cls, url: str, *, clock: Clock = SYSTEM_CLOCK) -> MemoryStorage:
        """Return a new, empty storage for ``memory:``.

        :raises ValueError: the URL is a different one.

        >>> MemoryStorage.from_url("memory:").shared_by_processes
        False
        """
        if url not in ("memory:", "memory://"):
            raise ValueError(f"the URL of a storage in memory must be memory:, not {url!r}")
        return cls(clock=clock)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._values)} keys>"

    def clear(self) -> None:
        """Remove every value. Open streams stay readable."""
        with self._mutex:
            self._values.clear()
            self._entries.clear()
            self._versions.clear()
            self._sorted_keys = None

    def copy(self) -> MemoryStorage:
        """Return a storage with the values of now, under the same etags. Their bytes are shared."""
        copied = MemoryStorage(clock=self._clock)
        with self._mutex:
            copied._values = dict(self._values)
            copied._entries = {folder: set(names) for folder, names in self._entries.items()}
            copied._versions = dict(self._versions)
        return copied

    moment = staticmethod(no_moment)

    def stat(self, key: str) -> Stat:
        """Return size, etag and time of ``key``.

        :raises KeyNotFound: nothing is stored under ``key``.
        """
        return self._find(key)[1]

    def read(self, key: str) -> tuple[bytes, Stat]:
        """Return the whole value, without copying it, and its Stat.

        :raises KeyNotFound: nothing is stored under ``key``.
        """
        return self._find(key)

    def read_many(self, keys: Iterable[str]) -> Iterator[tuple[str, tuple[bytes, Stat] | None]]:
        """Yield each key with what :meth:`read` returns for it, None if nothing is stored."""
        return read_in_order(self.read, keys)

    def folder_version(self, folder: str) -> str | None:
        """Return a text that changes with each key that is written or deleted directly in a folder."""
        return self._versions.get(check_key(folder), "")

    def open(self, key: str, start: int = 0, stop: int | None = None) -> Blob:
        """Return bytes ``[start, stop)`` as a stream that the caller closes.

        :raises KeyNotFound: nothing is stored under ``key``.
        :raises ValueError: ``start`` or ``stop`` is negative.
        """
        value, stat = self._find(key)
        return MemoryBlob(value, stat, *clip_range(start, stop, stat.size))

    def write(
        self, key: str, data: bytes | Iterable[bytes], *, expect: str = ANY, modified_ns: int | None = None
    ) -> Stat:
        """Store ``data`` under ``key`` and return its Stat. See the protocol.

        :param modified_ns: the time of the value, in nanoseconds since 1970; None for now.
        :raises KeyConflict: the stored value is not the expected one.
        :raises InvalidKey: the key is the folder of others, or lies below a key.
        """
        check_key(key)
        value = _gather(data)
        with self._mutex:
            known = self._values.get(key)
            if known is None:
                self._check_place(key)
            if expect not in (ANY, ABSENT if known is None else known[1].etag):
                raise KeyConflict(key, "the stored value is not the expected one")
            stat = Stat(
                key=key,
                size=len(value),
                etag=f"{self._etag_prefix}-{next(self._writes):x}",
                modified_ns=self._now_ns() if modified_ns is None else modified_ns,
            )
            self._values[key] = value, stat
            if known is None:
                self._add_name(key)
            # after the value: a reader with the version from before looks again
            self._touch(key.rpartition("/")[0], stat.etag)
        return stat

    def write_many(self, values: Mapping[str, bytes]) -> None:
        """Store values under their keys, one after the other. See the protocol."""
        write_in_order(self.write, values)

    def write_dated(self, key: str, data: bytes | Iterable[bytes], modified_ns: int) -> Stat:
        """Store ``data`` under ``key`` with a given time and return its Stat."""
        return self.write(key, data, modified_ns=modified_ns)

    def write_many_dated(self, values: Mapping[str, tuple[bytes, int]]) -> None:
        """Store values with given times under their keys, one after the other."""
        for key, (value, modified_ns) in values.items():
            self.write(key, value, modified_ns=modified_ns)

    def list(self, prefix: str, *, after: str = "") -> Iterator[Stat]:
        """Yield the Stat of every key that begins with ``prefix`` and sorts after ``after``, in key order."""
        while True:
            with self._mutex:
                if self._sorted_keys is None:
                    self._sorted_keys = sorted(self._values)
                first = max(bisect_left(self._sorted_keys, prefix), bisect_right(self._sorted_keys, after))
                keys = self._sorted_keys[first : first + _PAGE_KEYS]
                page = [self._values[key][1] for key in keys if key.startswith(prefix)]
            yield from page
            if len(page) < _PAGE_KEYS:
                return
            after = page[-1].key

    def list_folders(self, folder: str, *, after: str = "") -> Iterator[str]:
        """Yield, sorted, the names of the folders directly in ``folder`` that sort after ``after``."""
        base = f"{check_key(folder)}/" if folder else ""
        with self._mutex:
            names = [name for name in self._entries.get(folder, ()) if base + name in self._entries]
        return iter(sorted(name for name in names if name > after))

    def delete(self, key: str, *, expect: str = ANY) -> None:
        """Remove ``key``.

        :raises KeyNotFound: nothing is stored under ``key``.
        :raises KeyConflict: the stored value has a different etag.
        """
        check_key(key)
        with self._mutex:
            known = self._values.get(key)
            if known is None:
                raise KeyNotFound(key)
            if expect not in (ANY, known[1].etag):
                raise KeyConflict(key, "the stored value is not the expected one")
            self._remove(key)

    def delete_many(self, keys: Iterable[str]) -> None:
        """Remove keys, one after the other. Missing ones are no error."""
        delete_in_order(self.delete, keys)

    def delete_tree(self, folder: str) -> None:
        """Remove every key below ``folder + "/"`` at once. A folder without keys is no error."""
        with self._mutex:
            for key in self._keys_below(check_key(folder)):
                self._remove(key)

    def publish(self, staged: str, folder: str) -> None:
        """Make every key below ``staged`` appear below ``folder`` instead, at once. Etags and times stay.

        :raises KeyNotFound: no key is below ``staged``.
        :raises KeyConflict: a key is below ``folder``.
        :raises InvalidKey: see the protocol.
        """
        check_folders(staged, folder)
        with self._mutex:
            keys = self._keys_below(staged)
            if not keys:
                raise KeyNotFound(staged, "no key is below this folder")
            if folder in self._entries:
                raise KeyConflict(folder, "a key is below this folder already")
            if folder in self._values:
                raise InvalidKey(folder, "it is a key, not a folder")
            self._check_place(folder)
            for key in keys:
                value, stat = self._values[key]
                self._remove(key)
                moved = folder + key[len(staged) :]
                self._values[moved] = value, stat._replace(key=moved)
                self._add_name(moved)
                self._touch(moved.rpartition("/")[0])

    def link(self, source: str, target: str) -> Stat:
        """Store the value of ``source`` under ``target`` too. Both keys have the same bytes object and etag.

        :raises KeyNotFound: nothing is stored under ``source``.
        :raises KeyConflict: a value is stored under ``target``.
        :raises InvalidKey: the target is the folder of others, or lies below a key.
        """
        check_key(target)
        with self._mutex:
            value, stat = self._find(source)
            if target in self._values:
                raise KeyConflict(target, "a value is stored there already")
            self._check_place(target)
            linked = stat._replace(key=target, modified_ns=self._now_ns())
            self._values[target] = value, linked
            self._add_name(target)
            self._touch(target.rpartition("/")[0])
        return linked

    def _now_ns(self) -> int:
        # floats hold microseconds
        return round(self._clock.time_s() * 1_000_000) * 1000

    def _find(self, key: str) -> tuple[bytes, Stat]:
        found = self._values.get(check_key(key))
        if found is None:
            raise KeyNotFound(key)
        return found

    def _check_place(self, key: str) -> None:
        """Check that a new key is not the folder of other keys, and not below a key. InvalidKey."""
        if key in self._entries:
            raise InvalidKey(key, "it is the folder of other keys")
        above = key.rpartition("/")[0]
        while above and above not in self._entries:
            if above in self._values:
                raise InvalidKey(key, f"{above} is a key, not a folder")
            above = above.rpartition("/")[0]

    def _touch(self, folder: str, version: str = "") -> None:
        """Give a folder a new version."""
        self._versions[folder] = version or f"{self._etag_prefix}-{next(self._writes):x}"

    def _add_name(self, key: str) -> None:
        if self._sorted_keys is not None:
            insort(self._sorted_keys, key)
        entry = key
        while entry:
            folder, _, name = entry.rpartition("/")
            names = self._entries.setdefault(folder, set())
            is_new_folder = not names
            names.add(name)
            entry = folder if is_new_folder else ""

    def _remove(self, key: str) -> None:
        del self._values[key]
        if self._sorted_keys is not None:
            del self._sorted_keys[bisect_left(self._sorted_keys, key)]
        entry = key
        while entry:
            folder, _, name = entry.rpartition("/")
            names = self._entries[folder]
            names.remove(name)
            if names:
                self._touch(folder)
                return
            del self._entries[folder]
            self._versions.pop(folder, None)
            entry = folder

    def _keys_below(self, folder: str) -> Sequence[str]:
        keys = []
        folders = [folder]
        while folders:
            above = folders.pop()
            for name in self._entries.get(above, ()):
                entry = f"{above}/{name}"
                if entry in self._entries:
                    folders.append(entry)
                else:
                    keys.append(entry)
        return keys


class MemoryBlob:
    """A stream over a range of a value."""

    file: BinaryIO | None = None

    def __init__(self, value: bytes, stat: Stat, start: int, stop: int) -> None:
        self.stat = stat
        self.start = start
        self.stop = stop
        self._value: bytes | None = value
        self._position = start

    def read(self, size: int = -1, /) -> bytes:
        if self._value is None:
            raise ValueError("read of a closed blob")
        left = self.stop - self._position
        end = self._position + (left if size < 0 else min(size, left))
        piece = self._value[self._position : end]
        self._position = end
        return piece

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read(CHUNK_BYTES):
            yield piece

    def close(self) -> None:
        self._value = None

    def __enter__(self) -> Blob:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _gather(data: bytes | Iterable[bytes]) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    gathered = io.BytesIO()  # not b"".join: the pieces may be one buffer that the caller fills again
    for piece in data:
        gathered.write(piece)
    return gathered.getvalue()
