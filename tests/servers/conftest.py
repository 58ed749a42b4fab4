"""The registry over a folder, under every WSGI server."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.wsgi_servers import SERVERS, RunningServer, ServerKind, need


@pytest.fixture(scope="module", params=SERVERS, ids=lambda kind: kind.name)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """The registry under each server, one for the tests of a module."""
    kind: ServerKind = request.param
    need(kind)
    folder = tmp_path_factory.mktemp(kind.name)
    running = kind.start(folder, folder / "registry")
    with running.program:
        yield running


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """Start servers over ``tmp_path / "registry"``: ``start(kind)``. They are ended with the test."""
    started: list[RunningServer] = []

    def start(kind: ServerKind, *, file_limit_bytes: int | None = None) -> RunningServer:
        need(kind)
        folder = tmp_path / f"server-{len(started)}"
        started.append(kind.start(folder, tmp_path / "registry", file_limit_bytes=file_limit_bytes))
        return started[-1]

    yield start
    for running in started:
        running.program.end()
    # layers may be large, and pytest keeps the folders of its last runs
    shutil.rmtree(tmp_path / "registry", ignore_errors=True)
