"""A new ``serve`` on the port of one whose main process was killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from support.crowds import ping
from support.engine_client import make_image, random_layer
from support.programs import Program, eventually
from support.raw_connection import RawConnection
from support.wsgi_servers import SERVE, RunningServer

LAYER = random_layer(1_000_000, "restart")


def kill_main(server: RunningServer) -> list[int]:
    """Kill the main process alone; return its workers."""
    main, *workers = sorted(server.program.processes())
    os.kill(main, signal.SIGKILL)
    server.program.wait()
    return workers


def start_again(server: RunningServer, folder: Path) -> Program:
    """Start a new server on the port and the storage of another one."""
    folder.mkdir()
    storage, port = f"file://{server.storage}", str(server.program.port)
    return Program(
        ["v1registry", "serve", "--storage", storage, "--port", port, "--workers", "2"], folder=folder
    )


@pytest.mark.parametrize("round_", range(3))
def test_port_is_free_at_once_after_the_main_process_was_killed(tmp_path: Path, round_: int) -> None:
    server = SERVE.start(tmp_path / "server", tmp_path / "registry")
    with server.program:
        assert ping(server.program) == 200
        workers = kill_main(server)
        with start_again(server, tmp_path / "again") as again:
            assert again.port == server.program.port
            assert ping(again) == 200
            eventually(lambda: not set(workers) & set(server.program.processes()), "the workers are gone")


def test_request_of_an_orphaned_worker_ends_while_a_new_server_has_the_port(tmp_path: Path) -> None:
    server = SERVE.start(tmp_path / "server", tmp_path / "registry")
    with server.program:
        image, client = make_image(LAYER, name="orphan"), server.client()
        client.announce("team/orphan", [image.image_id])
        assert client.put_json(image)
        connection = RawConnection(server.program.connect())
        headers = {"Content-Length": str(len(LAYER))}
        connection.send("PUT", f"/v1/images/{image.image_id}/layer", headers, LAYER[:500_000])
        eventually(
            lambda: any(file.stat().st_size for file in server.unfinished() if file.is_file()),
            "the layer is written",
        )
        with connection:
            kill_main(server)
            with start_again(server, tmp_path / "again") as again:
                assert ping(again) == 200
                connection.socket.sendall(LAYER[500_000:])
                answer = connection.read_answer("PUT")
                assert (answer.status, answer.headers["connection"]) == (200, "close")
