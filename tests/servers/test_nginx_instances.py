"""What nginx does with a request of which an instance fails (examples/servers/nginx-instances.conf)."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from support.nginx import Nginx, started_nginx

pytestmark = pytest.mark.real

TAG = "/v1/repositories/team/app/tags/latest"
LAYER = f"/v1/images/{'1' * 64}/layer"
UPLOADS = "/v2/team/app/blobs/uploads/"

CHANGES = [
    ("PUT", TAG),
    ("DELETE", TAG),
    ("PUT", "/v2/team/app/manifests/latest"),
    ("DELETE", "/v2/team/app/manifests/latest"),
    ("POST", "/v1/users/"),
    ("POST", UPLOADS),
    ("PATCH", f"{UPLOADS}1"),
    ("PUT", f"{UPLOADS}1?digest=sha256:0"),
    ("DELETE", f"{UPLOADS}1"),
    ("PUT", LAYER),
]
#: These are passed on while they come.
STREAMED = [(method, path) for method, path in CHANGES if path.startswith(UPLOADS) or path == LAYER]
#: Of these, nginx repeats the methods PUT and DELETE if it has the whole body.
REPEATABLE = [change for change in STREAMED if change[0] in ("PUT", "DELETE")]


class Instance:
    """A server in the place of an instance. It reads requests whole and answers with its address.

    :param ends: close the connection in place of an answer.
    """

    def __init__(self, *, ends: bool = False):
        self.seen: list[tuple[str, str, bytes]] = []  #: method, path and body of each request
        instance = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self._body()
                instance.seen.append((self.command, self.path, body))
                if ends:
                    self.close_connection = True
                    return
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.send_header("X-Forwarded", self.headers["X-Forwarded-Proto"])
                self.end_headers()

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", "0")))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 (http.server calls them so)

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def end(self) -> None:
        """Refuse connections from now on."""
        self._server.shutdown()
        self._server.server_close()


class Front:
    """nginx in front of three instances. It forgets at once which of them failed."""

    def __init__(self, nginx: Nginx, instances: list[Instance]):
        self.nginx, self.instances = nginx, instances

    def ask(
        self, method: str, path: str, body: bytes | Iterator[bytes] = b"", **headers: str
    ) -> requests.Response:
        url = f"{self.nginx.url}{path}"
        return self.nginx.session.request(method, url, data=body, headers=headers, timeout=60)

    def send_at_once(self, method: str, path: str, headers: str, body: bytes) -> bytes:
        """Send a request in as few pieces as TLS allows; return the first line of the answer."""
        context = ssl.create_default_context(cafile=str(self.nginx.ca_file))
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n\r\n"
        with (
            socket.create_connection(("localhost", self.nginx.port), timeout=60) as connection,
            context.wrap_socket(connection, server_hostname="localhost") as encrypted,
            encrypted.makefile("rb") as answer,
        ):
            encrypted.sendall(head.encode() + body)
            return answer.readline().rstrip()

    def seen(self) -> list[tuple[str, str, bytes]]:
        """Return what the instances have seen since the last call."""
        found = [request for instance in self.instances for request in instance.seen]
        for instance in self.instances:
            instance.seen.clear()
        return found


@contextlib.contextmanager
def started(folder: Path, *, ends: bool = False) -> Iterator[Front]:
    """Start three instances, and nginx in front of them."""
    instances = [Instance(ends=ends) for _ in range(3)]
    replaced = {"max_fails=1 fail_timeout=10s": "max_fails=0"}
    for number, instance in enumerate(instances, start=1):
        replaced[f"10.0.0.1{number}:5000"] = f"127.0.0.1:{instance.port}"
    try:
        with started_nginx("nginx-instances.conf", folder / "nginx", replaced) as nginx:
            yield Front(nginx, instances)
    finally:
        for instance in instances:
            instance.end()


@pytest.fixture(scope="module")
def ending(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Instances that read requests and end the connection."""
    with started(tmp_path_factory.mktemp("ending"), ends=True) as front:
        yield front


@pytest.fixture(scope="module")
def with_a_dead_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Two instances that answer, and one that refuses connections."""
    with started(tmp_path_factory.mktemp("dead")) as front:
        front.instances[1].end()
        yield front


@pytest.mark.parametrize("body", [b"", b"x" * 100, b"x" * 100_000], ids=["empty", "small", "large"])
@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_change_that_an_instance_has_seen_is_not_sent_again(
    ending: Front, method: str, path: str, body: bytes
) -> None:
    assert ending.ask(method, path, body).status_code == 502
    assert ending.seen() == [(method, path, body)]


def test_chunked_layer_that_an_instance_has_seen_is_not_sent_again(ending: Front) -> None:
    assert ending.ask("PUT", LAYER, iter([b"x" * 100_000] * 10)).status_code == 502
    assert [len(body) for *_, body in ending.seen()] == [1_000_000]


@pytest.mark.parametrize("size", [1, 300, 7_000, 10_001, 16_000, 24_000, 99_999, 100_000])
@pytest.mark.parametrize(("method", "path"), STREAMED)
@pytest.mark.parametrize("way", ["length", "padded length", "chunked"])
def test_change_that_comes_whole_with_its_headers_is_sent_once(
    ending: Front, way: str, method: str, path: str, size: int
) -> None:
    headers, sent = f"Content-Length: {size}", b"x" * size
    if way == "padded length":
        headers = f"Content-Length: {size:010}"
    elif way == "chunked":
        headers, sent = "Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (size, sent)
    assert ending.send_at_once(method, path, headers, sent) == b"HTTP/1.1 502 Bad Gateway"
    assert ending.seen() == [(method, path, b"x" * size)]


def test_read_is_repeated_at_one_more_instance(ending: Front) -> None:
    assert ending.ask("GET", TAG).status_code == 502
    assert sorted(len(instance.seen) for instance in ending.instances) == [0, 1, 1]
    assert ending.seen() == [("GET", TAG, b"")] * 2


@pytest.mark.parametrize(("method", "path"), [("GET", TAG), *CHANGES])
def test_request_that_no_instance_has_seen_is_sent_to_the_next(
    with_a_dead_one: Front, method: str, path: str
) -> None:
    may_be_chunked = (method, path) not in REPEATABLE
    for number in range(6):
        body = b"x" * number * 5000
        is_chunked = may_be_chunked and not number % 2
        answer = with_a_dead_one.ask(method, path, iter([body] if body else []) if is_chunked else body)
        assert (answer.status_code, answer.headers["X-Forwarded"]) == (200, "https")
    assert [len(body) for *_, body in sorted(with_a_dead_one.seen())] == [
        number * 5000 for number in range(6)
    ]


@pytest.mark.parametrize("size", [300, 16_000, 1_000_000])
@pytest.mark.parametrize(("method", "path"), REPEATABLE)
def test_chunked_one_is_502_at_a_dead_instance_and_else_whole(
    with_a_dead_one: Front, method: str, path: str, size: int
) -> None:
    # nginx may close a connection after a 502 whose body it has not read
    answers = [
        with_a_dead_one.ask(method, path, iter([b"x" * size]), Connection="close").status_code
        for _ in range(6)
    ]
    assert set(answers) == {200, 502}
    assert with_a_dead_one.seen() == [(method, path, b"x" * size)] * answers.count(200)
