"""The calls of an object store, each with one meaning of its exceptions.

The texts of exceptions here never have what the store said, because that may name credentials.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, TypeVar

from ..base import StorageFull, StorageUnavailable

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

#: How many names a listing asks for at once.
_PAGE_NAMES: Final = 1000

#: Multipart uploads: the size of a part, and how many are sent at the same time.
PART_BYTES: Final = 8 << 20
_PARTS_AT_ONCE: Final = 3

#: What errors of stores say: a status, and the code of S3 and Azure.
_STATUS: Final = re.compile(r"\b(?:status|response)[^0-9]{0,20}([45][0-9]{2})\b", re.IGNORECASE)
_CODE: Final = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
_FULL: Final = frozenset(
    {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "AccountQuotaExceeded", "507"}
)

#: The process that made the first call. The threads of obstore do not survive a fork.
_process: int | None = None


class Conflict(Exception):
    """An object is not what a conditional write expected."""


class Version(NamedTuple):
    """What identifies the state of an object for conditional calls."""

    e_tag: str | None
    version: str | None  #: of stores that have one


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
    :param is_conditional: False for a store without conditional writes: then all are unconditional.
    :param etag_form: makes the text that the store expects in a condition of the etag that it gave.
    :raises ImportError: obstore is missing.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        is_conditional: bool = True,
        etag_form: Callable[[str], str] = str,
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
        self.is_conditional = is_conditional
        self.etag_form = etag_form
        self._not_modified = exceptions.NotModifiedError
        self._conflicts = (exceptions.AlreadyExistsError, exceptions.PreconditionError)
        self._failures = (exceptions.BaseError, OSError, ValueError)

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
            return self._call(name, get)
        except self._not_modified:
            return None

    def put(self, name: str, data: bytes, expected: Version | None) -> Version:
        """Store a small object on the condition that its state is the expected one; return its new state.

        :param expected: None for no object.
        :raises Conflict: the state is a different one; or the store received the call twice.
        :raises StorageUnavailable: the store failed, and may have stored the object.
        """
        if not self.is_conditional:
            return self.replace(name, data)
        mode: Any = "create"
        if expected is not None:
            mode = {"e_tag": self.etag_form(expected.e_tag or "")}
            if expected.version is not None:
                mode["version"] = expected.version
        try:
            result = self._call(name, lambda: self._obstore.put(self.store, name, data, mode=mode))
        except self._conflicts as error:
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
        result = self._call(name, lambda: self._obstore.get(self.store, name, options=options))
        return self._guarded(name, result.stream(chunk_bytes))

    def _guarded(self, name: str, stream: Any) -> Iterator[bytes]:
        chunks = iter(stream)
        while True:
            chunk = self._call(name, lambda: next(chunks, None))
            if chunk is None:
                return
            yield chunk

    def delete(self, *names: str) -> None:
        """Delete objects; missing ones are no error.

        :raises StorageUnavailable: the store failed.
        """
        try:
            self._call(names[0], lambda: self._obstore.delete(self.store, list(names)))
        except FileNotFoundError:
            # stores differ; with several names, the others may be left
            for name in names if len(names) > 1 else ():
                self.delete(name)

    def head(self, name: str) -> Found | None:
        """Return the facts about an object, None if it does not exist.

        :raises StorageUnavailable: the store failed.
        """
        try:
            return _found(self._call(name, lambda: self._obstore.head(self.store, name)))
        except FileNotFoundError:
            return None

    def list(self, folder: str, *, after: str = "") -> Iterator[Found]:
        """Yield the objects below a folder, in the order of their names.

        :param after: names up to this one are left out.
        :raises StorageUnavailable: the store failed, or lists in a different order.
        """
        pages = self._call(
            folder,
            lambda: iter(
                self._obstore.list(self.store, folder, offset=after or None, chunk_size=_PAGE_NAMES)
            ),
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

    def _call(self, name: str, call: Callable[[], T]) -> T:
        """Call the store.

        :raises FileNotFoundError: there is no such object.
        :raises StorageUnavailable: the store failed.
        """
        check_process(name)
        try:
            return call()
        except (FileNotFoundError, self._not_modified, *self._conflicts):
            raise
        except self._failures as error:
            fail(name, error)


class Writer:
    """Sends an object in parts, in constant memory. Readers see it after :meth:`finish`."""

    def __init__(self, access: ObjectAccess, name: str):
        self._access = access
        self._name = name
        self._file: Any = access._call(
            name,
            lambda: access._obstore.open_writer(
                access.store, name, buffer_size=PART_BYTES, max_concurrency=_PARTS_AT_ONCE
            ),
        )

    def write(self, data: bytes) -> None:
        """Send bytes, at once or later.

        :raises StorageUnavailable: the store failed.
        """
        self._access._call(self._name, lambda: self._file.write(data))

    def finish(self) -> None:
        """Send what is left, and make the object visible.

        :raises StorageUnavailable: the store failed.
        """
        self._access._call(self._name, self._file.close)

    def abort(self, error: BaseException) -> None:
        """Drop what was sent, if the store answers. What is left of an upload expires in the store."""
        with suppress(StorageUnavailable, FileNotFoundError):
            self._access._call(
                self._name, lambda: self._file.__exit__(type(error), error, error.__traceback__)
            )


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


def fail(name: str, error: BaseException) -> NoReturn:
    """Raise what an exception of a store means, without its text.

    :raises StorageFull: no room is left.
    :raises StorageUnavailable: anything else.
    """
    text = str(error)
    status = _STATUS.search(text)
    code = _CODE.search(text)
    details = [found.group(1) for found in (status, code) if found is not None]
    said = f"{type(error).__name__}{''.join(f', {detail}' for detail in details)}"
    if not _FULL.isdisjoint(details):
        raise StorageFull(name, f"no room is left in the object store ({said})") from None
    raise StorageUnavailable(name, f"the object store failed ({said})") from None


def _found(meta: Any) -> Found:
    modified = meta["last_modified"]
    return Found(
        meta["path"], meta["size"], round(modified.timestamp() * 1_000_000) * 1000, meta["e_tag"] or ""
    )
