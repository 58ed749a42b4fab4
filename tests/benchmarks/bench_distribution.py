"""Measure blobs and manifests through the distribution API.

    python tests/benchmarks/bench_distribution.py [--rounds 3] [--mib 256] [--requests 1000] [--folder DIR]

Blobs are compared with the same bytes as a layer of v1. Both are called in this process in turn, without a
server. Manifests are compared with ``/_ping``, by time and by CPU time of the server, under ``v1registry
serve`` with one worker and one client. Each round of manifests has ten short ones, so that a request and
the ping with which it is compared meet the same machine. All figures are medians.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from v1registry import FileStorage, Registry

MIB = 1 << 20


def call(app: Any, method: str, path: str, body: bytes = b"", **headers: str) -> str:
    """Make one request; return its ``Location``."""
    path, _, query = path.partition("?")
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "HTTP_HOST": "localhost",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        **headers,
    }
    found: list[tuple[str, list[tuple[str, str]]]] = []
    chunks = app(environ, lambda status, headers, exc_info=None: found.append((status, headers)))
    for _ in chunks:
        pass
    if hasattr(chunks, "close"):
        chunks.close()
    status, answered = found[0]
    if not status.startswith("2"):
        raise SystemExit(f"{method} {path}: {status}")
    return dict(answered).get("Location", "")


def timed(action: Callable[[], object]) -> float:
    """Return how many seconds a call takes."""
    began_s = time.perf_counter()
    action()
    return time.perf_counter() - began_s


def put_v1(app: Any, image_id: str, layer: bytes) -> None:
    """Push one layer as docker does."""
    document = json.dumps({"id": image_id}).encode()
    checksum = hashlib.sha256(document + b"\n")
    call(app, "PUT", f"/v1/images/{image_id}/json", document)
    call(app, "PUT", f"/v1/images/{image_id}/layer", layer)
    checksum.update(layer)
    header = f"sha256:{checksum.hexdigest()}"
    call(app, "PUT", f"/v1/images/{image_id}/checksum", HTTP_X_DOCKER_CHECKSUM_PAYLOAD=header)


def put_v2(app: Any, layer: bytes, pieces: int) -> None:
    """Push one blob in a number of parts."""
    location = call(app, "POST", "/v2/team/app/blobs/uploads/")
    size = -(-len(layer) // pieces)
    for start in range(0, len(layer), size):
        call(app, "PATCH", location, layer[start : start + size])
    call(app, "PUT", f"{location}?digest=sha256:{hashlib.sha256(layer).hexdigest()}")


# -- manifests


@contextlib.contextmanager
def served(folder: str) -> Iterator[tuple[int, http.client.HTTPConnection]]:
    """Run ``v1registry serve`` over a folder; give its process group and a connection to it."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    program = "import sys; from v1registry.cli.main import main; sys.exit(main())"
    server = subprocess.Popen(
        [sys.executable, "-c", program, "serve", "--port", str(port)],
        env={**os.environ, "V1REGISTRY_STORAGE": Path(folder).as_uri()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        deadline_s = time.monotonic() + 30
        while True:
            try:
                client.connect()
                break
            except ConnectionRefusedError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.05)
        yield server.pid, client
    finally:
        client.close()
        server.terminate()
        server.wait()


def cpu_s(group: int) -> float:
    """Return the CPU time of all threads of a process group. Source: proc(5), schedstat."""
    nanoseconds = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                threads = process.glob("task/*/schedstat")
                nanoseconds += sum(int(thread.read_text().split()[0]) for thread in threads)
    return nanoseconds / 1e9


def get(client: http.client.HTTPConnection, path: str) -> tuple[bytes, str]:
    """Return the body and its type."""
    client.request("GET", path)
    answer = client.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise SystemExit(f"GET {path}: {answer.status}")
    return body, answer.headers["Content-Type"]


def measure_manifests(rounds: int, requests: int, parent: str | None) -> None:
    """Measure requests for a small manifest, and print a table.

    :param requests: in each round.
    """
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        image_id = hashlib.sha256(b"image").hexdigest()
        app = Registry(storage=FileStorage(folder))
        put_v1(app, image_id, bytes(10240))  # an empty tar
        call(app, "PUT", "/v1/repositories/team/app/tags/converted", json.dumps(image_id).encode())
        with served(folder) as (group, client):
            manifest, media_type = get(client, "/v2/team/app/manifests/converted")
            call(app, "PUT", "/v2/team/app/manifests/pushed", manifest, CONTENT_TYPE=media_type)
            paths = {
                "/_ping": "/_ping",
                "manifest by digest": f"/v2/team/app/manifests/sha256:{hashlib.sha256(manifest).hexdigest()}",
                "tag, pushed": "/v2/team/app/manifests/pushed",
                "tag, converted": "/v2/team/app/manifests/converted",
            }
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in paths}
            for _ in range(rounds):
                for name, path in paths.items():
                    began_s, cpu_began_s = time.perf_counter(), cpu_s(group)
                    for _ in range(requests):
                        get(client, path)
                    spent_s = time.perf_counter() - began_s, cpu_s(group) - cpu_began_s
                    found[name].append((spent_s[0] / requests, spent_s[1] / requests))
    pings = found["/_ping"]
    for name, measured in found.items():
        elapsed, cpu = (statistics.median(values) * 1e6 for values in zip(*measured, strict=True))
        ratios = [(one[0] / ping[0], one[1] / ping[1]) for one, ping in zip(measured, pings, strict=True)]
        of_time, of_cpu = (statistics.median(values) for values in zip(*ratios, strict=True))
        print(
            f"{name:18} {elapsed:8.0f} us     {of_time:6.2f} x ping   CPU {cpu:6.0f} us {of_cpu:6.2f} x ping"
        )


# -- blobs


def main() -> None:
    """Measure, and print two tables."""
    parser = argparse.ArgumentParser(
        description="Measure blobs against layers of v1, manifests against pings."
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--requests", type=int, default=1000, help="for manifests, in each round")
    parser.add_argument("--folder", default=None, help="where temporary folders are made")
    options = parser.parse_args()
    measure_blobs(options)
    measure_manifests(10 * options.rounds, max(1, options.requests // 10), options.folder)


def measure_blobs(options: argparse.Namespace) -> None:
    """Measure uploads and downloads of one blob, and print a table."""
    rows: dict[str, list[float]] = {}
    for number in range(options.rounds):
        layer = os.urandom(MIB) * options.mib
        image_id = hashlib.sha256(b"%d" % number).hexdigest()
        digest = hashlib.sha256(layer).hexdigest()
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            app = Registry(storage=FileStorage(folder), v2="on")
            actions: dict[str, Callable[[], object]] = {
                "v1 PUT": lambda: put_v1(app, image_id, layer),  # noqa: B023 (called in this round)
                "v2 PUT, 1 part": lambda: put_v2(app, layer, 1),  # noqa: B023
                "v1 GET": lambda: call(app, "GET", f"/v1/images/{image_id}/layer"),  # noqa: B023
                "v2 GET": lambda: call(app, "GET", f"/v2/team/app/blobs/sha256:{digest}"),  # noqa: B023
                "v2 PUT, 16 parts": lambda: put_v2(app, layer, 16),  # noqa: B023
            }
            for name, action in actions.items():
                rows.setdefault(name, []).append(timed(action))
    for name, seconds in rows.items():
        median_s = statistics.median(seconds)
        baseline = statistics.median(rows["v1 GET" if "GET" in name else "v1 PUT"])
        print(f"{name:18} {options.mib / median_s:8.0f} MiB/s   {median_s / baseline:5.2f} x v1")


if __name__ == "__main__":
    main()
