"""A tool that brings an image from one registry to another under a new name, and its tests.

pytest examples/testing/test_retag.py
"""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest
from docker.errors import DockerException
from v1registry_fakes import FakeEngine, FakeOptions, FakeRegistry


class PromotionFailed(Exception):
    """The image is not in the second registry."""


def promote(client: docker.DockerClient, source: str, target: str, auth: dict[str, str]) -> str:
    """Pull an image, push it under another name, and remove both names from the engine. Return its digest.

    :param auth: user name and password for the second registry.
    :raises PromotionFailed: it was not pulled or not pushed.
    """
    try:
        image = client.images.pull(source)
        image.tag(target)
        digest = ""
        for message in client.images.push(target, auth_config=auth, stream=True, decode=True):
            # failures come in the stream, not as an exception
            if "error" in message:
                raise PromotionFailed(message["error"])
            digest = message.get("aux", {}).get("Digest", digest)
    except DockerException as error:
        raise PromotionFailed(str(error)) from error
    for name in (source, target):
        client.images.remove(name)
    return digest


# -- tests

AUTH = {"username": "release", "password": "correct horse"}


@pytest.fixture
def v1registry_options() -> FakeOptions:
    return {"auth": "users:"}


@pytest.fixture
def build_registry() -> Iterator[FakeRegistry]:
    """The registry of the builds, open to every client. ``v1registry`` has accounts."""
    with FakeRegistry() as registry:
        registry.add_image("team/app:build-7", files={"etc/version": "7"}, api="v2")
        yield registry


@pytest.fixture
def names(build_registry: FakeRegistry, v1registry: FakeRegistry) -> tuple[str, str]:
    v1registry.add_user("release", "correct horse")
    return f"{build_registry.host}/team/app:build-7", f"{v1registry.host}/release/app:1.0"


def test_the_image_keeps_its_content(
    docker_engine: FakeEngine,
    v1registry: FakeRegistry,
    client: docker.DockerClient,
    names: tuple[str, str],
) -> None:
    digest = promote(client, *names, AUTH)

    assert v1registry.assert_pushed("release/app:1.0", digest=digest).files == {"etc/version": b"7"}
    assert list(docker_engine.images) == []


def test_wrong_credentials_are_reported(
    v1registry: FakeRegistry, client: docker.DockerClient, names: tuple[str, str]
) -> None:
    with pytest.raises(PromotionFailed):
        promote(client, *names, {"username": "release", "password": "wrong"})

    assert dict(v1registry.manifests) == {}


def test_a_push_that_breaks_off_is_reported(
    v1registry: FakeRegistry, client: docker.DockerClient, names: tuple[str, str]
) -> None:
    v1registry.fail("PUT", "*/manifests/*", status=403, error="the tag is immutable")

    with pytest.raises(PromotionFailed, match="immutable"):
        promote(client, *names, AUTH)
