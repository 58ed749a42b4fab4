"""Layers and blobs on their way from the origin: stored once, and read by many clients meanwhile.

A thread of its own fetches each of them. So a slow client keeps neither the storage nor other clients
waiting, and a client that leaves does not end the fetch. What has come is in a temporary file, from which
clients read. The last byte is given out only after the whole was checked and stored: a client never gets all
bytes of a damaged value.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import BinaryIO, Final, Protocol, TypeVar, cast

from .. import errors
from ..log import get_logger
from ..storage.base import Stat, StorageUnavailable, clip_range
from ..storage.folders import failure

log = get_logger(__name__)

T = TypeVar("T")

#: How many values of one image are fetched at once for a client that needs all of them.
_PARALLEL: Final = 3

#: How much is given out at once.
_PIECE_BYTES: Final = 64 << 10


class Fetch:
    """A value that is being fetched. Safe for threads.

    Who gets one from :meth:`Fetches.join` has to :meth:`release` it.

    :raises StorageUnavailable: no temporary file can be made.
    """

    def __init__(self) -> None:
        self.size: int | None = None  #: bytes; None if it is still unknown, or the origin does not say it
        self.error: BaseException | None = None  #: why it failed
        self.is_stored = False  #: whether the value is in the storage now
        try:
            # not buffered: to close a buffer fails again if the disk is full
            self._file = cast(BinaryIO, tempfile.TemporaryFile(prefix="v1registry-mirror-", buffering=0))  # noqa: SIM115
        except OSError as error:
            raise failure("mirror", error) from error
        self._received = 0
        self._begun = False
        self._users = 1
        self._changed = threading.Condition()

    # -- the side of the fetching thread

    def begin(self, size: int | None) -> None:
        """Note that the origin has the value."""
        with self._changed:
            self.size, self._begun = size, True
            self._changed.notify_all()

    def received(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield chunks, after clients can read them.

        :raises StorageUnavailable: the temporary file cannot be written.
        """
        for chunk in chunks:
            self._keep(chunk)
            with self._changed:
                self._received += len(chunk)
                self._changed.notify_all()
            yield chunk

    def _keep(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise failure("mirror", error) from error

    def end(self, error: BaseException | None) -> None:
        """Note that the value is stored, or why it is not."""
        with self._changed:
            self.error, self.is_stored, self._begun = error, error is None, True
            self._changed.notify_all()
        self.release()

    # -- the side of the clients

    def hold(self) -> None:
        """Count one more user of the temporary file."""
        with self._changed:
            self._users += 1

    def release(self) -> None:
        """Count one user less. The last one closes the file."""
        with self._changed:
            self._users -= 1
            is_last = not self._users
        if is_last:
            self._file.close()

    def wait_for_begin(self, wait_s: float) -> bool:
        """Wait until the origin has answered; tell whether it has."""
        with self._changed:
            return self._changed.wait_for(lambda: self._begun, wait_s)

    def wait_for_end(self, wait_s: float | None) -> bool:
        """Wait until the value is stored or failed; tell whether it is."""
        with self._changed:
            return self._changed.wait_for(self._is_ended, wait_s)

    def raise_error(self) -> None:
        """Return if the fetch did not fail.

        :raises NotAtOrigin: the origin does not have the value.
        :raises RegistryError: why it failed.
        :raises StorageError: the storage failed.
        """
        if self.error is not None:
            raise self.error

    def _is_ended(self) -> bool:
        return self.is_stored or self.error is not None

    def read(self, start: int, stop: int) -> bytes:
        """Return some bytes of a range; wait for the first of them.

        :raises StorageUnavailable: the fetch failed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_ended() or self._readable > start)
            if self.error is not None:
                raise StorageUnavailable("mirror", "the value could not be fetched from the origin")
            stop = min(stop, self._readable, start + _PIECE_BYTES)
        return os.pread(self._file.fileno(), stop - start, start)

    @property
    def _readable(self) -> int:
        """How many bytes clients may have."""
        if self.is_stored or self.size is None:
            return self._received
        return min(self._received, max(self.size - 1, 0))


class Source(Protocol):
    """A value that is being fetched, as it is read."""

    size: int | None  #: see :class:`Fetch`

    def read(self, start: int, stop: int) -> bytes:
        """Return some bytes of a range; see :meth:`Fetch.read`."""

    def release(self) -> None:
        """Count one user less."""


class FetchedBlob:
    """A range of a value that is being fetched, in the form of a blob of a storage.

    :param fetch: held by the caller; released when this is closed.
    """

    file: BinaryIO | None = None

    def __init__(self, fetch: Source, key: str, start: int, stop: int):
        assert fetch.size is not None
        self.stat = Stat(key, fetch.size, "", 0)
        self.start, self.stop = clip_range(start, stop, fetch.size)
        self._fetch, self._position, self._is_open = fetch, self.start, True

    def read(self, size: int = -1, /) -> bytes:
        """Return at most ``size`` bytes, or the rest; ``b""`` at the end.

        :raises StorageUnavailable: the fetch failed.
        :raises ValueError: the blob is closed.
        """
        if not self._is_open:
            raise ValueError("the blob is closed")
        if size < 0:
            return b"".join(self)
        stop = min(self.stop, self._position + size)
        if self._position >= stop:
            return b""
        data = self._fetch.read(self._position, stop)
        self._position += len(data)
        return data

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read(_PIECE_BYTES):
            yield chunk

    def close(self) -> None:
        """Release the fetch."""
        if self._is_open:
            self._is_open = False
            self._fetch.release()

    def __enter__(self) -> FetchedBlob:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Fetches:
    """The fetches of one process: one for each value, however many clients want it. Safe for threads.

    :param most: how many run at once.
    :param wait_s: how long a request waits for a free one, in seconds.
    """

    def __init__(self, most: int, *, wait_s: float):
        self._slots = threading.BoundedSemaphore(most)
        self._wait_s = wait_s
        self._running: dict[Hashable, Fetch] = {}
        self._mutex = threading.Lock()

    def join(
        self, key: Hashable, is_stored: Callable[[], bool], work: Callable[[Fetch], None]
    ) -> Fetch | None:
        """Return the fetch of a value, which is begun if there is none; None if the value is stored.

        :param is_stored: tells whether the value is in the storage. It is asked again after other fetches.
        :param work: fetches and stores the value, in a thread.
        :return: the caller has to release it.
        :raises ImageBusy: too many other fetches run.
        :raises StorageUnavailable: no temporary file can be made.
        """
        end_s = time.monotonic() + self._wait_s
        while True:
            fetch = self._running_fetch(key)
            if fetch is not None:
                return fetch
            if is_stored():
                return None
            if not self._slots.acquire(timeout=max(0.0, min(0.2, end_s - time.monotonic()))):
                if time.monotonic() >= end_s:
                    raise errors.ImageBusy
                continue
            is_begun = False
            try:
                with self._mutex:
                    if key not in self._running:
                        fetch = self._running[key] = Fetch()
                        fetch.hold()
                if fetch is not None:
                    self._start(key, fetch, is_stored, work)
                    is_begun = True
                    return fetch
            finally:
                if not is_begun:
                    self._slots.release()

    def _running_fetch(self, key: Hashable) -> Fetch | None:
        with self._mutex:
            fetch = self._running.get(key)
            if fetch is not None:
                fetch.hold()
            return fetch

    def _start(
        self, key: Hashable, fetch: Fetch, is_stored: Callable[[], bool], work: Callable[[Fetch], None]
    ) -> None:
        def run() -> None:
            error: BaseException | None = None
            try:
                # a fetch may have ended between the look at the storage and this one
                if not is_stored():
                    work(fetch)
            except BaseException as exc:  # noqa: BLE001  the clients that wait get it
                error = exc
                level = logging.WARNING if isinstance(exc, StorageUnavailable) else logging.INFO
                log.log(level, "a fetch from the origin failed: %s %s", type(exc).__name__, _reason_of(exc))
            finally:
                with self._mutex:
                    del self._running[key]
                self._slots.release()
                fetch.end(error)

        try:
            threading.Thread(target=run, name="v1registry mirror", daemon=True).start()
        except RuntimeError:
            # the system gives no thread: others may wait for this fetch already
            with self._mutex:
                del self._running[key]
            fetch.end(errors.ImageBusy())
            fetch.release()
            raise errors.ImageBusy from None


def fetch_all(join: Callable[[T], Fetch | None], wanted: Sequence[T]) -> None:
    """Fetch values, several at once, and wait for all of them.

    :param join: returns the fetch of a value, None if the value is here.
    :raises Exception: why the first one failed.
    """
    for start in range(0, len(wanted), _PARALLEL):
        running: list[Fetch] = []
        try:
            for each in wanted[start : start + _PARALLEL]:
                fetch = join(each)
                if fetch is not None:
                    running.append(fetch)
            for fetch in running:
                fetch.wait_for_end(None)
                fetch.raise_error()
        finally:
            for fetch in running:
                fetch.release()


def _reason_of(error: BaseException) -> str:
    context = error.context if isinstance(error, errors.RegistryError) else {}
    return str(context.get("reason") or error)[:500]
