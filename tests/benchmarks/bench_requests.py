"""Measure requests, as a ratio to a bare WSGI function that moves the same bytes.

    python tests/benchmarks/bench_requests.py [--rounds 5] [--layer-mib 64] [--folder DIR]

Both are called in this process in turn, without a server. The figures are the CPU time of a call, medians of
the rounds. For small answers the bare function makes a request and a response of WebOb with prepared bytes.
Otherwise it reads a file, or reads a body into a file with sha256, fsync and rename, as FileStorage does. A
ratio of 1 is therefore impossible. The difference is routing, names, JSON, states and the guarantees of the
storage. Lists of tags are those of folders that did not change lately, as nearly all are.
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
from functools import partial
from pathlib import Path
from typing import Any

from v1registry import FileStorage, MemoryStorage, Registry
from v1registry.wsgi.framework import BaseRequest, Response

CHUNK_BYTES = 128 * 1024
MIB = 1 << 20


def call(app: Any, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> int:
    """Make one request; return the number of bytes that came back."""
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
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
        **(headers or {}),
    }
    statuses: list[str] = []
    chunks = app(environ, lambda status, headers, exc_info=None: statuses.append(status))
    size = sum(map(len, chunks))
    if hasattr(chunks, "close"):
        chunks.close()
    if not statuses[0].startswith(("200", "204")):
        raise SystemExit(f"{method} {path}: {statuses[0]}")
    return size


def prepared(body: bytes) -> Any:
    """Return a WSGI function that answers ``body`` by WebOb."""
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-cache")]

    def app(environ: Any, start_response: Any) -> Any:
        BaseRequest(environ).headers.get("Authorization")
        return Response(body=body, headerlist=list(headers))(environ, start_response)

    return app


def file_sender(path: Path) -> Any:
    """Return a WSGI function that answers with a file."""

    def app(environ: Any, start_response: Any) -> Any:
        file = path.open("rb", buffering=0)
        start_response("200 OK", [("Content-Length", str(path.stat().st_size))])
        return iter(lambda: file.read(CHUNK_BYTES), b"")

    return app


def file_receiver(folder: Path) -> Any:
    """Return a WSGI function that stores a body, durably, and takes its sum."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        digest, left = hashlib.sha256(), int(environ["CONTENT_LENGTH"])
        with (folder / "new").open("wb", buffering=0) as file:
            while left:
                chunk = environ["wsgi.input"].read(min(CHUNK_BYTES, left))
                digest.update(chunk)
                file.write(chunk)
                left -= len(chunk)
            os.fsync(file.fileno())
        (folder / "new").rename(folder / "layer")
        start_response("200 OK", [("Content-Length", "64")])
        return [digest.hexdigest().encode()]

    return app


def seconds_per_call(work: Callable[[], object], times: int) -> float:
    start = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - start) / times


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layer-mib", type=int, default=64)
    parser.add_argument(
        "--folder", type=Path, help="where to put the files; a temporary folder when left out"
    )
    options = parser.parse_args()
    image_id = hashlib.sha256(b"benchmark").hexdigest()
    image = json.dumps({"id": image_id, "created": "2014-06-01T00:00:00Z", "comment": "x" * 500}).encode()
    layer = os.urandom(MIB) * options.layer_mib
    checksum = "sha256:" + hashlib.sha256(image + b"\n" + layer).hexdigest()
    lists = {count: {f"v{number}": image_id for number in range(count)} for count in (10, 1000, 10_000)}

    print(f"| request | storage | ours, us | bare, us | ratio (median of {options.rounds}, range) |")
    print("|---|---|---:|---:|---:|")
    for name in ("memory", "file"):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            bare_folder = Path(folder) / "bare"
            bare_folder.mkdir()
            storage = MemoryStorage() if name == "memory" else FileStorage(Path(folder) / "store")
            app = Registry(storage=storage)
            call(app, "PUT", f"/v1/images/{image_id}/json", image)
            call(app, "PUT", f"/v1/images/{image_id}/layer", layer)
            call(
                app,
                "PUT",
                f"/v1/images/{image_id}/checksum",
                b"",
                {"HTTP_X_DOCKER_CHECKSUM_PAYLOAD": checksum},
            )
            for count, tags in lists.items():
                call(app, "PUT", f"/v1/repositories/me/app{count}/images", b"[]")
                for tag in tags:
                    storage.write(f"repositories/me/app{count}/tag_{tag}", image_id.encode())
            time.sleep(1.1)  # until the folders are quiet
            (bare_folder / "layer").write_bytes(layer)
            send_file = file_sender(bare_folder / "layer")
            receive = file_receiver(bare_folder)

            def put_layer(app: Any = app) -> None:
                # other bytes make the image a new, unfinished one each time, as a push does
                put_layer.number += 1  # type: ignore[attr-defined]
                new_id = hashlib.sha256(b"%d" % put_layer.number).hexdigest()  # type: ignore[attr-defined]
                call(app, "PUT", f"/v1/images/{new_id}/json", json.dumps({"id": new_id}).encode())
                call(app, "PUT", f"/v1/images/{new_id}/layer", layer)

            put_layer.number = 0  # type: ignore[attr-defined]
            rows: list[tuple[str, Callable[[], object], Callable[[], object], int]] = [
                (
                    "GET _ping",
                    partial(call, app, "GET", "/v1/_ping"),
                    lambda: call(prepared(b"{}"), "GET", "/"),
                    2000,
                ),
                (
                    "GET image json",
                    partial(call, app, "GET", f"/v1/images/{image_id}/json"),
                    lambda: call(prepared(image), "GET", "/"),
                    1000,
                ),
                (
                    "GET ancestry",
                    partial(call, app, "GET", f"/v1/images/{image_id}/ancestry"),
                    lambda: call(prepared(json.dumps([image_id]).encode()), "GET", "/"),
                    1000,
                ),
                (
                    "GET one tag",
                    partial(call, app, "GET", "/v1/repositories/me/app10/tags/v1"),
                    lambda: call(prepared(json.dumps(image_id).encode()), "GET", "/"),
                    1000,
                ),
                *(
                    (
                        f"GET {count} tags, {api}",
                        partial(call, app, "GET", path.format(count)),
                        partial(call, prepared(json.dumps(tags).encode()), "GET", "/"),
                        2000 // count + 10,
                    )
                    for count, tags in lists.items()
                    for api, path in (
                        ("v1", "/v1/repositories/me/app{}/tags"),
                        ("v2", "/v2/me/app{}/tags/list"),
                    )
                ),
                (
                    f"GET layer, {options.layer_mib} MiB",
                    partial(call, app, "GET", f"/v1/images/{image_id}/layer"),
                    partial(call, send_file, "GET", "/"),
                    2,
                ),
                (
                    f"PUT layer, {options.layer_mib} MiB",
                    put_layer,
                    partial(call, receive, "PUT", "/", layer),
                    1,
                ),
            ]
            for label, ours, bare, times in rows:
                pairs = [
                    (seconds_per_call(ours, times), seconds_per_call(bare, times))
                    for _ in range(options.rounds)
                ]
                ratios = sorted(mine / floor for mine, floor in pairs)
                mine_us, bare_us = (statistics.median(column) * 1e6 for column in zip(*pairs, strict=True))
                print(
                    f"| {label} | {name} | {mine_us:,.1f} | {bare_us:,.1f} | "
                    f"{statistics.median(ratios):.2f} [{ratios[0]:.2f} to {ratios[-1]:.2f}] |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
