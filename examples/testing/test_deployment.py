"""A script that deploys a new version and goes back if it is not healthy, and its tests.

pytest examples/testing/test_deployment.py
"""

from __future__ import annotations

import docker
import pytest
from docker.errors import DockerException, NotFound
from v1registry_fakes import FakeEngine, FakeRegistry

CHECK = ["healthcheck", "--once"]


class DeploymentFailed(Exception):
    """The new version does not run; the old one does."""


def deploy(client: docker.DockerClient, image: str, name: str) -> None:
    """Replace the container of a service by one of a new image.

    :raises DeploymentFailed: the image is missing, or its container is not healthy.
    """
    try:
        client.images.pull(image)
    except DockerException as error:
        raise DeploymentFailed(f"{image} was not pulled: {error}") from error
    new = client.containers.run(
        image, name=f"{name}-new", detach=True, restart_policy={"Name": "unless-stopped"}
    )
    try:
        code, output = new.exec_run(CHECK)
    except DockerException:  # it has ended already
        code, output = 1, new.logs()
    if code != 0:
        new.remove(force=True)
        raise DeploymentFailed(f"{image} is not healthy: {output.decode().strip()}")
    try:
        old = client.containers.get(name)
        old.stop()
        old.remove()
    except NotFound:
        pass  # the first deployment
    new.rename(name)


# -- tests


@pytest.fixture
def name(v1registry: FakeRegistry, docker_engine: FakeEngine, client: docker.DockerClient) -> str:
    """The name of the image, whose version 1 runs."""
    name = f"{v1registry.host}/alice/app"
    for version in ("1", "2"):
        v1registry.add_image(f"alice/app:{version}", config={"Cmd": ["serve"]})
    deploy(client, f"{name}:1", "web")
    return name


def test_the_new_version_takes_the_place_of_the_old_one(
    docker_engine: FakeEngine, client: docker.DockerClient, name: str
) -> None:
    deploy(client, f"{name}:2", "web")

    assert list(docker_engine.containers) == ["web"]
    web = docker_engine.containers["web"]
    assert (web.image, web.status) == (f"{name}:2", "running")
    assert web.settings["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def test_the_old_version_stays_if_the_new_one_is_not_healthy(
    docker_engine: FakeEngine, client: docker.DockerClient, name: str
) -> None:
    docker_engine.on_exec("*/app:2", command=CHECK, logs=["no database"], exit_code=1)

    with pytest.raises(DeploymentFailed, match="app:2 is not healthy: no database"):
        deploy(client, f"{name}:2", "web")

    assert [(each.image, each.status) for each in docker_engine.containers.values()] == [
        (f"{name}:1", "running")
    ]


def test_a_missing_version_changes_nothing(
    docker_engine: FakeEngine, client: docker.DockerClient, name: str
) -> None:
    with pytest.raises(DeploymentFailed, match="app:3 was not pulled"):
        deploy(client, f"{name}:3", "web")

    docker_engine.assert_requested("POST", "*/containers/create", times=1)
