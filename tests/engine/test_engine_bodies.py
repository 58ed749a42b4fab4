"""Bodies and parameters of wrong types: the engine answers 400 and says what it expected."""

from __future__ import annotations

from typing import Any

import pytest
from v1registry_fakes.engine import FakeEngine
from webtest import TestApp

_ENDPOINTS = "NetworkingConfig.EndpointsConfig"


@pytest.fixture
def own(engine: FakeEngine) -> FakeEngine:
    """An engine with one image and one running container."""
    engine.add_image("a/b")
    api = TestApp(engine.app)
    api.post_json("/containers/create?name=run", {"Image": "a/b"})
    api.post("/containers/run/start", status=204)
    return engine


def _nested(place: str, value: object) -> dict[str, Any]:
    for key in reversed(place.split(".")):
        value = {key: value}
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize(
    ("place", "value", "text"),
    [
        ("Tty", "x", "Tty: must be true or false, not a string"),
        ("Env", 5, "Env: must be a list, not a number"),
        ("Env", {"A": "b"}, "Env: must be a list, not an object"),
        ("Env", [1], "Env[0]: must be a string, not a number"),
        ("Env", [None], "Env[0]: must be a string, not null"),
        ("Labels", ["a=b"], "Labels: must be an object, not a list"),
        ("Labels", {"a": 1}, "Labels.a: must be a string, not a number"),
        ("User", 5, "User: must be a string, not a number"),
        ("Hostname", [1], "Hostname: must be a string, not a list"),
        ("ExposedPorts", ["80"], "ExposedPorts: must be an object, not a list"),
        ("Healthcheck", 1, "Healthcheck: must be an object, not a number"),
        ("Cmd", {"a": 1}, "Cmd: must be a string or a list of strings, not an object"),
        ("HostConfig.Binds", 5, "HostConfig.Binds: must be a list, not a number"),
        ("HostConfig.Mounts", 5, "HostConfig.Mounts: must be a list, not a number"),
        ("HostConfig.Mounts", ["x"], "HostConfig.Mounts[0]: must be an object, not a string"),
        ("HostConfig.PortBindings", ["80"], "HostConfig.PortBindings: must be an object, not a list"),
        ("HostConfig.PortBindings", {"80": 1}, "HostConfig.PortBindings.80: must be a list, not a number"),
        ("HostConfig.Memory", "1g", "HostConfig.Memory: must be a whole number, not a string"),
        ("HostConfig.Memory", True, "HostConfig.Memory: must be a whole number, not true or false"),
        ("HostConfig.RestartPolicy", "always", "HostConfig.RestartPolicy: must be an object, not a string"),
        ("HostConfig.AutoRemove", "yes", "HostConfig.AutoRemove: must be true or false, not a string"),
        ("HostConfig.CapAdd", 1, "HostConfig.CapAdd: must be a string or a list of strings, not a number"),
        (_ENDPOINTS, {"bridge": ["x"]}, f"{_ENDPOINTS}.bridge: must be an object, not a list"),
    ],
)
def test_RMT_006_a_container_setting_of_a_wrong_type_is_400(
    own: FakeEngine, place: str, value: object, text: str
) -> None:
    answer = TestApp(own.app).post_json(
        "/containers/create", {"Image": "a/b"} | _nested(place, value), status=400
    )
    assert answer.json["message"] == f"invalid value of {text}"


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("/containers/run/exec", {"Cmd": ["x"], "Env": {"A": "1"}}, "Env: must be a list"),
        ("/containers/run/exec", {"Cmd": ["x"], "WorkingDir": 5}, "WorkingDir: must be a string"),
        ("/containers/run/exec", {"Cmd": ["x"], "User": []}, "User: must be a string"),
        ("/containers/run/exec", {"Cmd": ["x"], "Tty": "x"}, "Tty: must be true or false"),
        ("/containers/run/update", {"RestartPolicy": 5}, "RestartPolicy: must be an object"),
        ("/commit?container=run", {"Env": 5}, "Env: must be a list"),
        ("/networks/create", {"Name": "n", "Labels": {"a": 1}}, "Labels.a: must be a string"),
        ("/networks/create", {"Name": 1}, "Name: must be a string"),
        ("/networks/bridge/connect", {"Container": 1}, "Container: must be a string"),
        ("/volumes/create", {"Name": 1}, "Name: must be a string"),
        ("/volumes/create", {"Name": "v", "Labels": ["x"]}, "Labels: must be an object"),
        ("/auth", {"username": 1}, "username: must be a string"),
    ],
)
def test_RMT_006_a_value_of_a_wrong_type_is_400_elsewhere(
    own: FakeEngine, path: str, body: dict[str, Any], text: str
) -> None:
    assert text in TestApp(own.app).post_json(path, body, status=400).json["message"]


