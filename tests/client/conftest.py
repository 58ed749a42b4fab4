"""A registry behind a script, on a live port, and clients that do not wait between attempts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.archives import make_archive
from support.scripted import Script
from support.tagged import Tagged
from v1registry_fakes.server import LiveServer

from v1registry.client import Client


@pytest.fixture
def script() -> Script:
    """The registry of the test; ``script.when(...)`` changes its answers."""
    return Script()


@pytest.fixture
def serve() -> Iterator[Callable[..., LiveServer]]:
    """A function that serves a WSGI application until the end of the test."""
    with ExitStack() as stack:
        yield lambda application, **options: stack.enter_context(LiveServer(application, **options))


@pytest.fixture
def server(script: Script, serve: Callable[..., LiveServer]) -> LiveServer:
    return serve(script)


@pytest.fixture
def reference(server: LiveServer) -> str:
    """A tag in the registry."""
    return f"{server.host}/foo/bar:v1"


@pytest.fixture
def pauses() -> list[float]:
    """The waits of the client between attempts, in seconds."""
    return []


@pytest.fixture
def connect(server: LiveServer, pauses: list[float]) -> Iterator[Callable[..., Client]]:
    """A function that makes clients of the registry, for v1 unless the test asks for another API."""
    with ExitStack() as stack:

        def connect(**options: Any) -> Client:
            defaults = {
                "host": f"http://{server.host}",
                "api": "v1",
                "sleep": pauses.append,
                "timeout_s": 20.0,
            }
            options = defaults | options
            return stack.enter_context(Client(**options))

        yield connect


@pytest.fixture
def client(connect: Callable[..., Client]) -> Client:
    return connect()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A save archive with three images."""
    make_archive(tmp_path / "image.tar")
    return tmp_path / "image.tar"


@pytest.fixture
def tagged(client: Client, server: LiveServer, script: Script, tmp_path: Path) -> Tagged:
    """The pushed tag; the script has not seen the push."""
    pushed, reference = tmp_path / "image.tar", f"{server.host}/foo/bar:v1"
    ids = make_archive(pushed, size_bytes=300_000)
    client.push(pushed, reference)
    script.seen.clear()
    return Tagged(script, ids, reference, pushed, tmp_path / "pulled.tar")


@pytest.fixture(autouse=True)
def _no_docker_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no command use the credentials and certificates of the person who runs the tests."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker"))
