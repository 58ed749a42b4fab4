"""Bounds of unfinished uploads: those of users, which pushes of v1 share, and those of repositories.

Each upload is counted twice, below ``uploads/_bytes`` and below ``uploads/_repositories``
(registry/quotas.py).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Final

from .. import errors
from ..registry.expiry import REPOSITORY_BYTES, Expiry
from ..registry.quotas import Excess, Quotas
from ..registry.reservations import Reservation
from ..rights import PushKey
from ..storage.at_once import together
from ..storage.base import KeyConflict, Storage, StorageError
from ..storage.combined import held_bytes, taken
from ..storage.patience import cleanup

#: The counter of the bytes that have arrived. It is one for all pieces: there may be many.
_ARRIVED: Final = "arrived"

#: The counter of an upload, from its beginning to its end.
_BEGUN: Final = "info"


@dataclass(frozen=True)
class UploadLimits:
    """How much may be unfinished."""

    user_bytes: int  #: of the uploads and pushes of one user
    user_uploads: int  #: uploads and pushes of one user
    repository_bytes: int  #: of the uploads to one repository
    repository_uploads: int  #: to one repository
    total_bytes: int | None = None  #: of all users together; None if that is not bounded


class UploadBounds:
    """Counts the unfinished uploads of one storage. Safe for threads and processes."""

    def __init__(self, storage: Storage, expiry: Expiry, limits: UploadLimits):
        self._of_users = Quotas(
            storage,
            expiry,
            most_bytes=limits.user_bytes,
            most_pushes=limits.user_uploads,
            most_total_bytes=limits.total_bytes,
        )
        self._of_repositories = Quotas(
            storage,
            expiry,
            most_bytes=limits.repository_bytes,
            most_pushes=limits.repository_uploads,
            root=REPOSITORY_BYTES,
            excess=Excess(errors.RepositoryBytesExceeded, errors.RepositoryUploadsExceeded),
        )

        self._storage = storage
        self._both = self._of_users, self._of_repositories
        self._most_held = held_bytes(storage)

    def begin(self, upload_id: str, key: PushKey, size: int) -> None:
        """Count an upload that begins.

        :param key: the name is that of the repository.
        :param size: of what is stored for it already, in bytes.
        :raises TooManyUnfinishedBytes: the user has too many bytes.
        :raises TooManyUnfinishedPushes: the user has too many uploads.
        :raises UnfinishedTotalExceeded: all users together have too many bytes.
        :raises RepositoryBytesExceeded: the repository has too many bytes.
        :raises RepositoryUploadsExceeded: the repository has too many uploads.
        """
        with self._released_after_failure(upload_id, key, _BEGUN, size) as counting:
            self._begin(upload_id, key, _BEGUN, size, counting, is_first=True)

    def is_begun(self, upload_id: str, key: PushKey) -> bool:
        """Tell whether an upload has not ended. It ends with its repository too."""
        return self._of_repositories.counts(upload_id, key, _BEGUN)

    def counted(
        self, upload_id: str, key: PushKey, offset: int, chunks: Iterable[bytes], announced: int | None
    ) -> AbstractContextManager[Iterable[bytes]]:
        """Give the chunks of a part in a context. Their bytes are counted before they are given.

        If the context ends without an exception, they are counted as stored; otherwise no longer. A short
        part may stay counted if it ends with KeyConflict: a different one was stored.

        :param offset: how many bytes of the upload are stored.
        :param announced: how many bytes will come; None if that is unknown.
        :raises TooManyUnfinishedBytes: at once, or while chunks are read: the user would have too many bytes.
        :raises UnfinishedTotalExceeded: the same for all users together.
        :raises RepositoryBytesExceeded: the same for the repository.
        """
        if announced is not None and announced > self._most_held:
            return self._counted_in_steps(upload_id, key, offset, chunks, announced)
        iterator, beginning, size = iter(chunks), list[bytes](), 0
        for chunk in iterator:
            beginning.append(chunk)
            size += len(chunk)
            if size > self._most_held:
                body = chain(taken(beginning), iterator)
                return self._counted_in_steps(upload_id, key, offset, body, announced)
        return self._counted_at_once(upload_id, key, offset, taken(beginning), offset + size)

    @contextmanager
    def _counted_at_once(
        self, upload_id: str, key: PushKey, old: int, chunks: Iterable[bytes], new: int
    ) -> Iterator[Iterable[bytes]]:
        """Count a short part by the counter of the upload alone, because each counter costs synced writes.

        Of short parts that come at the same time, one counts.
        """
        with self._released_after_failure(upload_id, key, _ARRIVED, new) as counting:
            self._begin(upload_id, key, _ARRIVED, new, counting, is_first=False)
            try:
                yield chunks
            except KeyConflict:
                # a part of another request was stored, and counts by the same key if it has the same size. If
                # not, this key counts too much until the upload ends
                counting.clear()
                raise
        if old:
            self._of_both(lambda quotas: quotas.release(upload_id, key, _ARRIVED, old))

    def _begin(
        self, upload_id: str, key: PushKey, entry: str, size: int, counting: list[Quotas], *, is_first: bool
    ) -> None:
        """Write both counters of an entry.

        :param counting: gets the quotas that count the entry, also if others refuse it.
        """

        def begin(quotas: Quotas) -> None:
            quotas.begin(upload_id, key, entry, size, is_first=is_first)
            counting.append(quotas)

        self._of_both(begin)

    @contextmanager
    def _released_after_failure(
        self, upload_id: str, key: PushKey, entry: str, size: int
    ) -> Iterator[list[Quotas]]:
        """Yield a list of quotas that count an entry no more if the context ends with an exception."""
        counting = list[Quotas]()
        try:
            yield counting
        except BaseException:
            with cleanup():
                for quotas in counting:
                    with suppress(StorageError):
                        quotas.release(upload_id, key, entry, size)
            raise

    def _of_both(self, change: Callable[[Quotas], object]) -> None:
        """Change the counters of the user and those of the repository, at the same time if that is faster."""
        together(self._storage, *(partial(change, quotas) for quotas in self._both))

    @contextmanager
    def _counted_in_steps(
        self, upload_id: str, key: PushKey, old: int, chunks: Iterable[bytes], announced: int | None
    ) -> Iterator[Iterable[bytes]]:
        entry, body, reservations = secrets.token_hex(8), chunks, list[Reservation]()
        for quotas in self._both:
            reservations.append(quotas.reserve(upload_id, key, entry))
            body = reservations[-1].counted(body, 0, announced)
        try:
            yield body
            changes = zip(self._both, reservations, strict=True)
            together(
                self._storage,
                *(partial(quotas.recount, upload_id, key, _ARRIVED, old, each) for quotas, each in changes),
            )
        finally:
            with cleanup():
                for reservation in reservations:
                    with suppress(StorageError):
                        reservation.release()

    def end(self, upload_id: str, key: PushKey) -> None:
        """Count an upload no more, because it was removed."""
        self._of_both(lambda quotas: quotas.end(upload_id, key))
