"""Settings of containers, volumes and networks that the engine rejects."""

from __future__ import annotations

from typing import Any

import docker
import pytest
from docker.errors import APIError
from webtest import TestApp


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"WorkingDir": "srv"}, "the working directory 'srv' is invalid, it needs to be an absolute path"),
        ({"Env": ["=1"]}, "invalid environment variable: =1"),
        ({"HostConfig": {"Memory": 100}}, "Minimum memory limit allowed is 6MB"),
        ({"HostConfig": {"RestartPolicy": {"Name": "often"}}}, "invalid restart policy 'often'"),
        ({"HostConfig": {"Binds": ["aa:/b", "cc:/b"]}}, "Duplicate mount point: /b"),
        (
            {"HostConfig": {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 2}}},
            "maximum retry count cannot be used with restart policy 'always'",
        ),
        (
            {"HostConfig": {"RestartPolicy": {"Name": "always"}, "AutoRemove": True}},
            "can't create 'AutoRemove' container with restart policy",
        ),
    ],
)
def test_RMT_071_invalid_settings_are_400(
    api: TestApp, image: str, settings: dict[str, Any], message: str
) -> None:
    answer = api.post_json("/containers/create", {"Image": image, **settings}, status=400)
    assert answer.json == {"message": message}


@pytest.mark.parametrize("bind", ["a:b", "a:/b:c:d"])
def test_RMT_071_a_malformed_mount_fails(api: TestApp, image: str, bind: str) -> None:
    document = {"Image": image, "HostConfig": {"Binds": [bind]}}
    answer = api.post_json("/containers/create", document, status=500)
    assert answer.json["message"].startswith(f"invalid volume specification: '{bind}'")


def test_RMT_125_commit_takes_null_as_no_settings(client: docker.DockerClient, image: str) -> None:
    container = client.containers.create(image)
    url = client.api._url("/commit")
    answer = client.api.post(
        url, data="null", params={"container": container.id}, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 201


def test_RMT_150_a_volume_with_a_short_name_or_unknown_option_is_400(client: docker.DockerClient) -> None:
    with pytest.raises(APIError, match="volume name is too short"):
        client.volumes.create("a")
    with pytest.raises(APIError, match='create data: invalid option: "a"'):
        client.volumes.create("data", driver_opts={"a": "b"})


def test_RMT_094_volumes_are_mounted_while_a_container_runs(client: docker.DockerClient, image: str) -> None:
    container = client.containers.run(image, detach=True, volumes=["data:/data"])
    container.remove(force=True)
    now = client.info()["SystemTime"]
    filters = {"type": "volume"}
    found = client.api.events(since=1, until=now, filters=filters, decode=True)
    assert [event["Action"] for event in found] == ["create", "mount", "unmount"]


def test_RMT_141_a_network_of_a_built_in_name_is_403(client: docker.DockerClient) -> None:
    with pytest.raises(APIError, match="operation is not permitted on predefined bridge network"):
        client.networks.create("bridge")
