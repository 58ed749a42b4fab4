"""A script that checks that engines of all ages in a data center run one image, and its tests.

pytest examples/testing/test_old_and_new_engine.py
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import docker
import pytest
from docker.errors import DockerException
from v1registry_fakes import FakeEngine, FakeRegistry


def roll_out(hosts: dict[str, str], image: str, command: list[str]) -> dict[str, str]:
    """Run a command of an image on each engine, and return its output or why it failed, by host.

    :param hosts: name -> address of an engine, such as ``tcp://10.0.0.5:2375``.
    """
    report = {}
    for name, address in hosts.items():
        try:
            with closing(docker.DockerClient(base_url=address)) as client:
                client.images.pull(image)
                report[name] = client.containers.run(image, command, remove=True).decode().strip()
        except DockerException as error:
            report[name] = f"failed: {error}"
    return report


# -- tests


@pytest.fixture
def old_engine() -> Iterator[FakeEngine]:
    """An engine that speaks v1 alone with registries."""
    with FakeEngine(version="1.12.6", api="v1") as engine:
        yield engine


@pytest.fixture
def hosts(docker_engine: FakeEngine, old_engine: FakeEngine) -> dict[str, str]:
    for engine in (docker_engine, old_engine):
        engine.on_run("*/tool", logs=["tool 1.0"])
    return {"new": docker_engine.url, "old": old_engine.url}


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_both_engines_run_an_image_of_either_api(
    v1registry: FakeRegistry,
    docker_engine: FakeEngine,
    old_engine: FakeEngine,
    hosts: dict[str, str],
    api: str,
) -> None:
    if api == "v1":
        v1registry.add_image("team/tool:1.0", files={"bin/tool": "x"})
    else:
        v1registry.add_image("team/tool:1.0", files={"bin/tool": "x"}, api="v2")
    name = f"{v1registry.host}/team/tool:1.0"

    assert roll_out(hosts, name, ["--version"]) == {"new": "tool 1.0", "old": "tool 1.0"}

    new, old = docker_engine.assert_pulled(name), old_engine.assert_pulled(name)
    assert new.files == old.files == {"/bin/tool": b"x"}
    v1registry.assert_requested("GET", "/v2/team/tool/manifests/*", status=200)
    v1registry.assert_requested("GET", "/v1/images/*/layer", status=200)


def test_an_engine_pulls_what_an_older_one_pushed(
    v1registry: FakeRegistry, docker_engine: FakeEngine, old_engine: FakeEngine
) -> None:
    name = f"{v1registry.host}/team/tool:1.0"
    old_engine.add_image(name, files={"bin/tool": "x"})
    with closing(docker.DockerClient(base_url=old_engine.url)) as client:
        client.images.push(name)

    with closing(docker.DockerClient(base_url=docker_engine.url)) as client:
        client.images.pull(name)

    assert docker_engine.images[name].layers == old_engine.images[name].layers


def test_a_host_that_fails_does_not_stop_the_others(
    v1registry: FakeRegistry, old_engine: FakeEngine, hosts: dict[str, str]
) -> None:
    v1registry.add_image("team/tool:1.0")
    old_engine.fail("POST", "*/containers/create", status=500, error="no space left on device")

    report = roll_out(hosts, f"{v1registry.host}/team/tool:1.0", ["--version"])

    assert report["new"] == "tool 1.0"
    assert "no space left on device" in report["old"]
