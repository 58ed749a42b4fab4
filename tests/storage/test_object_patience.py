"""A request waits for a slow object store up to a bound in all, and not for each call alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import obstore
import pytest
from support.engine_client import make_image
from support.slow_objects import MOST_S, SlowStore, open_slowly
from support.wsgi_client import Client

from v1registry import Registry
from v1registry.storage import StorageUnavailable, patience
from v1registry.storage.objects import Groups, ObjectStorage
from v1registry.storage.objects.store import PART_BYTES
from v1registry.storage.objects.turns import Turn
from v1registry.storage.objects.urls import ObjectPlace, open_objects


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> tuple[ObjectStorage, SlowStore]:
    return open_slowly(monkeypatch)


@pytest.fixture
def slow(opened: tuple[ObjectStorage, SlowStore]) -> SlowStore:
    return opened[1]


@pytest.fixture
def storage(opened: tuple[ObjectStorage, SlowStore]) -> ObjectStorage:
    storage, slow = opened
    storage.write("images/a/json", b"{}")
    slow.calls = 0
    return storage


@contextmanager
def request_of(storage: ObjectStorage) -> Iterator[None]:
    """Begin a request as the application does."""
    with patience.request(), storage.moment():
        yield


def reads(storage: ObjectStorage) -> Iterator[bytes]:
    """Yield values for ever, each read by one call."""
    while True:
        for name in "ab":
            # a read of another group in between, so that the store is asked again
            storage.folder_version(f"images/{name}")
        yield storage.read("images/a/json")[0]


def test_request_that_waited_too_long_fails_with_the_next_call(storage: ObjectStorage, slow: SlowStore):
    slow.takes_s = 9.0
    with request_of(storage), pytest.raises(StorageUnavailable, match="waited too long"):
        for _ in reads(storage):
            assert slow.now_s < MOST_S + 9.0
    assert slow.calls == 3


def test_short_waits_do_not_count(storage: ObjectStorage, slow: SlowStore):
    slow.takes_s = 0.9
    with request_of(storage):
        for _ in zip(range(100), reads(storage), strict=False):
            pass
    assert slow.now_s > 2 * MOST_S


def test_commands_outside_of_requests_wait_for_ever(storage: ObjectStorage, slow: SlowStore):
    slow.takes_s = 9.0
    for _ in zip(range(10), reads(storage), strict=False):
        pass
    assert slow.now_s > 2 * MOST_S


def test_moments_of_commands_are_not_bounded(storage: ObjectStorage, slow: SlowStore):
    slow.takes_s = 9.0
    with storage.moment():
        for _ in zip(range(10), reads(storage), strict=False):
            pass
    assert slow.now_s > 2 * MOST_S


def test_next_request_begins_with_nothing_waited(storage: ObjectStorage, slow: SlowStore):
    slow.takes_s = 9.0
    for _ in range(4):
        with request_of(storage), request_of(storage):
            assert storage.read("images/a/json")[0] == b"{}"
            assert storage.stat("images/a/json").size == 2
    assert slow.now_s > MOST_S


def test_inner_moment_does_not_begin_a_request(storage: ObjectStorage, slow: SlowStore):
    slow.takes_s = 9.0
    with request_of(storage), pytest.raises(StorageUnavailable, match="waited too long"):
        while True:
            with storage.moment():
                next(reads(storage))
    assert slow.calls == 3


def test_publication_fails_before_its_next_step(storage: ObjectStorage, slow: SlowStore):
    storage.write("uploads/c/d/json", b"{}")
    storage.write("uploads/a/b/json", b"{}")
    slow.calls = 0
    with request_of(storage):
        storage.publish("uploads/c/d", "images/c")
    # the last call is the removal of the keys in the first folder
    slow.takes_s = MOST_S / (slow.calls - 1) + 0.1
    with request_of(storage), pytest.raises(StorageUnavailable, match="waited too long"):
        storage.publish("uploads/a/b", "images/b")
    slow.takes_s = 0.0
    # the step that decides was made
    assert storage.read("images/b/json")[0] == b"{}"
    assert storage.read("uploads/a/b/json")[0] == b"{}"


def test_parts_of_large_values_do_not_count(storage: ObjectStorage, slow: SlowStore):
    class SlowFile:
        def __init__(self, file: Any):
            self._file = file

        def write(self, data: bytes) -> None:
            slow.now_s += 9.0
            self._file.write(data)

        def close(self) -> None:
            self._file.close()

    slow.__dict__["open_writer"] = lambda *args, **options: SlowFile(obstore.open_writer(*args, **options))
    with request_of(storage):
        storage.write("images/c/layer", (b"x" * 100_000 for _ in range(10)))
        with storage.open("images/c/layer") as blob:
            assert len(blob.read()) == 1_000_000
    assert slow.now_s > 2 * MOST_S


def test_each_part_of_a_body_lets_the_request_wait_as_long_again(storage: ObjectStorage, slow: SlowStore):
    def body() -> Iterator[bytes]:
        for _ in range(10):
            yield b"x" * PART_BYTES
            slow.takes_s = 4.0
            # less than a request may wait in all
            for _ in zip(range(2), reads(storage), strict=False):
                pass
            slow.takes_s = 0.0

    with request_of(storage):
        storage.write("images/c/layer", body())
    assert storage.stat("images/c/layer").size == 10 * PART_BYTES
    assert slow.now_s > 6 * MOST_S


def test_piece_smaller_than_a_part_lets_the_request_wait_no_longer(storage: ObjectStorage, slow: SlowStore):
    def body() -> Iterator[bytes]:
        for read in reads(storage):
            yield b"x" * 100_000 + read

    slow.takes_s = 9.0
    with request_of(storage), pytest.raises(StorageUnavailable, match="waited too long"):
        storage.write("images/c/layer", body())
    # and the end of the transfer
    assert slow.now_s <= MOST_S + 2 * 9.0


def test_cleaning_up_has_one_small_budget_in_a_request(storage: ObjectStorage, slow: SlowStore):
    slow.takes_s = 4.0
    with request_of(storage):
        with pytest.raises(StorageUnavailable, match="waited too long"):
            for _ in reads(storage):
                pass
        worked_s = slow.now_s
        with patience.cleanup(), patience.cleanup():
            storage.delete("images/a/json")
        with patience.cleanup(), pytest.raises(StorageUnavailable, match="waited too long"):
            for number in range(10):
                storage.write(f"images/{number}/json", b"{}")
        assert slow.now_s - worked_s <= MOST_S / 2 + 4.0
        with pytest.raises(StorageUnavailable, match="waited too long"):
            storage.write("images/b/json", b"{}")


def test_cleaning_up_of_commands_is_not_bounded(storage: ObjectStorage, slow: SlowStore):
    slow.takes_s = 9.0
    with patience.cleanup():
        for _ in zip(range(10), reads(storage), strict=False):
            pass
    assert slow.now_s > 2 * MOST_S


def test_what_is_done_aside_ends_with_its_first_long_wait(storage: ObjectStorage, slow: SlowStore):
    slow.takes_s = 9.0
    with request_of(storage):
        for _ in range(10):
            before = slow.calls
            with patience.aside(), pytest.raises(StorageUnavailable, match="waited too long"):
                for _ in reads(storage):
                    pass
            assert slow.calls == before + 1
        # the request itself has not waited
        assert next(reads(storage)) == b"{}"


def test_reads_in_parallel_count(storage: ObjectStorage, slow: SlowStore):
    keys = [f"images/{number}/json" for number in range(200)]
    slow.takes_s = 9.0
    with request_of(storage), pytest.raises(StorageUnavailable, match="waited too long"):
        list(storage.read_many(keys))
    assert slow.calls < 100


def test_wait_for_another_change_counts(
    storage: ObjectStorage, slow: SlowStore, monkeypatch: pytest.MonkeyPatch
):
    real = Turn.taken

    def taken(turn: Turn, key: str, until_s: float | None = None) -> Any:
        slow.now_s += 0 if until_s is None else MOST_S + 1
        return real(turn, key, until_s)

    monkeypatch.setattr(Turn, "taken", taken)
    with request_of(storage), pytest.raises(StorageUnavailable, match="waited too long"):
        storage.write("images/a/json", b"[]")


def test_client_of_a_slow_store_gets_503(storage: ObjectStorage, slow: SlowStore):
    client = Client(Registry(storage))
    image = make_image(b"layer", name="slow store")
    slow.takes_s = 9.0
    answer = client.put_json(image)
    assert (answer.status_int, answer.headers["Retry-After"]) == (503, "10")
    # and what counted the JSON was removed
    assert slow.now_s <= MOST_S + 9.0 + MOST_S / 2 + 9.0
    slow.takes_s = 0.0
    client.push(image)


@pytest.mark.parametrize(("timeout_s", "most_s"), [(1, 25.0), (10, 25.0), (60, 150.0)])
def test_bound_grows_with_the_time_out_of_a_call(timeout_s: int, most_s: float):
    url = f"s3://bucket?endpoint=http://127.0.0.1:1&timeout={timeout_s}"
    assert ObjectPlace.from_url(url).timeout_s == timeout_s
    assert open_objects(url, groups=Groups())._committer.moments._most_s == most_s
