"""Subnets and addresses of networks."""

from __future__ import annotations

from typing import Any

import docker
import pytest
from v1registry_fakes.engine import FakeEngine
from webtest import TestApp

POOL = {
    "Subnet": "10.9.0.0/24",
    "IPRange": "10.9.0.128/30",
    "Gateway": "10.9.0.129",
    "AuxiliaryAddresses": {"router": "10.9.0.130"},
}


def made(api: TestApp, name: str, *pools: dict[str, Any], **settings: Any) -> str:
    """Make a network and return its id."""
    body = {"Name": name, "IPAM": {"Config": list(pools)}, **settings}
    network: str = api.post_json("/v1.41/networks/create", body).json["Id"]
    return network


def endpoint(api: TestApp, container: str, network: str) -> dict[str, Any]:
    """Return a container's part of a network."""
    told = api.get(f"/v1.41/containers/{container}/json").json
    found: dict[str, Any] = told["NetworkSettings"]["Networks"][network]
    return found


def test_RMT_146_addresses_come_from_the_range(api: TestApp, client: docker.DockerClient, image: str) -> None:
    network = made(api, "small", POOL)
    assert api.get(f"/v1.41/networks/{network}").json["IPAM"]["Config"] == [POOL]

    for name in ("one", "two"):
        client.containers.run(image, detach=True, name=name, network="small")

    found = [endpoint(api, name, "small") for name in ("one", "two")]
    assert [own["IPAddress"] for own in found] == ["10.9.0.128", "10.9.0.131"]
    assert {own["Gateway"] for own in found} == {"10.9.0.129"}


def test_RMT_146_a_subnet_of_ipv6_gives_addresses(
    api: TestApp, client: docker.DockerClient, image: str
) -> None:
    made(api, "six", {"Subnet": "2001:db8::/64", "Gateway": "2001:db8::1"}, EnableIPv6=True)
    client.containers.run(image, detach=True, name="web", network="six")
    own = endpoint(api, "web", "six")
    assert (own["GlobalIPv6Address"], own["GlobalIPv6PrefixLen"]) == ("2001:db8::2", 64)
    assert (own["IPv6Gateway"], own["IPAddress"]) == ("2001:db8::1", "172.18.0.2")


@pytest.mark.parametrize(
    ("pool", "status", "message"),
    [
        ({"Gateway": "10.0.0.1"}, 400, "Invalid subnet  : invalid CIDR address: "),
        ({"Subnet": "10.9.0.0"}, 400, "Invalid subnet 10.9.0.0 : invalid CIDR address: 10.9.0.0"),
        (
            {"Subnet": "10.9.0.0/24", "Gateway": "x"},
            400,
            "invalid gateway address x in Ipam configuration",
        ),
        (
            {"Subnet": "10.9.0.0/24", "Gateway": "10.0.0.1"},
            500,
            "failed to allocate gateway (10.0.0.1): Requested address is out of range",
        ),
        (
            {"Subnet": "10.9.0.0/24", "AuxiliaryAddresses": {"a": "10.0.0.1"}},
            403,
            "auxiliary address: (a:10.0.0.1) must belong to the master pool: 10.9.0.0/24",
        ),
        ({"Subnet": "172.17.1.0/24"}, 403, "Pool overlaps with other one on this address space"),
    ],
)
def test_RMT_146_an_invalid_pool_is_rejected(
    api: TestApp, pool: dict[str, object], status: int, message: str
) -> None:
    body = {"Name": "bad", "IPAM": {"Config": [pool]}}
    assert api.post_json("/v1.41/networks/create", body, status=status).json == {"message": message}


@pytest.mark.parametrize(
    ("driver", "status", "message"),
    [
        ("host", 403, 'only one instance of "host" network is allowed'),
        ("null", 403, 'only one instance of "null" network is allowed'),
        ("overlay", 500, "This node is not a swarm manager."),
        ("none", 404, 'plugin "none" not found'),
    ],
)
def test_RMT_141_an_unknown_driver_is_rejected(api: TestApp, driver: str, status: int, message: str) -> None:
    body = {"Name": "bad", "Driver": driver}
    answer = api.post_json("/v1.41/networks/create", body, status=status)
    assert answer.json["message"].startswith(message)


def test_RMT_147_old_engines_have_networks_of_one_name(image: str) -> None:
    with FakeEngine(version="20.10.24") as engine:
        api = TestApp(engine.app)
        first, second = made(api, "twin"), made(api, "twin")
        checked = {"Name": "twin", "CheckDuplicate": True}
        api.post_json("/v1.41/networks/create", checked, status=409)
        answer = api.get("/v1.41/networks/twin", status=400)
        assert answer.json == {"message": "network twin is ambiguous (2 matches found on name)"}
        assert api.get(f"/v1.41/networks/{second}").json["Id"] == second
        api.delete(f"/v1.41/networks/{first}")
        assert api.get("/v1.41/networks/twin").json["Id"] == second


def test_RMT_147_an_old_engine_warns_of_the_second_name() -> None:
    with FakeEngine(version="20.10.24") as engine:
        api = TestApp(engine.app)
        first = made(api, "twin")
        answer = api.post_json("/v1.41/networks/create", {"Name": "twin"}).json
        assert answer["Warning"] == f"Network with name twin (id : {first}) already exists"


def test_RMT_148_a_container_has_the_address_it_wants(
    api: TestApp, client: docker.DockerClient, image: str
) -> None:
    address = "02:42:ac:11:00:0a"
    client.containers.run(image, detach=True, name="one", mac_address=address)
    client.containers.create(image, name="two")
    made(api, "mine")
    body = {"Container": "two", "EndpointConfig": {"MacAddress": address}}
    api.post_json("/v1.41/networks/mine/connect", body)
    assert endpoint(api, "one", "bridge")["MacAddress"] == address
    assert endpoint(api, "two", "mine")["MacAddress"] == address
