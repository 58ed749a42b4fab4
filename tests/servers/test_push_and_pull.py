"""Images go in and come out byte for byte, under every server."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest
from support.engine_client import Image, busybox_image, make_chain, random_layer
from support.wsgi_servers import RunningServer

from v1registry.client import Client


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with_length"])
def test_a_real_image_comes_back_byte_for_byte(server: RunningServer, busybox: Path, chunked: bool) -> None:
    image = busybox_image(busybox)
    repository = f"real/busybox-{chunked}".lower()
    client = server.client(chunked=chunked)
    client.push(repository, [image])
    assert client.pull(repository) == [image]


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with_length"])
def test_REG_013_an_image_of_20_layers_comes_back_byte_for_byte(server: RunningServer, chunked: bool) -> None:
    chain = make_chain((random_layer(20_000 * (n % 5), n) for n in range(20)), name=f"twenty {chunked}")
    client = server.client(chunked=chunked)
    client.push("real/twenty", chain, tag=f"tag-{chunked}")
    assert client.pull("real/twenty", f"tag-{chunked}") == chain
    assert server.unfinished() == []


def saved_archive(path: Path, image: Image, name: str) -> bytes:
    """Write ``image`` as ``docker save`` of docker 1.9 does; return its layer, uncompressed."""
    layer = gzip.decompress(image.layer)
    repository, _, tag = name.rpartition(":")
    folder = image.image_id
    files = {
        f"{folder}/VERSION": b"1.0",
        f"{folder}/json": image.json,
        f"{folder}/layer.tar": layer,
        "repositories": json.dumps({repository: {tag: image.image_id}}).encode(),
    }
    with tarfile.open(path, "w") as archive:
        for member, content in files.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return layer


@pytest.mark.smoke
def test_push_of_the_client_is_pulled_by_engine_and_client(
    server: RunningServer, busybox: Path, tmp_path: Path
) -> None:
    image = busybox_image(busybox)
    layer = saved_archive(tmp_path / "saved.tar", image, "client/busybox:1.0")
    reference = f"{server.program.host}/client/busybox:1.0"
    with Client(server.program.host, api="v1", scheme="http") as client:
        assert client.push(tmp_path / "saved.tar", reference).image_id == image.image_id
        client.pull(reference, tmp_path / "pulled.tar")
    (pulled,) = server.client().pull("client/busybox", "1.0")
    assert pulled.json == image.json
    assert gzip.decompress(pulled.layer) == layer
    with tarfile.open(tmp_path / "pulled.tar") as archive:
        stored = archive.extractfile(f"{image.image_id}/layer.tar")
        assert stored is not None
        assert stored.read() == layer
