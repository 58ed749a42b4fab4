"""What the recipes of the engine share: a docker client that is closed after the test."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest
from v1registry_fakes import FakeEngine


@pytest.fixture
def client(docker_engine: FakeEngine) -> Iterator[docker.DockerClient]:
    """The docker library, connected with the engine of the test."""
    client = docker.DockerClient(base_url=docker_engine.url)
    yield client
    client.close()
