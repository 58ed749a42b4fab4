"""A registry with a script in front, on a live port, and clients that do not wait between attempts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.archives import make_archive
from support.scripted import Script
from v1registry_fakes.server import LiveServer

from v1registry.client import Client


@pytest.fixture
def script() -> Script:
    """The registry of the test; spoil its answers with ``script.when(...)``."""
    return Script()


@pytest.fixture
def serve() -> Iterator[Callable[..., LiveServer]]:
    """Serve a WSGI application until the end of the test."""
    with ExitStack() as stack:
        yield lambda application, **options: stack.enter_context(LiveServer(application, **options))


@pytest.fixture
def server(script: Script, serve: Callable[..., LiveServer]) -> LiveServer:
    return serve(script)


@pytest.fixture
def pauses() -> list[float]:
    """How long the client wanted to wait before it tried again, in seconds."""
    return []


@pytest.fixture
def connect(server: LiveServer, pauses: list[float]) -> Iterator[Callable[..., Client]]:
    """Make clients of the registry."""
    with ExitStack() as stack:

        def connect(**options: Any) -> Client:
            options = {"host": f"http://{server.host}", "sleep": pauses.append, "timeout_s": 20.0} | options
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
