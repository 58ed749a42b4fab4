"""The calls of an object store, each with one meaning of its exceptions.

The texts of exceptions here never have what the store said, because that may name credentials.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from ..base import StorageUnavailable
from ..patience import renew, wait
from .failures import fail
from .probes import PROBES, Conditions, Version, probe, require_conditions, update_mode
from .turns import Turn

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

#: How many names a listing asks for at once.
PAGE_NAMES: Final = 1000

#: Multipart uploads: the size of a part, and how many are sent at the same time.
PART_BYTES: Final = 8 << 20
_PARTS_AT_ONCE: Final = 3

#: What a store says if the bucket itself is missing: nothing can be known of the object then.
_NO_BUCKET: Final = ("NoSuchBucket", "ContainerNotFound")

#: The process that made the first call. The threads of obstore do not survive a fork.
_process: int | None = None


#: Calls of a store in memory take turns. In obstore 0.11, a listing waits with Python's lock for a write that
#: needs that lock to drop the bytes it replaces.
_MEMORY_TURN: Final = threading.RLock()


class Conflict(Exception):
    """An object is not what a conditional write expected."""


class Found(NamedTuple):
    """An object in a listing."""

    name: str
    size: int
    modified_ns: int
    e_tag: str


class Level(NamedTuple):
    """One level of names: objects directly in a folder, and the folders in it."""

    objects: list[Found]
    folders: list[str]


class ObjectAccess:
    """Calls of one store. Safe for threads.

    :param store: of obstore.
    :param transfers: the same store for large values, whose transfers may take long; None for ``store``.
    :param public: the same store as clients reach it, for signed URLs; None for ``store``.
    :param is_single_writer: only this process writes, so nothing is written on conditions.
    :raises ImportError: obstore is missing.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        transfers: ObjectStore | None = None,
        public: ObjectStore | None = None,
        is_single_writer: bool = False,
    ):
        try:
            import obstore
            from obstore import exceptions
        except ImportError as error:
            raise ImportError(
                f"a storage in an object store needs obstore: pip install 'v1registry[s3]' ({error})"
            ) from error
        self._obstore = obstore
        self.store = store
        self._transfers = store if transfers is None else transfers
        self._public: Any = store if public is None else public
        self.is_single_writer = is_single_writer
        self._conditions: Conditions | None = None
        self._probing = Turn()
        self._turn: AbstractContextManager[object] = (
            _MEMORY_TURN if type(store).__name__ == "MemoryStore" else nullcontext()
        )
        self._not_modified = exceptions.NotModifiedError
        self._conflicts = (exceptions.AlreadyExistsError, exceptions.PreconditionError)
        self._failures = (exceptions.BaseError, OSError, ValueError)

    @property
    def begins_anywhere(self) -> bool:
        """Whether a listing that begins after a name costs nothing for what is before it."""
        return type(self.store).__name__ != "AzureStore"

    def conditions(self) -> Conditions:
        """Return what the store does with conditional writes. The first call finds it out.

        :raises StorageUnavailable: the store failed, now or for a thread for which this one waited.
        """
        if self._conditions is not None:
            return self._conditions
        with self._probing.taken(PROBES):
            if self._conditions is None:
                self._conditions = self._call(PROBES, lambda: probe(self.store))
            return self._conditions

    def get(self, name: str, known: Version | None = None) -> tuple[bytes, Version] | None:
        """Return a small object, None if it still is in the state ``known``.

        :raises FileNotFoundError: there is no such object.
        :raises StorageUnavailable: the store failed.
        """
        options: Any = {} if known is None or known.e_tag is None else {"if_none_match": known.e_tag}

        def get() -> tuple[bytes, Version]:
            result = self._obstore.get(self.store, name, options=options)
            meta = result.meta
            return bytes(result.bytes()), Version(meta["e_tag"], meta["version"])

        try:
            return self._look(name, get)
        except self._not_modified:
            return None

    def put(self, name: str, data: bytes, expected: Version | None) -> Version:
        """Store a small object on the condition that its state is the expected one; return its new state.

        :param expected: None for no object.
        :raises Conflict: the state is a different one; or the store received the call twice.
        :raises StorageUnavailable: the store failed, and may have stored the object; or it does not honour
            conditions.
        """
        if self.is_single_writer:
            return self.replace(name, data)
        conditions = self.conditions()
        require_conditions(conditions)
        mode: Any = "create"
        if expected is not None:
            mode = update_mode(conditions.etag_form(expected.e_tag or ""), expected.version)
        try:
            result = self._look(name, lambda: self._obstore.put(self.store, name, data, mode=mode))
        except self._conflicts as error:
            raise Conflict(name) from error
        except FileNotFoundError as error:
            if expected is None:
                fail(name, error)
            # S3 answers 404, not 412, if an object that should have an etag is missing
            raise Conflict(name) from error
        return Version(result["e_tag"], result["version"])

    def replace(self, name: str, data: bytes) -> Version:
        """Store an object of at most one part, whatever is there.

        :raises StorageUnavailable: the store failed.
        """
        result = self._call(name, lambda: self._obstore.put(self.store, name, data, use_multipart=False))
        return Version(result["e_tag"], result["version"])

    def open_writer(self, name: str) -> Writer:
        """Return a writer of an object of any size."""
        return Writer(self, name)

    def stream(self, name: str, start: int, stop: int, chunk_bytes: int) -> Iterator[bytes]:
        """Return the chunks of a range of an object; each has at least ``chunk_bytes`` but the last one.

        :param start: less than ``stop``.
        :raises FileNotFoundError: there is no such object.
        :raises StorageUnavailable: the store failed. The iterator may raise that too.
        """
        options: Any = {"range": (start, stop)}
        result = self._look(
            name, lambda: self._obstore.get(self._transfers, name, options=options), is_transfer=True
        )
        return self._guarded(name, result.stream(chunk_bytes))

    def _guarded(self, name: str, stream: Any) -> Iterator[bytes]:
        chunks = iter(stream)
        while True:
            chunk = self._look(name, lambda: next(chunks, None), is_transfer=True)
            if chunk is None:
                return
            yield chunk

    def sign(self, name: str, expires_s: int) -> str:
        """Return a URL with which the store gives an object to every client.

        :raises StorageUnavailable: the credentials cannot sign, or the store that gives them failed.
        """
        expires = timedelta(seconds=expires_s)
        url: str = self._call(name, lambda: self._obstore.sign(self._public, "GET", name, expires))
        return url

    def delete(self, *names: str) -> None:
        """Delete objects; missing ones are no error.

        :raises StorageUnavailable: the store failed.
        """
        try:
            self._look(names[0], lambda: self._obstore.delete(self.store, list(names)))
        except FileNotFoundError:
            # stores differ; with several names, the others may be left
            for name in names if len(names) > 1 else ():
                self.delete(name)

    def head(self, name: str) -> Found | None:
        """Return the facts about an object, None if it does not exist.

        :raises StorageUnavailable: the store failed.
        """
        try:
            return _found(self._look(name, lambda: self._obstore.head(self.store, name)))
        except FileNotFoundError:
            return None

    def list(self, folder: str, *, after: str = "") -> Iterator[Found]:
        """Yield the objects below a folder, in the order of their names.

        :param after: names up to this one are left out.
        :raises StorageUnavailable: the store failed, or lists in a different order.
        """
        pages = self._call(
            folder,
            lambda: iter(self._obstore.list(self.store, folder, offset=after or None, chunk_size=PAGE_NAMES)),
        )
        last = after
        while page := self._call(folder, lambda: next(pages, None)):
            for meta in page:
                found = _found(meta)
                if found.name <= last:
                    raise StorageUnavailable(
                        folder, "the object store does not list objects in the order of their names"
                    )
                last = found.name
                yield found

    def level(self, folder: str) -> Level:
        """Return the objects and folders directly in a folder.

        :raises StorageUnavailable: the store failed.
        """
        result = self._call(folder, lambda: self._obstore.list_with_delimiter(self.store, folder))
        return Level([_found(meta) for meta in result["objects"]], list(result["common_prefixes"]))

    def _call(self, name: str, call: Callable[[], T], *, is_transfer: bool = False) -> T:
        """Call the store, for what must be there.

        :param is_transfer: see :meth:`_look`.
        :raises StorageUnavailable: the store failed.
        """
        try:
            return self._look(name, call, is_transfer=is_transfer)
        except FileNotFoundError as error:
            fail(name, error)

    def _look(self, name: str, call: Callable[[], T], *, is_transfer: bool = False) -> T:
        """Call the store, for an object that may be missing.

        :param is_transfer: whether a part of a large value is moved. A request may wait for many of them.
        :raises FileNotFoundError: there is no such object.
        :raises StorageUnavailable: the store failed, or has no such bucket; or the request has waited too
            long.
        """
        check_process(name)
        try:
            with nullcontext() if is_transfer else wait(name), self._turn:
                return call()
        except (self._not_modified, *self._conflicts):
            raise
        except FileNotFoundError as error:
            if any(code in str(error) for code in _NO_BUCKET):
                fail(name, error)
            raise
        except self._failures as error:
            fail(name, error)


