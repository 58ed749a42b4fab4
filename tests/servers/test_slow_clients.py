"""``serve`` with one worker and its default limits, while hundreds of clients send or read nothing."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from support.crowds import PING_S, crowd, many_files, ping
from support.engine_client import make_image, random_layer
from support.programs import Program
from support.raw_connection import RawConnection, request_bytes
from support.wsgi_servers import SERVE, RunningServer

BODIES = 300
READERS = 300
IDLE = 1000

#: More than the system keeps for a client that does not read.
LAYER_BYTES = 16 << 20

FORM = {"Content-Type": "application/json", "Content-Length": "60000"}
CHUNKED = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
LONG = {"Content-Type": "application/json", "Content-Length": "10000000"}


@pytest.fixture(autouse=True)
def _connections() -> Iterator[None]:
    with many_files():
        yield


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with accounts."""
    folder = tmp_path_factory.mktemp("accounts")
    running = SERVE.start(folder, folder / "registry", settings={"V1REGISTRY_AUTH": "users:"})
    with running.program:
        yield running


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server without accounts."""
    folder = tmp_path_factory.mktemp("open")
    running = SERVE.start(folder, folder / "registry")
    with running.program:
        yield running


@pytest.mark.parametrize(
    ("method", "path", "headers", "begin"),
    [
        ("PUT", "/v1/repositories/a/b/", FORM, b"["),
        ("POST", "/v1/users/", FORM, b"{"),
        ("POST", "/login", FORM, b"u"),
        ("PUT", "/v1/repositories/a/b/", CHUNKED, b"1\r\n["),
        ("POST", "/v1/users/", CHUNKED, b""),
        ("POST", "/login", CHUNKED, b"5\r\nu"),
        ("PUT", "/v1/repositories/a/b/", LONG, b"["),
        ("PUT", f"/v1/images/{'a' * 64}/layer", CHUNKED, b"fff\r\nab"),
        ("PUT", "/v1/repositories/a/b/", FORM | {"Expect": "100-continue"}, b""),
        ("GET", "/v1/_ping", LONG, b""),
    ],
)
def test_pings_are_answered_while_bodies_do_not_come(
    accounts: RunningServer, method: str, path: str, headers: dict[str, str], begin: bytes
) -> None:
    with crowd(accounts.program, BODIES, request_bytes(method, path, headers, begin)):
        assert [ping(accounts.program) for _ in range(5)] == [200] * 5


def test_pings_are_answered_while_an_open_server_gets_slow_layers(open_server: RunningServer) -> None:
    image = make_image(random_layer(100_000, "slow"))
    client = open_server.client()
    client.announce("slow/layer", [image.image_id])
    assert client.put_json(image)
    begin = request_bytes("PUT", f"/v1/images/{image.image_id}/layer", CHUNKED, b"fffff\r\nab")

    with crowd(open_server.program, BODIES, begin) as clients:
        assert ping(open_server.program) == 200
        for slow in clients:
            with contextlib.suppress(OSError):  # some were refused
                slow.sendall(b"c")
        assert ping(open_server.program) == 200


def test_pings_are_answered_while_an_account_uploads_slowly(accounts: RunningServer) -> None:
    account = {"username": "slowpusher", "password": "correct-horse-9", "email": "slow@example.org"}
    image = make_image(random_layer(100_000, "account"))
    basic = {"Authorization": "Basic " + base64.b64encode(b"slowpusher:correct-horse-9").decode()}
    for method, path, body, status in (
        ("POST", "/v1/users/", json.dumps(account).encode(), 201),
        ("PUT", "/v1/repositories/slowpusher/app/", b'[{"id": "%s"}]' % image.image_id.encode(), 200),
        ("PUT", f"/v1/images/{image.image_id}/json", image.json, 200),
    ):
        with RawConnection(accounts.program.connect()) as connection:
            sent = {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                "Connection": "close",
            }
            connection.send(method, path, sent | basic, body)
            assert connection.read_answer(method).status == status

    begin = request_bytes("PUT", f"/v1/images/{image.image_id}/layer", CHUNKED | basic, b"fffff\r\nab")
    with crowd(accounts.program, BODIES, begin):
        assert [ping(accounts.program) for _ in range(3)] == [200] * 3


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /v1/_ping HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /v1/_ping HTTP/1.1\r\nHost: x\r\n", b"G"],
    ids=["nothing", "a ping", "half a request", "one byte"],
)
def test_pings_are_answered_while_connections_idle(open_server: RunningServer, sent: bytes) -> None:
    with crowd(open_server.program, IDLE, sent):
        assert [ping(open_server.program) for _ in range(3)] == [200] * 3


def test_oldest_idle_connections_give_way_if_files_are_few(tmp_path: Path) -> None:
    serve = f"v1registry serve --storage {(tmp_path / 'data').as_uri()} --port 0"
    with Program(["sh", "-c", f"ulimit -n 300 && exec {serve}"], folder=tmp_path) as program:
        assert ping(program) == 200
        with crowd(program, 400, b"") as clients:
            assert [ping(program) for _ in range(3)] == [200] * 3
            assert clients[0].recv(1) == b"", "the oldest one was closed"


@pytest.mark.parametrize("range_", ["", "bytes=1-"], ids=["whole", "range"])
def test_pings_are_answered_while_readers_stall(open_server: RunningServer, range_: str) -> None:
    image = make_image(random_layer(LAYER_BYTES, "stalled"))
    open_server.client().push("slow/readers", [image])
    asked = request_bytes("GET", f"/v1/images/{image.image_id}/layer", {"Range": range_} if range_ else {})

    with crowd(open_server.program, READERS, asked) as clients:
        assert [ping(open_server.program) for _ in range(3)] == [200] * 3
        with RawConnection(clients[0]) as connection:
            answer = connection.read_answer("GET")
    assert answer.body == (image.layer[1:] if range_ else image.layer), "a slow reader gets all"


def test_pings_are_answered_while_readers_of_large_documents_stall(tmp_path: Path) -> None:
    """Such a document is one piece in memory, and not a file of which the system sends a part."""
    settings = {"V1REGISTRY_MAX_BODIES": "1"}  # so there are fewer threads than readers
    image = make_image(random_layer(1000, "document"), name="x" * 1_500_000)
    server = SERVE.start(tmp_path, tmp_path / "registry", settings=settings)
    with server.program as program:
        server.client().push("slow/documents", [image])
        asked = request_bytes("GET", f"/v1/images/{image.image_id}/json")
        with crowd(program, READERS, asked):
            assert [ping(program) for _ in range(3)] == [200] * 3


def test_pings_are_answered_while_idle_slow_and_stalled_clients_wait(open_server: RunningServer) -> None:
    image = make_image(random_layer(LAYER_BYTES, "all"))
    open_server.client().push("slow/all", [image])
    program = open_server.program
    body = request_bytes("PUT", "/v1/repositories/slow/all/", FORM, b"[")
    layer = request_bytes("PUT", f"/v1/images/{image.image_id}/layer", CHUNKED, b"fffff\r\nab")
    asked = request_bytes("GET", f"/v1/images/{image.image_id}/layer")

    with (
        crowd(program, IDLE, b""),
        crowd(program, BODIES, body),
        crowd(program, BODIES, layer),
        crowd(program, READERS, asked),
    ):
        assert [ping(program) for _ in range(5)] == [200] * 5


@pytest.mark.parametrize("part", [0, 100], ids=["nothing", "half a hello"])
def test_pings_are_answered_while_tls_handshakes_do_not_end(tmp_path: Path, part: int) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    files = ["--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem")]
    command = ["v1registry", "serve", "--storage", (tmp_path / "data").as_uri(), "--port", "0", *files]

    with Program(command, folder=tmp_path) as program, crowd(program, BODIES, client_hello(context)[:part]):
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", program.port), PING_S) as plain:
                secure = context.wrap_socket(plain, server_hostname="localhost")
                with RawConnection(secure) as connection:
                    connection.send("GET", "/v1/_ping", {"Connection": "close"})
                    assert connection.read_answer("GET").status == 200
                    assert connection.rest() == b""


def client_hello(context: ssl.SSLContext) -> bytes:
    """Return the first message of a TLS handshake."""
    outgoing = ssl.MemoryBIO()
    secure = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        secure.do_handshake()
    return outgoing.read()
