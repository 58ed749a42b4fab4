"""podman pushes to ``serve`` and pulls from it, and engines of v1 see the same layers.

This is one of the tests with a real client that run with each Python (see ``.ci/run``).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from support.engine_client import make_chain, tar_layer
from support.forwarding import Forwarding
from support.oci_clients import Podman
from support.saved_images import image_of, layers_in, saved_image
from support.v2_client import V2Client, digest_of
from support.wsgi_servers import SERVE

pytestmark = [pytest.mark.real, pytest.mark.smoke]


def test_podman_and_engines_pull_what_the_other_has_pushed(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to run podman with a store of its own")
    running = SERVE.start(tmp_path / "server", tmp_path / "registry", settings={"V1REGISTRY_V2": "on"})
    # podman limits the length of the path
    with running.program, tempfile.TemporaryDirectory(prefix="v1-", dir="/tmp") as folder:
        podman = Podman(Path(folder))
        archive = tmp_path / "saved.tar"
        archive.write_bytes(saved_image("podman"))
        podman.load(archive, image_of("podman"))
        client, host = V2Client(Forwarding(running.program.host)), running.program.host

        podman.push(image_of("podman"), f"{host}/team/app:1")

        assert len(podman.pull(f"{host}/team/app:1")) == 64
        pushed = client.get_manifest("team/app", "1").body
        images = running.client().pull("team/app", "1")
        assert len(images) == len(layers_in("podman"))
        assert all(digest_of(image.layer).encode() in pushed for image in images)

        chain = make_chain(tar_layer({f"file-{n}": b"%d" % n}) for n in range(2))
        running.client().push("team/old", chain)
        config = podman.pull(f"{host}/team/old:latest")
        assert f"sha256:{config}".encode() in client.get_manifest("team/old", "latest").body