class Writer:
    """Sends an object in parts, in constant memory. Readers see it after :meth:`finish`."""

    def __init__(self, access: ObjectAccess, name: str):
        self._access = access
        self._name = name
        self._counted_bytes = 0  #: what was sent since the request may wait longer
        self._file: Any = access._call(
            name,
            lambda: access._obstore.open_writer(
                access._transfers, name, buffer_size=PART_BYTES, max_concurrency=_PARTS_AT_ONCE
            ),
            is_transfer=True,
        )

    def write(self, data: bytes) -> None:
        """Send bytes, at once or later.

        :raises StorageUnavailable: the store failed.
        """
        self._access._call(self._name, lambda: self._file.write(data), is_transfer=True)
        self._counted_bytes += len(data)
        if self._counted_bytes >= PART_BYTES:
            self._counted_bytes = 0
            renew()

    def finish(self) -> None:
        """Send what is left, and make the object visible.

        :raises StorageUnavailable: the store failed.
        """
        self._access._call(self._name, self._file.close, is_transfer=True)
        renew()

    def abort(self, error: BaseException) -> None:
        """Drop what was sent, if the store answers. What is left of an upload expires in the store."""
        with suppress(StorageUnavailable):
            self._access._call(
                self._name,
                lambda: self._file.__exit__(type(error), error, error.__traceback__),
                is_transfer=True,
            )


def is_same_e_tag(first: str | None, second: str) -> bool:
    """Tell whether two etags are certainly one. Stores give them with or without quotes.

    >>> is_same_e_tag('"a"', "a"), is_same_e_tag("", "")
    (True, False)
    """
    return bool(second) and first is not None and first.strip('"') == second.strip('"') != ""


def check_process(name: str) -> None:
    """Check that the process has not been forked since the first call.

    :raises StorageUnavailable: it has; a call would never return.
    """
    global _process
    current = os.getpid()
    if _process is None:
        _process = current
    elif _process != current:
        raise StorageUnavailable(
            name,
            f"the object store was used in process {_process} before it forked this one;"
            " use it in the new processes only",
        )


def _found(meta: Any) -> Found:
    modified = meta["last_modified"]
    return Found(
        meta["path"], meta["size"], round(modified.timestamp() * 1_000_000) * 1000, meta["e_tag"] or ""
    )
