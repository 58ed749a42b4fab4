"""Unfinished uploads of blobs (distribution.md 1 and 5).

    uploads/<upload id>/<owner>-<repository>/info                the repository, and its incarnation
    uploads/<upload id>/<owner>-<repository>/pieces, end         what has arrived (pieces.py)
    uploads/<upload id>/<owner>-<repository>/sum                 the digest of the first piece
    uploads/<upload id>/<owner>-<repository>/whole/<nonce>/data  what a request that finishes makes a blob of

Each request writes a piece of its own. The first to finish at an offset decides, so that two writers never
mix their bytes, and a dead one holds nothing. The offset of an upload is where its pieces end. Nothing is in
the process: uploads survive a restart, and another process can go on with them.

A request that finishes an upload checks bytes that no other request can replace: it links or copies the
pieces into a folder of its own, and publishes that.

Uploads lie beside the pushes of v1, and expire and count like them. The ids of uploads have 32 digits, those
of images 16 or 64.

An upload ends with its repository. With accounts the incarnation says so. On an open server, repositories
have none, and a deletion removes the counters of their uploads (upload_bounds.py).
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final

from .. import errors
from ..clock import SYSTEM_CLOCK, Clock
from ..names import Digest
from ..registry.expiry import Expiry, push_folder, repository_digest
from ..registry.layout import UPLOADS, parse_stored, stored_name
from ..rights import PushKey
from ..storage.base import ABSENT, KeyConflict, KeyNotFound, Stat, Storage, StorageError, StorageUnavailable
from ..storage.combined import Combining
from ..storage.patience import cleanup
from . import layout
from .blobs import Blobs
from .pieces import MOST_PIECES, NOTHING, Arrived, Pieces, piece_key
from .places import Place
from .upload_bounds import UploadBounds, UploadLimits

#: How often an upload is stored if the garbage collection removes equal bytes.
_ATTEMPTS_TO_KEEP: Final = 3

_ID: Final = re.compile(r"[0-9a-f]{32}")
_INFO, _SUM, _WHOLE = "info", "sum", "whole"


@dataclass(frozen=True)
class Upload:
    """An unfinished upload as it was read."""

    id: str
    key: PushKey  #: the name is that of the repository
    arrived: Arrived = NOTHING

    @property
    def folder(self) -> str:
        """The folder of the upload."""
        return push_folder(self.id, self.key.owner, self.key.name)

    @property
    def size(self) -> int:
        """How many bytes were received: the offset at which the upload goes on."""
        return self.arrived.size


class OutOfOrder(Exception):
    """The piece does not begin where the upload goes on. Nothing of it is kept."""


class Uploads:
    """The unfinished uploads of one storage. Safe for threads and processes."""

    def __init__(self, storage: Storage, blobs: Blobs, limits: UploadLimits, *, clock: Clock = SYSTEM_CLOCK):
        self._storage = storage
        self._blobs = blobs
        self._pieces = Pieces(storage)
        self._expiry = Expiry(storage, clock=clock)
        self._bounds = UploadBounds(storage, self._expiry, limits)

    def begin(self, place: Place, owner: str) -> Upload:
        """Begin an upload.

        :param owner: whose bytes it counts to, see :attr:`v1registry.rights.PushKey.owner`.
        :raises TooManyUnfinishedBytes: the owner has too many bytes.
        :raises TooManyUnfinishedPushes: the owner has too many uploads.
        :raises UnfinishedTotalExceeded: all owners together have too many bytes.
        :raises RepositoryBytesExceeded: the repository has too many bytes.
        :raises RepositoryUploadsExceeded: the repository has too many uploads.
        """
        self._expiry.tidy()
        upload = Upload(secrets.token_hex(16), PushKey(repository_digest(place.repository), owner))
        info = {"repository": stored_name(place.repository), "incarnation": place.incarnation}
        value = json.dumps(info).encode("ascii")
        self._bounds.begin(upload.id, upload.key, len(value))
        # nothing is there, and a storage that is far away need not look
        try:
            self._storage.write(f"{upload.folder}/{_INFO}", value, expect=ABSENT)
        except StorageError:
            with cleanup(), suppress(StorageError):
                # the counters first: they fill the limit of the owner, and the value is probably not there
                self._bounds.end(upload.id, upload.key)
                self._storage.delete_tree(upload.folder)
            raise
        return upload

    def find(self, place: Place, upload_id: str, owner: str = "") -> Upload:
        """Return an upload to a repository.

        :param owner: has probably begun it, see :attr:`v1registry.rights.PushKey.owner`; empty if that is
            unknown. The repository decides, not the owner.
        :raises UploadUnknown: there is none with this id, it is to another repository, or it is expired.
        """
        if not _ID.fullmatch(upload_id):
            raise errors.UploadUnknown(upload_id=upload_id[:80])
        upload = Upload(upload_id, PushKey(repository_digest(place.repository), owner))
        if not owner or not self._is_of(upload, place):
            folder = next(iter(self._storage.list_folders(f"{UPLOADS}/{upload_id}")), "")
            owner, _, name = folder.partition("-")
            begun = Upload(upload_id, PushKey(name, owner))
            if not owner or begun == upload or not self._is_of(begun, place):
                raise errors.UploadUnknown(upload_id=upload_id)
            upload = begun
        return self._with_pieces(upload)

    def append(
        self,
        upload: Upload,
        chunks: Iterable[bytes],
        *,
        start: int | None = None,
        announced: int | None = None,
        is_partial_kept: bool = True,
    ) -> Upload:
        """Add bytes at the end of an upload; return the upload afterwards.

        :param start: the offset that the client names; None for the end.
        :param announced: how many bytes will come; None if that is unknown.
        :param is_partial_kept: whether what arrived is kept if the body breaks off.
        :raises OutOfOrder: the upload goes on at a different offset, or another request was faster.
        :raises BrokenUpload: the body broke off.
        :raises UploadUnknown: another request has finished or removed the upload.
        :raises TooManyUnfinishedBytes: the owner has too many bytes.
        :raises UnfinishedTotalExceeded: all owners together have too many bytes.
        :raises RepositoryBytesExceeded: the repository has too many bytes.
        """
        offset = upload.size
        if start is not None and start != offset:
            raise OutOfOrder
        if upload.arrived.number >= MOST_PIECES:
            raise errors.TooManyPieces(MOST_PIECES)
        received = _Received(chunks, is_hashed=offset == 0)
        first = next(received, b"")
        if not first:
            return upload
        body = chain((first,), received.rest(is_partial_kept))

        def sum_of(piece: Stat) -> dict[str, bytes]:
            if offset:
                return {}
            value = {"etag": piece.etag, "sha256": received.sha256}
            return {f"{upload.folder}/{_SUM}": json.dumps(value).encode("ascii")}

        try:
            with self._bounds.counted(upload.id, upload.key, offset, body, announced) as counted:
                arrived = self._pieces.add(upload.folder, upload.arrived, counted, sum_of)
        except KeyConflict:
            raise OutOfOrder from None
        if not self._exists(upload):
            # it was finished or removed meanwhile
            self.cancel(upload)
            raise errors.UploadUnknown(upload_id=upload.id)
        if received.error is not None:
            raise received.error
        return replace(upload, arrived=arrived)

    def finish(self, upload: Upload, place: Place, digest: Digest) -> str:
        """Make a blob of an upload, which the repository then contains; return its SHA-256 digits.

        :raises DigestMismatch: the bytes have a different digest. The upload is removed.
        :raises UploadUnknown: another request has finished or removed it.
        :raises NameUnknown: the repository was deleted meanwhile, on an open server. The upload is removed.
        :raises StorageUnavailable: the garbage collection removes equal bytes at this moment.
        """
        for _ in range(_ATTEMPTS_TO_KEEP):
            try:
                sha256 = self._store(upload, digest)
            except KeyNotFound:
                raise errors.UploadUnknown(upload_id=upload.id) from None
            if sha256 is None:
                self.cancel(upload)
                raise errors.DigestMismatch(detail={"digest": str(digest)})
            self._blobs.point(digest, sha256)
            is_wanted = self._mark(upload, place, sha256)
            keeper = self._blobs.keeping.now()
            if keeper is None or not is_wanted or self._blobs.keep(keeper, place, sha256):
                break
        else:
            raise StorageUnavailable(upload.folder, "the garbage collection removes it at this moment")
        self.cancel(upload)
        if not is_wanted:
            raise errors.NameUnknown(detail={"name": str(place.repository)})
        return sha256

    def cancel(self, upload: Upload) -> None:
        """Remove an upload."""
        self._storage.delete_tree(upload.folder)
        self._bounds.end(upload.id, upload.key)

    # -- inside

    def _mark(self, upload: Upload, place: Place, sha256: str) -> bool:
        """Let the repository contain a blob; tell whether it does.

        With accounts the mark has the incarnation, and the caller of :meth:`finish` checks that.
        """
        if place.is_open:
            return self._blobs.mark_while(place, sha256, lambda: self._bounds.is_begun(upload.id, upload.key))
        self._blobs.mark(place, sha256)
        return True

    def _is_of(self, upload: Upload, place: Place) -> bool:
        # first, so that all that is read of the upload afterwards is one call of a store
        if place.is_open and not self._bounds.is_begun(upload.id, upload.key):
            return False
        try:
            info: Any = parse_stored(self._storage.read(f"{upload.folder}/{_INFO}")[0])
        except KeyNotFound:
            return False
        return (
            isinstance(info, dict)
            and info.get("repository") == stored_name(place.repository)
            and place.counts(info.get("incarnation"))
        )

    def _exists(self, upload: Upload) -> bool:
        try:
            self._storage.stat(f"{upload.folder}/{_INFO}")
        except KeyNotFound:
            return False
        return True

    def _with_pieces(self, upload: Upload) -> Upload:
        """Return an upload with its pieces. An expired one is removed.

        :raises UploadUnknown: it is expired, or was removed meanwhile.
        """
        try:
            begun_s = self._storage.stat(f"{upload.folder}/{_INFO}").modified.timestamp()
        except KeyNotFound:
            raise errors.UploadUnknown(upload_id=upload.id) from None
        arrived = self._pieces.arrived(upload.folder)
        if max(begun_s, arrived.modified_s) < self._expiry.oldest:
            self.cancel(upload)
            raise errors.UploadUnknown(upload_id=upload.id)
        return replace(upload, arrived=arrived)

    def _has_linked(self, upload: Upload, digest: Digest) -> bool:
        """Make a blob of the first piece without another copy, if the storage can do that in one step.

        Only the bytes with the right sum become the blob: if they are replaced meanwhile, nothing happens.

        :raises KeyNotFound: another request has removed the upload.
        """
        if digest.algorithm != "sha256" or not isinstance(self._storage, Combining):
            return False
        piece = piece_key(upload.folder, 0)
        etag = self._storage.stat(piece).etag
        if self._sum_of(upload, etag) != digest.hex:
            return False
        try:
            self._storage.link_exactly(piece, layout.blob_key(digest.hex), etag)
        except KeyConflict:
            return self._blobs.stat(digest.hex) is not None
        return True

    def _sum_of(self, upload: Upload, etag: str) -> str | None:
        """Return the SHA-256 digits of the first piece; None if they are unknown.

        :param etag: of the piece, or of a link to it. A copy, and a link to a later piece, have others.
        """
        try:
            parsed: Any = parse_stored(self._storage.read(f"{upload.folder}/{_SUM}")[0])
        except KeyNotFound:
            return None
        if not isinstance(parsed, dict) or parsed.get("etag") != etag:
            return None
        found = parsed.get("sha256")
        return found if isinstance(found, str) else None

    def _store(self, upload: Upload, digest: Digest) -> str | None:
        """Store the bytes of an upload as a blob; return its SHA-256 digits, None if the digest is wrong.

        :raises KeyNotFound: another request has removed the upload.
        """
        if not upload.size:
            return self._blobs.put(b"").hex if digest.fits(b"") else None
        staged = f"{upload.folder}/{_WHOLE}/{secrets.token_hex(16)}"
        key, sums, known = f"{staged}/{layout.DATA}", _Sums(digest), None
        try:
            if upload.arrived.number > 1:
                self._storage.write(key, sums.added(self._pieces.joined(upload.folder, upload.size)))
            else:
                if self._has_linked(upload, digest):
                    return digest.hex
                stat = self._storage.link(piece_key(upload.folder, 0), key)
                known = self._sum_of(upload, stat.etag) if digest.algorithm == "sha256" else None
                if known is None:
                    with self._storage.open(key) as blob:
                        for _ in sums.added(blob):
                            pass
            fits = sums.fits if known is None else known == digest.hex
            if fits:
                self._blobs.publish(staged, known or sums.sha256)
        except BaseException:
            # the upload can be finished later, such as after the disk was full
            with cleanup(), suppress(StorageError):
                self._storage.delete_tree(staged)
            raise
        return (known or sums.sha256) if fits else None


class _Received:
    """The bytes of a body with their digest. A body that breaks off may end as if it were whole.

    :param is_hashed: whether the digest is needed.
    """

    def __init__(self, chunks: Iterable[bytes], *, is_hashed: bool):
        self._chunks = iter(chunks)
        self._is_hashed = is_hashed
        self._hash = hashlib.sha256()
        self.error: errors.BrokenUpload | None = None  #: why the body ended early

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
        if self._is_hashed:
            self._hash.update(chunk)
        return chunk

    def rest(self, is_partial_kept: bool) -> Iterator[bytes]:
        """Yield what comes.

        :param is_partial_kept: whether an error of the transfer ends it without an exception.
        """
        try:
            yield from self
        except errors.BrokenUpload as error:
            if not is_partial_kept:
                raise
            self.error = error

    @property
    def sha256(self) -> str:
        """The digest of what was read, in hex."""
        return self._hash.hexdigest()


class _Sums:
    """The digests of bytes that are read: SHA-256, and the algorithm that the client names."""

    def __init__(self, expected: Digest):
        self._expected = expected
        self._hashes = {name: hashlib.new(name) for name in {"sha256", expected.algorithm}}

    def added(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the chunks, and add them to the digests."""
        for chunk in chunks:
            for each in self._hashes.values():
                each.update(chunk)
            yield chunk

    @property
    def sha256(self) -> str:
        """The hex digits of the SHA-256 digest."""
        return self._hashes["sha256"].hexdigest()

    @property
    def fits(self) -> bool:
        """Whether the bytes have the expected digest."""
        return self._hashes[self._expected.algorithm].hexdigest() == self._expected.hex
