"""Networks, volumes and the space that all need."""

from __future__ import annotations

import docker
import pytest
from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool, Mount


def test_RMT_140_every_engine_has_three_networks(client: docker.DockerClient) -> None:
    found = {network.name: network.attrs["Driver"] for network in client.networks.list()}
    assert found == {"bridge": "bridge", "host": "host", "none": "null"}
    with pytest.raises(APIError, match="bridge is a pre-defined network and cannot be removed") as refused:
        client.networks.get("bridge").remove()
    assert refused.value.status_code == 403


def test_RMT_141_a_network_has_addresses(client: docker.DockerClient) -> None:
    first = client.networks.create("first", labels={"a": "b"})
    assert first.attrs["IPAM"]["Config"] == [{"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}]
    pool = IPAMConfig(pool_configs=[IPAMPool(subnet="10.9.0.0/24")])
    second = client.networks.create("second", ipam=pool)
    assert second.attrs["IPAM"]["Config"][0]["Subnet"] == "10.9.0.0/24"
    with pytest.raises(APIError, match="network with name first already exists"):
        client.networks.create("first")
    with pytest.raises(APIError, match="Invalid subnet x : invalid CIDR address: x"):
        client.networks.create("third", ipam=IPAMConfig(pool_configs=[IPAMPool(subnet="x")]))


def test_RMT_142_containers_connect_and_disconnect(client: docker.DockerClient, image: str) -> None:
    network = client.networks.create("mine")
    container = client.containers.run(image, detach=True, name="web")
    network.connect(container, aliases=["www"])
    container.reload()
    own = container.attrs["NetworkSettings"]["Networks"]["mine"]
    assert (own["IPAddress"], own["Aliases"]) == ("172.18.0.2", ["www"])
    network.reload()
    assert [endpoint["Name"] for endpoint in network.attrs["Containers"].values()] == ["web"]
    with pytest.raises(APIError, match="endpoint with name web already exists in network mine"):
        network.connect(container)
    with pytest.raises(APIError, match="has active endpoints"):
        network.remove()
    network.disconnect(container)
    with pytest.raises(APIError, match="is not connected to the network mine"):
        network.disconnect(container)
    network.remove()
    with pytest.raises(NotFound, match="network mine not found"):
        client.networks.get("mine")


def test_RMT_143_a_stopped_container_has_no_address(client: docker.DockerClient, image: str) -> None:
    container = client.containers.run(image, detach=True, network="bridge")
    container.reload()
    assert container.attrs["NetworkSettings"]["IPAddress"] == "172.17.0.2"
    container.stop()
    container.reload()
    assert container.attrs["NetworkSettings"]["IPAddress"] == ""


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"name": "min"}, ["mine"]),
        ({"label": "a=b"}, ["mine"]),
        ({"type": "custom"}, ["mine"]),
        ({"driver": "host"}, ["host"]),
        ({"dangling": True}, ["mine"]),
    ],
)
def test_RMT_144_networks_are_filtered(
    client: docker.DockerClient, filters: dict[str, str], names: list[str]
) -> None:
    client.networks.create("mine", labels={"a": "b"})
    assert [network.name for network in client.networks.list(filters=filters)] == names


def test_RMT_145_unused_networks_are_pruned(client: docker.DockerClient, image: str) -> None:
    client.networks.create("unused")
    client.networks.create("used")
    client.containers.create(image, network="used")
    assert client.networks.prune()["NetworksDeleted"] == ["unused"]


def test_RMT_150_a_volume_is_made_and_removed(client: docker.DockerClient) -> None:
    volume = client.volumes.create("data", labels={"a": "b"})
    assert volume.attrs["Mountpoint"] == "/var/lib/docker/volumes/data/_data"
    assert client.volumes.create("data").attrs == volume.attrs
    assert len(client.volumes.create().name) == 64
    assert [found.name for found in client.volumes.list(filters={"label": "a"})] == ["data"]
    volume.remove()
    with pytest.raises(NotFound, match="get data: no such volume"):
        client.volumes.get("data")
    with pytest.raises(APIError, match="includes invalid characters"):
        client.volumes.create("a b")


def test_RMT_151_a_volume_in_use_is_not_removed(client: docker.DockerClient, image: str) -> None:
    container = client.containers.create(
        image, volumes={"data": {"bind": "/data", "mode": "ro"}}, mounts=[Mount("/tmp/x", None, type="tmpfs")]
    )
    mounts = {mount["Destination"]: mount for mount in container.attrs["Mounts"]}
    assert (mounts["/data"]["Name"], mounts["/data"]["RW"]) == ("data", False)
    assert mounts["/tmp/x"]["Type"] == "tmpfs"
    with pytest.raises(APIError, match="volume is in use"):
        client.volumes.get("data").remove()
    container.remove()
    client.volumes.get("data").remove()


def test_RMT_152_prune_removes_volumes_with_made_up_names(client: docker.DockerClient) -> None:
    client.volumes.create("named")
    made = client.volumes.create()
    assert client.volumes.prune()["VolumesDeleted"] == [made.name]
    assert client.volumes.prune(filters={"all": True})["VolumesDeleted"] == ["named"]


def test_RMT_160_df_counts_images_containers_and_volumes(client: docker.DockerClient, image: str) -> None:
    client.containers.run(image, detach=True)
    client.volumes.create("data")
    found = client.df()
    assert found["LayersSize"] == found["Images"][0]["Size"] > 0
    assert found["Images"][0]["Containers"] == len(found["Containers"]) == len(found["Volumes"]) == 1
