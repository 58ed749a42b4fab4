"""What grows with the number of repositories: start, first request, search, pages, garbage collection."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import load, v1
from .http import MIB, Connection, Layer, basic
from .processes import Watch
from .results import Results
from .seeds import name_of, write_image, write_repositories, write_repository
from .servers import ACCOUNTS, OLD, OURS, PASSWORD, USER, Server, Servers

EMPTY = 10

#: docker-registry reads all repositories at its first start. Above this number it takes minutes.
_LARGEST_FOR_OLD = 100_000


def measure(servers: Servers, results: Results, rounds: int, numbers: Sequence[int]) -> None:
    """Measure servers with each number of repositories."""
    image = v1.Image.make(Layer(1024, "growth"), "growth")
    for number in numbers:
        names = (OURS, ACCOUNTS, OLD) if number <= _LARGEST_FOR_OLD else (OURS, ACCOUNTS)
        for name in names:
            server = servers.make(name, "growth")
            write_repositories(server.data, image, number)
            try:
                _measure_start(server, results, image, number, rounds)
                if name == OURS:
                    _build_index(server, results, number)
                _measure_requests(server, results, number, rounds)
            finally:
                server.stop()
                shutil.rmtree(server.folder, ignore_errors=True)


def label(work: str, number: int) -> str:
    """Return the name of a work with a number of repositories.

    >>> label("start", 1000)
    'start, 1,000 repositories'
    """
    return f"{work}, {number:,} repositories"


def _authorization(server: Server) -> str:
    return basic(USER, PASSWORD) if server.name == ACCOUNTS else ""


def _measure_start(server: Server, results: Results, image: v1.Image, number: int, rounds: int) -> None:
    """Measure the start to the first answer, and the first image, which a repository of the data holds."""
    for round_ in range(max(3, rounds)):
        started_s = server.start()
        client = v1.Client(server.port, _authorization(server))
        began_s = time.monotonic()
        client.token_to_read(name_of(number // 2))
        client.connection.request("GET", f"/v1/images/{image.image_id}/json")
        first_s = time.monotonic() - began_s
        client.close()
        # the first start of docker-registry reads all repositories
        if round_ or server.name != OLD:
            results.add(label("start and first request", number), server.name, seconds=started_s + first_s)
        if round_ < max(3, rounds) - 1:
            server.stop()


def _build_index(server: Server, results: Results, number: int) -> None:
    executable = str(Path(sys.executable).parent / "v1registry")
    began_s = time.monotonic()
    command = [executable, "reindex", "--storage", f"file://{server.data}"]
    subprocess.run(command, check=True, capture_output=True)
    results.add(label("reindex", number), server.name, seconds=time.monotonic() - began_s)


def _measure_requests(server: Server, results: Results, number: int, rounds: int) -> None:
    connection = Connection(server.port, _authorization(server))
    one = name_of(number // 2).rpartition("/")[2]
    work = {"search for one hit": f"/v1/search?q={one}", "search, 25 of all": "/v1/search?q=&n=25"}
    if server.name != OLD:
        work["first page /"] = "/"
    for _ in range(rounds):
        for name, path in work.items():
            # without it the first page is a short text for clients
            accept = "text/html" if path == "/" else ""
            results.add(label(name, number), server.name, ms=load.median_ms(connection, path, accept=accept))
    connection.close()


def measure_collection(servers: Servers, results: Results, images: int, repositories: int) -> None:
    """Measure ``v1registry gc`` over images that are all in use."""
    server = servers.make(OURS, "collection")
    each = images // repositories
    for index in range(repositories):
        ancestors: tuple[str, ...] = ()
        for image in v1.chain([512] * each, "gc", index):
            write_image(server.data, image, ancestors)
            ancestors = (image.image_id, *ancestors)
        write_repository(server.data, name_of(index), {"latest": ancestors[0]})
    executable = str(Path(sys.executable).parent / "v1registry")
    command = [executable, "gc", "--storage", f"file://{server.data}", "--json"]
    began_s = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    with Watch(process.pid) as watch:
        _, printed = process.communicate()
    if process.returncode:
        raise RuntimeError(f"gc failed: {printed.decode('utf-8', 'replace')[-500:]}")
    name = f"gc, {images:,} images, {repositories:,} repositories"
    results.add(name, OURS, seconds=time.monotonic() - began_s, peak_mib=watch.peak_bytes / MIB)
    shutil.rmtree(server.folder, ignore_errors=True)
