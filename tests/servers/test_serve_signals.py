"""How ``serve`` ends, starts new workers, and begins after it was killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from support.crowds import crowd, ping
from support.engine_client import make_image, random_layer
from support.programs import eventually
from support.raw_connection import RawConnection
from support.wsgi_servers import SERVE, RunningServer

LAYER = random_layer(1_000_000, "signals")


def begun_upload(server: RunningServer, name: str) -> RawConnection:
    """Send half of a layer, and return when the server writes it."""
    image = make_image(LAYER, name=name)
    client = server.client()
    client.announce(f"signals/{name}", [image.image_id])
    assert client.put_json(image)
    connection = RawConnection(server.program.connect())
    headers = {"Content-Length": str(len(LAYER))}
    connection.send("PUT", f"/v1/images/{image.image_id}/layer", headers, LAYER[:500_000])
    eventually(
        lambda: any(file.stat().st_size for file in server.unfinished() if file.is_file()),
        "the layer is written",
    )
    return connection


def test_sigterm_lets_a_running_upload_end(tmp_path: Path) -> None:
    server = SERVE.start(tmp_path / "server", tmp_path / "registry")
    with server.program, begun_upload(server, "ending") as connection, crowd(server.program, 20, b"") as idle:
        ping(server.program)
        server.program.ask_to_end()
        assert [client.recv(1) for client in idle] == [b""] * 20, "idle connections are closed"
        connection.socket.sendall(LAYER[500_000:])
        answer = connection.read_answer("PUT")
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert server.program.wait() == 0


def test_sigterm_ends_a_silent_upload_and_leaves_no_file(tmp_path: Path) -> None:
    server = SERVE.start(tmp_path / "server", tmp_path / "registry")
    with server.program, begun_upload(server, "silent"):
        server.program.ask_to_end()
        assert server.program.wait() == 0
        assert server.unfinished() == []


def test_sighup_starts_new_workers(tmp_path: Path) -> None:
    server = SERVE.start(tmp_path / "server", tmp_path / "registry")
    with server.program:
        assert ping(server.program) == 200
        before = set(server.program.processes())
        main = min(before)
        os.kill(main, signal.SIGHUP)
        eventually(lambda: before & set(server.program.processes()) == {main}, "the old worker is gone")
        eventually(lambda: len(server.program.processes()) == len(before), "a new worker is there")
        assert ping(server.program) == 200


def test_killed_worker_is_replaced(tmp_path: Path) -> None:
    server = SERVE.start(tmp_path / "server", tmp_path / "registry")
    with server.program:
        assert ping(server.program) == 200
        main, *workers = sorted(server.program.processes())
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        assert ping(server.program) == 200
        assert min(server.program.processes()) == main


def test_file_of_an_upload_to_a_killed_server_is_gone_after_the_start(tmp_path: Path) -> None:
    server = SERVE.start(tmp_path / "server", tmp_path / "registry")
    with begun_upload(server, "killed"):
        server.program.kill()
    assert server.unfinished() != []

    with SERVE.start(tmp_path / "again", tmp_path / "registry").program as program:
        assert ping(program) == 200
        assert server.unfinished() == []
