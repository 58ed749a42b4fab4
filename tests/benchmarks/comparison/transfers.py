"""Layers and blobs of 100 MiB and 1 GiB in and out, and an image of 20 layers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from . import load, v1, v2
from .http import MIB, Connection, Layer
from .processes import Watch
from .results import Results
from .servers import BARE, NEW, NGINX, OLD, OURS, Server, Servers, running

OURS_V2 = f"{OURS}, /v2/"

#: The image that is pushed and pulled: many small layers, a large one.
_SIZES = [64 << 10] * 10 + [MIB] * 6 + [8 * MIB] * 3 + [64 * MIB]


def measure(servers: Servers, results: Results, rounds: int, seconds: float, sizes: Sequence[int]) -> None:
    """Measure PUT and GET of large bodies.

    :param sizes: in MiB.
    """
    chosen = {name: servers.make(name, "transfers") for name in (OURS, BARE, OLD, NEW, NGINX)}
    with running(list(chosen.values())):
        for mib in sizes:
            for number in range(rounds):
                for name in (OURS, BARE, OLD, OURS_V2, NEW):
                    _put(chosen[name.partition(",")[0]], name, results, mib, number)
        for mib in sizes:
            paths = {
                name: _stored(chosen[name.partition(",")[0]], name, mib)
                for name in (OURS, OLD, NGINX, OURS_V2, NEW)
            }
            for _ in range(rounds):
                for name, path in paths.items():
                    found = load.downloads(chosen[name.partition(",")[0]], path, seconds=seconds)
                    results.add(
                        f"GET {mib:,} MiB", name, mb_per_s=found.mb_per_s, cpu_s_per_gb=found.cpu_s_per_gb,
                        growth_mib=found.growth_bytes / MIB,
                    )  # fmt: skip


def _put(server: Server, name: str, results: Results, mib: int, number: int) -> None:
    layer = Layer(mib * MIB, (mib, number))
    steps = _steps_to_put(server, name, layer, "bench/put", (mib, number))
    os.sync()
    with Watch(server.pid) as watch:
        began_s = time.monotonic()
        steps()
        taken_s = time.monotonic() - began_s
    gigabytes = layer.size / 1e9
    results.add(
        f"PUT {mib:,} MiB", name, mb_per_s=gigabytes * 1000 / taken_s, cpu_s_per_gb=watch.cpu_s / gigabytes,
        growth_mib=watch.growth_bytes / MIB,
    )  # fmt: skip
    _empty_large_files(server.data)


def _steps_to_put(
    server: Server, name: str, layer: Layer, repository: str, seed: object
) -> Callable[[], None]:
    """Prepare an upload; return what is measured: the body, and the request that makes it count."""
    if name == BARE:
        connection = Connection(server.port)
        return lambda: _put_to_bare(connection, layer)
    if name in (OURS_V2, NEW):
        distribution = v2.Client(server.port)
        digest, upload = layer.digest(), distribution.begin_upload(repository)
        return lambda: distribution.put_blob(upload, layer, digest)
    engine = v1.Client(server.port)
    image = v1.Image.make(layer, name, seed)
    engine.announce(repository, [image])
    engine.put_json(image)

    def put() -> None:
        engine.put_layer(image)
        engine.put_checksum(image)

    return put


def _put_to_bare(connection: Connection, layer: Layer) -> None:
    headers = {"Transfer-Encoding": "chunked"}
    connection.request("PUT", "/layer", headers=headers, stream=layer.chunked())


def _stored(server: Server, name: str, mib: int) -> str:
    """Store a body, and return the path from which it is downloaded."""
    layer = Layer(mib * MIB, ("get", mib))
    if name == NGINX:
        with (server.data / f"{mib}").open("wb") as file:
            file.writelines(layer.blocks())
        server.data.chmod(0o755)
        return f"/{mib}"
    if name in (OURS_V2, NEW):
        client = v2.Client(server.port)
        client.put_image(f"bench/get{mib}", "latest", [layer])
        client.close()
        return f"/v2/bench/get{mib}/blobs/{layer.digest()}"
    image = v1.Image.make(layer, "get", mib)
    engine = v1.Client(server.port)
    engine.push(f"bench/layer{mib}", [image])
    engine.close()
    return f"/v1/images/{image.image_id}/layer"


def _empty_large_files(folder: Path) -> None:
    """Free the disk between rounds. Nothing asks for these bytes again."""
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size >= MIB:
            os.truncate(path, 0)


def measure_image(servers: Servers, results: Results, rounds: int) -> None:
    """Measure a push of 20 layers, the same push to another repository, and a pull."""
    chosen = [servers.make(name, "image") for name in (OURS, OLD)]
    with running(chosen):
        for number in range(rounds):
            images = v1.chain(_SIZES, "image", number)
            for server in chosen:
                _push_and_pull(server, results, images, number)


def _push_and_pull(server: Server, results: Results, images: list[v1.Image], number: int) -> None:
    client = v1.Client(server.port)
    times = [time.monotonic()]
    client.push(f"bench/image{number}", images)
    times.append(time.monotonic())
    client.push(f"bench/again{number}", images)
    times.append(time.monotonic())
    client.pull(f"bench/image{number}")
    times.append(time.monotonic())
    client.close()
    work = ("push of 20 layers", "push again", "pull of 20 layers")
    for label, began_s, ended_s in zip(work, times, times[1:], strict=False):
        results.add(label, server.name, seconds=ended_s - began_s)
