"""A session of docker's engine is recorded, and served to a new engine again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.oci_clients import Docker, docker_engine
from support.saved_images import image_of, saved_image
from v1registry_fakes import FakeRegistry, ReplayedRegistry

pytestmark = pytest.mark.real


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name, because those of sockets are short."""
    if os.geteuid() != 0:
        pytest.skip("needs root to run docker's engine")
    with TemporaryDirectory(prefix="v1r-") as path:
        yield Path(path)


def session(folder: Path, host: str) -> str:
    """Log in, push and pull an image with an engine of its own; return the digest of its config."""
    folder.mkdir()
    archive = folder / "image.tar"
    archive.write_bytes(saved_image("docker"))
    with docker_engine(folder) as address:
        client = Docker(folder / "client", address)
        client.login(host, "alice", "correct horse", is_right=True)
        client.load(archive, image_of("docker"))
        client.push(image_of("docker"), f"{host}/alice/app:1.0")
        client.run("docker", "--host", address, "rmi", image_of("docker"))
        return client.pull(f"{host}/alice/app:1.0")


def test_docker_does_again_what_was_recorded(folder: Path) -> None:
    transcript = folder / "docker.jsonl"
    with FakeRegistry(auth="users:") as registry:
        registry.add_user("alice", "correct horse")
        with registry.record(transcript):
            recorded = session(folder / "1", registry.host)

    with ReplayedRegistry(transcript) as replayed:
        again = session(folder / "2", replayed.host)
        replayed.check()

    assert again == recorded
    assert {each.method for each in replayed.exchanges} >= {"GET", "HEAD", "POST", "PATCH", "PUT"}
    assert "Basic masked-" in transcript.read_text()
