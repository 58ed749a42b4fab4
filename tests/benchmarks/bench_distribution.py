"""Measure a blob through the distribution API, as a ratio to the same bytes as a layer of v1.

    python tests/benchmarks/bench_distribution.py [--rounds 3] [--mib 256] [--folder DIR]

Both are called in this process in turn, without a server. The figures are medians of the rounds.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
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


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="Measure blobs against layers of v1.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--folder", default=None, help="where temporary folders are made")
    options = parser.parse_args()
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
