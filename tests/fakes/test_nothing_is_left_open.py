"""Fakes leave no thread, file, socket or folder behind, whatever their clients still do at the end."""

from __future__ import annotations

import gc
import json
import os
import socket
import ssl
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from v1registry_fakes import FakeEngine, FakeRegistry, Run

pytest_plugins = ["pytester"]


def open_now() -> tuple[set[str], set[str]]:
    """Return the running threads, and the open files and sockets."""
    gc.collect()
    files = set()
    for number in os.listdir("/proc/self/fd"):
        path = f"/proc/self/fd/{number}"
        if os.path.lexists(path) and not os.readlink(path).startswith("/proc/"):
            files.add(f"{number} -> {os.readlink(path)}")
    return {f"{thread.name} {thread.ident}" for thread in threading.enumerate()}, files


@contextmanager
def nothing_left() -> Iterator[None]:
    """Compare what is open after the block with what was open before. Temporary folders must be removed."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", folder)
        threads, files = open_now()
        yield
        threads_left, files_left = open_now()
        assert (threads_left - threads, files_left - files) == (set(), set())
        assert os.listdir(folder) == []


# -- the engine


def by_tcp(engine: FakeEngine) -> socket.socket:
    return socket.create_connection(("127.0.0.1", urlsplit(engine.url).port), timeout=30)


def by_unix(engine: FakeEngine) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    connection.connect(engine.socket_url.removeprefix("unix://"))
    return connection


def by_tls(engine: FakeEngine) -> socket.socket:
    folder = engine.environ["DOCKER_CERT_PATH"]
    context = ssl.create_default_context(cafile=f"{folder}/ca.pem")
    context.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
    with by_tcp(engine) as plain:
        return context.wrap_socket(plain, server_hostname="127.0.0.1")


def ask(connection: socket.socket, request: str, document: object = None) -> bytes:
    """Send a request, and return the beginning of the answer."""
    body = b"" if document is None else json.dumps(document).encode()
    headers = f"Host: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    if "attach" in request or "/start" in request:
        headers += "Connection: Upgrade\r\nUpgrade: tcp\r\n"
    connection.sendall(f"{request} HTTP/1.1\r\n{headers}\r\n".encode() + body)
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = connection.recv(4096)
        assert data, answer
        answer += data
    return answer


def start_container(engine: FakeEngine, connect: Callable[[FakeEngine], socket.socket]) -> None:
    engine.add_image("alice/app")
    for request, document in [
        ("POST /containers/create?name=web", {"Image": "alice/app", "OpenStdin": True, "Cmd": ["go"]}),
        ("POST /containers/web/start", None),
    ]:
        with connect(engine) as connection:
            assert ask(connection, request, document).split()[1][:2] == b"20"


@pytest.mark.parametrize("connect", [by_tcp, by_unix, by_tls])
def test_engine_is_closed_while_streams_are_open(connect: Callable[[FakeEngine], socket.socket]) -> None:
    streams = [
        "GET /events",
        "GET /containers/web/logs?follow=1&stdout=1",
        "GET /containers/web/stats",
        "POST /containers/web/attach?stream=1&stdin=1&stdout=1",
    ]
    with nothing_left(), ExitStack() as connections, FakeEngine(tls=connect is by_tls) as engine:
        engine.on_run("alice/app", logs=["ready"], exit_code=None)
        start_container(engine, connect)
        for request in streams:
            connection = connections.enter_context(connect(engine))
            assert ask(connection, request).split()[1] in (b"200", b"101")
        engine.on_exec("alice/app", exit_code=None)
        with connect(engine) as connection:
            made = ask(connection, "POST /containers/web/exec", {"Cmd": ["sh"], "AttachStdout": True})
            body = made.partition(b"\r\n\r\n")[2] or connection.recv(4096)
        connection = connections.enter_context(connect(engine))
        started = ask(connection, f"POST /exec/{json.loads(body)['Id']}/start", {})
        assert started.split()[1] in (b"200", b"101")
        waiting = connections.enter_context(connect(engine))
        waiting.sendall(b"POST /containers/web/wait HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        while not engine.requests.matching("POST", "*/wait"):
            threading.Event().wait(0.001)


def test_engine_is_closed_while_programs_run() -> None:
    running = threading.Event()

    def program(run: Run) -> int:
        running.set()
        run.wait(3600)
        return 0

    with nothing_left(), FakeEngine() as engine:
        engine.on_run("alice/app", program)
        start_container(engine, by_tcp)
        assert running.wait(30)


def test_engine_is_reset_while_streams_are_open() -> None:
    with nothing_left(), FakeEngine() as engine, by_tcp(engine) as connection:
        ask(connection, "GET /events")
        engine.reset()
        assert list(engine.requests) == []


def test_large_layers_of_an_engine_are_removed() -> None:
    with nothing_left(), FakeEngine() as engine:
        engine.add_image("alice/app", files={"large": os.urandom(3 << 20)})
        assert len(engine.images["alice/app"].layers) == 1


# -- the registry


def by_host(registry: FakeRegistry) -> socket.socket:
    name, port = registry.host.split(":")
    return socket.create_connection((name, int(port)), timeout=30)


@pytest.mark.parametrize("tls", [False, True])
def test_registry_is_closed_while_clients_are_connected(tls: bool) -> None:
    with nothing_left(), requests.Session() as session, FakeRegistry(tls=tls) as registry:
        verify = registry.ca_file if tls else False
        assert session.get(f"{registry.url}/v2/", verify=verify, timeout=30).ok
        with by_host(registry) as silent:
            registry.close()
            assert silent.recv(1) == b""


def test_registry_is_closed_while_faults_hold_requests() -> None:
    with nothing_left(), FakeRegistry() as registry:
        registry.fail("GET", "*/_ping", delay_s=3600)
        with by_host(registry) as connection:
            connection.sendall(b"GET /v1/_ping HTTP/1.1\r\nHost: x\r\n\r\n")
            while not registry.requests:
                threading.Event().wait(0.001)
            registry.close()


def test_large_bodies_of_requests_are_removed() -> None:
    with nothing_left(), FakeRegistry() as registry, registry.session() as session:
        begun = session.post("/v2/alice/app/blobs/uploads/").headers["Location"]
        assert session.patch(begun, os.urandom(1 << 20)).status_code == 202
        assert registry.requests[-1].received_bytes == 1 << 20


# -- runs of pytest


@pytest.mark.process
def test_eight_workers_leave_nothing_open(pytester: pytest.Pytester) -> None:
    """Each worker compares its threads and files before its first test and after its last."""
    helper = Path(__file__).stem
    pytester.makeini(f"[pytest]\nfilterwarnings = error\npythonpath = {Path(__file__).parent}\n")
    pytester.makeconftest(
        f"""
        import pytest
        from {helper} import nothing_left

        @pytest.hookimpl(wrapper=True)
        def pytest_runtestloop(session):
            if not hasattr(session.config, "workerinput"):
                return (yield)
            with nothing_left():
                return (yield)
        """
    )
    pytester.makepyfile(
        """
        import urllib.request
        import pytest

        @pytest.mark.parametrize("number", range(16))
        def test_it(number, v1registry, docker_engine, v1registry_per_session):
            v1registry.add_image("alice/app")
            v1registry_per_session.add_image(f"alice/app-{number}")
            for url in (v1registry.url, v1registry_per_session.url, docker_engine.url.replace("tcp", "http")):
                ping = "_ping" if url.startswith(docker_engine.url.replace("tcp", "http")) else "v1/_ping"
                with urllib.request.urlopen(f"{url}/{ping}", timeout=60) as answer:
                    assert answer.status == 200
        """
    )
    result = pytester.run(
        sys.executable, "-m", "pytest", "-n", "8", "-q", "-p", "no:cacheprovider", timeout=300
    )
    result.assert_outcomes(passed=16)
    assert result.ret == 0
