"""The storage protocol, its exceptions, and functions over any storage.

A storage maps keys to bytes and knows nothing of images or repositories. A key is printable ASCII without a
backslash. Its segments are separated by ``/`` and are not empty, ``.`` or ``..``. A segment has at most 255
characters, a key at most 1024. A key cannot be the folder of another key: ``a`` and ``a/b`` exclude each
other. Segments that begin with ``.`` and end with ``.tmp`` are reserved for unfinished data of the storage.

Threads and processes share a storage, so no answer comes from a cache that another process can make stale.
A storage opens nothing before its first use, so a server may fork.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import BinaryIO, Final, NamedTuple, Protocol

#: For ``expect``: any value, or none, may be stored now.
ANY: Final = "*"

#: For ``expect``: nothing may be stored now.
ABSENT: Final = ""

#: Nearly all keys. Only their length remains to be checked.
_PLAIN_KEY: Final = re.compile(
    r"[A-Za-z0-9_%+-][A-Za-z0-9_%+.-]{0,254}(?:/[A-Za-z0-9_%+-][A-Za-z0-9_%+.-]{0,254})*"
)

#: How many valid keys are remembered, because most are checked several times for a request. At most 2 MiB.
_CHECKED_KEYS: Final = 2048

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)

#: Size of the chunks in which streams are read and written.
CHUNK_BYTES: Final = 128 * 1024


class StorageError(Exception):
    """Base of the exceptions that a storage raises on purpose.

    :param key: the key or folder that the caller named.
    :param reason: what went wrong, for the log.
    """

    def __init__(self, key: str, reason: str):
        super().__init__(key, reason)
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        # most are caught and need no text
        return f"{self.key}: {self.reason}"


class KeyNotFound(StorageError):
    """Nothing is stored under the key, or no key is below the folder. Nothing changed."""

    def __init__(self, key: str, reason: str = "nothing is stored under this key"):
        super().__init__(key, reason)


class KeyConflict(StorageError):
    """The stored value, or its absence, is not what a conditional operation expected. Nothing changed."""


class InvalidKey(StorageError):
    """The key breaks the rules of this module, or it would be the folder of another key or lie below one.

    Nothing changed.
    """


class StorageUnavailable(StorageError):
    """The operation failed, and a later try may succeed: I/O errors, time-outs, lost connections.

    After a failed write the key holds its old value, or the new one if only the last sync failed.
    """


class DataMissing(StorageUnavailable):
    """The storage has the key, and has lost the bytes of its value. Other keys can be read.

    A later try fails too, unless the bytes are restored.
    """


#: Errors of the operating system that mean that no space is left.
NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class StorageFull(StorageUnavailable):
    """No room is left: a full disk, a quota, a limit of file sizes. The key holds its old value."""


class Stat(NamedTuple):
    """The facts about a stored value that need no reading of it."""

    key: str
    size: int  #: bytes
    #: opaque. A different value under the same key never has the same etag; an equal value may have it again.
    #: Two keys have the same one only if :meth:`Storage.link` made them share their bytes
    etag: str
    modified_ns: int  #: when the value was written, in nanoseconds since 1970

    @property
    def modified(self) -> datetime:
        """When the value was written: aware, in UTC, in whole microseconds."""
        return date_of(self.modified_ns)


class Blob(Protocol):
    """A stream of one stored value, or of a range of it. A context manager; iterating gives chunks of bytes.

    It gives the value that was stored when it was opened, even if the key is written or deleted later. It
    never ends early. One thread at a time may read it.
    """

    stat: Stat  #: of the whole value, whatever the range
    start: int  #: offset of the first byte of the range
    stop: int  #: one past the last byte of the range; at most the size

    #: the open file if there is one, positioned at ``start``; reading from the blob does not move it. It is
    #: for ``wsgi.file_wrapper``, which sends everything after ``start``, also beyond ``stop``
    file: BinaryIO | None

    def read(self, size: int = -1, /) -> bytes:
        """Return at most ``size`` bytes, or the rest if ``size`` is negative; ``b""`` at the end.

        :raises StorageUnavailable: bytes of the range cannot be read.
        :raises ValueError: the blob is closed.
        """

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...

    def __enter__(self) -> Blob: ...

    def __exit__(self, *exc_info: object) -> None: ...


class Storage(Protocol):
    """Bytes under keys. ``v1registry_fakes.contracts.StorageContract`` tests an implementation.

    Every method may raise :class:`InvalidKey` and :class:`StorageUnavailable`, and otherwise only the
    exceptions that it lists.
    """

    #: whether other processes see the values that one process writes; a server with several workers needs
    #: that
    shared_by_processes: bool

    def moment(self) -> AbstractContextManager[None]:
        """Return a context for calls of one thread for one purpose, such as a request. It may be nested.

        Calls of this thread that follow each other and are for neighbouring keys may show the state of one
        moment within it, so that a storage that is far away is asked once. What this process writes is seen
        at once. After a call for keys elsewhere, or some milliseconds, the storage is asked again.
        """

    def stat(self, key: str) -> Stat:
        """Return size, etag and time of ``key``.

        :raises KeyNotFound: nothing is stored under ``key``.
        """

    def read(self, key: str) -> tuple[bytes, Stat]:
        """Return the whole value, a small one, and the Stat that belongs to exactly these bytes.

        :raises KeyNotFound: nothing is stored under ``key``.
        """

    def read_many(self, keys: Iterable[str]) -> Iterator[tuple[str, tuple[bytes, Stat] | None]]:
        """Yield each key with what :meth:`read` returns for it, in the order of ``keys``.

        A storage that is far away reads several at once, see
        :func:`v1registry.storage.many.read_in_parallel`. Memory is needed for some values only.

        :param keys: is consumed while the values are read. With a key under which nothing is stored, None
            is yielded.
        """

    def folder_version(self, folder: str) -> str | None:
        """Return a text that changes with each key that is written or deleted directly in a folder.

        Equal texts at two moments mean that nothing was written there through this protocol in between, by
        any thread or process. Other programs may have changed values in place. The text may also change for
        other reasons, and it says nothing about folders in the folder.

        :return: empty only if nothing is stored directly in the folder; None if the storage cannot tell, or
            not yet, because a change was so recent that the next one could have the same text.
        """

    def open(self, key: str, start: int = 0, stop: int | None = None) -> Blob:
        """Return bytes ``[start, stop)`` of the value as a stream that the caller closes.

        :param start: in bytes. A start beyond the size gives an empty stream.
        :param stop: in bytes. None, or a stop beyond the size, means the size. A stop before ``start`` gives
            an empty stream.
        :raises KeyNotFound: nothing is stored under ``key``.
        :raises ValueError: ``start`` or ``stop`` is negative.
        """

    def write(self, key: str, data: bytes | Iterable[bytes], *, expect: str = ANY) -> Stat:
        """Store ``data`` under ``key``, whole or not at all, and durably; return its Stat.

        :param data: the value, or an iterable of its chunks. The iterable is consumed once, in constant
            memory, before anything becomes visible. It may use the storage itself. If it raises, nothing
            changed and its exception passes through.
        :param expect: ABSENT, an etag, or ANY. It is compared when the value is put in place, in one step
            with that for all writers and deleters.
        :raises KeyConflict: the stored value is not the expected one.
        :raises StorageFull: no room is left.
        """

    def write_many(self, values: Mapping[str, bytes]) -> None:
        """Store small values under their keys, in the order of ``values``, each as durably as :meth:`write`.

        A storage that is far away stores several at once if it can. Readers may see some of the values before
        the others, and a failure may leave the first ones.

        :raises StorageFull: no room is left.
        """

    def list(self, prefix: str, *, after: str = "") -> Iterator[Stat]:
        """Yield the Stat of every key that begins with ``prefix`` and sorts after ``after``, in key order.

        Keys that are written or deleted during the listing may or may not be included.

        :param prefix: plain text that may end in the middle of a segment. A prefix that no key can have gives
            nothing.
        """

    def list_folders(self, folder: str, *, after: str = "") -> Iterator[str]:
        """Yield, sorted, each distinct first segment of the keys below ``folder + "/"`` that has keys below
        itself.

        The cost grows with the entries of the folder itself, not with the keys below them. A folder whose
        last key is being deleted may still be included.

        :param folder: ``""`` is the root. A missing folder gives nothing.
        :param after: only names that sort after this one are included.
        """

    def delete(self, key: str, *, expect: str = ANY) -> None:
        """Remove ``key``, durably.

        :param expect: an etag, or ANY. It is compared in one step with the removal, for all writers and
            deleters.
        :raises KeyNotFound: nothing is stored under ``key``, whatever was expected.
        :raises KeyConflict: the stored value has a different etag. Nothing changed.
        """

    def delete_many(self, keys: Iterable[str]) -> None:
        """Remove keys in their order, each as durably as :meth:`delete`. Missing ones are no error.

        A storage that is far away removes several at once if it can. Otherwise a failure may leave the last
        ones.
        """

    def publish(self, staged: str, folder: str) -> None:
        """Make every key below ``staged + "/"`` appear below ``folder + "/"`` instead, all at once and
        durably.

        Readers of ``folder`` see all of the keys or none, also after a crash. If several callers publish to
        the same folder, one succeeds. The values stay; etags and times may change.

        :raises KeyNotFound: no key is below ``staged``. Nothing changed.
        :raises KeyConflict: a key is below ``folder`` already. Nothing changed.
        :raises InvalidKey: one folder is the other or lies inside it; or ``folder`` is a key or lies below
            one.
        :raises StorageFull: no room is left for the folder.
        """

    def link(self, source: str, target: str) -> Stat:
        """Store the value of ``source`` under ``target`` too, durably; return the Stat of ``target``.

        The bytes are stored once if the storage can do that, and then both keys have the same etag. Otherwise
        they are stored twice, with different etags. Later writes and deletions of one of the keys do not
        change the other one.

        :raises KeyNotFound: nothing is stored under ``source``. Nothing changed.
        :raises KeyConflict: a value is stored under ``target``. Nothing changed.
        :raises StorageFull: no room is left.
        """

    def delete_tree(self, folder: str) -> None:
        """Remove every key below ``folder + "/"``, durably. A folder without keys is no error.

        All keys vanish at once if the storage can do that. Otherwise a failure may leave some of them, and a
        repetition removes the rest.
        """


def update(
    storage: Storage, key: str, change: Callable[[bytes | None], bytes | None]
) -> tuple[bytes | None, bytes | None]:
    """Replace the value of ``key`` by ``change(value)`` without losing other changes; return the old and the
    new value.

    :param change: gets the stored bytes, or None if nothing is stored. It returns the new bytes, or None to
        change nothing; the old value is then returned twice. It is called again if another writer was faster,
        so it must not have side effects.
    """
    while True:
        try:
            old, stat = storage.read(key)
            expect = stat.etag
        except KeyNotFound:
            old, expect = None, ABSENT
        new = change(old)
        if new is None or new == old:
            return old, old
        try:
            storage.write(key, new, expect=expect)
        except KeyConflict:
            continue
        return old, new


@lru_cache(maxsize=_CHECKED_KEYS)
def check_key(key: str) -> str:
    """Return ``key`` if it follows the rules of this module.

    :raises InvalidKey: it does not.

    >>> check_key("images/0123/json")
    'images/0123/json'
    """
    if _PLAIN_KEY.fullmatch(key) and len(key) <= 1024:
        return key
    if not 0 < len(key) <= 1024:
        raise InvalidKey(key[:80], f"a key must have 1 to 1024 characters, not {len(key)}")
    for segment in key.split("/"):
        if segment in ("", ".", ".."):
            raise InvalidKey(key, "a segment of a key must not be empty, '.' or '..'")
        if len(segment) > 255:
            raise InvalidKey(key, f"a segment of a key must have at most 255 characters, not {len(segment)}")
        if is_reserved(segment):
            raise InvalidKey(key, "a segment of a key must not begin with '.' and end with '.tmp'")
    if not (key.isascii() and key.isprintable()) or "\\" in key:
        raise InvalidKey(key, "a key must be printable ASCII without a backslash")
    return key


def date_of(time_ns: int) -> datetime:
    """Return a time as a date, aware, in UTC, in whole microseconds.

    :param time_ns: nanoseconds since 1970.

    >>> str(date_of(1_500_000_000_000_001_999))
    '2017-07-14 02:40:00.000001+00:00'
    """
    return _EPOCH + timedelta(microseconds=time_ns // 1000)


def check_folders(staged: str, folder: str) -> None:
    """Check the two folders of ``publish(staged, folder)``.

    :raises InvalidKey: one of them cannot be a folder, or one of them is the other or lies inside it.
    """
    check_key(staged)
    check_key(folder)
    if f"{folder}/".startswith(f"{staged}/") or staged.startswith(f"{folder}/"):
        raise InvalidKey(
            folder, f"a folder cannot be published into itself or around itself, as {staged} would be"
        )


def is_reserved(segment: str) -> bool:
    """Tell whether ``segment`` names unfinished data, which is neither listed nor read.

    >>> is_reserved(".layer.0123456789abcdef.tmp"), is_reserved("layer.tmp")
    (True, False)
    """
    return segment.startswith(".") and segment.endswith(".tmp")


def clip_range(start: int, stop: int | None, size: int) -> tuple[int, int]:
    """Return the bounds of ``open(key, start, stop)`` for a value of ``size`` bytes.

    :raises ValueError: ``start`` or ``stop`` is negative.

    >>> clip_range(2, None, 10), clip_range(2, 99, 10), clip_range(99, None, 10), clip_range(5, 3, 10)
    ((2, 10), (2, 10), (10, 10), (5, 5))
    """
    if start < 0 or (stop is not None and stop < 0):
        raise ValueError(f"a range of bytes must begin and end at 0 or later, not at {start} and {stop}")
    start = min(start, size)
    return start, size if stop is None else max(start, min(stop, size))
