"""Images go in and come out byte for byte, under every server."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_client import busybox_image, make_chain, random_layer
from wsgi_servers import RunningServer


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
