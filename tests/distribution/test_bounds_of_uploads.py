"""Bounds of unfinished uploads, and what each part of an upload costs (DST-005, 009, 029, 034)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clock import Clock
from support.faulty_storage import FaultyStorage
from support.v2_client import V2Client, digest_of

from v1registry import FileStorage, MemoryStorage, Registry, errors
from v1registry.distribution.blobs import Blobs
from v1registry.distribution.pieces import piece_key
from v1registry.distribution.places import Place
from v1registry.distribution.upload_bounds import UploadLimits
from v1registry.distribution.uploads import OutOfOrder, Upload, Uploads
from v1registry.names import Digest, RepositoryName
from v1registry.storage.base import Stat, Storage

PLACE = Place(RepositoryName("team", "app"), "", is_open=True)
OTHER = Place(RepositoryName("team", "other"), "", is_open=True)
FIRST, SECOND = "0" * 32, "1" * 32
#: One repository may have less than two users.
LIMITS = UploadLimits(
    user_bytes=2 << 20, user_uploads=3, repository_bytes=3 << 20, repository_uploads=4, total_bytes=5 << 20
)


class CountingStorage(FaultyStorage):
    """Counts what listings yield too."""

    def __init__(self, storage: Storage):
        super().__init__(storage)
        self.listed = 0

    def list(self, prefix: str, *, after: str = "") -> Iterator[Stat]:
        for stat in super().list(prefix, after=after):
            self.listed += 1
            yield stat

    @property
    def cost(self) -> int:
        return self.count() + self.listed


@pytest.fixture(params=["memory", "folder"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> CountingStorage:
    inner = MemoryStorage() if request.param == "memory" else FileStorage(str(tmp_path), durable=False)
    return CountingStorage(inner)


@pytest.fixture
def uploads(storage: Storage) -> Uploads:
    return Uploads(storage, Blobs(storage), LIMITS)


def of_parts(uploads: Uploads, number: int) -> Upload:
    upload = uploads.begin(PLACE, FIRST)
    for _ in range(number):
        upload = uploads.append(upload, [b"part"])
    return upload


def keys(storage: Storage) -> list[str]:
    return [stat.key for stat in storage.list("uploads/")]


def filled(uploads: Uploads, size: int, owner: str = FIRST, place: Place = PLACE) -> Upload:
    return uploads.append(uploads.begin(place, owner), [bytes(size)])


# -- the bounds of a repository


def test_DST_009_number_of_uploads_to_a_repository_is_bounded(uploads: Uploads) -> None:
    begun = [uploads.begin(PLACE, owner) for owner in (FIRST, FIRST, SECOND, SECOND)]
    with pytest.raises(errors.RepositoryUploadsExceeded):
        uploads.begin(PLACE, SECOND)
    assert uploads.begin(OTHER, SECOND).size == 0
    uploads.cancel(begun[0])
    assert uploads.begin(PLACE, FIRST).size == 0


def test_refused_upload_does_not_count_for_its_user(uploads: Uploads) -> None:
    for owner in (FIRST, FIRST, SECOND, SECOND):
        uploads.begin(PLACE, owner)
    for _ in range(3):
        with pytest.raises(errors.RepositoryUploadsExceeded):
            uploads.begin(PLACE, "2" * 32)
    for _ in range(3):
        uploads.begin(OTHER, "2" * 32)
    with pytest.raises(errors.TooManyUnfinishedPushes):
        uploads.begin(OTHER, "2" * 32)


@pytest.mark.parametrize("announced", [None, 1_600_000])
def test_DST_009_bytes_of_uploads_to_a_repository_are_bounded(
    uploads: Uploads, storage: Storage, announced: int | None
) -> None:
    filled(uploads, 1_600_000, FIRST)
    second = uploads.begin(PLACE, SECOND)
    with pytest.raises(errors.RepositoryBytesExceeded):
        uploads.append(second, [bytes(800_000)] * 2, announced=announced)
    assert uploads.find(PLACE, second.id).size == 0
    assert uploads.append(second, [bytes(1_000_000)]).size == 1_000_000
    assert filled(uploads, 500_000, SECOND, OTHER).size == 500_000


def test_uploads_of_all_users_are_bounded_on_an_open_server(uploads: Uploads) -> None:
    for number in range(3):
        place = Place(RepositoryName("team", f"app{number}"), "", is_open=True)
        filled(uploads, 1_500_000, f"{number:032}", place)
    with pytest.raises(errors.UnfinishedTotalExceeded):
        filled(uploads, 1_500_000, "9" * 32, OTHER)


@pytest.mark.parametrize("is_finished", [True, False])
def test_DST_009_ended_upload_counts_for_no_repository(
    uploads: Uploads, storage: Storage, is_finished: bool
) -> None:
    for _ in range(6):
        upload = filled(uploads, 1_000_000)
        if is_finished:
            uploads.finish(upload, PLACE, Digest.of(bytes(1_000_000)))
        else:
            uploads.cancel(upload)
    assert keys(storage) == []


def test_DST_009_abandoned_uploads_to_a_repository_give_way_after_a_day(storage: Storage) -> None:
    clock = Clock(time.time())
    uploads = Uploads(storage, Blobs(storage), LIMITS, clock=clock)
    for owner in (FIRST, FIRST, SECOND, SECOND):
        filled(uploads, 500_000, owner)
    clock.now_s += 86_300
    with pytest.raises(errors.RepositoryUploadsExceeded):
        uploads.begin(PLACE, "2" * 32)
    clock.now_s += 200
    upload = uploads.begin(PLACE, "2" * 32)
    assert any(upload.id in key for key in keys(storage))
    # each request removes a few of the expired ones, beginning with a random one
    for _ in range(40):
        clock.now_s += 11
        uploads.cancel(uploads.begin(OTHER, "3" * 32))
    assert all(upload.id in key for key in keys(storage))


@pytest.mark.parametrize(
    ("settings", "sizes"),
    [({"max_repository_uploads": "2"}, (1, 1)), ({"max_repository_unfinished_bytes": "4K"}, (2000, 2500))],
)
def test_DST_034_exceeded_bound_of_a_repository_is_429(
    settings: dict[str, str], sizes: tuple[int, int]
) -> None:
    client = V2Client(Registry(storage=MemoryStorage(), **settings))  # type: ignore[arg-type]

    def begin(name: str) -> str:
        answer = client.ask("POST", f"/v2/{name}/blobs/uploads/")
        return answer.header("Location") or f"{answer.status} {answer.body.decode()}"

    first, second = begin("team/app"), begin("team/app")
    assert client.ask("PATCH", first, bytes(sizes[0])).status == 202
    last = client.ask("PATCH", second, bytes(sizes[1]))
    if last.status == 202:
        last = client.ask("POST", "/v2/team/app/blobs/uploads/")
    assert last.status == 429
    assert json.loads(last.body)["errors"][0]["code"] == "TOOMANYREQUESTS"
    assert last.header("Retry-After") == "3600"
    assert begin("team/other").startswith("/v2/team/other/blobs/uploads/")
    assert client.ask("DELETE", first).status == 204
    assert begin("team/app").startswith("/v2/team/app/blobs/uploads/")


@pytest.mark.parametrize("late_bytes", [1000, 999])
def test_DST_029_refused_part_leaves_the_stored_one_counted(
    uploads: Uploads, storage: Storage, late_bytes: int
) -> None:
    upload = uploads.begin(PLACE, FIRST)
    uploads.append(upload, [bytes(1000)])
    with pytest.raises(OutOfOrder):
        uploads.append(upload, [bytes(late_bytes)])
    assert sum(key.endswith("/arrived.1000") for key in keys(storage)) == 2
    uploads.cancel(upload)
    assert keys(storage) == []


# -- what a part costs


def test_DST_005_cost_of_a_part_does_not_grow_with_the_parts_before(
    uploads: Uploads, storage: CountingStorage
) -> None:
    upload_id, costs = uploads.begin(PLACE, FIRST).id, []
    for number in range(150):
        before = storage.cost
        upload = uploads.append(uploads.find(PLACE, upload_id), [b"x"])
        costs.append(storage.cost - before)
        assert upload.size == number + 1
    assert max(costs[100:]) <= max(costs[10:60]) < 50
    assert sum(costs[100:150]) <= sum(costs[50:100]) + 5


def test_part_of_an_upload_costs_few_writes(uploads: Uploads, storage: CountingStorage) -> None:
    upload = uploads.begin(PLACE, FIRST)
    upload = uploads.append(upload, [b"x"])
    before = storage.count("write", "delete")
    for _ in range(100):
        upload = uploads.append(uploads.find(PLACE, upload.id), [b"x"])
    # of the piece, and of two counters which replace others; and now and then of the end
    assert storage.count("write", "delete") - before <= 100 * 5 + 10


def test_DST_005_cost_of_the_offset_does_not_grow_with_the_parts(
    uploads: Uploads, storage: CountingStorage
) -> None:
    upload = uploads.begin(PLACE, FIRST)
    for _ in range(50):
        upload = uploads.append(upload, [b"x"])
    before = storage.cost
    assert uploads.find(PLACE, upload.id).size == 50
    assert storage.cost - before < 12


def test_DST_005_parts_are_joined_in_their_order(uploads: Uploads, storage: Storage) -> None:
    upload = uploads.begin(PLACE, FIRST)
    parts = [bytes([number]) * (number + 1) for number in range(40)]
    for part in parts:
        upload = uploads.append(uploads.find(PLACE, upload.id), [part])
    data = b"".join(parts)
    sha256 = uploads.finish(uploads.find(PLACE, upload.id), PLACE, Digest.of(data))
    assert Blobs(storage).read(sha256) == data


@pytest.mark.parametrize("value", [None, b"", b"[]", b'{"start": 99, "number": 3}', b'{"start": 1}', b"\xff"])
def test_DST_008_lost_or_damaged_end_is_found_again(
    uploads: Uploads, storage: Storage, value: bytes | None
) -> None:
    upload = of_parts(uploads, 20)
    storage.delete(f"{upload.folder}/end")
    if value is not None:
        storage.write(f"{upload.folder}/end", value)
    found = uploads.find(PLACE, upload.id)
    assert (found.size, found.arrived.number) == (80, 20)
    assert uploads.append(found, [b"more"]).size == 84
    again = uploads.find(PLACE, upload.id)
    assert (again.size, again.arrived.number, again.arrived.end_number) == (84, 21, 21)


def test_DST_008_part_counts_although_its_end_cannot_be_written(
    uploads: Uploads, storage: CountingStorage
) -> None:
    upload = of_parts(uploads, 15)
    storage.fail("write", key="*/end")
    assert uploads.append(upload, [b"more"]).size == 64
    storage.heal()
    assert any(key.endswith("/arrived.64") for key in keys(storage))
    assert uploads.append(uploads.find(PLACE, upload.id), [b"last"]).arrived.end_number == 17


def test_DST_008_part_of_a_process_that_is_killed_after_it_counts(
    uploads: Uploads, storage: CountingStorage
) -> None:
    upload = of_parts(uploads, 15)
    storage.fail("write", key="*/end", error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        uploads.append(upload, [b"more"])
    storage.heal()
    found = uploads.find(PLACE, upload.id)
    assert (found.size, found.arrived.number) == (64, 16)
    assert uploads.append(found, [b"last"]).size == 68


def test_DST_029_late_writer_of_the_end_does_not_set_it_back(
    uploads: Uploads, storage: CountingStorage
) -> None:
    upload = of_parts(uploads, 15)

    def go_on() -> None:
        uploads.append(uploads.find(PLACE, upload.id), [b"next"])

    storage.before(go_on, "write", key="*/end")
    uploads.append(upload, [b"late"])
    found = uploads.find(PLACE, upload.id)
    assert (found.size, found.arrived.number, found.arrived.end_number) == (68, 17, 17)


def test_DST_029_part_of_an_upload_that_ended_counts_for_no_later_part(
    uploads: Uploads, storage: Storage
) -> None:
    upload = uploads.append(uploads.begin(PLACE, FIRST), [b"part"])
    storage.write(piece_key(upload.folder, 9), b"left over")
    assert uploads.find(PLACE, upload.id).size == 4
    assert digest_of(b"part") == f"sha256:{uploads.finish(upload, PLACE, Digest.of(b'part'))}"
