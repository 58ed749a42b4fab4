"""An engine for each test, and clients of it."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest
from v1registry_fakes.engine import FakeEngine
from webtest import TestApp


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    """An empty engine of the newest release."""
    with FakeEngine() as engine:
        yield engine


@pytest.fixture
def api(engine: FakeEngine) -> TestApp:
    """The engine in process."""
    return TestApp(engine.app)


@pytest.fixture
def client(engine: FakeEngine) -> Iterator[docker.DockerClient]:
    """The docker library for Python, over TCP."""
    client = docker.DockerClient(base_url=engine.url)
    yield client
    client.close()
