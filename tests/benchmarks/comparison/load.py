"""Load: many small requests by wrk, downloads by several processes."""

from __future__ import annotations

import multiprocessing
import re
import shutil
import statistics
import subprocess
import time
from dataclasses import dataclass
from multiprocessing.synchronize import Event

from .http import Connection
from .processes import Watch, cpu_s
from .servers import Server

CONNECTIONS = 16
READERS = 8


@dataclass(frozen=True)
class Small:
    """The cost of a small request."""

    requests_per_s: float
    cpu_ms: float  #: of all processes of the server, for each request


def small_requests(
    server: Server, path: str, *, authorization: str = "", accept: str = "", seconds: float = 3.0
) -> Small:
    """Send a request again and again on 16 connections, for a second before it is measured.

    :raises LookupError: wrk is not installed.
    :raises RuntimeError: an answer was not the expected one.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        raise LookupError("wrk is not installed; Debian 12 has it")
    command = [wrk, "-t", "1", "-c", str(CONNECTIONS), "--timeout", "30s"]
    for name, value in (("Authorization", authorization), ("Accept", accept)):
        if value:
            command += ["-H", f"{name}: {value}"]
    url = f"http://127.0.0.1:{server.port}{path}"
    # what each process remembers of a value that does not change is not measured
    subprocess.run([*command, "-d", "1s", url], capture_output=True, check=True)
    _wait_until_idle(server)
    command += ["-d", f"{seconds:g}s", url]
    with Watch(server.pid) as watch:
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+) requests in ([\d.]+)(m?s)", printed)
    if not found or "Non-2xx" in printed:
        raise RuntimeError(f"{server.name}, {path}: {printed}")
    number, taken_s = int(found[1]), float(found[2]) / (1000 if found[3] == "ms" else 1)
    return Small(number / taken_s, watch.cpu_s * 1000 / max(1, number))


def _wait_until_idle(server: Server, timeout_s: float = 60.0) -> None:
    """Wait until a server has ended the requests of an earlier load, whose clients are gone."""
    until_s = time.monotonic() + timeout_s
    used_s = cpu_s(server.pid)
    while time.monotonic() < until_s:
        time.sleep(0.2)
        before_s, used_s = used_s, cpu_s(server.pid)
        if used_s - before_s < 0.05:
            return


@dataclass(frozen=True)
class Transfer:
    """The speed and cost of large bodies."""

    mb_per_s: float
    cpu_s_per_gb: float
    growth_bytes: int  #: the most by which one process of the server grew


def downloads(server: Server, path: str, *, authorization: str = "", seconds: float = 3.0) -> Transfer:
    """Download a path on 8 connections at once, at least once on each."""
    start = multiprocessing.Event()
    results: multiprocessing.Queue[int] = multiprocessing.Queue()
    readers = [
        multiprocessing.Process(
            target=_read, args=(server.port, path, authorization, seconds, start, results), daemon=True
        )
        for _ in range(READERS)
    ]
    for reader in readers:
        reader.start()
    with Watch(server.pid) as watch:
        start.set()
        received = sum(results.get(timeout=600) for _ in readers)
    for reader in readers:
        reader.join()
    return Transfer(received / watch.elapsed_s / 1e6, watch.cpu_s / received * 1e9, watch.growth_bytes)


def _read(
    port: int,
    path: str,
    authorization: str,
    seconds: float,
    start: Event,
    results: multiprocessing.Queue[int],
) -> None:
    connection = Connection(port, authorization)
    start.wait()
    until_s, received = time.monotonic() + seconds, 0
    while not received or time.monotonic() < until_s:
        received += connection.request("GET", path, keeps=False).size
    results.put(received)


def median_ms(
    connection: Connection, path: str, *, seconds: float = 1.5, most: int = 200, accept: str = ""
) -> float:
    """Return the median time of a request on one connection, in milliseconds."""
    times: list[float] = []
    headers = {"Accept": accept} if accept else {}
    until_s = time.monotonic() + seconds
    while len(times) < most and (len(times) < 3 or time.monotonic() < until_s):
        began_s = time.monotonic()
        connection.request("GET", path, headers=headers, keeps=False)
        times.append(time.monotonic() - began_s)
        if times[-1] > 20:
            break
    return statistics.median(times) * 1000
