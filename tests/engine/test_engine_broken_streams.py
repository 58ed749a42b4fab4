"""Faults of attach and exec, whose output goes over a connection that was taken over."""

from __future__ import annotations

import time

import docker
import pytest
from v1registry_fakes.engine import FakeEngine


@pytest.fixture
def container(engine: FakeEngine, client: docker.DockerClient) -> docker.models.containers.Container:
    engine.add_image("alice/app")
    engine.on_exec("*", logs=["0123456789"])
    return client.containers.run("alice/app", detach=True)


def test_a_cut_exec_sends_the_first_bytes_only(
    engine: FakeEngine, container: docker.models.containers.Container
) -> None:
    with engine.fail("POST", "*/exec/*/start", cut_after_bytes=11) as fault:
        output = b"".join(container.exec_run("x", stream=True, socket=False).output)
    assert (output, fault.count) == (b"012", 1)
    assert container.exec_run("x").output == b"0123456789\n"


def test_a_slow_exec_waits_between_its_bytes(
    engine: FakeEngine, container: docker.models.containers.Container
) -> None:
    began_s = time.monotonic()
    with engine.fail("POST", "*/exec/*/start", bytes_per_second=200) as fault:
        # with the eight bytes of the frame these are 19
        assert container.exec_run("x").output == b"0123456789\n"
    assert time.monotonic() - began_s >= 19 / 200
    assert fault.count == 1
