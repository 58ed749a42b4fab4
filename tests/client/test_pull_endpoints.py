"""Which of several endpoints a pull asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.scripted import Script, headers
from v1registry_fakes.server import LiveServer

from v1registry.client import Client, ProtocolError

IMAGES = "/v1/repositories/foo/bar/images"


@pytest.fixture
def client(server: LiveServer, pauses: list[float], archive: Path) -> Iterator[Client]:
    """A client that finds the registry by itself, so that plain http to other machines is forbidden."""
    with Client(server.host, api="v1", sleep=pauses.append) as client:
        client.push(archive, f"{server.host}/foo/bar:v1")
        yield client


@pytest.mark.parametrize("others", ["registry.example.invalid", "no host!", "registry.example.invalid, , \t"])
def test_only_the_first_endpoint_is_looked_at(
    others: str, client: Client, server: LiveServer, reference: str, script: Script, tmp_path: Path
) -> None:
    script.when("GET", IMAGES, headers(X_Docker_Endpoints=f"{server.host} \t,  {others}"))
    client.pull(reference, tmp_path / "pulled.tar")


@pytest.mark.parametrize(
    ("first", "problem"), [("registry.example.invalid", "needs plain http"), ("no host!", "not HOST")]
)
def test_first_endpoint_that_is_forbidden_is_refused(
    first: str,
    problem: str,
    client: Client,
    server: LiveServer,
    reference: str,
    script: Script,
    tmp_path: Path,
) -> None:
    script.when("GET", IMAGES, headers(X_Docker_Endpoints=f"{first}, {server.host}"))
    with pytest.raises(ProtocolError, match=problem):
        client.pull(reference, tmp_path / "pulled.tar")


def test_endpoints_of_a_push_are_checked_before_anything_is_sent(
    client: Client, server: LiveServer, archive: Path, script: Script
) -> None:
    script.when(
        "PUT",
        "/v1/repositories/foo/new/",
        headers(X_Docker_Endpoints=f"{server.host},registry.example.invalid"),
    )
    script.seen.clear()
    with pytest.raises(ProtocolError, match="needs plain http"):
        client.push(archive, f"{server.host}/foo/new:v1")
    assert [str(seen) for seen in script.seen] == ["PUT /v1/repositories/foo/new/"]