@pytest.mark.parametrize(
    ("port", "host_port"), [("abc", "1"), ("80/tcp", "abc"), ("80", "99999999"), ("80", "1-2-3")]
)
def test_RMT_006_an_invalid_port_is_400(own: FakeEngine, port: str, host_port: str) -> None:
    body = {"Image": "a/b", "HostConfig": {"PortBindings": {port: [{"HostPort": host_port}]}}}
    answer = TestApp(own.app).post_json("/containers/create", body, status=400)
    assert answer.json["message"].startswith("invalid port specification: ")


def test_RMT_006_an_invalid_address_in_a_network_is_400(own: FakeEngine) -> None:
    api = TestApp(own.app)
    settings = {"IPAMConfig": {"IPv4Address": "x.y"}}
    body = {"Image": "a/b", "NetworkingConfig": {"EndpointsConfig": {"bridge": settings}}}
    text = "invalid IPv4 address: x.y"
    assert api.post_json("/containers/create", body, status=400).json["message"] == text
    api.post_json("/networks/create", {"Name": "n"}, status=201)
    answer = api.post_json(
        "/networks/n/connect", {"Container": "run", "EndpointConfig": settings}, status=400
    )
    assert answer.json["message"] == text


def test_RMT_006_deeply_nested_filters_are_400(own: FakeEngine) -> None:
    assert TestApp(own.app).get("/containers/json", {"filters": "[" * 5000}, status=400).json["message"]


def test_RMT_006_an_address_that_cannot_be_asked_is_400(own: FakeEngine) -> None:
    api = TestApp(own.app)
    body = {"username": "a", "password": "b", "serveraddress": "../x"}
    assert "invalid registry" in api.post_json("/auth", body, status=400).json["message"]
    answer = api.post("/images/create?fromSrc=" + "a" * 5000, status=400)
    assert "cannot fetch" in answer.json["message"]
    assert len(answer.json["message"]) < 500


def test_RMT_143_a_full_subnet_gives_the_text_of_docker(own: FakeEngine) -> None:
    api = TestApp(own.app)
    pool = {"Config": [{"Subnet": "10.7.0.0/30"}]}
    network = api.post_json("/networks/create", {"Name": "small", "IPAM": pool}, status=201).json["Id"]
    for name in ("first", "second"):
        body = {"Image": "a/b", "HostConfig": {"NetworkMode": "small"}}
        api.post_json(f"/containers/create?name={name}", body, status=201)
    api.post("/containers/first/start", status=204)
    answer = api.post("/containers/second/start", status=500)
    text = f"no available IPv4 addresses on this network's address pools: small ({network})"
    assert answer.json["message"] == text
    state = api.get("/containers/second/json").json["State"]
    assert (state["Status"], state["ExitCode"], state["Error"]) == ("created", 128, text)
    api.post("/containers/first/stop", status=204)
    api.post("/containers/second/start", status=204)


@pytest.mark.parametrize("length", [31, 32])
def test_RMT_143_a_subnet_without_addresses_is_listed(own: FakeEngine, length: int) -> None:
    api = TestApp(own.app)
    pool = {"Config": [{"Subnet": f"10.7.0.0/{length}"}]}
    api.post_json("/networks/create", {"Name": "none2", "IPAM": pool}, status=201)
    assert api.get("/networks/none2").json["Name"] == "none2"
