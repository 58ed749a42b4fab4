"""Answers on real sockets: HEAD, conditional requests, ranges, and connections that are used again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.engine_client import Image, as_chunks, in_pieces, make_image, random_layer
from support.raw_connection import RawAnswer, RawConnection, request_bytes
from support.wsgi_servers import WSGIREF, RunningServer

LAYER = random_layer(300_000, "wire")
SIZE = len(LAYER)


@pytest.fixture(scope="module")
def image(server: RunningServer) -> Image:
    """An image that is there."""
    image = make_image(LAYER, name="wire")
    server.client().push("wire/image", [image])
    return image


def test_REG_005_head_has_the_headers_of_get_and_no_body(server: RunningServer, image: Image) -> None:
    for what in ("json", "layer", "ancestry"):
        path = f"/v1/images/{image.image_id}/{what}"
        got, asked = server.client().get(path), server.client().request("HEAD", path)
        assert (got.status, asked.status) == (200, 200)
        for name in ("Content-Length", "Content-Type", "ETag", "Accept-Ranges", "X-Docker-Size"):
            assert asked.headers[name] == got.headers[name], name
        assert int(asked.headers["Content-Length"]) == len(got.body)
        assert asked.body == b""


def test_CLI_020_a_layer_is_never_encoded(server: RunningServer, image: Image) -> None:
    got = server.client().get(f"/v1/images/{image.image_id}/layer", {"Accept-Encoding": "gzip"})
    assert got.headers["Content-Encoding"] is None
    assert got.body == LAYER


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=0-0", 0, 1),
        ("bytes=100000-199999", 100_000, 200_000),
        ("bytes=100000-", 100_000, SIZE),
        (f"bytes=150000-{SIZE}", 150_000, SIZE),  # as an engine resumes
        (f"bytes={SIZE - 1}-{SIZE + 5}", SIZE - 1, SIZE),
        ("bytes=-7", SIZE - 7, SIZE),
        (f"bytes=-{SIZE * 2}", 0, SIZE),
    ],
)
def test_REG_024_025_027_a_range_gives_just_these_bytes(
    server: RunningServer, image: Image, asked: str, start: int, stop: int
) -> None:
    got = server.client().get(f"/v1/images/{image.image_id}/layer", {"Range": asked})
    assert got.status == 206
    assert got.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert got.headers["Content-Length"] == str(stop - start)
    assert got.body == LAYER[start:stop]


def test_REG_026_CLI_019_range_past_the_end_is_416_without_body(server: RunningServer, image: Image) -> None:
    got = server.client().get(f"/v1/images/{image.image_id}/layer", {"Range": f"bytes={SIZE}-{SIZE}"})
    assert got.status == 416
    assert got.headers["Content-Length"] == "0"
    assert got.headers["Content-Range"] == f"bytes */{SIZE}"
    assert got.body == b""


def conversation(image: Image) -> list[tuple[str, str, dict[str, str], bytes, int]]:
    """Requests whose answers have no body or whose bodies are refused, with the status of each."""
    layer = f"/v1/images/{image.image_id}/layer"
    unknown = f"/v1/images/{'e' * 64}/layer"
    etag = f'"{image.payload_checksum.removeprefix("sha256:")}"'
    chunked = b"".join(as_chunks(in_pieces(LAYER))) + b"0\r\n\r\n"
    listed = b'[{"id": "%s"}]' % image.image_id.encode()
    return [
        ("HEAD", layer, {}, b"", 200),
        ("GET", layer, {"If-None-Match": etag}, b"", 304),
        ("PUT", "/v1/repositories/wire/image/images", {"Content-Length": str(len(listed))}, listed, 204),
        ("GET", layer, {"Range": f"bytes={SIZE}-"}, b"", 416),
        ("HEAD", unknown, {}, b"", 404),
        ("PUT", unknown, {"Transfer-Encoding": "chunked"}, chunked, 404),
        ("PUT", unknown, {"Content-Length": str(SIZE)}, LAYER, 404),
        ("PUT", layer, {"Transfer-Encoding": "chunked"}, chunked, 200),
        ("GET", layer, {"Range": "bytes=5-9"}, b"", 206),
        ("GET", "/v1/nothing", {}, b"", 404),
        ("DELETE", layer, {}, b"", 405),
        ("GET", layer, {}, b"", 200),
        ("GET", "/v1/_ping", {"Connection": "close"}, b"", 200),
    ]


def test_a_connection_stays_usable_after_every_kind_of_answer(server: RunningServer, image: Image) -> None:
    answers: list[RawAnswer] = []
    asked = conversation(image)
    while len(answers) < len(asked):
        with RawConnection(server.program.connect()) as connection:
            for method, path, headers, body, _ in asked[len(answers) :]:
                kept = {} if server.kind.keeps_alive else {"Connection": "close"}
                connection.send(method, path, headers | kept, body)
                answers.append(connection.read_answer(method))
                if kept or answers[-1].headers.get("connection", "").lower() == "close":
                    break  # a server may say so after an answer without a length
            assert connection.rest() == b""
    check(answers, image)


def test_requests_that_are_sent_ahead_are_answered_in_order(server: RunningServer, image: Image) -> None:
    if not server.kind.takes_requests_ahead:
        return
    with RawConnection(server.program.connect()) as connection:
        sent = [
            request_bytes(method, path, headers, body)
            for method, path, headers, body, _ in conversation(image)
        ]
        connection.socket.sendall(b"".join(sent))
        answers = [connection.read_answer(method) for method, *_ in conversation(image)]
        assert connection.rest() == b""
    check(answers, image)


def check(answers: list[RawAnswer], image: Image) -> None:
    """Compare the answers to :func:`conversation` with what is expected."""
    assert [answer.status for answer in answers] == [status for *_, status in conversation(image)]
    assert answers[-2].body == LAYER
    for answer in answers:
        if answer.status in (204, 304):
            assert "content-length" not in answer.headers
            assert "transfer-encoding" not in answer.headers


def test_wsgiref_rejects_chunked_layers_and_accepts_a_length(
    start: Callable[..., RunningServer],
) -> None:
    server = start(WSGIREF)
    image = make_image(LAYER, name="wsgiref")
    client = server.client(chunked=False)
    _, token = client.announce("wire/wsgiref", [image.image_id])
    assert client.put_json(image, token)
    with RawConnection(server.program.connect()) as connection:
        # the chunk is not finished: a server that read it would wait for the rest
        connection.send(
            "PUT", f"/v1/images/{image.image_id}/layer", {"Transfer-Encoding": "chunked"}, b"5\r\nab"
        )
        answer = connection.read_answer("PUT")
    assert answer.status == 411
    assert client.get(f"/v1/images/{image.image_id}/layer").status == 400
    client.push("wire/wsgiref", [image])
    assert client.pull("wire/wsgiref") == [image]
