"""Uploads that others disturb: requests at the same time, broken bodies, limits (DST-005, 006, 009, 029)."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clock import Clock

from v1registry import FileStorage, MemoryStorage, errors
from v1registry.distribution import uploads as uploads_module
from v1registry.distribution.blobs import Blobs
from v1registry.distribution.pieces import piece_key
from v1registry.distribution.places import Place
from v1registry.distribution.upload_bounds import UploadLimits
from v1registry.distribution.uploads import OutOfOrder, Uploads
from v1registry.names import Digest, RepositoryName
from v1registry.registry.expiry import Expiry
from v1registry.storage.base import Storage

PLACE = Place(RepositoryName("team", "app"), "", is_open=True)
OWNER = "0" * 32
LIMITS = UploadLimits(1 << 20, 5, 2 << 20, 8)
MINE, THEIRS = b"mine" * 1000, b"evil" * 1000


@pytest.fixture(params=["memory", "folder"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return MemoryStorage() if request.param == "memory" else FileStorage(str(tmp_path), durable=False)


@pytest.fixture
def blobs(storage: Storage) -> Blobs:
    return Blobs(storage)


@pytest.fixture
def uploads(storage: Storage, blobs: Blobs) -> Uploads:
    return Uploads(storage, blobs, LIMITS)


def keys(storage: Storage) -> list[str]:
    return [stat.key for stat in storage.list("")]


def test_DST_029_slower_of_two_requests_at_one_offset_is_refused(uploads: Uploads, blobs: Blobs) -> None:
    upload = uploads.begin(PLACE, OWNER)

    def slow() -> Iterator[bytes]:
        yield THEIRS
        uploads.append(upload, [MINE])
        yield THEIRS

    with pytest.raises(OutOfOrder):
        uploads.append(upload, slow())
    sha256 = uploads.finish(uploads.find(PLACE, upload.id), PLACE, Digest.of(MINE))
    assert blobs.read(sha256) == MINE


def test_DST_029_bytes_that_replace_a_piece_get_no_digest_of_it(
    uploads: Uploads, storage: Storage, blobs: Blobs
) -> None:
    begun = uploads.begin(PLACE, OWNER)
    known = uploads.append(begun, [MINE])
    piece, total = piece_key(known.folder, 0), f"{known.folder}/sum"
    of_mine = storage.read(total)[0]
    # as if the upload was removed, and a slow request wrote its bytes afterwards
    storage.delete(piece)
    storage.write(piece, THEIRS)
    assert storage.read(total)[0] == of_mine
    with pytest.raises(errors.DigestMismatch):
        uploads.finish(known, PLACE, Digest.of(MINE))
    assert blobs.stat(Digest.of(MINE).hex) is None


def test_DST_009_bytes_that_arrive_after_the_end_of_an_upload_are_removed(
    uploads: Uploads, storage: Storage
) -> None:
    upload = uploads.begin(PLACE, OWNER)

    def slow() -> Iterator[bytes]:
        yield MINE
        uploads.cancel(upload)
        yield MINE

    with pytest.raises(errors.UploadUnknown):
        uploads.append(upload, slow())
    assert keys(storage) == []


def test_DST_009_abandoned_upload_ends_after_a_day(storage: Storage, blobs: Blobs) -> None:
    clock = Clock(time.time())
    uploads = Uploads(storage, blobs, LIMITS, clock=clock)
    upload = uploads.append(uploads.begin(PLACE, OWNER), [MINE])
    clock.now_s += 86_300
    assert uploads.find(PLACE, upload.id).size == len(MINE)
    clock.now_s += 200
    with pytest.raises(errors.UploadUnknown):
        uploads.find(PLACE, upload.id)
    assert keys(storage) == []


def test_DST_009_abandoned_uploads_are_removed_when_others_begin(storage: Storage, blobs: Blobs) -> None:
    clock = Clock(time.time())
    uploads = Uploads(storage, blobs, LIMITS, clock=clock)
    abandoned = uploads.append(uploads.begin(PLACE, OWNER), [MINE])
    clock.now_s += 90_000
    other = uploads.begin(PLACE, OWNER)
    assert not any(abandoned.id in key for key in keys(storage))
    assert any(other.id in key for key in keys(storage))


def test_DST_009_abandoned_upload_of_many_pieces_is_removed(
    uploads: Uploads, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("v1registry.registry.expiry._MOST_KEYS", 3)
    upload = uploads.begin(PLACE, OWNER)
    for _ in range(5):
        upload = uploads.append(upload, [b"piece"])
    expiry = Expiry(storage, clock=Clock(storage.stat(f"{upload.folder}/info").modified.timestamp() + 90_000))
    expiry.expire_any(upload.id)
    assert keys(storage) == []


@pytest.mark.parametrize("is_partial_kept", [True, False])
def test_DST_005_broken_body_is_kept_only_if_asked(uploads: Uploads, is_partial_kept: bool) -> None:
    upload = uploads.append(uploads.begin(PLACE, OWNER), [b"start"])

    def broken() -> Iterator[bytes]:
        yield MINE
        raise errors.BrokenUpload(received_bytes=len(MINE))

    with pytest.raises(errors.BrokenUpload):
        uploads.append(upload, broken(), is_partial_kept=is_partial_kept)
    found = uploads.find(PLACE, upload.id)
    assert found.size == len(b"start") + (len(MINE) if is_partial_kept else 0)


def test_number_of_pieces_is_bounded(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads_module, "MOST_PIECES", 3)
    upload = uploads.begin(PLACE, OWNER)
    for _ in range(3):
        upload = uploads.append(upload, [b"x"])
    with pytest.raises(errors.TooManyPieces):
        uploads.append(upload, [b"x"])


def test_bytes_and_number_of_uploads_of_one_owner_are_bounded(uploads: Uploads, storage: Storage) -> None:
    begun = [uploads.begin(PLACE, OWNER) for _ in range(5)]
    with pytest.raises(errors.TooManyUnfinishedPushes):
        uploads.begin(PLACE, OWNER)
    assert uploads.begin(PLACE, "1" * 32).size == 0
    for _ in range(2):
        begun[0] = uploads.append(begun[0], [bytes(400_000)])
    with pytest.raises(errors.TooManyUnfinishedBytes):
        uploads.append(begun[1], [bytes(400_000)])
    assert uploads.find(PLACE, begun[1].id).size == 0
    uploads.cancel(begun[0])
    assert uploads.append(begun[1], [bytes(400_000)]).size == 400_000


def test_bytes_that_arrived_are_counted_by_one_key(uploads: Uploads, storage: Storage) -> None:
    upload = uploads.begin(PLACE, OWNER)
    for _ in range(20):
        upload = uploads.append(upload, [b"piece"])
    counters = [key.rpartition("/")[2] for key in keys(storage) if key.startswith("uploads/_bytes/")]
    assert [counter for counter in counters if not counter.startswith("info.")] == ["arrived.100"]


@pytest.mark.parametrize("number_of_pieces", [0, 1, 3])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_finished_upload_leaves_the_blob_alone(
    uploads: Uploads, storage: Storage, blobs: Blobs, number_of_pieces: int, algorithm: str
) -> None:
    upload, data = uploads.begin(PLACE, OWNER), MINE * number_of_pieces
    for _ in range(number_of_pieces):
        upload = uploads.append(upload, [MINE])
    digest = Digest(algorithm, hashlib.new(algorithm, data).hexdigest())
    sha256 = uploads.finish(upload, PLACE, digest)
    assert sha256 == hashlib.sha256(data).hexdigest()
    assert blobs.contains(PLACE, digest) == sha256
    assert blobs.read(sha256) == data
    assert [key for key in keys(storage) if key.startswith("uploads/")] == []
    with pytest.raises(errors.UploadUnknown):
        uploads.find(PLACE, upload.id)


def test_upload_is_finished_once(uploads: Uploads) -> None:
    upload = uploads.append(uploads.begin(PLACE, OWNER), [MINE])
    uploads.finish(upload, PLACE, Digest.of(MINE))
    with pytest.raises(errors.UploadUnknown):
        uploads.finish(upload, PLACE, Digest.of(MINE))
