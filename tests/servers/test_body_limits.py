"""Time limits, rates and numbers of bodies under ``serve``."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from support.crowds import crowd_in_bodies, ping
from support.engine_client import Image, as_chunks, make_image, random_layer
from support.programs import eventually
from support.raw_connection import RawConnection, request_bytes
from support.wsgi_servers import GUNICORN, SERVE, RunningServer, ServerKind

LAYER = random_layer(1_000_000, "limits")

#: The server answers it when it waits for the body.
CONTINUE = {"Expect": "100-continue"}

Start = Callable[..., RunningServer]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Start]:
    """Start one server: ``started(kind, setting="value")``."""
    running: list[RunningServer] = []

    def start(kind: ServerKind, **settings: str) -> RunningServer:
        variables = {f"V1REGISTRY_{name.upper()}": value for name, value in settings.items()}
        running.append(kind.start(tmp_path / "server", tmp_path / "registry", settings=variables))
        return running[-1]

    yield start
    for server in running:
        server.program.end()


def announced(server: RunningServer, name: str) -> Image:
    """Begin the push of an image."""
    image = make_image(LAYER, name=name)
    client = server.client()
    client.announce(f"limits/{name}", [image.image_id])
    assert client.put_json(image)
    return image


def half_sent(server: RunningServer, image: Image, *, number: int = 1) -> RawConnection:
    """Send half of a layer, and return when the server writes so many of them."""
    connection = RawConnection(server.program.connect())
    path = f"/v1/images/{image.image_id}/layer"
    connection.send("PUT", path, {"Content-Length": str(len(LAYER))}, LAYER[: len(LAYER) // 2])
    eventually(
        lambda: sum(file.stat().st_size > 0 for file in server.unfinished() if file.is_file()) >= number,
        "the layer is written",
    )
    return connection


@pytest.mark.parametrize("kind", [SERVE, GUNICORN], ids=lambda kind: kind.name)
def test_silent_upload_is_given_up_and_its_file_removed(started: Start, kind: ServerKind) -> None:
    server = started(kind, upload_silence_s="1")
    image = announced(server, "silent")

    with half_sent(server, image) as connection:
        eventually(lambda: server.unfinished() == [], "the temporary file is removed")
        with contextlib.suppress(EOFError):  # the connection may be closed without an answer
            assert connection.read_answer("PUT").status == 400
        assert server.client().get(f"/v1/images/{image.image_id}/layer").status == 400
    server.client().push("limits/silent", [image])


def test_upload_below_the_least_rate_is_given_up(started: Start) -> None:
    server = started(SERVE, upload_silence_s="1", upload_least_rate="100000")
    image = announced(server, "slow")

    with half_sent(server, image) as connection:
        began_s = time.monotonic()
        connection.socket.settimeout(0.2)
        while True:  # never silent
            assert time.monotonic() < began_s + 60, "the upload is given up"
            try:
                connection.socket.sendall(b"x" * 10)
                status = connection.read_answer("PUT").status
            except TimeoutError:
                continue
            break
    assert status == 400
    assert server.unfinished() == []


def test_bodies_beyond_the_bound_are_503_and_not_waited_for(started: Start) -> None:
    server = started(SERVE, max_bodies="2", upload_silence_s="60")
    images = [announced(server, f"one-{number}") for number in range(3)]

    with (
        half_sent(server, images[0]),
        half_sent(server, images[1], number=2),
        RawConnection(server.program.connect()) as third,
    ):
        third.send("PUT", f"/v1/images/{images[2].image_id}/layer", {"Content-Length": str(len(LAYER))}, b"x")
        answer = third.read_answer("PUT")
        assert third.rest() == b""
    assert (answer.status, answer.headers["retry-after"]) == (503, "10")
    assert answer.headers["connection"] == "close"
    eventually(lambda: server.unfinished() == [], "the first two are given up")
    server.client().push("limits/one-2", [images[2]])


def test_one_user_leaves_room_for_others(started: Start) -> None:
    server = started(SERVE, auth="users:", max_bodies="3", max_client_bodies="2", upload_silence_s="60")
    basic = {}
    for name in ("mira", "robert"):
        account = {"username": name, "password": "correct-horse-9", "email": f"{name}@example.org"}
        registration = {"Content-Type": "application/json"}
        body = json.dumps(account).encode()
        sent = request_bytes("POST", "/v1/users/", registration | {"Content-Length": str(len(body))}, body)
        assert status_of(server, "POST", sent) == 201
        basic[name] = f"Basic {base64.b64encode(f'{name}:correct-horse-9'.encode()).decode()}"

    def announcement(name: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
        sent = {"Authorization": basic[name], "Transfer-Encoding": "chunked", **headers}
        return request_bytes("PUT", f"/v1/repositories/{name}/app/", sent, body)

    with crowd_in_bodies(server.program, 2, announcement("mira", CONTINUE)):
        for name, status in (("mira", 503), ("robert", 200)):
            assert status_of(server, "PUT", announcement(name, {}, b"2\r\n[]\r\n0\r\n\r\n")) == status


def test_anonymous_bodies_leave_room_for_those_with_credentials(started: Start) -> None:
    server = started(SERVE, auth="users:", max_bodies="3", max_anonymous_bodies="2", body_timeout_s="60")
    account = b'{"username": "mira", "password": "correct-horse-9", "email": "mira@example.org"}'
    basic = {"Authorization": f"Basic {base64.b64encode(b'mira:correct-horse-9').decode()}"}

    def status(method: str, path: str, body: bytes, headers: Mapping[str, str]) -> int:
        with RawConnection(server.program.connect()) as connection:
            sent = {"Transfer-Encoding": "chunked", "Content-Type": "application/json", **headers}
            connection.send(method, path, sent, b"".join(as_chunks([body])) + b"0\r\n\r\n")
            return connection.read_answer(method).status

    assert status("POST", "/v1/users/", account, {}) == 201
    head = request_bytes("POST", "/v1/users/", {"Transfer-Encoding": "chunked", **CONTINUE})
    with crowd_in_bodies(server.program, 2, head):
        assert status("POST", "/v1/users/", b"{}", {}) == 503
        assert status("PUT", "/v1/repositories/mira/app/", b"[]", basic) == 200
        assert ping(server.program) == 200


def test_small_bodies_that_are_here_need_no_room(started: Start) -> None:
    server = started(SERVE, auth="users:", max_bodies="2", max_anonymous_bodies="1", body_timeout_s="60")
    account = b'{"username": "mira", "password": "correct-horse-9", "email": "mira@example.org"}'
    headers = {"Content-Type": "application/json"}
    chunked = headers | {"Transfer-Encoding": "chunked"}

    with (
        crowd_in_bodies(server.program, 1, request_bytes("POST", "/v1/users/", chunked | CONTINUE)),
        RawConnection(server.program.connect()) as connection,
    ):
        assert status_of(server, "POST", request_bytes("POST", "/v1/users/", chunked, b"5\r\n{")) == 503
        connection.send("POST", "/v1/users/", headers | {"Content-Length": str(len(account))}, account)
        assert connection.read_answer("POST").status == 201


def status_of(server: RunningServer, method: str, sent: bytes) -> int:
    """Return the status of the answer to a request that is given as bytes."""
    with RawConnection(server.program.connect()) as connection:
        connection.socket.sendall(sent)
        return connection.read_answer(method).status


def test_small_body_that_does_not_come_is_408(started: Start) -> None:
    server = started(SERVE, body_timeout_s="1")
    with RawConnection(server.program.connect()) as connection:
        connection.send("PUT", "/v1/repositories/a/b/", {"Content-Length": "50"}, b"[")
        answer = connection.read_answer("PUT")
        assert connection.rest() == b""
    assert answer.status == 408


@pytest.mark.parametrize("size", [100, 10_000_000])
def test_answer_to_a_rejected_body_that_does_not_come_is_sent_soon(started: Start, size: int) -> None:
    server = started(SERVE, auth="users:", refused_timeout_s="2")
    with RawConnection(server.program.connect()) as connection:
        connection.send(
            "PUT", f"/v1/images/{'a' * 64}/layer", {"Content-Length": str(size), "Expect": "100-continue"}
        )
        answer = connection.read_answer("PUT")
        assert connection.rest() == b""
    assert answer.status in (401, 404)
    assert answer.headers["connection"] == "close"


def test_rejected_body_that_goes_on_is_cut(started: Start) -> None:
    server = started(SERVE, auth="users:")
    sent = 0
    with RawConnection(server.program.connect()) as connection:
        connection.send("PUT", f"/v1/images/{'a' * 64}/layer", {"Content-Length": str(1 << 40)})
        try:
            while sent < 1 << 30:
                sent += connection.socket.send(b"x" * 65536)
        except ConnectionError:
            pass
    assert sent < 1 << 30


def test_100_continue_is_sent_when_the_body_is_wanted(started: Start) -> None:
    server = started(SERVE)
    image = announced(server, "expected")
    with RawConnection(server.program.connect()) as connection:
        expecting = {"Content-Length": str(len(LAYER)), "Expect": "100-continue"}
        connection.send("PUT", f"/v1/images/{image.image_id}/layer", expecting)
        interim = b""
        while not interim.endswith(b"\r\n\r\n"):
            interim += connection.socket.recv(1)
        assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.socket.sendall(LAYER)
        assert connection.read_answer("PUT").status == 200
