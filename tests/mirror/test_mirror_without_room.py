"""A mirror whose temporary files or threads fail: nothing stays occupied."""

from __future__ import annotations

import errno
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.mirrored import MirrorOf, blobs_of, whole_of
from v1registry_fakes import FakeRegistry

from v1registry.errors import ImageBusy
from v1registry.mirror.fetches import Fetch, Fetches
from v1registry.storage.base import StorageFull


class FullFile:
    """A temporary file on a disk that takes a few bytes."""

    def __init__(self, **options: Any) -> None:
        assert options["buffering"] == 0  # else closing would write again, and fail again
        self.is_closed = False
        self._left = 3

    def write(self, data: memoryview) -> int:
        if not self._left:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = min(self._left, len(data))
        self._left -= count
        return count

    def close(self) -> None:
        self.is_closed = True


def refused(**options: Any) -> Any:
    raise OSError(errno.EMFILE, "Too many open files")


@pytest.fixture
def origin() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


def test_no_temporary_file_is_503_and_occupies_no_fetch(
    origin: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = origin.add_image("alice/app:1.0", api="v2")
    mirror = MirrorOf(origin, mirror_fetches=1, mirror_wait_s=5)
    digest, data = list(blobs_of(origin, image).items())[1]
    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "TemporaryFile", refused)
        assert [mirror.blob("alice/app", digest).status for _ in range(3)] == [503, 503, 503]
    assert mirror.blob("alice/app", digest).body == data


def test_no_thread_is_busy_and_occupies_no_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    fetches = Fetches(1, wait_s=0.1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(ImageBusy):
            fetches.join("key", lambda: False, lambda fetch: None)
    found = fetches.join("key", lambda: False, lambda fetch: fetch.begin(0))
    assert found is not None
    assert found.wait_for_end(20)
    found.raise_error()
    found.release()


def test_full_temporary_file_ends_the_fetch_as_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", FullFile)
    fetches = Fetches(1, wait_s=5)

    def work(fetch: Fetch) -> None:
        fetch.begin(None)
        b"".join(fetch.received(iter([b"0123456789"])))

    for _ in range(2):
        found = fetches.join("key", lambda: False, work)
        assert found is not None
        assert found.wait_for_end(20)
        with pytest.raises(StorageFull):
            found.raise_error()
        found.release()


def test_blob_without_room_is_refused_or_cut_and_fetched_later(
    origin: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = origin.add_image("alice/app:1.0", api="v2")
    mirror = MirrorOf(origin, mirror_fetches=1, mirror_wait_s=5)
    digest, data = list(blobs_of(origin, image).items())[1]
    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "TemporaryFile", FullFile)
        assert whole_of(lambda: mirror.blob("alice/app", digest)) is None
    assert mirror.blob("alice/app", digest).body == data
