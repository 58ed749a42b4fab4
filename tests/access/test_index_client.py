"""The requests to an index, its answers and its outages."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trustme
from support.set_index import NAME, READ, WRITE
from support.stoppable_server import StoppableServer
from v1registry_fakes import FakeRegistry

from v1registry import errors
from v1registry.access.index_client import IndexClient
from v1registry.names import RepositoryName

# -- asking over the wire

Answer = tuple[str, list[tuple[str, str]], list[bytes]]


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[dict[str, Any]], Answer]], StoppableServer]]:
    """Serve a function of the environ that returns status, headers and parts of a body."""
    servers: list[StoppableServer] = []

    def serve(answer: Callable[[dict[str, Any]], Answer]) -> StoppableServer:
        def application(environ, start_response):  # type: ignore[no-untyped-def]
            status, headers, parts = answer(environ)
            start_response(status, headers)
            return parts

        servers.append(StoppableServer(application))
        return servers[-1]

    yield serve
    for server in servers:
        server.__exit__()


Serve = Callable[[Callable[[dict[str, Any]], Answer]], StoppableServer]


def test_the_path_of_an_index_and_odd_characters_are_kept(serve: Serve) -> None:
    asked: list[str] = []

    def answer(environ: dict[str, Any]) -> Answer:
        asked.append(environ["REQUEST_URI"])
        return "200 OK", [], [b"[]"]

    server = serve(answer)
    client = IndexClient(f"{server.url}/below/")
    assert client.image_ids(RepositoryName("foo", "b ü/../r"), READ) == frozenset()
    assert not client.may_use(NAME, "0" * 64, READ)
    assert [path for path in asked if "layer" in path] == [
        f"/below/v1/repositories/foo/bar/layer/{'0' * 64}/access"
    ]


def test_a_redirect_is_not_followed(serve: Serve) -> None:
    reached: list[str] = []

    def elsewhere(environ: dict[str, Any]) -> Answer:
        reached.append(environ["PATH_INFO"])
        return "200 OK", [], [b"[]"]

    other = serve(elsewhere)
    index = serve(lambda environ: ("302 Found", [("Location", f"{other.url}/x")], [b"[]"]))
    own = serve(
        lambda environ: (
            ("301 Moved", [("Location", "/v1/x")], [b"[]"])
            if environ["PATH_INFO"] != "/v1/x"
            else elsewhere(environ)
        )
    )
    assert IndexClient(index.url).image_ids(NAME, READ) is None
    assert IndexClient(own.url).image_ids(NAME, READ) is None
    assert reached == []


def test_index_gets_no_data_of_machine_or_other_callers(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def answer(environ: dict[str, Any]) -> Answer:
        seen.append(environ)
        return "200 OK", [("Set-Cookie", "session=of-the-first; Path=/")], [b"[]"]

    server = serve(answer)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    client = IndexClient(server.url)
    for header in (READ, WRITE):
        assert client.image_ids(NAME, header) == frozenset()
    assert [environ["HTTP_AUTHORIZATION"] for environ in seen] == [READ, WRITE]
    assert not any("HTTP_COOKIE" in environ for environ in seen)


def test_an_answer_is_read_to_its_bound_and_no_further(serve: Serve) -> None:
    listed = b"[" + b" " * 998 + b"]"
    server = serve(lambda environ: ("200 OK", [], [listed]))
    assert IndexClient(server.url, answer_limit_bytes=1000).image_ids(NAME, READ) == frozenset()
    client = IndexClient(server.url, answer_limit_bytes=999)
    assert client.image_ids(NAME, READ) is None
    assert client.image_ids(NAME, READ) is None


def test_a_deep_answer_is_none(serve: Serve) -> None:
    server = serve(lambda environ: ("200 OK", [], [b"[" * 200_000]))
    assert IndexClient(server.url).image_ids(NAME, READ) is None


def test_a_compressed_answer_is_not_expanded(serve: Serve) -> None:
    import gzip

    body = gzip.compress(b"[]")
    server = serve(lambda environ: ("200 OK", [("Content-Encoding", "gzip")], [body]))
    assert IndexClient(server.url).image_ids(NAME, READ) is None


def test_an_index_that_says_nothing_is_given_up(serve: Serve) -> None:
    may_end = threading.Event()

    def answer(environ: dict[str, Any]) -> Answer:
        may_end.wait(60)
        return "200 OK", [], [b"[]"]

    server = serve(answer)
    try:
        with pytest.raises(errors.IndexUnavailable):
            IndexClient(server.url, timeout_s=0.05).image_ids(NAME, READ)
    finally:
        may_end.set()


def test_an_index_that_never_comes_to_an_end_is_given_up() -> None:
    """It speaks all the time, a few bytes each time."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        is_over = threading.Event()

        def speak() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                while not is_over.wait(0.005):
                    try:
                        connection.sendall(b"1\r\n \r\n")
                    except OSError:
                        return

        speaking = threading.Thread(target=speak)
        speaking.start()
        try:
            with pytest.raises(errors.IndexUnavailable):
                IndexClient(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout_s=0.1).image_ids(
                    NAME, READ
                )
        finally:
            is_over.set()
            speaking.join(60)


@pytest.mark.parametrize(
    "spoken", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[]"], ids=range(3)
)
def test_an_index_that_breaks_off_is_unavailable(spoken: bytes) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def speak() -> None:
            for _ in range(2):  # a connection that was lost is tried once more
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(10_000)
                    connection.sendall(spoken)

        speaking = threading.Thread(target=speak)
        speaking.start()
        try:
            with pytest.raises(errors.IndexUnavailable):
                IndexClient(f"http://127.0.0.1:{listening.getsockname()[1]}").image_ids(NAME, READ)
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            speaking.join(60)


def test_index_that_closed_its_connections_is_asked_again(serve: Serve) -> None:
    server = serve(lambda environ: ("200 OK", [("Content-Length", "2")], [b"[]"]))
    client = IndexClient(server.url)
    for _ in range(3):
        assert client.image_ids(NAME, READ) == frozenset()
        server.stop()
        with pytest.raises(errors.IndexUnavailable):
            client.image_ids(NAME, READ)
        server.start()


def test_connections_are_kept_and_never_shared_by_two_questions(serve: Serve) -> None:
    ports: list[str] = []
    both_are_here = threading.Barrier(2)

    def answer(environ: dict[str, Any]) -> Answer:
        ports.append(environ["REMOTE_PORT"])
        if "wait" in environ["PATH_INFO"]:
            both_are_here.wait(60)
        return "200 OK", [("Content-Length", "2")], [b"[]"]

    client = IndexClient(serve(answer).url)
    for _ in range(3):
        client.image_ids(NAME, READ)
    assert len(set(ports)) == 1
    ports.clear()
    waiting = RepositoryName("foo", "wait")
    threads = [threading.Thread(target=client.image_ids, args=(waiting, READ)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(ports)) == 2


def test_over_https_the_certificate_is_verified(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with FakeRegistry(tls=True) as fake:
        fake.add_image("foo/bar", layers=1)
        client = IndexClient(fake.url)
        with pytest.raises(errors.IndexUnavailable):
            client.image_ids(NAME, READ)
        other = tmp_path / "other.pem"
        trustme.CA().cert_pem.write_to_path(other)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
        with pytest.raises(errors.IndexUnavailable):
            client.image_ids(NAME, READ)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing.pem"))
        with pytest.raises(errors.IndexUnavailable):
            client.image_ids(NAME, READ)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(fake.ca_file))
        assert client.image_ids(NAME, READ)
