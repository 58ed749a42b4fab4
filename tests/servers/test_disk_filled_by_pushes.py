"""A small disk that pushes through both APIs fill, until deletions and a collection make room again."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.engine_client import EngineClient, Image, UnexpectedAnswer, make_image, random_layer
from support.forwarding import Forwarding
from support.programs import Program, environment_of
from support.small_disk import SmallDisk
from support.v2_client import (
    OCI_MANIFEST,
    V2Client,
    descriptor_of,
    digest_of,
    dumped,
)

pytestmark = pytest.mark.real

SIZE_MIB = 32

LAYER_BYTES = 1_500_000

#: So many pushes through each API are refused before room is made.
REFUSALS = 3

IN_V1, IN_V2 = "team/old", "team/new"


class Pushes:
    """Pushes to one server through both APIs, and what was accepted."""

    def __init__(self, host: str):
        self._engine, self._client = EngineClient(host), V2Client(Forwarding(host))
        self.images: dict[str, Image] = {}  #: tag -> image
        self.manifests: dict[str, bytes] = {}  #: tag -> manifest
        self.refused = {IN_V1: 0, IN_V2: 0}

    def push_in_v1(self, tag: str) -> bool:
        """Push an image through v1; tell whether there was room."""
        image = make_image(random_layer(LAYER_BYTES, tag), name=tag)
        try:
            self._engine.push(IN_V1, [image], tag)
        except UnexpectedAnswer as refused:
            assert refused.status == 507, refused  # noqa: PT017
            self.refused[IN_V1] += 1
            return False
        self.images[tag] = image
        return True

    def push_in_v2(self, tag: str) -> bool:
        """Push an artifact through the distribution API; tell whether there was room."""
        blob = random.Random(tag).randbytes(LAYER_BYTES)
        empty, layer = descriptor_of(b"{}", "application/vnd.oci.empty.v1+json"), descriptor_of(blob, "x/y")
        manifest = dumped(
            {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "x/z", "config": empty,
             "layers": [layer]}
        )  # fmt: skip
        answers = []
        for data in (b"{}", blob):
            path = f"/v2/{IN_V2}/blobs/uploads/?digest={digest_of(data)}"
            answers.append(self._client.ask("POST", path, data).status)
        if answers == [201, 201]:
            answers.append(self._client.put_manifest(IN_V2, tag, manifest).status)
        assert set(answers) <= {201, 507}
        if 507 in answers:
            self.refused[IN_V2] += 1
            return False
        self.manifests[tag] = manifest
        return True

    def check_all(self) -> None:
        """Pull all that was accepted."""
        for tag, image in self.images.items():
            assert self._engine.pull(IN_V1, tag) == [image]
        for tag, manifest in self.manifests.items():
            assert self._client.get_manifest(IN_V2, tag).body == manifest
            (layer,) = json.loads(manifest)["layers"]
            blob = self._client.get(f"/v2/{IN_V2}/blobs/{layer['digest']}").body
            assert digest_of(blob) == layer["digest"]

    def delete_half(self) -> None:
        """Delete each second tag."""
        for tag in list(self.images)[::2]:
            self._engine.expect({200}, "DELETE", f"/v1/repositories/{IN_V1}/tags/{tag}")
            del self.images[tag]
        for tag, manifest in list(self.manifests.items())[::2]:
            assert self._client.delete_manifest(IN_V2, tag).status == 202
            assert self._client.delete_manifest(IN_V2, digest_of(manifest)).status == 202
            del self.manifests[tag]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with SmallDisk(tmp_path / "disk", SIZE_MIB) as disk:
        yield disk


@pytest.fixture
def settings(disk: SmallDisk) -> dict[str, str]:
    return {"V1REGISTRY_STORAGE": f"file://{disk.path}/registry"}


@pytest.fixture
def server(settings: dict[str, str], tmp_path: Path) -> Iterator[Program]:
    (tmp_path / "server").mkdir()
    command = ("v1registry", "serve", "--port", "0", "--workers", "2")
    with Program(command, folder=tmp_path / "server", environment=settings) as program:
        yield program


def run(folder: Path, settings: dict[str, str], *command: str) -> None:
    done = subprocess.run(
        ["v1registry", *command, "--quiet"],
        env={**environment_of(folder), **settings},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_disk_that_pushes_filled_has_room_after_a_collection(
    server: Program, disk: SmallDisk, settings: dict[str, str], tmp_path: Path
) -> None:
    pushes = Pushes(server.host)
    number = 0
    while min(pushes.refused.values()) < REFUSALS:
        number += 1
        pushes.push_in_v1(f"v{number}")
        pushes.push_in_v2(f"v{number}")
    assert pushes.images
    assert pushes.manifests
    # also the room that is too small for a layer
    disk.fill()
    pushes.check_all()

    pushes.delete_half()
    run(tmp_path, settings, "gc", "--grace", "0s")
    assert pushes.push_in_v1("later")
    assert pushes.push_in_v2("later")

    pushes.check_all()
    run(tmp_path, settings, "verify", "--layers")
