"""What is recorded of a request: bodies, sizes, times and the end, in process and on the live port."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import httpx
import pytest
import requests
from v1registry_fakes import FakeRegistry, RecordedRequest, WSGISession
from v1registry_fakes.recording.recorded_body import LARGEST_BYTES, MEMORY_BYTES
from webtest import TestApp

from v1registry.storage.base import CHUNK_BYTES

IMAGE_ID = "ab" * 32
LAYER_PATH = f"/v1/images/{IMAGE_ID}/layer"

Send = Callable[..., Any]


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture(params=["in process", "live", "httpx", "httpx's own transport"])
def send(request: pytest.FixtureRequest, fake: FakeRegistry) -> Iterator[Send]:
    """Sends a request: method, path, data and headers."""
    if request.param.startswith("httpx"):
        own = httpx.WSGITransport(app=fake.app)
        transport = fake.httpx_transport() if request.param == "httpx" else own
        with httpx.Client(transport=transport, base_url="http://v1registry.test") as client:
            yield lambda method, path, data=None, **options: client.request(
                method, path, content=data, **options
            )
    elif request.param == "live":
        with requests.Session() as session:
            yield lambda method, path, data=None, **options: session.request(
                method, fake.url + path, data=data, timeout=30, **options
            )
    else:
        with WSGISession(fake.app) as session:
            yield lambda method, path, data=None, **options: session.request(
                method, path, data=data, **options
            )


def push_json(send: Send) -> bytes:
    document = json.dumps({"id": IMAGE_ID}).encode()
    send("PUT", f"/v1/images/{IMAGE_ID}/json", document)
    return document


# -- bodies


def test_both_bodies_and_their_sizes_are_recorded(fake: FakeRegistry, send: Send) -> None:
    document = push_json(send)
    answer = send("GET", "/v1/_ping").content

    put, ping = (fake.wait_for_request(count=count) for count in (1, 2))
    assert (put.body, put.received_bytes, put.is_body_complete) == (document, len(document), True)
    assert put.json == {"id": IMAGE_ID}
    assert (ping.body, ping.received_bytes, ping.is_body_complete) == (b"", 0, True)
    assert (ping.response_body, ping.sent_bytes) == (answer, len(answer))


def test_a_chunked_body_is_recorded_whole(fake: FakeRegistry, send: Send) -> None:
    push_json(send)
    send("PUT", LAYER_PATH, iter([b"one ", b"two"]))

    put = fake.wait_for_request("PUT", "*/layer", status=200)
    assert (put.body, put.received_bytes, put.is_body_complete) == (b"one two", 7, True)
    assert put.announced_bytes is None


def test_an_answer_to_head_has_no_body(fake: FakeRegistry, send: Send) -> None:
    image = fake.add_image("alice/app", layer=b"x" * 100)
    answer = send("HEAD", f"/v1/images/{image.id}/layer")

    head = fake.wait_for_request("HEAD")
    assert (head.status, head.sent_bytes, head.response_body) == (200, 0, b"")
    assert answer.headers["Content-Length"] == "100"


@pytest.mark.parametrize("size", [MEMORY_BYTES, MEMORY_BYTES + 1, 1_000_000])
def test_large_bodies_are_recorded_whole(fake: FakeRegistry, send: Send, size: int) -> None:
    push_json(send)
    layer = bytes(range(250)) * (size // 250) + bytes(size % 250)
    send("PUT", LAYER_PATH, layer)
    fake.add_image("alice/large", layer=layer, id="cd" * 32)
    send("GET", f"/v1/images/{'cd' * 32}/layer")

    put, get = fake.wait_for_request("PUT", "*/layer"), fake.wait_for_request("GET")
    assert (put.body == layer, put.received_bytes, put.is_body_complete) == (True, size, True)
    assert (get.response_body == layer, get.sent_bytes) == (True, size)


def test_of_a_huge_body_the_beginning_is_recorded(fake: FakeRegistry, send: Send) -> None:
    push_json(send)
    layer = b"x" * (LARGEST_BYTES + 100)
    assert send("PUT", LAYER_PATH, layer).status_code == 200

    put = fake.wait_for_request("PUT", "*/layer")
    assert (len(put.body), put.received_bytes) == (LARGEST_BYTES, LARGEST_BYTES + 100)
    assert not put.is_body_complete
    with pytest.raises(ValueError, match="is incomplete: 16777216 bytes of it are kept"):
        _ = put.json


def test_a_body_that_is_not_json_is_rejected_by_json(fake: FakeRegistry, send: Send) -> None:
    push_json(send)
    send("PUT", LAYER_PATH, b"no JSON")
    with pytest.raises(ValueError, match="Expecting value"):
        _ = fake.wait_for_request("PUT", "*/layer").json


def test_bodies_of_requests_at_once_are_kept_apart(fake: FakeRegistry) -> None:
    layers = {f"{number:02}" * 32: bytes([number]) * 700_000 for number in range(1, 7)}

    def push(image_id: str, layer: bytes) -> None:
        url = f"{fake.url}/v1/images/{image_id}"
        requests.put(f"{url}/json", json.dumps({"id": image_id}), timeout=30)
        requests.put(f"{url}/layer", layer, timeout=30)

    threads = [threading.Thread(target=push, args=pair) for pair in layers.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for image_id, layer in layers.items():
        assert fake.wait_for_request("PUT", f"*/{image_id}/layer").body == layer
    assert [request.number for request in fake.requests] == list(range(1, 13))


# -- uploads that break, and bodies that nothing reads


def raw(fake: FakeRegistry, *parts: bytes) -> bytes:
    """Send bytes to the live port, end the connection's own half, and return what comes."""
    host, port = fake.host.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        for part in parts:
            connection.sendall(part)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while data := connection.recv(65536):
            answer += data
    return answer


