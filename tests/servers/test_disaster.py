"""Aborted requests, invalid bodies, killed servers: unfinished data is not served, finished data is kept."""

from __future__ import annotations

import random
import signal
import socket
import struct
import threading
from collections.abc import Callable
from functools import partial
from http.client import HTTPException
from pathlib import Path

import pytest
from support.engine_client import (
    EngineClient,
    Image,
    UnexpectedAnswer,
    as_chunks,
    in_pieces,
    make_image,
    random_layer,
)
from support.programs import Program, eventually
from support.raw_connection import RawConnection
from support.wsgi_servers import CHEROOT, GRANIAN, GUNICORN, SERVE, UWSGI, RunningServer, ServerKind

#: More than a storage gathers before it writes.
LAYER_BYTES = 1_000_000

STREAMING = [SERVE, GRANIAN, GUNICORN, CHEROOT, UWSGI]


def new_image(name: str) -> Image:
    return make_image(random_layer(LAYER_BYTES, name), name=name)


def announced(server: RunningServer, repository: str, image: Image) -> str:
    """Begin the push of ``image``, without credentials; return the path of its layer."""
    client = server.client()
    client.announce(repository, [image.image_id])
    assert client.put_json(image)
    return f"/v1/images/{image.image_id}/layer"


def half_sent(server: RunningServer, path: str, image: Image, *, chunked: bool) -> RawConnection:
    """Send the first half of a layer; return when the server is at work on it, where that can be seen."""
    half = image.layer[: len(image.layer) // 2]
    connection = RawConnection(server.program.connect())
    if chunked:
        connection.send("PUT", path, {"Transfer-Encoding": "chunked"}, b"".join(as_chunks(in_pieces(half))))
    else:
        connection.send("PUT", path, {"Content-Length": str(len(image.layer))}, half)
    if server.kind.streams_uploads:
        eventually(
            lambda: any(file.stat().st_size for file in server.unfinished() if file.is_file()),
            "the layer is being written",
        )
    return connection


def check_nothing_shows(server: RunningServer, repository: str, image: Image) -> None:
    client = server.client()
    for what in ("json", "layer", "ancestry", "files"):
        answer = client.get(f"/v1/images/{image.image_id}/{what}")
        assert (answer.status, answer.error) == (400, "Image is being uploaded, retry later"), what
    assert client.get(f"/v1/repositories/{repository}/tags").json() == {}


def check_push_succeeds(server: RunningServer, repository: str, image: Image) -> None:
    client = server.client()
    client.push(repository, [image])
    assert client.pull(repository) == [image]


def check_nothing_is_left(server: RunningServer) -> None:
    """Check that no temporary file is left; a server that is alive removes what it did not finish."""
    eventually(lambda: server.unfinished() == [], "nothing unfinished is left in the storage")


def misplaced(server: RunningServer) -> list[Path]:
    """Return the temporary files outside ``uploads/``, whose files are removed when they are a day old."""
    uploads = server.storage / "uploads"
    return [path for path in server.unfinished() if uploads not in path.parents]


def answer_or_nothing(connection: RawConnection) -> int | None:
    """Return the status of the answer, None where the server closed the connection without one."""
    try:
        return connection.read_answer("PUT").status
    except (EOFError, ConnectionError):
        return None


@pytest.mark.parametrize("ending", ["closed", "reset"])
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with_length"])
def test_REG_014_a_client_that_goes_away_leaves_nothing(
    server: RunningServer, chunked: bool, ending: str
) -> None:
    repository = f"cut/{ending}-{chunked}".lower()
    image = new_image(repository)
    path = announced(server, repository, image)
    with half_sent(server, path, image, chunked=chunked) as connection:
        if ending == "reset":
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    check_nothing_shows(server, repository, image)
    check_push_succeeds(server, repository, image)
    check_nothing_is_left(server)


def test_REG_014_a_body_shorter_than_its_length_is_refused(server: RunningServer) -> None:
    image = new_image("short")
    path = announced(server, "cut/short", image)
    with half_sent(server, path, image, chunked=False) as connection:
        connection.socket.shutdown(socket.SHUT_WR)
        assert answer_or_nothing(connection) in (400, None)
    check_nothing_shows(server, "cut/short", image)
    check_push_succeeds(server, "cut/short", image)
    check_nothing_is_left(server)


def test_chunked_body_without_last_chunk_becomes_no_image(
    server: RunningServer,
) -> None:
    image = new_image("unended")
    path = announced(server, "cut/unended", image)
    with half_sent(server, path, image, chunked=True) as connection:
        connection.socket.shutdown(socket.SHUT_WR)
        # granian ends such a body as it ends a whole one: the answer proves nothing, the sum decides
        answer_or_nothing(connection)
    check_nothing_shows(server, "cut/unended", image)
    with pytest.raises(UnexpectedAnswer) as refused:
        server.client().put_checksum(image)
    assert refused.value.status == 400
    check_nothing_shows(server, "cut/unended", image)
    check_push_succeeds(server, "cut/unended", image)
    check_nothing_is_left(server)


def test_body_beyond_its_length_is_cut_and_its_checksum_is_400(server: RunningServer) -> None:
    image = new_image("long")
    path = announced(server, "cut/long", image)
    with RawConnection(server.program.connect()) as connection:
        shorter = {"Content-Length": str(len(image.layer) - 1000), "Connection": "close"}
        connection.send("PUT", path, shorter, image.layer)
        assert answer_or_nothing(connection) in (200, 400, None)
    with pytest.raises(UnexpectedAnswer) as refused:
        server.client().put_checksum(image)
    assert refused.value.status == 400
    check_nothing_shows(server, "cut/long", image)
    check_push_succeeds(server, "cut/long", image)
    check_nothing_is_left(server)


@pytest.mark.parametrize(
    "framing", [b"zz\r\nno hex\r\n0\r\n\r\n", b"3\r\nlonger\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n"]
)
def test_a_body_in_broken_chunks_never_becomes_an_image(server: RunningServer, framing: bytes) -> None:
    name = f"framing-{framing[:2].hex()}"
    image = new_image(name)
    path = announced(server, f"cut/{name}", image)
    with RawConnection(server.program.connect()) as connection:
        good = b"".join(as_chunks(in_pieces(image.layer)))
        connection.send("PUT", path, {"Transfer-Encoding": "chunked"}, good + framing)
        answer_or_nothing(connection)
    check_nothing_shows(server, f"cut/{name}", image)
    check_push_succeeds(server, f"cut/{name}", image)
    check_nothing_is_left(server)


def test_REG_015_016_wrong_checksum_is_400_and_a_right_one_completes(
    server: RunningServer,
) -> None:
    image = new_image("lie")
    announced(server, "cut/lie", image)
    client = server.client()
    client.put_layer(image)
    lie = {"X-Docker-Checksum-Payload": "sha256:" + "0" * 64}
    answer = client.request("PUT", f"/v1/images/{image.image_id}/checksum", b"", lie)
    assert (answer.status, answer.error) == (400, "Checksum mismatch")
    check_nothing_shows(server, "cut/lie", image)
    client.put_checksum(image)
    assert client.pull_image(image.image_id) == image


@pytest.mark.parametrize("kind", STREAMING, ids=lambda kind: kind.name)
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with_length"])
def test_layer_of_a_killed_server_is_invisible_and_repeatable(
    start: Callable[..., RunningServer], kind: ServerKind, chunked: bool
) -> None:
    server = start(kind)
    before, image = new_image("before"), new_image("killed")
    server.client().push("killed/before", [before])
    path = announced(server, "killed/image", image)
    with half_sent(server, path, image, chunked=chunked):
        server.program.kill()
    assert server.unfinished() != [], "the kill came in the middle"
    server = start(kind)
    assert server.client().pull("killed/before") == [before]
    check_nothing_shows(server, "killed/image", image)
    check_push_succeeds(server, "killed/image", image)
    assert misplaced(server) == []


class Pusher(threading.Thread):
    """Pushes image after image until the server is gone, and keeps account of what was acknowledged."""

    def __init__(self, server: RunningServer, images: list[Image], stop_at: int):
        super().__init__()
        self._client = server.client()
        self._images = images
        self._stop_at = stop_at
        self.reached = threading.Event()  #: set when ``stop_at`` requests were made
        self.acknowledged: list[Image] = []
        self.tagged: dict[str, Image] = {}
        self._requests = 0

    def run(self) -> None:
        try:
            for image in self._images:
                self._do(partial(self._client.put_json, image))
                self._do(partial(self._client.put_layer, image))
                self._do(partial(self._client.put_checksum, image))
                self.acknowledged.append(image)
                tag = f"t{len(self.tagged)}"
                self._do(partial(self._client.put_tag, "killed/many", tag, image.image_id))
                self.tagged[tag] = image
        except (OSError, HTTPException):
            return  # the server was killed
        finally:
            self.reached.set()

    def _do(self, request: Callable[[], object]) -> None:
        self._requests += 1
        if self._requests == self._stop_at:
            self.reached.set()
        request()


@pytest.mark.real
@pytest.mark.parametrize(
    "kind", [pytest.param(SERVE, marks=pytest.mark.smoke), GUNICORN], ids=lambda kind: kind.name
)
def test_what_was_acknowledged_survives_a_kill_at_any_moment(
    start: Callable[..., RunningServer], kind: ServerKind
) -> None:
    chance = random.Random(46)
    for round_ in range(7):
        server = start(kind)
        images = [make_image(random_layer(200_000, f"{round_} {n}"), name="many") for n in range(12)]
        pusher = Pusher(server, images, stop_at=chance.randrange(1, 48))
        pusher.start()
        assert pusher.reached.wait(60)
        server.program.kill()
        pusher.join(60)
        assert not pusher.is_alive()
        server = start(kind)
        client = server.client()
        for image in pusher.acknowledged:
            assert client.pull_image(image.image_id) == image
        for tag, image in pusher.tagged.items():
            assert client.get(f"/v1/repositories/killed/many/tags/{tag}").json() == image.image_id
        for image in images:
            if client.get(f"/v1/images/{image.image_id}/json").status == 200:
                assert client.pull_image(image.image_id) == image
        client.push("killed/all", images)
        for image in images:
            assert client.pull_image(image.image_id) == image
        # what a killed writer left of a tag goes with the next write beside it
        client.put_tag("killed/many", f"after-{round_}", images[0].image_id)
        assert misplaced(server) == []
        server.program.end()


@pytest.mark.parametrize("kind", STREAMING, ids=lambda kind: kind.name)
def test_full_disk_is_reported_and_nothing_partial_is_served(
    start: Callable[..., RunningServer], kind: ServerKind
) -> None:
    server = start(kind, file_limit_bytes=512 * 1024)
    image = new_image("full")
    path = announced(server, "full/image", image)
    for headers in ({"Transfer-Encoding": "chunked"}, {"Content-Length": str(len(image.layer))}):
        answer = server.client().request("PUT", path, in_pieces(image.layer), headers)
        assert answer.status == 507
        check_nothing_shows(server, "full/image", image)
        assert server.unfinished() == []
    with pytest.raises(UnexpectedAnswer) as refused:
        server.client().put_checksum(image)
    assert refused.value.status == 400
    smaller = make_image(random_layer(100_000, "smaller"))
    check_push_succeeds(server, "full/smaller", smaller)
    check_nothing_is_left(server)


@pytest.mark.real
def test_serve_stops_while_a_client_is_in_the_middle_of_a_body(
    start: Callable[..., RunningServer],
) -> None:
    server = start(SERVE)
    image = new_image("stalled")
    path = announced(server, "stalled/image", image)
    with half_sent(server, path, image, chunked=True):
        server.program.ask_to_end()
        assert server.program.wait() in (0, -signal.SIGTERM)
    server = start(SERVE)
    check_nothing_shows(server, "stalled/image", image)
    check_push_succeeds(server, "stalled/image", image)
    assert misplaced(server) == []


@pytest.mark.real
def test_ctrl_c_ends_serve_without_killing_its_workers(tmp_path: Path) -> None:
    storage = (tmp_path / "data").as_uri()
    with Program(
        ["v1registry", "serve", "--verbose", "--storage", storage, "--port", "0"], folder=tmp_path
    ) as serve:
        image = make_image(random_layer(1000, "interrupted"))
        EngineClient(serve.host).push("ctrl/c", [image])

        serve.interrupt()

        assert serve.wait() == 0
        assert "Worker exiting" in serve.log
        assert "Quick shutdown" not in serve.log
        assert "was sent" not in serve.log, "no worker was killed"
