"""The registry over a folder, under every WSGI server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from programs import Program
from wsgi_servers import SERVERS, RunningServer, ServerKind, need


@pytest.fixture(scope="module", params=SERVERS, ids=lambda kind: kind.name)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """The registry under each server, one for the tests of a module."""
    kind: ServerKind = request.param
    need(kind)
    folder = tmp_path_factory.mktemp(kind.name)
    with kind.start(folder) as program:
        yield RunningServer(kind, program, folder / "registry")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """Start servers over ``tmp_path / "registry"``: ``start(kind)``; they are ended with the test."""
    programs: list[Program] = []

    def start(kind: ServerKind, *, file_limit_bytes: int | None = None) -> RunningServer:
        need(kind)
        programs.append(kind.start(tmp_path, file_limit_bytes=file_limit_bytes))
        return RunningServer(kind, programs[-1], tmp_path / "registry")

    yield start
    for program in programs:
        program.end()
