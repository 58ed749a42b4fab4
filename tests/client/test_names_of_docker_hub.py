"""Names of docker.io lead to the registry of Docker Hub, as for the docker command."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.archives import make_archive
from v1registry_fakes import FakeRegistry

from v1registry.cli.main import main
from v1registry.client import BadReference, Client, Credentials, Reference, docker_credentials, reference

HUB = "registry-1.docker.io"


@pytest.mark.parametrize(
    ("text", "name", "shown"),
    [
        ("docker.io/busybox", "library/busybox", "docker.io/busybox:latest"),
        ("index.docker.io/busybox:1", "library/busybox", "docker.io/busybox:1"),
        ("Docker.IO/library/busybox", "library/busybox", "docker.io/library/busybox:latest"),
        ("https://docker.io/grafana/loki:2", "grafana/loki", "docker.io/grafana/loki:2"),
    ],
)
def test_names_of_docker_io_lead_to_the_hub(text: str, name: str, shown: str) -> None:
    found = Reference.parse(text)
    assert (found.registry, found.v2_name, str(found)) == (HUB, name, shown)
    assert Client(found.origin).host == HUB


@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", HUB])
def test_client_of_docker_io_is_that_of_the_hub(host: str) -> None:
    assert Client(host).host == HUB


@pytest.mark.parametrize(
    "host", ["localhost:5000", "docker.io.example.org", "docker.io:5000", "mirror.docker.io", HUB]
)
def test_other_hosts_stay_as_they_are(host: str) -> None:
    found = Reference.parse(f"{host}/busybox")
    assert (found.registry, found.v2_name) == (host, "busybox")


def test_client_of_another_registry_refuses_docker_io(tmp_path: Path) -> None:
    with Client("localhost:5000") as client, pytest.raises(BadReference, match="must be in the registry"):
        client.pull("docker.io/busybox", tmp_path / "image.tar")


@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", HUB])
@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "index.docker.io"])
def test_login_of_the_hub_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, key: str
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    auth = base64.b64encode(b"mira:pw").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {key: {"auth": auth}}}))
    assert docker_credentials(host, pytest.fail) == Credentials("mira", "pw")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRegistry]:
    """A registry in the place of Docker Hub's."""
    with FakeRegistry(auth="users:") as registry:
        registry.add_user("root", "pw", is_administrator=True)
        monkeypatch.setattr(reference, "HUB_REGISTRY", registry.host)
        yield registry


def test_command_pushes_to_the_hub_and_pulls(
    hub: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    auth = base64.b64encode(b"root:pw").decode()
    (tmp_path / "config.json").write_text(
        json.dumps({"auths": {"https://index.docker.io/v1/": {"auth": auth}}})
    )
    make_archive(tmp_path / "image.tar")
    assert main(["push", str(tmp_path / "image.tar"), "docker.io/busybox:1", "--quiet"]) == 0
    hub.assert_pushed("library/busybox:1")
    (tmp_path / "config.json").unlink()
    assert main(["pull", "docker.io/busybox:1", "-o", str(tmp_path / "pulled.tar"), "--quiet"]) == 0
    asked = {request.path for request in hub.requests.matching("GET", "/v2/library/busybox/*")}
    assert "/v2/library/busybox/manifests/1" in asked
