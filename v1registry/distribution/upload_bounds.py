"""Bounds of unfinished uploads: those of users, which pushes of v1 share, and those of repositories.

Each upload is counted twice, below ``uploads/_bytes`` and below ``uploads/_repositories``
(registry/quotas.py).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from .. import errors
from ..registry.expiry import REPOSITORY_BYTES, Expiry
from ..registry.quotas import Excess, Quotas, Reservation
from ..rights import PushKey
from ..storage.base import Storage

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
        self._of_users.begin(upload_id, key, _BEGUN, size, is_first=True)
        try:
            self._of_repositories.begin(upload_id, key, _BEGUN, size, is_first=True)
        except BaseException:
            self._of_users.end(upload_id, key)
            raise

    def is_begun(self, upload_id: str, key: PushKey) -> bool:
        """Tell whether an upload has not ended. It ends with its repository too."""
        return self._of_repositories.counts(upload_id, key, _BEGUN)

    @contextmanager
    def counted(
        self, upload_id: str, key: PushKey, chunks: Iterable[bytes], announced: int | None
    ) -> Iterator[Iterable[bytes]]:
        """Give chunks whose bytes are counted before they are read, until the context ends.

        :param announced: how many bytes will come; None if that is unknown.
        :raises TooManyUnfinishedBytes: while they are read: the user would have too many bytes.
        :raises UnfinishedTotalExceeded: the same for all users together.
        :raises RepositoryBytesExceeded: the same for the repository.
        """
        entry, body, reservations = secrets.token_hex(8), chunks, list[Reservation]()
        for quotas in (self._of_users, self._of_repositories):
            reservations.append(quotas.reserve(upload_id, key, entry))
            body = reservations[-1].counted(body, 0, announced)
        try:
            yield body
        finally:
            for reservation in reservations:
                reservation.release()

    def recount(self, upload_id: str, key: PushKey, old: int, new: int) -> None:
        """Count the bytes of an upload after a piece of it was stored.

        :param old: bytes before.
        :param new: bytes.
        """
        for quotas in (self._of_users, self._of_repositories):
            quotas.recount(upload_id, key, _ARRIVED, old, new)

    def end(self, upload_id: str, key: PushKey) -> None:
        """Count an upload no more, because it was removed."""
        for quotas in (self._of_users, self._of_repositories):
            quotas.end(upload_id, key)