def test_a_broken_upload_is_recorded_with_what_came(fake: FakeRegistry) -> None:
    fake.add_image(id=IMAGE_ID, is_complete=False)
    raw(fake, f"PUT {LAYER_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n".encode(), b"hello")

    put = fake.wait_for_request("PUT", "*/layer")
    assert (put.body, put.received_bytes, put.announced_bytes) == (b"hello", 5, 10)
    assert not put.is_body_complete
    assert "5 of 10 bytes received" in put.describe()


def test_a_broken_chunked_upload_is_incomplete(fake: FakeRegistry) -> None:
    fake.add_image(id=IMAGE_ID, is_complete=False)
    head = f"PUT {LAYER_PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw(fake, head.encode(), b"%x\r\n%s\r\n" % (CHUNK_BYTES + 5, b"x" * (CHUNK_BYTES + 5)))

    put = fake.wait_for_request("PUT", "*/layer")
    assert put.body == b"x" * CHUNK_BYTES
    assert not put.is_body_complete
    assert f"{CHUNK_BYTES} of an unknown number of bytes received" in put.describe()


def test_an_upload_whose_source_fails_is_recorded_in_process(fake: FakeRegistry) -> None:
    fake.add_image(id=IMAGE_ID, is_complete=False)

    def source() -> Iterator[bytes]:
        yield b"x" * (CHUNK_BYTES + 5)
        raise LookupError("the source has ended")

    with WSGISession(fake.app) as session, pytest.raises(LookupError, match="the source has ended"):
        session.put(LAYER_PATH, data=source())
    put = fake.wait_for_request("PUT", "*/layer")
    assert (put.body, put.is_body_complete, put.error) == (b"x" * CHUNK_BYTES, False, None)


def test_a_body_that_the_registry_does_not_read_is_incomplete() -> None:
    with FakeRegistry(auth="users:") as fake:
        head = f"PUT {LAYER_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
        answer = raw(fake, head.encode())

        put = fake.wait_for_request("PUT", "*/layer")
        assert b"HTTP/1.1 401" in answer
        assert (put.status, put.body, put.announced_bytes) == (401, b"", 9)
        assert not put.is_body_complete
        assert put.describe() == f"PUT {LAYER_PATH} 401 (0 of 9 bytes received)"


@pytest.mark.parametrize("length", ["many", "-1", "9" * 30])
def test_an_invalid_length_is_no_announcement(fake: FakeRegistry, length: str) -> None:
    environ = {"CONTENT_LENGTH": length}
    TestApp(fake.app, lint=False).request(LAYER_PATH, method="PUT", environ=environ, status=400)
    assert fake.requests[0].announced_bytes is None
    assert not fake.requests[0].is_body_complete


# -- keep-alive, running requests, times


