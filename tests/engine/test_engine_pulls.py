"""What clients of the engine and registries see of a pull."""

from __future__ import annotations

from typing import Any

import docker
import pytest
from docker.errors import APIError
from v1registry_fakes import FakeRegistry
from v1registry_fakes.engine import FakeEngine


def pull(client: docker.DockerClient, name: str) -> list[dict[str, Any]]:
    """Pull an image and return the messages."""
    return list(client.api.pull(name, stream=True, decode=True))


def seen(messages: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    """Return status and layer of messages."""
    return [(message["status"], message.get("id")) for message in messages]


def asked(registry: FakeRegistry) -> list[str]:
    """Return method and path of the requests, and forget them."""
    found = [f"{request.method} {request.path}" for request in registry.requests]
    registry.requests.clear()
    return found


def test_RMT_040_the_messages_are_those_of_docker(
    client: docker.DockerClient, registry: FakeRegistry
) -> None:
    pushed = registry.add_image("alice/app:1", files={"etc/motd": "hello"}, api="v2")
    layer = pushed.json["layers"][0]
    short, size = layer["digest"].removeprefix("sha256:")[:12], layer["size"]
    bar = f"[{50 * '='}>] {f'{size}B':>8}/{size}B"
    progress = {"progressDetail": {"current": size, "total": size}, "progress": bar, "id": short}

    messages = pull(client, f"{registry.host}/alice/app:1")

    assert messages == [
        {"status": "Pulling from alice/app", "id": "1"},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": short},
        {"status": "Downloading", **progress},
        {"status": "Verifying Checksum", "progressDetail": {}, "id": short},
        {"status": "Download complete", "progressDetail": {}, "id": short},
        {"status": "Extracting", **progress},
        {"status": "Extracting", **progress},
        {"status": "Pull complete", "progressDetail": {}, "id": short},
        {"status": f"Digest: {pushed.digest}"},
        {"status": f"Status: Downloaded newer image for {registry.host}/alice/app:1"},
    ]


def test_RMT_049_an_image_that_is_here_is_not_fetched_again(
    client: docker.DockerClient, registry: FakeRegistry
) -> None:
    pushed = registry.add_image("alice/app:1", api="v2")
    name = f"{registry.host}/alice/app:1"
    pull(client, name)
    asked(registry)

    messages = pull(client, name)

    assert [message["status"] for message in messages] == [
        "Pulling from alice/app",
        f"Digest: {pushed.digest}",
        f"Status: Image is up to date for {name}",
    ]
    assert asked(registry) == ["GET /v2/", "GET /v2/alice/app/manifests/1"]


@pytest.mark.parametrize("size_bytes", [10, 3_000_000])
def test_RMT_049_a_layer_that_is_here_is_not_fetched_again(
    client: docker.DockerClient, registry: FakeRegistry, size_bytes: int
) -> None:
    base = registry.add_image("alice/base:1", files={"base": bytes(size_bytes)})
    registry.add_image("alice/app:1", files={"app": b"x"}, parent=base)
    pull(client, f"{registry.host}/alice/base:1")
    below, above = (
        layer["digest"].removeprefix("sha256:")[:12]
        for layer in registry.manifest("alice/app:1").json["layers"]
    )
    asked(registry)

    messages = pull(client, f"{registry.host}/alice/app:1")

    assert seen(messages)[1:3] == [("Already exists", below), ("Pulling fs layer", above)]
    assert sum("/blobs/" in path for path in asked(registry)) == 2, "the config and one layer"
    client.images.remove(f"{registry.host}/alice/base:1")
    container = client.containers.create(f"{registry.host}/alice/app:1", "run")
    assert container.get_archive("/base")[1]["size"] == size_bytes
    assert container.get_archive("/app")[1]["size"] == 1


def test_RMT_049_a_layer_below_another_one_is_fetched(
    client: docker.DockerClient, registry: FakeRegistry
) -> None:
    registry.add_image("alice/base:1", files={"same": b"x"})
    other = registry.add_image("alice/other:1", files={"other": b"x"})
    registry.add_image("alice/app:1", files={"same": b"x"}, parent=other)
    pull(client, f"{registry.host}/alice/base:1")

    messages = pull(client, f"{registry.host}/alice/app:1")

    assert "Already exists" not in [message["status"] for message in messages]


def test_RMT_042_an_interrupted_layer_is_continued(
    client: docker.DockerClient, registry: FakeRegistry, engine: FakeEngine
) -> None:
    registry.add_image("alice/app:1", files={"etc/motd": "hello"}, api="v2")
    registry.fail("GET", "*/blobs/*", after=1, times=1, cut_after_bytes=50)

    messages = pull(client, f"{registry.host}/alice/app:1")

    assert messages[-1]["status"].startswith("Status: Downloaded newer image")
    assert registry.requests[-1].status == 206
    assert registry.requests[-1].headers["Range"].startswith("bytes=50-")
    assert engine.images[f"{registry.host}/alice/app:1"].files["/etc/motd"] == b"hello"


def test_RMT_042_an_invalid_platform_is_400(client: docker.DockerClient, registry: FakeRegistry) -> None:
    with pytest.raises(APIError, match="platform") as failed:
        client.api.pull(f"{registry.host}/alice/app:1", platform="x")
    assert failed.value.status_code == 400


def test_RMT_041_the_messages_of_v1_name_images(registry: FakeRegistry) -> None:
    image = registry.add_image("alice/app:1", files={"etc/motd": "hello"})
    with FakeEngine(api="v1") as engine:
        client = docker.DockerClient(base_url=engine.url)
        messages = pull(client, f"{registry.host}/alice/app:1")
        client.close()
        assert engine.images[f"{registry.host}/alice/app:1"].files["/etc/motd"] == b"hello"
    assert ("Pull complete", image.id[:12]) in seen(messages)


def test_RMT_040_a_near_registry_records_the_requests_of_the_engine(
    client: docker.DockerClient, registry: FakeRegistry
) -> None:
    pushed = registry.add_image("alice/app:1", api="v2")

    pull(client, f"{registry.host}/alice/app:1")

    config, layer = pushed.json["config"]["digest"], pushed.json["layers"][0]["digest"]
    assert [request.headers["Host"] for request in registry.requests] == 4 * [registry.host]
    assert all(request.headers["User-Agent"].startswith("docker/") for request in registry.requests)
    assert asked(registry) == [
        "GET /v2/",
        "GET /v2/alice/app/manifests/1",
        f"GET /v2/alice/app/blobs/{config}",
        f"GET /v2/alice/app/blobs/{layer}",
    ]


def test_RMT_040_a_registry_with_tls_is_reached_by_its_certificate(registry: FakeRegistry) -> None:
    with FakeRegistry(tls=True) as secure:
        secure.add_image("alice/app:1")
        with FakeEngine(ca_file=secure.ca_file) as trusting, FakeEngine() as other:
            client = docker.DockerClient(base_url=trusting.url)
            assert client.images.pull(f"{secure.host}/alice/app", "1").tags
            client.close()
            client = docker.DockerClient(base_url=other.url)
            with pytest.raises(APIError, match="certificate"):
                client.images.pull(f"{secure.host}/alice/app", "1")
            client.close()
