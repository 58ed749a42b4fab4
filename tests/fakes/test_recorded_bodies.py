"""Where recorded bodies are: in memory, in one temporary file, or nowhere; and the input that is watched."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from v1registry_fakes import FakeRegistry, RecordedRequest, WSGISession
from v1registry_fakes.recording.recorded_body import MEMORY_BYTES, RecordedBody, Spool, WatchedInput
from webtest import TestApp

IMAGE_ID = "ab" * 32
LAYER_PATH = f"/v1/images/{IMAGE_ID}/layer"


# -- the temporary file


def spooled(fake: FakeRegistry) -> RecordedRequest:
    image = fake.add_image(layer=b"x" * (MEMORY_BYTES + 1))
    TestApp(fake.app).get(f"/v1/images/{image.id}/layer")
    return fake.requests[-1]


@pytest.mark.parametrize("end", ["clear", "reset", "close"])
def test_the_file_of_large_bodies_is_closed(end: str) -> None:
    with FakeRegistry() as fake:
        request = spooled(fake)
        small = fake.requests
        TestApp(fake.app).get("/v1/_ping")
        ping = fake.requests[-1]
        {"clear": fake.requests.clear, "reset": fake.reset, "close": fake.close}[end]()
        with pytest.raises(ValueError, match="read bodies of more than 256 KiB before"):
            _ = request.response_body
        assert ping.response_body == b"{}"
        assert small is fake.requests


def test_large_bodies_are_recorded_after_a_clear() -> None:
    with FakeRegistry() as fake:
        spooled(fake)
        fake.requests.clear()
        assert len(spooled(fake).response_body) == MEMORY_BYTES + 1


def test_a_registry_that_is_never_closed_leaves_no_open_file() -> None:
    fake = FakeRegistry()
    assert spooled(fake).response_body
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        del fake
        gc.collect()
    assert warned == []


def test_a_request_that_runs_during_close_ends_well() -> None:
    fake = FakeRegistry()
    fake.add_image(id=IMAGE_ID, is_complete=False)

    def source() -> Iterator[bytes]:
        yield b"x" * 300_000
        fake.close()
        yield b"y" * 300_000

    with WSGISession(fake.app) as session:
        assert session.put(LAYER_PATH, data=source()).status_code == 200
    assert fake.requests[0].received_bytes == 600_000
    assert not fake.requests[0].is_body_complete


def test_small_bodies_go_to_the_file_if_the_memory_of_a_log_is_used() -> None:
    spool = Spool()
    assert spool.take_memory(64 << 20)
    body = RecordedBody(spool)
    body.add(b"small")
    body.add(b" body")
    assert body.read() == b"small body"
    spool.close()
    with pytest.raises(ValueError, match="temporary file"):
        body.read()


def test_a_full_disk_ends_the_record_and_not_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("v1registry_fakes.recording.recorded_body.TemporaryFile", full)
    body = RecordedBody(Spool())
    body.add(b"x" * 100)
    body.add(b"x" * MEMORY_BYTES)
    body.add(b"x")
    assert (body.size, body.is_whole, body.read()) == (MEMORY_BYTES + 101, False, b"x" * 100)


def test_the_log_forgets_the_oldest_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("v1registry_fakes.recording.request_log._MOST_REQUESTS", 10)
    monkeypatch.setattr("v1registry_fakes.recording.request_log._FORGOTTEN", 4)
    with FakeRegistry() as fake:
        for _ in range(11):
            TestApp(fake.app).get("/v1/_ping")
        assert [request.number for request in fake.requests] == [5, 6, 7, 8, 9, 10, 11]


# -- the input


class Lines:
    """A body of three lines."""

    def __init__(self) -> None:
        self.file = BytesIO(b"one\ntwo\nthree")
        self.body = RecordedBody()
        self.input = WatchedInput(self.file, self.body)


@pytest.mark.parametrize(
    "read",
    [
        lambda file: file.read(),
        lambda file: file.read(None),
        lambda file: [file.read(5), file.read(100), file.read(1)],
        lambda file: [file.readline(), file.readline(2), file.readlines()],
        lambda file: [file.readlines(1), file.readlines(100), file.readlines(1)],
        list,
    ],
)
def test_every_way_to_read_is_recorded_to_the_end(read: Callable[[Any], Any]) -> None:
    lines = Lines()
    read(lines.input)
    assert (lines.body.read(), lines.body.has_ended) == (b"one\ntwo\nthree", True)


def test_reading_nothing_is_not_the_end() -> None:
    lines = Lines()
    assert (lines.input.read(0), lines.input.readline(0)) == (b"", b"")
    assert lines.input.read(100) == b"one\ntwo\nthree"
    assert not lines.body.has_ended


def test_other_members_are_those_of_the_servers_input() -> None:
    lines = Lines()
    lines.input.seek(4)
    assert lines.input.read() == b"two\nthree"