def test_requests_of_one_connection_have_bodies_of_their_own(fake: FakeRegistry) -> None:
    request = f"PUT /v1/images/{IMAGE_ID}/json HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
    bodies = ['{"id": 1}', "second", ""]
    raw(fake, *[(request % (len(body), body)).encode() for body in bodies])

    fake.wait_for_request(count=3)
    assert [each.body.decode() for each in fake.requests] == bodies
    assert [each.is_body_complete for each in fake.requests] == [True, True, True]


def test_a_running_request_grows_and_is_not_finished(fake: FakeRegistry) -> None:
    fake.add_image(id=IMAGE_ID, is_complete=False)
    seen: list[tuple[bytes, bool, bool, str]] = []

    def source() -> Iterator[bytes]:
        yield b"x" * (CHUNK_BYTES + 5)
        running = fake.requests[0]
        seen.append(
            (running.body[:1], running.is_finished, running.duration_s < running.duration_s, str(running))
        )
        yield b"y"

    with WSGISession(fake.app) as session:
        session.put(LAYER_PATH, data=source())
    assert seen == [(b"x", False, True, f"PUT {LAYER_PATH} unanswered")]
    finished = fake.wait_for_request("PUT")
    assert finished.duration_s == finished.duration_s > 0


def test_the_start_is_told_by_the_clock_and_the_duration_is_real(fake: FakeRegistry) -> None:
    fake.clock.freeze()
    moment = datetime(2014, 5, 1, tzinfo=timezone.utc)
    fake.clock.set(moment)
    TestApp(fake.app).get("/v1/_ping")
    assert fake.requests[0].started_at == moment
    assert fake.requests[0].duration_s > 0


def test_an_answer_that_is_not_read_to_its_end_is_finished(fake: FakeRegistry) -> None:
    image = fake.add_image("alice/app", layer=b"x" * 1_000_000)
    with WSGISession(fake.app) as session:
        answer = session.get(f"/v1/images/{image.id}/layer", stream=True)
        assert not fake.requests[0].is_finished
        answer.raw.read(10)
        answer.close()
    assert fake.requests[0].is_finished
    assert 10 <= fake.requests[0].sent_bytes < 1_000_000


def test_a_request_is_finished_if_the_application_fails(fake: FakeRegistry) -> None:
    def fail(environ: Any, start_response: Any) -> Any:
        raise LookupError("in front of the registry")

    fake._recorder.application = fail
    with pytest.raises(LookupError, match="in front"):
        TestApp(fake.app).get("/v1/_ping")
    assert (fake.requests[0].is_finished, fake.requests[0].status) == (True, None)


def test_an_error_that_a_fault_caused_is_not_one_of_the_registry(fake: FakeRegistry) -> None:
    def cut(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        environ["v1registry_fakes.request"].fault = "cut"
        start_response("200 OK", [])
        yield b"some"
        raise ConnectionResetError("cut")

    fake._recorder.application = cut
    with pytest.raises(ConnectionResetError):
        TestApp(fake.app).get("/v1/_ping")
    assert (fake.requests[0].is_finished, fake.requests[0].error) == (True, None)
    fake.check()


# -- descriptions


def test_describe_has_user_sizes_and_duration() -> None:
    request = RecordedRequest("GET", "/x", "a=1", {}, user="alice", status=200, fault="delay of 2 s")
    request.request_body.add(b"x" * 5)
    request.announced_bytes = 5
    request.answer_body.add(b"x" * 1024)
    request._began_s -= 100
    assert request.describe() == (
        "GET /x?a=1 200 (user alice, 5 bytes received, 1024 bytes sent, 100.00 s, not finished, "
        "fault: delay of 2 s)"
    )
    assert request.finish()
    assert not request.finish()
    assert "not finished" not in request.describe()


def test_the_description_of_a_registry_has_users_and_sizes() -> None:
    with FakeRegistry(auth="users:") as fake:
        fake.add_user("alice", "correct horse")
        client = TestApp(fake.app)
        client.authorization = ("Basic", ("alice", "correct horse"))
        client.put("/v1/repositories/alice/app/", b"[]")
        assert fake.describe().splitlines()[:2] == [
            "asked: 1",
            "  PUT /v1/repositories/alice/app/ 200 (user alice, 2 bytes received)",
        ]
