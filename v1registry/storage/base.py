"""Where bytes live: the protocol that every storage keeps, and what is built on it.

A storage maps keys to bytes and knows nothing of images or repositories. Keys are ``/``-separated
ASCII without empty, ``.`` or ``..`` segments; a segment has at most 255 characters, a key at most 1024.
A key may not be the folder of another one (``a`` and ``a/b`` exclude each other). Segments that begin with
``.`` and end with ``.tmp`` are reserved for what a storage has not finished; they are in no key.

Storages are shared by threads *and* by processes: no answer may come from a cache that another
process can make stale. They open nothing before their first use, so that a server may fork.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Final, Protocol

#: For ``write(expect=...)``: whatever is there now is replaced.
ANY: Final = "*"

#: For ``write(expect=...)``: nothing may be there now.
ABSENT: Final = ""

#: What nearly all keys are like: nothing in them needs a closer look but their length.
_PLAIN_KEY: Final = re.compile(
    r"[A-Za-z0-9_%+-][A-Za-z0-9_%+.-]{0,254}(?:/[A-Za-z0-9_%+-][A-Za-z0-9_%+.-]{0,254})*"
)

#: Size of the pieces in which streams are read and written, in bytes.
CHUNK_BYTES: Final = 128 * 1024


class StorageError(Exception):
    """Base of what a storage raises on purpose. ``key`` is the key that was asked for."""

    def __init__(self, key: str, reason: str):
        super().__init__(f"{key}: {reason}")
        self.key = key
        self.reason = reason


class KeyNotFound(StorageError):
    """Nothing is stored under the key; nothing changed."""

    def __init__(self, key: str, reason: str = "nothing is stored under this key"):
        super().__init__(key, reason)


class KeyConflict(StorageError):
    """A conditional write met something else than it expected; nothing changed."""


class InvalidKey(StorageError):
    """The key is not one that any storage takes (see the module's docstring), or it is to be written and is the
    folder of another key or lies below one; nothing changed.
    """


class StorageUnavailable(StorageError):
    """The storage did not do it, and a later try may succeed: I/O errors, time-outs, lost connections.

    After a failed write the key holds what it held before.
    """


class StorageFull(StorageUnavailable):
    """No room is left (a full disk, a quota, a limit of file sizes); the key holds what it held before."""


@dataclass(frozen=True)
class Stat:
    """What is known of a stored value without reading it."""

    key: str
    size: int  #: bytes
    #: opaque; another value under the same key never has the same one. Whether the same value, written
    #: once more, has it again, is the storage's own matter
    etag: str
    modified: datetime  #: aware, UTC


class Blob(Protocol):
    """A stream of one stored value or of a range of it. A context manager; iterating gives chunks of bytes.

    What it gives is one value as it was when it was opened, also when the key is written or deleted meanwhile. It
    never ends early: reading raises StorageUnavailable where bytes of the range cannot be had. ValueError when
    it is read after it was closed.
    """

    stat: Stat  #: of the whole value, whatever the range
    start: int  #: the first byte that is given
    stop: int  #: one past the last byte that is given; never beyond the size

    #: the open file where there is one, positioned at ``start``, which reading from the blob does not move; for
    #: ``wsgi.file_wrapper``, which gives all that follows ``start``: mind ``stop``
    file: BinaryIO | None

    def read(self, size: int = -1, /) -> bytes:
        """Return at most ``size`` bytes, all that is left when negative; ``b""`` at the end."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...

    def __enter__(self) -> Blob: ...

    def __exit__(self, *exc_info: object) -> None: ...


class Storage(Protocol):
    """Bytes under keys. Every method may raise InvalidKey and StorageUnavailable, else only what is listed.

    Custom storages are checked by ``v1registry_fakes.contracts.StorageContract``.
    """

    #: whether what one process writes is seen by others; a server of several workers needs that
    shared_by_processes: bool

    def stat(self, key: str) -> Stat:
        """Return size, etag and time of ``key``. KeyNotFound."""

    def read(self, key: str) -> tuple[bytes, Stat]:
        """Return the whole value, a small one, and the Stat that belongs to exactly these bytes.

        :raises KeyNotFound: nothing is stored under ``key``.
        """

    def open(self, key: str, start: int = 0, stop: int | None = None) -> Blob:
        """Return bytes ``[start, stop)`` as a stream that the caller closes. KeyNotFound.

        ``stop`` beyond the size, or None, means the size; ``start`` beyond it gives an empty stream, and so does a
        ``stop`` before ``start``. ValueError when one of them is negative.
        """

    def write(self, key: str, data: bytes | Iterable[bytes], *, expect: str = ANY) -> Stat:
        """Store ``data`` under ``key``, whole or not at all, and durably; return its Stat.

        An iterable is consumed once, chunk by chunk, before anything becomes visible. If it raises, nothing
        changed, and its exception passes through. ``expect`` is ABSENT, an etag, or ANY; it is compared
        when the value is put in place, in one step with it for all writers and deleters. KeyConflict, StorageFull.
        The iterable may use the storage itself, locks included.
        """

    def list(self, prefix: str, *, after: str = "") -> Iterator[Stat]:
        """Yield the Stat of every key that begins with ``prefix`` and sorts after ``after``, in key order.

        ``prefix`` is plain text and may end in the middle of a segment; one that no key can have gives nothing.
        What is written or deleted while the listing runs may or may not be seen.
        """

    def list_folders(self, folder: str, *, after: str = "") -> Iterator[str]:
        """Yield, sorted, each distinct first segment of the keys below ``folder + "/"`` that has keys below itself.

        Only names that sort after ``after``. ``""`` is the root; a folder that is not there gives nothing. The cost
        grows with the entries of the folder itself, not with the keys below them. A folder whose last key is being
        deleted may still be given.
        """

    def delete(self, key: str, *, expect: str = ANY) -> None:
        """Remove ``key``, durably.

        :param expect: an etag, or ANY. It is compared in one step with the removal, for all writers and deleters.
        :raises KeyNotFound: nothing is stored under ``key``, whatever was expected.
        :raises KeyConflict: the stored value has a different etag. Nothing changed.
        """

    def publish(self, staged: str, folder: str) -> None:
        """Make every key below ``staged + "/"`` appear below ``folder + "/"`` instead, all at once and durably.

        Values, times and etags stay. Readers see all of the keys or none. Of several callers that publish to the same
        folder at the same time, one succeeds.

        :raises KeyNotFound: no key is below ``staged``. Nothing changed.
        :raises KeyConflict: a key is below ``folder`` already. Nothing changed.
        :raises InvalidKey: one folder is the other or lies inside it; or ``folder`` is a key or lies below one.
        :raises StorageFull: no room is left for the folder.
        """

    def delete_tree(self, folder: str) -> None:
        """Remove every key below ``folder + "/"``; none of them being there is no error.

        Where the storage can, all vanish at one instant; else a failure may leave some of them, and a
        repetition removes the rest.
        """

    def lock(self, folder: str) -> AbstractContextManager[None]:
        """Keep out every other thread and process that asks for the lock of ``folder``, for a short section.

        It guards steps that touch several keys. Others may read meanwhile. Do not count on those being kept out who
        do not ask for the lock, nor on their getting through: a storage may let their writes of keys directly in
        ``folder``, and the deletion of ``folder``, wait. The lock may be taken again by the thread that holds it, which
        may delete the folder too, and the system frees it when its process dies. It is never held while a client
        is waited for. StorageUnavailable after too long a wait.
        """


def update(
    storage: Storage, key: str, change: Callable[[bytes | None], bytes | None]
) -> tuple[bytes | None, bytes | None]:
    """Replace the value of ``key`` by ``change(value)`` without losing other changes; return the old and the new value.

    :param change: gets the stored bytes, or None if nothing is stored. It returns the new bytes, or None to change
        nothing; the old value is then returned twice. It is called again if another writer was faster, so it must
        not have side effects.
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


def check_key(key: str) -> str:
    """Return ``key`` if it follows the rules of this module. InvalidKey.

    >>> check_key("images/0123/json")
    'images/0123/json'
    """
    if _PLAIN_KEY.fullmatch(key) and len(key) <= 1024:
        return key
    if not 0 < len(key) <= 1024:
        raise InvalidKey(key[:80], f"a key has 1 to 1024 characters, this one {len(key)}")
    for segment in key.split("/"):
        if segment in ("", ".", ".."):
            raise InvalidKey(key, "a segment of a key is neither empty nor '.' nor '..'")
        if len(segment) > 255:
            raise InvalidKey(key, f"a segment of a key has at most 255 characters, this one {len(segment)}")
        if is_reserved(segment):
            raise InvalidKey(key, "a segment of a key does not both begin with '.' and end with '.tmp'")
    if not (key.isascii() and key.isprintable()) or "\\" in key:
        raise InvalidKey(key, "a key is printable ASCII without a backslash")
    return key


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
    """Tell whether ``segment`` is the name of something unfinished, which is neither listed nor read.

    >>> is_reserved(".layer.0123456789abcdef.tmp"), is_reserved("layer.tmp")
    (True, False)
    """
    return segment.startswith(".") and segment.endswith(".tmp")


def clip_range(start: int, stop: int | None, size: int) -> tuple[int, int]:
    """Return the bounds that ``open(key, start, stop)`` has for a value of ``size`` bytes. ValueError.

    >>> clip_range(2, None, 10), clip_range(2, 99, 10), clip_range(99, None, 10), clip_range(5, 3, 10)
    ((2, 10), (2, 10), (10, 10), (5, 5))
    """
    if start < 0 or (stop is not None and stop < 0):
        raise ValueError(f"a range of bytes begins and ends at 0 or later, not at {start} and {stop}")
    start = min(start, size)
    return start, size if stop is None else max(start, min(stop, size))
