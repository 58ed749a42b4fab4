"""What clients of the engine see of a push."""

from __future__ import annotations

from typing import Any

import docker
import pytest
from docker.models.images import Image
from v1registry_fakes import FakeRegistry
from v1registry_fakes.engine import FakeEngine


@pytest.fixture
def image(client: docker.DockerClient, engine: FakeEngine) -> Image:
    """An image of two layers."""
    base = engine.add_image("base:1", files={"a": b"1"})
    engine.add_image("app:1", files={"b": b"2"}, parent=base)
    return client.images.get("app:1")


def push(client: docker.DockerClient, image: Image, name: str, tag: str = "1") -> list[dict[str, Any]]:
    """Push an image and return the messages."""
    image.tag(name, tag)
    return list(client.api.push(name, tag, stream=True, decode=True))


def layers_of(image: Image) -> list[str]:
    """Return how messages name the layers of an image."""
    return [diff_id.removeprefix("sha256:")[:12] for diff_id in image.attrs["RootFS"]["Layers"]]


def end_of(registry: FakeRegistry, name: str) -> list[dict[str, Any]]:
    """Return the last messages of a push."""
    pushed = registry.manifest(f"{name}:1")
    size = len(pushed.document)
    return [
        {"status": f"1: digest: {pushed.digest} size: {size}"},
        {"progressDetail": {}, "aux": {"Tag": "1", "Digest": pushed.digest, "Size": size}},
    ]


def test_RMT_043_the_messages_of_a_push_are_those_of_docker(
    client: docker.DockerClient, registry: FakeRegistry, image: Image
) -> None:
    first, second = layers_of(image)

    messages = push(client, image, f"{registry.host}/alice/app")

    assert messages[:3] == [
        {"status": f"The push refers to repository [{registry.host}/alice/app]"},
        {"status": "Preparing", "progressDetail": {}, "id": first},
        {"status": "Preparing", "progressDetail": {}, "id": second},
    ]
    transfers = [(message["status"], message["id"]) for message in messages[3:-2]]
    assert sorted(transfers) == sorted(
        (status, layer) for status in ("Pushing", "Pushed") for layer in (first, second)
    )
    assert messages[-2:] == end_of(registry, "alice/app")


def test_RMT_043_layers_of_the_registry_are_not_pushed_again(
    client: docker.DockerClient, registry: FakeRegistry, image: Image
) -> None:
    push(client, image, f"{registry.host}/alice/app")

    messages = push(client, image, f"{registry.host}/alice/app")

    assert [(message["status"], message["id"]) for message in messages[3:-2]] == [
        ("Layer already exists", layer) for layer in layers_of(image)
    ]
    assert messages[-2:] == end_of(registry, "alice/app")


def test_RMT_048_a_push_by_v1_has_no_digest(registry: FakeRegistry) -> None:
    with FakeEngine(api="v1") as engine:
        engine.add_image("app:1", files={"b": b"2"})
        client = docker.DockerClient(base_url=engine.url)
        messages = push(client, client.images.get("app:1"), f"{registry.host}/alice/app")
        client.close()
        engine.assert_pushed(f"{registry.host}/alice/app:1")
    assert messages[-1]["status"] == "Pushed"
    assert registry.image("alice/app:1").files == {"b": b"2"}
