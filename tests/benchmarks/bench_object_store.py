"""Measure what the registry costs over an object store: beside obstore alone, and beside a folder.

    python tests/benchmarks/bench_object_store.py [--rounds 3] [--seconds 2] [--only transfers,pushers,small]

It starts a Ceph whose objects are in memory, 2 GiB for a round, and two servers, ``v1registry serve
--workers 2``: one over a bucket, one over a folder. Clients, servers and Ceph share the cores.

*transfers*: images of 20 layers are pushed and pulled through ``/v1/`` and ``/v2/``, one layer after the
other and three at a time, as docker does. obstore writes and reads the same bytes in the same way, in this
process, without checking or naming anything. The ratio is the time of obstore to that of the registry: 1 is
its speed.

*pushers*: several clients push small images at the same time, each to a repository of its own. The counters
of unfinished bytes of all clients of an open server are one object, so here its changes meet.

*small*: requests on one connection and on 16, after each was made before. The ratio is the time or the CPU
over Ceph to that over the folder. The time of one call of Ceph stands beside: each request makes at least
one. ``wrk`` makes the requests on 16 connections.

All take turns in each round. The figures are medians of the rounds; compare those of one run only. With two
idle cores it takes about four minutes. It needs Debian's packages for Ceph (tests/support/ceph.py) and wrk.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent.parent))

import obstore
from comparison import load, v1, v2
from comparison.http import MIB, Connection, Layer
from comparison.results import Results, shown_figure
from comparison.servers import Server, Servers, running
from support.ceph import Ceph
from support.object_stores import ObjectStore

from v1registry import FileStorage, Storage
from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.storage.objects import Groups
from v1registry.storage.objects.urls import ObjectPlace, open_objects

OBSTORE: Final = "obstore alone"
OBJECTS: Final = "over Ceph"
FOLDER: Final = "over a folder"

#: How many layers docker sends at a time.
AT_ONCE: Final = 3

#: Images of 20 layers: many small ones and a large one, as that of compare.py; and equal ones.
IMAGES: Final[Mapping[str, Sequence[int]]] = {
    "20 layers, 95 MiB": [64 << 10] * 10 + [MIB] * 6 + [8 * MIB] * 3 + [64 * MIB],
    "20 layers of 4 MiB": [4 * MIB] * 20,
    "20 layers of 12 MiB": [12 * MIB] * 20,
}

#: What is written to Ceph before anything is measured: one that was just started is slow at first.
WARMING: Final = [8 * MIB] * 24

TAGS: Final = 1000

#: How many clients push small images at once, how many images each, and the layers of one.
PUSHERS: Final = (1, 4, 16)
PUSHED_BY_EACH: Final = 6
SMALL_LAYERS: Final = [10 << 10] * 3

#: The goals of the ratios.
LEAST_OF_TRANSFERS: Final = 0.7
MOST_OF_SMALL: Final = 3.0


def each(do: Callable[[Any], object], items: Sequence[Any], at_once: int) -> None:
    """Call a function for each item, some at a time."""
    with ThreadPoolExecutor(at_once) as pool:
        for _ in pool.map(do, items):
            pass


@contextmanager
def timed(results: Results, work: str, name: str) -> Iterator[None]:
    """Note the seconds of a block."""
    began_s = time.monotonic()
    yield
    results.add(work, name, seconds=time.monotonic() - began_s)


# -- transfers


class Image:
    """An image of layers that nothing has seen before.

    :param name: of the kind of image.
    """

    def __init__(self, name: str, number: int):
        self.repository = f"bench/{'-'.join(name.replace(',', '').lower().split())}-{number}"
        self.v1 = v1.chain(IMAGES[name], name, number)
        self.layers = [image.layer for image in self.v1]
        self.blobs = [(layer.digest(), layer.size) for layer in self.layers]
        self.bodies = [b"".join(layer.blocks()) for layer in self.layers]


def write_alone(store: Any, folder: str, image: Image, at_once: int) -> None:
    """Store the layers with obstore."""
    bodies = list(enumerate(image.bodies))
    each(lambda item: obstore.put(store, f"{folder}/{item[0]}", item[1]), bodies, at_once)


def read_alone(store: Any, folder: str, image: Image, at_once: int) -> None:
    """Read the layers with obstore, in pieces."""

    def read(number: int) -> None:
        received = sum(len(piece) for piece in obstore.get(store, f"{folder}/{number}"))
        assert received == image.blobs[number][1]

    each(read, range(len(image.blobs)), at_once)


class Clients:
    """Clients of ``/v2/``, each with a connection that is kept, for threads."""

    def __init__(self, port: int, count: int):
        self._idle: SimpleQueue[v2.Client] = SimpleQueue()
        self.all = [v2.Client(port) for _ in range(count)]
        for client in self.all:
            self._idle.put(client)

    @contextmanager
    def one(self) -> Iterator[v2.Client]:
        """Take a client while the block runs."""
        client = self._idle.get()
        yield client
        self._idle.put(client)


def push_v2(clients: Clients, image: Image) -> None:
    """Push as docker does: each layer is looked for, then sent; the manifest is last."""

    def push(item: tuple[Layer, tuple[str, int]]) -> None:
        layer, (digest, _) = item
        with clients.one() as client:
            assert not client.has_blob(image.repository, digest)
            client.put_blob(client.begin_upload(image.repository), layer, digest)

    each(push, list(zip(image.layers, image.blobs, strict=True)), len(clients.all))
    clients.all[0].put_manifest(image.repository, "v2", image.blobs)


def pull_v2(clients: Clients, image: Image) -> None:
    """Pull as docker does."""

    def pull(digest: str) -> None:
        with clients.one() as client:
            client.get_blob(image.repository, digest)

    each(pull, clients.all[0].get_manifest(image.repository, "v2"), len(clients.all))


def warm_up(store: Any) -> None:
    """Let Ceph write and read for a while."""
    for number, size in enumerate(WARMING):
        obstore.put(store, f"warming/{number}", b"x" * size)
        obstore.get(store, f"warming/{number}").bytes()
    obstore.delete(store, [f"warming/{number}" for number in range(len(WARMING))])


def measure_transfers(server: Server, store: Any, results: Results, rounds: int) -> None:
    """Measure pushes and pulls of images of 20 layers."""
    for number in range(rounds):
        for name in IMAGES:
            image = Image(name, number)
            for at_once in (1, AT_ONCE):
                folder, how = f"alone/{uuid.uuid4().hex}", f"{name}, {at_once} at once"
                with timed(results, f"push of {how}", OBSTORE):
                    write_alone(store, folder, image, at_once)
                clients = Clients(server.port, at_once)
                image.repository += f"-{at_once}"
                # the first one: what the repository has must be sent again
                with timed(results, f"push of {how}", f"{OBJECTS}, /v2/"):
                    push_v2(clients, image)
                with timed(results, f"pull of {how}", OBSTORE):
                    read_alone(store, folder, image, at_once)
                obstore.delete(store, [f"{folder}/{number}" for number in range(len(image.blobs))])
                with timed(results, f"pull of {how}", f"{OBJECTS}, /v2/"):
                    pull_v2(clients, image)
                if at_once == 1:
                    engine = v1.Client(server.port)
                    with timed(results, f"push of {how}", f"{OBJECTS}, /v1/"):
                        engine.push(image.repository, image.v1)
                    with timed(results, f"pull of {how}", f"{OBJECTS}, /v1/"):
                        engine.pull(image.repository)


# -- pushers


def measure_pushers(servers: Mapping[str, Server], results: Results, rounds: int) -> None:
    """Measure how many small images several clients push in a second."""
    for number in range(rounds):
        for count in PUSHERS:
            for name, server in servers.items():
                clients = Clients(server.port, count)

                def push(pusher: int, clients: Clients = clients, run: str = f"{number}-{count}") -> None:
                    for image in range(PUSHED_BY_EACH):
                        layers = [
                            Layer(size, f"{run}-{pusher}-{image}-{place}")
                            for place, size in enumerate(SMALL_LAYERS)
                        ]
                        clients.all[pusher].put_image(f"pushers/{run}-{pusher}", f"t{image}", layers)

                began_s = time.monotonic()
                each(push, range(count), count)
                images_per_s = count * PUSHED_BY_EACH / (time.monotonic() - began_s)
                results.add(f"{count}", name, images_per_s=images_per_s)


# -- small requests


def prepare_small(server: Server, storage: Storage) -> dict[str, tuple[str, str]]:
    """Push what the small requests ask for; return work -> path and accepted type.

    :param storage: of the server.
    """
    images = v1.chain([1024] * 3 + [10 << 10], "small")
    engine, client = v1.Client(server.port), v2.Client(server.port)
    engine.push("bench/small", images)
    tagged = images[-1].image_id.encode()
    storage.write_many({f"repositories/bench/small/tag_t{number}": tagged for number in range(TAGS)})
    digest = client.put_image("bench/v2", "latest", [Layer(1024, "v2")])
    image = f"/v1/images/{images[-1].image_id}"
    manifests = "/v2/bench/v2/manifests"
    return {
        "image json": (f"{image}/json", ""),
        "ancestry": (f"{image}/ancestry", ""),
        "layer of 10 KiB": (f"{image}/layer", ""),
        "one tag": ("/v1/repositories/bench/small/tags/t5", ""),
        f"list of {TAGS:,} tags": ("/v1/repositories/bench/small/tags", ""),
        "manifest by tag": (f"{manifests}/latest", v2.MANIFEST_TYPE),
        "manifest by digest": (f"{manifests}/{digest}", v2.MANIFEST_TYPE),
        "blob of 1 KiB": (f"/v2/bench/v2/blobs/{Layer(1024, 'v2').digest()}", ""),
    }


def measure_small(
    servers: Mapping[str, Server],
    storages: Mapping[str, Storage],
    store: Any,
    results: Results,
    rounds: int,
    seconds: float,
) -> None:
    """Measure small requests over Ceph and over a folder."""
    work = {}
    for name, server in servers.items():
        work = prepare_small(server, storages[name])
    call = partial(_call_ms, store)
    for _ in range(rounds):
        for label, (path, accept) in work.items():
            results.add(label, OBSTORE, ms=call())
            for name, server in servers.items():
                connection = Connection(server.port)
                alone_ms = load.median_ms(connection, path, seconds=seconds / 2, accept=accept)
                connection.close()
                found = load.small_requests(server, path, accept=accept, seconds=seconds)
                results.add(label, name, ms=alone_ms, per_s=found.requests_per_s, cpu_ms=found.cpu_ms)


def _call_ms(store: Any, times: int = 100) -> float:
    """Return the median time of a call that answers that an object is as it was, in milliseconds."""
    put = obstore.put(store, "alone/small", b"x" * 1000)
    taken = []
    for _ in range(times):
        began_s = time.monotonic()
        try:
            obstore.get(store, "alone/small", options={"if_none_match": put["e_tag"]})
        except obstore.exceptions.NotModifiedError:
            taken.append(time.monotonic() - began_s)
    return sorted(taken)[len(taken) // 2] * 1000


# -- the figures


def show_transfers(results: Results) -> None:
    """Print the ratios of pushes and pulls."""
    names = [name for name in results.servers("seconds") if name != OBSTORE]
    print(f"\n| seconds (ratio, goal: at least {LEAST_OF_TRANSFERS}) | {OBSTORE} | {' | '.join(names)} |")
    print("| --- |" + " ---: |" * (len(names) + 1))
    for work in results.works("seconds"):
        alone = results.median(work, OBSTORE, "seconds")
        assert alone is not None
        cells = [f"{shown_figure(alone)}"]
        for name in names:
            taken = results.median(work, name, "seconds")
            cells.append("" if taken is None else f"{shown_figure(taken)} ({alone / taken:.2f})")
        print(f"| {work} | {' | '.join(cells)} |")


def show_pushers(results: Results) -> None:
    """Print how many images were pushed in a second."""
    print(f"\n| clients that push | images in a second, {OBJECTS} | {FOLDER} |")
    print("| ---: |" + " ---: |" * 2)
    for work in results.works("images_per_s"):
        figures = (results.median(work, name, "images_per_s") or 0 for name in (OBJECTS, FOLDER))
        print(f"| {work} | {' | '.join(map(shown_figure, figures))} |")


def show_small(results: Results) -> None:
    """Print the ratios of small requests."""
    goal = f"Ceph, folder (ratio, goal: at most {MOST_OF_SMALL:g})"
    print(f"\n| {goal} | one call of Ceph, ms | ms | ms at {load.CONNECTIONS} connections | CPU ms |")
    print("| --- |" + " ---: |" * 4)
    for work in results.works("cpu_ms"):
        cells = [shown_figure(results.median(work, OBSTORE, "ms") or 0)]
        for unit in ("ms", "per_s", "cpu_ms"):
            both = [results.median(work, name, unit) or 0 for name in (OBJECTS, FOLDER)]
            if unit == "per_s":
                both = [load.CONNECTIONS * 1000 / per_s for per_s in both]
            cells.append(f"{shown_figure(both[0])}, {shown_figure(both[1])} ({both[0] / both[1]:.2f})")
        print(f"| {work} | {' | '.join(cells)} |")


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each load of small requests")
    parser.add_argument("--only", default="transfers,pushers,small", help="parts, with commas")
    options = parser.parse_args()
    parts, results = options.only.split(","), Results()
    work = Path(tempfile.mkdtemp(prefix="v1registry-bench-"))
    try:
        with Ceph(work / "ceph") as ceph:
            os.environ.update(ceph.environment)
            place = ObjectStore(ceph.url, ceph.environment)
            store = ObjectPlace.from_url(place.url(place.new_bucket())).open_store(for_transfers=True)
            url, servers = place.url(place.new_bucket()), Servers(work, work / "peers")
            chosen = {OBJECTS: servers.over(OBJECTS, url), FOLDER: servers.over(FOLDER, "")}
            storages: dict[str, Storage] = {
                OBJECTS: open_objects(url, groups=Groups(KEY_GROUPS)),
                FOLDER: FileStorage(chosen[FOLDER].data),
            }
            with running(list(chosen.values())):
                warm_up(store)
                if "small" in parts:
                    measure_small(chosen, storages, store, results, options.rounds, options.seconds)
                if "pushers" in parts:
                    measure_pushers(chosen, results, options.rounds)
                if "transfers" in parts:
                    measure_transfers(chosen[OBJECTS], store, results, options.rounds)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if "transfers" in parts:
        show_transfers(results)
    if "pushers" in parts:
        show_pushers(results)
    if "small" in parts:
        show_small(results)
    load_1, _, load_15 = os.getloadavg()
    print(f"\nLoad at the end: {load_1:.1f} over one minute, {load_15:.1f} over 15 minutes.")


if __name__ == "__main__":
    main()
