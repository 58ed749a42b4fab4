"""Unfinished uploads of blobs (distribution.md 1 and 5).

    uploads/<upload id>/<owner>-<upload id>/info                 the repository, and its incarnation
    uploads/<upload id>/<owner>-<upload id>/pieces/<offset>/data  what one request sent
    uploads/<upload id>/<owner>-<upload id>/sums/<offset>        the digest of a piece

Each request writes a piece of its own. The first to finish at an offset decides, so that two writers never
mix their bytes, and a dead one holds nothing. The offset of an upload is where its pieces end. Nothing is in
the process: uploads survive a restart, and another process can go on with them.

Uploads lie beside the pushes of v1, and expire and count like them. The ids of uploads have 32 digits, those
of images 16 or 64.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from .. import errors
from ..names import Digest
from ..registry.expiry import Expiry, push_folder
from ..registry.layout import UPLOADS, parse_stored, stored_name
from ..registry.quotas import Quotas
from ..rights import PushKey
from ..storage.base import ABSENT, KeyConflict, KeyNotFound, Storage
from . import layout
from .blobs import Blobs
from .places import Place

#: How many requests may send pieces of one upload.
MOST_PIECES: Final = 10_000

_ID: Final = re.compile(r"[0-9a-f]{32}")
_INFO, _PIECES, _SUMS, _WHOLE = "info", "pieces", "sums", "whole"

#: How many digits an offset has in a key: enough for all sizes.
_DIGITS: Final = 20


@dataclass(frozen=True)
class Piece:
    """What one request sent."""

    start: int  #: offset of its first byte in the blob
    size: int  #: bytes


@dataclass(frozen=True)
class Upload:
    """An unfinished upload as it was read."""

    id: str
    key: PushKey
    pieces: tuple[Piece, ...] = ()

    @property
    def folder(self) -> str:
        """The folder of the upload."""
        return push_folder(self.id, self.key.owner, self.key.name)

    @property
    def size(self) -> int:
        """How many bytes were received: the offset at which the upload goes on."""
        return self.pieces[-1].start + self.pieces[-1].size if self.pieces else 0

    def piece_folder(self, start: int) -> str:
        """Return the folder of the piece at an offset."""
        return f"{self.folder}/{_PIECES}/{start:0{_DIGITS}d}"


class OutOfOrder(Exception):
    """The piece does not begin where the upload goes on. Nothing of it is kept."""


class Uploads:
    """The unfinished uploads of one storage. Safe for threads and processes.

    :param most_bytes: of the unfinished uploads and pushes of one user.
    :param most_uploads: how many unfinished uploads and pushes one user may have.
    """

    def __init__(self, storage: Storage, blobs: Blobs, *, most_bytes: int, most_uploads: int):
        self._storage = storage
        self._blobs = blobs
        self._expiry = Expiry(storage)
        self._quotas = Quotas(storage, self._expiry, most_bytes=most_bytes, most_pushes=most_uploads)

    def begin(self, place: Place, owner: str) -> Upload:
        """Begin an upload.

        :param owner: whose bytes it counts to, see :attr:`v1registry.rights.PushKey.owner`.
        :raises TooManyUnfinishedBytes: the owner has too many bytes.
        :raises TooManyUnfinishedPushes: the owner has too many uploads.
        """
        self._expiry.tidy()
        upload_id = secrets.token_hex(16)
        upload = Upload(upload_id, PushKey(upload_id, owner))
        info = {"repository": stored_name(place.repository), "incarnation": place.incarnation}
        value = json.dumps(info).encode("ascii")
        self._quotas.begin(upload.id, upload.key, _INFO, len(value), is_first=True)
        self._storage.write(f"{upload.folder}/{_INFO}", value)
        return upload

    def find(self, place: Place, upload_id: str) -> Upload:
        """Return an upload to a repository.

        :raises UploadUnknown: there is none with this id, it is to another repository, or it is expired.
        """
        if not _ID.fullmatch(upload_id):
            raise errors.UploadUnknown(upload_id=upload_id[:80])
        self._expiry.expire(upload_id)
        folder = f"{UPLOADS}/{upload_id}/"
        owner = next(iter(self._storage.list_folders(folder.rstrip("/"))), "").partition("-")[0]
        upload = Upload(upload_id, PushKey(upload_id, owner))
        if not owner or not self._is_of(upload, place):
            raise errors.UploadUnknown(upload_id=upload_id)
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
        :raises TooManyUnfinishedBytes: the owner has too many bytes.
        """
        offset = upload.size
        if start is not None and start != offset:
            raise OutOfOrder
        if len(upload.pieces) >= MOST_PIECES:
            raise errors.TooManyPieces(MOST_PIECES)
        received = _Received(chunks)
        first = next(received, b"")
        if not first:
            return upload
        reservation = self._quotas.reserve(upload.id, upload.key, f"{offset:0{_DIGITS}d}")
        body = reservation.counted(chain((first,), received.rest(is_partial_kept)), 0, announced)
        try:
            stat = self._storage.write(f"{upload.piece_folder(offset)}/{layout.DATA}", body, expect=ABSENT)
        except KeyConflict:
            reservation.release()
            raise OutOfOrder from None
        except BaseException:
            reservation.release()
            raise
        reservation.settle(stat.size)
        piece = Piece(offset, stat.size)
        self._write_sum(upload, piece, received.sha256)
        if received.error is not None:
            raise received.error
        return Upload(upload.id, upload.key, (*upload.pieces, piece))

    def finish(self, upload: Upload, place: Place, digest: Digest) -> str:
        """Make a blob of an upload, which the repository then contains; return its SHA-256 digits.

        :raises DigestMismatch: the bytes have a different digest. The upload is removed.
        :raises UploadUnknown: another request has finished or removed it.
        """
        try:
            sha256 = self._store(upload, digest)
        except KeyNotFound:
            raise errors.UploadUnknown(upload_id=upload.id) from None
        if sha256 is None:
            self.cancel(upload)
            raise errors.DigestMismatch(detail={"digest": str(digest)})
        self._blobs.point(digest, sha256)
        self._blobs.mark(place, sha256)
        self.cancel(upload)
        return sha256

    def cancel(self, upload: Upload) -> None:
        """Remove an upload."""
        self._storage.delete_tree(upload.folder)
        self._quotas.end(upload.id, upload.key)

    # -- inside

    def _is_of(self, upload: Upload, place: Place) -> bool:
        try:
            info: Any = parse_stored(self._storage.read(f"{upload.folder}/{_INFO}")[0])
        except KeyNotFound:
            return False
        return (
            isinstance(info, dict)
            and info.get("repository") == stored_name(place.repository)
            and place.counts(info.get("incarnation"))
        )

    def _with_pieces(self, upload: Upload) -> Upload:
        pieces: list[Piece] = []
        end = 0
        for stat in self._storage.list(f"{upload.folder}/{_PIECES}/"):
            start = int(stat.key.split("/")[-2])
            if start != end:
                break  # the first piece became a blob, and the process was killed before the rest was removed
            pieces.append(Piece(start, stat.size))
            end += stat.size
        return Upload(upload.id, upload.key, tuple(pieces))

    def _write_sum(self, upload: Upload, piece: Piece, sha256: str) -> None:
        value = json.dumps({"size": piece.size, "sha256": sha256}).encode("ascii")
        self._storage.write(f"{upload.folder}/{_SUMS}/{piece.start:0{_DIGITS}d}", value)

    def _sum_of(self, upload: Upload, piece: Piece) -> str | None:
        """Return the SHA-256 digits of a piece; None if the process was killed before they were stored."""
        key = f"{upload.folder}/{_SUMS}/{piece.start:0{_DIGITS}d}"
        try:
            parsed: Any = parse_stored(self._storage.read(key)[0])
        except KeyNotFound:
            return None
        if isinstance(parsed, dict) and parsed.get("size") == piece.size:
            found = parsed.get("sha256")
            return found if isinstance(found, str) else None
        return None

    def _store(self, upload: Upload, digest: Digest) -> str | None:
        """Store the bytes of an upload as a blob; return its SHA-256 digits, None if the digest is wrong.

        :raises KeyNotFound: another request has removed the upload.
        """
        if not upload.pieces:
            sha256 = Digest.of(b"").hex
            if digest.hex != hashlib.new(digest.algorithm, b"").hexdigest():
                return None
            self._blobs.put(b"")
            return sha256
        if len(upload.pieces) > 1:
            staged, sums = f"{upload.folder}/{_WHOLE}", _Sums(digest)
            self._storage.write(f"{staged}/{layout.DATA}", self._joined(upload, sums))
        else:
            piece = upload.pieces[0]
            staged, known = upload.piece_folder(piece.start), self._sum_of(upload, piece)
            if known is not None and digest.algorithm == "sha256":
                if known != digest.hex:
                    return None
                self._blobs.publish(staged, known)
                return known
            sums = _Sums(digest)
            for _ in self._joined(upload, sums):
                pass
        if not sums.fits:
            return None
        self._blobs.publish(staged, sums.sha256)
        return sums.sha256

    def _joined(self, upload: Upload, sums: _Sums) -> Iterator[bytes]:
        for piece in upload.pieces:
            with self._storage.open(f"{upload.piece_folder(piece.start)}/{layout.DATA}") as blob:
                for data in blob:
                    sums.update(data)
                    yield data


class _Received:
    """The bytes of a body with their digest. A body that breaks off may end as if it were whole."""

    def __init__(self, chunks: Iterable[bytes]):
        self._chunks = iter(chunks)
        self._hash = hashlib.sha256()
        self.error: errors.BrokenUpload | None = None  #: why the body ended early

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
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

    def update(self, data: bytes) -> None:
        for each in self._hashes.values():
            each.update(data)

    @property
    def sha256(self) -> str:
        return self._hashes["sha256"].hexdigest()

    @property
    def fits(self) -> bool:
        """Whether the bytes have the expected digest."""
        return self._hashes[self._expected.algorithm].hexdigest() == self._expected.hex
