"""A layer that becomes shorter while ``serve`` sends it."""

from __future__ import annotations

import os
from pathlib import Path

from support.engine_client import make_image, random_layer
from support.programs import eventually
from support.raw_connection import RawConnection
from support.wsgi_servers import SERVE


def test_layer_that_is_cut_while_it_is_sent_is_logged(tmp_path: Path) -> None:
    server = SERVE.start(tmp_path / "server", tmp_path / "registry")
    try:
        image = make_image(random_layer(24 << 20, "cut"), name="cut")
        server.client().push("cut/image", [image])
        (layer,) = (tmp_path / "registry" / "images").rglob("layer")
        with RawConnection(server.program.connect()) as connection:
            connection.send("GET", f"/v1/images/{image.image_id}/layer")
            assert connection.socket.recv(1000).startswith(b"HTTP/1.1 200 ")
            os.truncate(layer, 1000)
            assert len(connection.rest()) < 24 << 20
        eventually(lambda: "cannot be sent" in server.program.log, "the log says so")
    finally:
        server.program.end()


def test_client_that_leaves_in_an_answer_is_not_logged_as_an_error(tmp_path: Path) -> None:
    server = SERVE.start(tmp_path / "server", tmp_path / "registry")
    try:
        image = make_image(random_layer(24 << 20, "left"), name="left")
        server.client().push("left/image", [image])
        for _ in range(3):
            with RawConnection(server.program.connect()) as connection:
                connection.send("GET", f"/v1/images/{image.image_id}/layer")
                assert connection.socket.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert server.client().get("/v1/_ping").status == 200
    finally:
        server.program.end()
    assert "cannot be sent" not in server.program.log
    assert "Traceback" not in server.program.log
