"""Layers of any size go through a server in constant memory."""

from __future__ import annotations

import hashlib
import http.client
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.engine_client import USER_AGENT, make_image, random_layer
from support.wsgi_servers import GUNICORN, SERVE, RunningServer, ServerKind

MIB = 1 << 20
LAYER_BYTES = 1 << 30
GROWTH_LIMIT_BYTES = 32 * MIB


def peaks(server: RunningServer) -> dict[int, int]:
    """Return the peak of the resident memory of each process, in bytes. Source: proc(5), VmHWM."""
    found = {}
    for process in server.program.processes():
        status = Path(f"/proc/{process}/status").read_text()
        peak = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        assert peak is not None
        found[process] = int(peak[1]) * 1024
    return found


def large_layer() -> Iterator[bytes]:
    """Yield a layer of a GiB that no compression makes smaller, of which a MiB is in memory."""
    block = random_layer(MIB, "large")[:MIB]
    for _ in range(LAYER_BYTES // MIB):
        yield block


@pytest.mark.real
@pytest.mark.parametrize("kind", [SERVE, GUNICORN], ids=lambda kind: kind.name)
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with_length"])
def test_layer_of_a_gib_is_transferred_in_constant_memory(
    start: Callable[..., RunningServer], kind: ServerKind, chunked: bool
) -> None:
    server = start(kind)
    client = server.client(chunked=chunked)
    small = make_image(random_layer(MIB, "small"))
    client.push("large/small", [small])
    assert client.pull("large/small") == [small]
    before = peaks(server)

    image = make_image(b"", name="large")
    client.announce("large/image", [image.image_id])
    client.put_json(image)
    digest, payload = hashlib.sha256(), hashlib.sha256(image.json + b"\n")

    def pieces() -> Iterator[bytes]:
        for piece in large_layer():
            digest.update(piece)
            payload.update(piece)
            yield piece

    headers = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(LAYER_BYTES)}
    layer = f"/v1/images/{image.image_id}/layer"
    client.expect({200}, "PUT", layer, pieces(), headers)
    checksum = {"X-Docker-Checksum-Payload": f"sha256:{payload.hexdigest()}"}
    client.expect({200}, "PUT", f"/v1/images/{image.image_id}/checksum", b"", checksum)
    connection = http.client.HTTPConnection(server.program.host, timeout=60)
    try:
        connection.request("GET", layer, headers={"User-Agent": USER_AGENT, "Connection": "close"})
        response = connection.getresponse()
        assert response.headers["Content-Length"] == str(LAYER_BYTES)
        received = hashlib.sha256()
        while piece := response.read(MIB):
            received.update(piece)
    finally:
        connection.close()
    assert received.hexdigest() == digest.hexdigest()

    after = peaks(server)
    assert after.keys() == before.keys()
    growth = {process: after[process] - before[process] for process in after}
    assert max(growth.values()) < GROWTH_LIMIT_BYTES, {
        process: f"{bytes_ / MIB:.1f} MiB" for process, bytes_ in growth.items()
    }
