"""Uploads of blobs to ``serve``: aborted ones go on, killed servers lose nothing, memory stays constant."""

from __future__ import annotations

import hashlib
import http.client
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from support.engine_client import as_chunks, in_pieces, random_layer
from support.programs import eventually
from support.raw_connection import RawConnection
from support.wsgi_servers import SERVE, RunningServer
from test_constant_memory import GROWTH_LIMIT_BYTES, LAYER_BYTES, MIB, large_layer, peaks

pytestmark = pytest.mark.real

DATA = random_layer(1_000_000, "blob")
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """Start ``serve`` with the distribution API over one folder, as often as the test asks."""
    started: list[RunningServer] = []

    def start(settings: Mapping[str, str] | None = None, **options: int) -> RunningServer:
        folder = tmp_path / f"server-{len(started)}"
        started.append(
            SERVE.start(
                folder, tmp_path / "registry", settings={"V1REGISTRY_V2": "on", **(settings or {})}, **options
            )
        )
        return started[-1]

    yield start
    for running in started:
        running.program.end()


def ask(server: RunningServer, method: str, path: str, **options: object) -> requests.Response:
    return requests.request(method, f"{server.program.url}{path}", timeout=60, **options)  # type: ignore[arg-type]


def begin(server: RunningServer) -> str:
    answer = ask(server, "POST", "/v2/team/app/blobs/uploads/")
    assert answer.status_code == 202
    return urlsplit(answer.headers["Location"]).path


def received(server: RunningServer, location: str) -> int:
    """Return the offset at which an upload goes on, as the server tells it."""
    answer = ask(server, "GET", location)
    assert answer.status_code == 204
    last = int(answer.headers["Range"].partition("-")[2])
    return last + 1 if last else 0


def half_sent(server: RunningServer, location: str) -> RawConnection:
    """Send the first half of the blob; return when the server writes it."""
    connection = RawConnection(server.program.connect())
    half = b"".join(as_chunks(in_pieces(DATA[: len(DATA) // 2])))
    connection.send("PATCH", location, {"Transfer-Encoding": "chunked"}, half)
    eventually(
        lambda: any(file.stat().st_size for file in server.unfinished() if file.is_file()),
        "the blob is being written",
    )
    return connection


def finish(server: RunningServer, location: str, offset: int) -> None:
    rest = DATA[offset:]
    if rest:
        headers = {"Content-Range": f"{offset}-{len(DATA) - 1}"}
        assert ask(server, "PATCH", location, data=rest, headers=headers).status_code == 202
    assert ask(server, "PUT", f"{location}?digest={DIGEST}").status_code == 201
    assert ask(server, "GET", f"/v2/team/app/blobs/{DIGEST}").content == DATA


def test_DST_005_upload_goes_on_where_a_client_stopped(start: Callable[..., RunningServer]) -> None:
    server = start()
    location = begin(server)
    half_sent(server, location).socket.close()
    eventually(lambda: received(server, location) > 0, "what arrived is kept")
    finish(server, location, received(server, location))


def test_DST_008_upload_survives_a_killed_server(start: Callable[..., RunningServer]) -> None:
    server = start()
    location = begin(server)
    ask(server, "PATCH", location, data=DATA[:300_000])
    with half_sent(server, location):
        server.program.kill()
    server = start({"V1REGISTRY_WORKERS": "2"})
    assert ask(server, "HEAD", f"/v2/team/app/blobs/{DIGEST}").status_code == 404
    offset = received(server, location)
    assert offset == 300_000
    finish(server, location, offset)


def test_DST_029_two_writers_never_mix(start: Callable[..., RunningServer]) -> None:
    server = start({"V1REGISTRY_WORKERS": "2"})
    location = begin(server)
    statuses = []
    together = threading.Barrier(4)

    def send(byte: int) -> None:
        together.wait(60)
        statuses.append(ask(server, "PATCH", location, data=bytes([byte]) * 500_000).status_code)

    threads = [threading.Thread(target=send, args=(byte,)) for byte in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    size = received(server, location)
    assert size == 500_000 * statuses.count(202)
    assert set(statuses) <= {202, 416}
    whole = f"sha256:{hashlib.sha256(b'').hexdigest()}"
    assert ask(server, "PUT", f"{location}?digest={whole}").status_code == 400


def test_full_disk_is_507_and_the_upload_goes_on(start: Callable[..., RunningServer]) -> None:
    server = start(file_limit_bytes=512 * 1024)
    location = begin(server)
    assert ask(server, "PATCH", location, data=DATA[:100_000]).status_code == 202
    answer = ask(server, "PATCH", location, data=DATA[100_000:])
    assert answer.status_code == 507
    assert [error["code"] for error in answer.json()["errors"]] == ["UNAVAILABLE"]
    assert received(server, location) == 100_000
    assert server.unfinished() == []
    server.program.end()
    finish(start(), location, 100_000)


@pytest.mark.parametrize("has_length", [False, True], ids=["chunked", "with_length"])
def test_DST_030_blob_of_a_gib_is_transferred_in_constant_memory(
    start: Callable[..., RunningServer], has_length: bool
) -> None:
    server = start()
    location = begin(server)
    finish(server, location, 0)
    before = peaks(server)
    location, digest = begin(server), hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        for piece in large_layer():
            digest.update(piece)
            yield piece

    connection = http.client.HTTPConnection(server.program.host, timeout=60)
    try:
        headers = {"Content-Length": str(LAYER_BYTES)} if has_length else {"Transfer-Encoding": "chunked"}
        connection.request("PATCH", location, pieces(), headers, encode_chunked=not has_length)
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, answer.headers["Range"]) == (202, f"0-{LAYER_BYTES - 1}")
        name = f"sha256:{digest.hexdigest()}"
        assert ask(server, "PUT", f"{location}?digest={name}").status_code == 201
        connection.request("GET", f"/v2/team/app/blobs/{name}")
        answer = connection.getresponse()
        assert answer.headers["Content-Length"] == str(LAYER_BYTES)
        got = hashlib.sha256()
        while piece := answer.read(MIB):
            got.update(piece)
    finally:
        connection.close()
    assert got.hexdigest() == digest.hexdigest()
    after = peaks(server)
    growth = {process: after[process] - before[process] for process in after}
    assert max(growth.values()) < GROWTH_LIMIT_BYTES, growth
