"""A request waits for a slow object store up to a bound in all, and not for each call anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import obstore
import pytest
from obstore.store import MemoryStore
from support.engine_client import make_image
from support.wsgi_client import Client

from v1registry import Registry
from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.storage import StorageUnavailable
from v1registry.storage.objects import Groups, ObjectStorage, patience
from v1registry.storage.objects.turns import Turn
from v1registry.storage.objects.urls import ObjectPlace, open_objects

#: How long a request waits in the storages of these tests, in seconds.
MOST_S = 25.0


class SlowStore:
    """The functions of obstore. Each call of a function takes a time of the clock of patience."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.takes_s = 0.0
        self.calls = 0

    def monotonic(self) -> float:
        return self.now_s

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            self.calls += 1
            self.now_s += self.takes_s
            return getattr(obstore, name)(*args, **options)

        return call


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> SlowStore:
    slow = SlowStore()
    monkeypatch.setattr(patience, "monotonic", slow.monotonic)
    return slow


@pytest.fixture
def storage(slow: SlowStore) -> ObjectStorage:
    storage = ObjectStorage(MemoryStore(), groups=Groups(KEY_GROUPS), deadline_s=MOST_S)
    storage.write("images/a/json", b"{}")
    storage._access._obstore = slow  # type: ignore[assignment]
    slow.calls = 0
    return storage


def reads(storage: ObjectStorage) -> Iterator[bytes]:
    """Yield values for ever, each read by one call."""
    while True:
        for name in "ab":
            # a read of another group in between, so that the store is asked again
            storage.folder_version(f"images/{name}")
        yield storage.read("images/a/json")[0]


def test_request_that_waited_too_long_fails_with_the_next_call(storage: ObjectStorage, slow: SlowStore):
    slow.takes_s = 9.0
    with storage.moment(), pytest.raises(StorageUnavailable, match="waited too long"):
        for _ in reads(storage):
            assert slow.now_s < MOST_S + 9.0
    assert slow.calls == 3


def test_short_waits_do_not_count(storage: ObjectStorage, slow: SlowStore):
    slow.takes_s = 0.9
    with storage.moment():
        for _ in zip(range(100), reads(storage), strict=False):
            pass
    assert slow.now_s > 2 * MOST_S


def test_commands_outside_of_requests_wait_for_ever(storage: ObjectStorage, slow: SlowStore):
    slow.takes_s = 9.0
    for _ in zip(range(10), reads(storage), strict=False):
        pass
    assert slow.now_s > 2 * MOST_S


def test_next_request_begins_with_nothing_waited(storage: ObjectStorage, slow: SlowStore):
    slow.takes_s = 9.0
    for _ in range(4):
        with storage.moment(), storage.moment():
            assert storage.read("images/a/json")[0] == b"{}"
            assert storage.stat("images/a/json").size == 2
    assert slow.now_s > MOST_S


def test_inner_moment_does_not_begin_a_request(storage: ObjectStorage, slow: SlowStore):
    slow.takes_s = 9.0
    with storage.moment(), pytest.raises(StorageUnavailable, match="waited too long"):
        while True:
            with storage.moment():
                next(reads(storage))
    assert slow.calls == 3


def test_publication_fails_before_its_next_step(storage: ObjectStorage, slow: SlowStore):
    storage.write("uploads/c/d/json", b"{}")
    storage.write("uploads/a/b/json", b"{}")
    slow.calls = 0
    with storage.moment():
        storage.publish("uploads/c/d", "images/c")
    # the last call is the removal of the keys in the first folder
    slow.takes_s = MOST_S / (slow.calls - 1) + 0.1
    with storage.moment(), pytest.raises(StorageUnavailable, match="waited too long"):
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
    with storage.moment():
        storage.write("images/c/layer", (b"x" * 100_000 for _ in range(10)))
        with storage.open("images/c/layer") as blob:
            assert len(blob.read()) == 1_000_000
    assert slow.now_s > 2 * MOST_S


def test_reads_in_parallel_count(storage: ObjectStorage, slow: SlowStore):
    keys = [f"images/{number}/json" for number in range(200)]
    slow.takes_s = 9.0
    with storage.moment(), pytest.raises(StorageUnavailable, match="waited too long"):
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
    with storage.moment(), pytest.raises(StorageUnavailable, match="waited too long"):
        storage.write("images/a/json", b"[]")


def test_client_of_a_slow_store_gets_503(storage: ObjectStorage, slow: SlowStore):
    client = Client(Registry(storage))
    image = make_image(b"layer", name="slow store")
    slow.takes_s = 9.0
    answer = client.put_json(image)
    assert (answer.status_int, answer.headers["Retry-After"]) == (503, "10")
    assert slow.now_s <= MOST_S + 9.0
    slow.takes_s = 0.0
    client.push(image)


@pytest.mark.parametrize(("timeout_s", "most_s"), [(1, 25.0), (10, 25.0), (60, 150.0)])
def test_bound_grows_with_the_time_out_of_a_call(timeout_s: int, most_s: float):
    url = f"s3://bucket?endpoint=http://127.0.0.1:1&timeout={timeout_s}"
    assert ObjectPlace.from_url(url).timeout_s == timeout_s
    assert open_objects(url, groups=Groups())._committer.moments._most_s == most_s
