"""How many requests may wait for values on their way from the origin (DST-043)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.mirrored import MirrorOf, blobs_of, large
from v1registry_fakes import FakeRegistry

from v1registry.errors import ImageBusy, OriginUnavailable
from v1registry.mirror import service
from v1registry.mirror.fetches import Fetch, FetchedBlob
from v1registry.mirror.readers import Readers, Reading

DATA = b"0123456789"


@pytest.fixture
def fetch() -> Iterator[Fetch]:
    """A fetch that has begun, and has brought all bytes; it has not ended."""
    fetch = Fetch()
    fetch.begin(len(DATA))
    assert b"".join(fetch.received(iter([DATA]))) == DATA
    yield fetch
    fetch.release()


def joined(readers: Readers, client: str, fetch: Fetch) -> Reading:
    fetch.hold()
    reading = readers.read(client, lambda: fetch)
    assert reading is not None
    return reading


def test_requests_beyond_the_bounds_are_busy(fetch: Fetch) -> None:
    readers = Readers(3, 2)
    first, second = joined(readers, "a", fetch), joined(readers, "a", fetch)
    with pytest.raises(ImageBusy):
        readers.read("a", lambda: fetch)
    third = joined(readers, "b", fetch)
    with pytest.raises(ImageBusy):
        readers.read("c", lambda: fetch)
    for reading in (first, second, third):
        reading.release()
    joined(readers, "c", fetch).release()


def test_unknown_clients_share_the_bound_of_all(fetch: Fetch) -> None:
    readers = Readers(3, 1)
    readings = [joined(readers, "", fetch) for _ in range(3)]
    with pytest.raises(ImageBusy):
        readers.read("", lambda: fetch)
    for reading in readings:
        reading.release()


def test_request_without_a_fetch_does_not_count(fetch: Fetch) -> None:
    def fail() -> Fetch | None:
        raise OriginUnavailable("it is down")

    readers = Readers(1, 1)
    assert readers.read("a", lambda: None) is None
    with pytest.raises(OriginUnavailable):
        readers.read("a", fail)
    joined(readers, "a", fetch).release()


def test_reader_counts_until_its_blob_is_closed(fetch: Fetch) -> None:
    readers = Readers(1, 1)
    reading = joined(readers, "a", fetch)
    reading.hold()
    blob = FetchedBlob(reading, "key", 0, 10)
    reading.release()
    assert blob.read(4) == DATA[:4]
    with pytest.raises(ImageBusy):
        readers.read("b", lambda: fetch)
    blob.close()
    joined(readers, "b", fetch).release()


def test_reader_of_a_stored_value_does_not_count(fetch: Fetch) -> None:
    readers = Readers(1, 1)
    reading = joined(readers, "a", fetch)
    fetch.hold()
    fetch.end(None)
    with FetchedBlob(reading, "key", 0, 10) as blob:
        assert blob.read(4) == DATA[:4]
        joined(readers, "b", fetch).release()
        assert blob.read() == DATA[4:]
    joined(readers, "c", fetch).release()


def test_pulls_of_many_requests_leave_no_reader_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_MOST_READING", 1)
    with FakeRegistry() as origin:
        image = origin.add_image("alice/app:1.0", api="v2", layer=large(1))
        mirror = MirrorOf(origin)
        for _ in range(3):
            assert mirror.pull("alice/app", "1.0") == blobs_of(origin, image)


def test_requests_beyond_the_bound_are_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_MOST_READING", 0)
    with FakeRegistry() as origin:
        image = origin.add_image("alice/app:1.0", api="v2")
        answer = MirrorOf(origin).blob("alice/app", next(iter(blobs_of(origin, image))))
    assert (answer.status, answer.header("Retry-After")) == (503, "10")
