"""An engine for each test, and clients of it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from v1registry_fakes import FakeRegistry
from v1registry_fakes.engine import FakeEngine
from webtest import TestApp

_HERE = Path(__file__).parent

#: The docker library leaves connections that were taken over to the garbage collector.
_LEFT_OPEN = r"ignore:Exception ignored in. <socket\.socket:pytest.PytestUnraisableExceptionWarning"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ignore what the docker library leaves open."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.filterwarnings(_LEFT_OPEN))


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    """Let the garbage collector close them before tests of other folders run."""
    yield
    gc.collect()


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


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """An empty registry for the engine to pull from."""
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def image(registry: FakeRegistry, client: docker.DockerClient) -> str:
    """The name of an image that the engine has: a shell, two files, a variable."""
    registry.add_image(
        "alice/app:1.0",
        files={"bin/sh": "x", "etc/motd": "hello", "srv/": ""},
        json={"config": {"Cmd": ["sh"], "Env": ["PATH=/bin", "KEY=image"], "Labels": {"a": "b"}}},
        api="v2",
    )
    name = f"{registry.host}/alice/app:1.0"
    client.images.pull(name)
    return name
