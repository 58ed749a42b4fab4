"""Values on their way from an origin: who reads what, and when."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from v1registry.errors import ImageBusy, OriginInvalid
from v1registry.mirror.fetches import Fetch, FetchedBlob, Fetches, fetch_all
from v1registry.storage.base import StorageUnavailable

DATA = b"0123456789"


class Work:
    """Fetches :data:`DATA` in two halves: the second one, and the end, when a test lets it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.half, self.end = threading.Event(), threading.Event()
        self.stored = b""
        self.runs = 0
        self._error = error

    def __call__(self, fetch: Fetch) -> None:
        self.runs += 1
        fetch.begin(len(DATA))

        def chunks() -> Iterator[bytes]:
            yield DATA[:5]
            assert self.half.wait(20)
            yield DATA[5:]

        received = b"".join(fetch.received(chunks()))
        assert self.end.wait(20)
        if self._error is not None:
            raise self._error
        self.stored = received

    @property
    def is_stored(self) -> bool:
        return self.stored != b""

    def finish(self) -> None:
        self.half.set()
        self.end.set()


@pytest.fixture
def join() -> Iterator[Callable[[Work], Fetch]]:
    """Join the fetch of a work; all fetches are released at the end."""
    fetches, joined, works = Fetches(2, wait_s=0.1), [], set()

    def join(work: Work) -> Fetch:
        works.add(work)
        fetch = fetches.join(work, lambda: work.is_stored, work)
        assert fetch is not None
        joined.append(fetch)
        assert fetch.wait_for_begin(20)
        return fetch

    yield join
    for work in works:
        work.finish()
    for fetch in joined:
        fetch.wait_for_end(20)
        fetch.release()


def read_up_to(fetch: Fetch, stop: int) -> bytes:
    """Return the bytes before a position; how many come at once depends on the fetching thread."""
    found = b""
    while len(found) < stop:
        found += fetch.read(len(found), 10)
    return found


def test_readers_get_what_has_come(join: Callable[[Work], Fetch]) -> None:
    work = Work()
    fetch = join(work)
    assert fetch.read(0, 10) == DATA[:5]
    assert fetch.read(2, 4) == DATA[2:4]
    assert not work.is_stored


def test_last_byte_comes_when_the_value_is_stored(join: Callable[[Work], Fetch]) -> None:
    work = Work()
    fetch = join(work)
    work.half.set()
    assert read_up_to(fetch, 9) == DATA[:9]
    work.end.set()
    assert fetch.read(9, 10) == DATA[9:]
    assert work.stored == DATA


def test_last_byte_of_a_wrong_value_never_comes(join: Callable[[Work], Fetch]) -> None:
    work = Work(OriginInvalid())
    fetch = join(work)
    work.half.set()
    assert read_up_to(fetch, 9) == DATA[:9]
    work.end.set()
    with pytest.raises(StorageUnavailable):
        fetch.read(9, 10)
    with pytest.raises(OriginInvalid):
        fetch.raise_error()


def test_second_reader_joins_the_first_fetch(join: Callable[[Work], Fetch]) -> None:
    work = Work()
    assert join(work) is join(work)
    assert work.runs == 1


def test_reader_that_leaves_does_not_end_the_fetch() -> None:
    fetches, work = Fetches(1, wait_s=0.1), Work()
    fetch = fetches.join("key", lambda: False, work)
    assert fetch is not None
    assert fetch.wait_for_begin(20)
    blob = FetchedBlob(fetch, "key", 0, 10)
    assert blob.read(3) == DATA[:3]
    fetch.hold()
    blob.close()
    work.finish()
    assert fetch.wait_for_end(20)
    fetch.release()
    assert work.stored == DATA


def test_blob_reads_a_range(join: Callable[[Work], Fetch]) -> None:
    work = Work()
    fetch = join(work)
    work.finish()
    fetch.hold()
    with FetchedBlob(fetch, "key", 3, 8) as blob:
        assert (blob.stat.size, blob.start, blob.stop) == (10, 3, 8)
        assert blob.read() == DATA[3:8]
        assert blob.read() == b""
    with pytest.raises(ValueError, match="closed"):
        blob.read(1)


def test_stored_value_needs_no_fetch() -> None:
    assert Fetches(1, wait_s=0.1).join("key", lambda: True, Work()) is None


def test_too_many_fetches_are_refused(join: Callable[[Work], Fetch]) -> None:
    join(Work())
    join(Work())
    with pytest.raises(ImageBusy):
        join(Work())


def test_failed_fetch_is_tried_again(join: Callable[[Work], Fetch]) -> None:
    work = Work(OriginInvalid())
    fetch = join(work)
    work.finish()
    assert fetch.wait_for_end(20)
    assert join(work) is not fetch


def test_all_values_are_fetched_or_the_first_failure_is_raised() -> None:
    fetches, works = Fetches(8, wait_s=5), [Work() for _ in range(7)]
    for work in works:
        work.finish()
    fetch_all(lambda work: fetches.join(work, lambda: work.is_stored, work), works)
    assert all(work.is_stored for work in works)
    broken = Work(OriginInvalid())
    broken.finish()
    with pytest.raises(OriginInvalid):
        fetch_all(lambda work: fetches.join(work, lambda: False, work), [broken])
