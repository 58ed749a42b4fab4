"""Compare what requests cost on an open server and on one with accounts.

    python tests/benchmarks/bench_accounts.py [--rounds 5] [--seconds 1] [--folder DIR] [--in-process]

Both servers have the same contents. Each round makes the same request on the open server and, with each kind
of credentials, on the one with accounts. The figures are the CPU time of the server for one request: of the
application called in this process, and of ``v1registry serve`` under ``wrk`` with 16 connections. They are
medians; the ratio is that of each round to the open server's part of it. ``wrk`` makes no requests with HEAD.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import io
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from v1registry import FileStorage, Registry

CONNECTIONS: Final = 16
NAME: Final = "mira/app"
PASSWORD: Final = "correct horse battery"
BASIC: Final = "Basic " + base64.b64encode(f"mira:{PASSWORD}".encode()).decode("ascii")
MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
DOCUMENT: Final = {"created": "2014-06-01T00:00:00Z", "comment": "x" * 500}
LAYER: Final = bytes(10_240)


def call(
    app: Any, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[str, dict[str, str], bytes]:
    """Make one request; return status, headers and body."""
    path, _, query = path.partition("?")
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1",
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
    answer = b"".join(chunks)
    if hasattr(chunks, "close"):
        chunks.close()
    status, answered = found[0]
    if not status.startswith("2"):
        raise SystemExit(f"{method} {path}: {status} {answer[:200]!r}")
    return status, dict(answered), answer


def filled(app: Any, headers: dict[str, str]) -> dict[str, str]:
    """Push an image by v1 and one by ``/v2/``; return the paths to ask for."""
    image_id = hashlib.sha256(b"image").hexdigest()
    document = json.dumps({"id": image_id, **DOCUMENT}).encode()
    payload = hashlib.sha256(document + b"\n" + LAYER).hexdigest()
    listed = json.dumps([{"id": image_id}]).encode()
    call(app, "PUT", f"/v1/repositories/{NAME}/", listed, **headers)
    call(app, "PUT", f"/v1/images/{image_id}/json", document, **headers)
    call(app, "PUT", f"/v1/images/{image_id}/layer", LAYER, **headers)
    call(
        app,
        "PUT",
        f"/v1/images/{image_id}/checksum",
        HTTP_X_DOCKER_CHECKSUM_PAYLOAD=f"sha256:{payload}",
        **headers,
    )
    for number in range(10):
        call(app, "PUT", f"/v1/repositories/{NAME}/tags/v{number}", json.dumps(image_id).encode(), **headers)
    blobs = [json.dumps({"rootfs": {"type": "layers", "diff_ids": []}}).encode(), b"any bytes" * 100]
    parts = []
    for blob in blobs:
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        call(app, "POST", f"/v2/{NAME}/blobs/uploads/?digest={digest}", blob, **headers)
        parts.append({"mediaType": "application/octet-stream", "digest": digest, "size": len(blob)})
    manifest = json.dumps(
        {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": parts[0], "layers": parts[1:]}
    ).encode()
    call(app, "PUT", f"/v2/{NAME}/manifests/pushed", manifest, CONTENT_TYPE=MANIFEST_TYPE, **headers)
    return {
        "image json": f"/v1/images/{image_id}/json",
        "ancestry": f"/v1/images/{image_id}/ancestry",
        "layer": f"/v1/images/{image_id}/layer",
        "HEAD layer": f"/v1/images/{image_id}/layer",
        "one tag": f"/v1/repositories/{NAME}/tags/v0",
        "tags": f"/v1/repositories/{NAME}/tags",
        "v2 tags": f"/v2/{NAME}/tags/list",
        "manifest by tag": f"/v2/{NAME}/manifests/pushed",
        "manifest": f"/v2/{NAME}/manifests/sha256:{hashlib.sha256(manifest).hexdigest()}",
        "blob": f"/v2/{NAME}/blobs/{parts[1]['digest']}",
        "HEAD blob": f"/v2/{NAME}/blobs/{parts[1]['digest']}",
    }


def credentials_of(app: Any) -> dict[str, tuple[str, ...]]:
    """Return the headers for v1 and for ``/v2/`` by the names of their columns."""
    basic = {"HTTP_AUTHORIZATION": BASIC}
    answer = call(app, "GET", f"/v1/repositories/{NAME}/images", HTTP_X_DOCKER_TOKEN="true", **basic)
    token = f"Token {answer[1]['X-Docker-Token']}"
    scope = f"service=localhost&scope=repository:{NAME}:pull"
    bearer = f"Bearer {json.loads(call(app, 'GET', f'/v2/token?{scope}', **basic)[2])['token']}"
    return {"anonymous": ("", ""), "Basic": (BASIC, BASIC), "token": (token, bearer)}


# -- in this process


def cpu_of_calls(app: Any, method: str, path: str, authorization: str, times: int) -> float:
    """Return the CPU time of one call, in seconds."""
    headers = {"HTTP_AUTHORIZATION": authorization} if authorization else {}
    began_s = time.process_time()
    for _ in range(times):
        call(app, method, path, **headers)
    return (time.process_time() - began_s) / times


# -- under a server


@contextlib.contextmanager
def served(folder: str, auth: str) -> Iterator[tuple[int, int]]:
    """Run ``v1registry serve`` over a folder; give its process group and its port."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    program = "import sys; from v1registry.cli.main import main; sys.exit(main())"
    server = subprocess.Popen(
        [sys.executable, "-c", program, "serve", "--port", str(port), "--auth", auth],
        env={**os.environ, "V1REGISTRY_STORAGE": Path(folder).as_uri(), "V1REGISTRY_V2": "on"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline_s = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.05)
        yield server.pid, port
    finally:
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


def cpu_under_wrk(group: int, port: int, method: str, path: str, authorization: str, seconds: int) -> float:
    """Return the CPU time of the server for one request, in seconds."""
    command = ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s", "-H", "Host: localhost"]
    if authorization:
        command += ["-H", f"Authorization: {authorization}"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f'wrk.method = "{method}"\n')
        script.flush()
        began_s = cpu_s(group)
        printed = subprocess.run(
            [*command, "-s", script.name, f"http://localhost:{port}{path}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        spent_s = cpu_s(group) - began_s
    requests = re.search(r"(\d+) requests in", printed)
    if requests is None or "Non-2xx" in printed or "Socket errors" in printed:
        raise SystemExit(f"{method} {path}: {printed}")
    return spent_s / max(1, int(requests[1]))


# -- tables

Measure = Callable[[str, str, str], float]


def show(
    title: str, paths: dict[str, str], kinds: dict[str, tuple[str, ...]], rounds: int, *measures: Measure
) -> None:
    """Measure, and print a table.

    :param measures: of the open server, and of the one with accounts: method, path, credentials -> seconds.
    """
    of_open, of_accounts = measures
    print(f"\n| {title}, us | open | " + " | ".join(kinds) + " |")
    print("| --- | ---: |" + " ---: |" * len(kinds))
    for name, path in paths.items():
        method = "HEAD" if name.startswith("HEAD") else "GET"
        opened: list[float] = []
        closed: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(rounds):
            opened.append(of_open(method, path, ""))
            for kind, headers in kinds.items():
                closed[kind].append(of_accounts(method, path, headers[path.startswith("/v2/")]))
        cells = [f"{statistics.median(opened) * 1e6:.0f}"]
        for found in closed.values():
            ratios = [one / other for one, other in zip(found, opened, strict=True)]
            cells.append(f"{statistics.median(found) * 1e6:.0f} ({statistics.median(ratios):.2f})")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description="Measure requests with and without accounts.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=1, help="of wrk, for each figure")
    parser.add_argument("--times", type=int, default=500, help="calls in this process, for each figure")
    parser.add_argument("--folder", default=None, help="where temporary folders are made")
    parser.add_argument("--only", default="", help="requests whose names match this regular expression")
    parser.add_argument("--in-process", action="store_true", help="leave the servers out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as parent:
        folders = [f"{parent}/open", f"{parent}/accounts"]
        apps = [
            Registry(storage=FileStorage(folders[0]), auth="open:", v2="on"),
            Registry(storage=FileStorage(folders[1]), auth="users:", v2="on", v2_token_lifetime_s=7200),
        ]
        accounts: Any = apps[1]._services.accounts
        accounts.backend.create("mira", PASSWORD, is_active=True)
        filled(apps[0], {})
        paths = filled(apps[1], {"HTTP_AUTHORIZATION": BASIC})
        paths = {name: path for name, path in paths.items() if re.search(options.only, name)}
        kinds = credentials_of(apps[1])
        measures: list[Measure] = [
            lambda method, path, header, app=app: cpu_of_calls(app, method, path, header, options.times)  # type: ignore[misc]
            for app in apps
        ]
        show("in this process", paths, kinds, options.rounds, *measures)
        if options.in_process:
            return
        with (
            served(folders[0], "open:") as opened,
            served(folders[1], "users:") as closed,
        ):
            measures = [
                lambda method, path, header, server=server: cpu_under_wrk(  # type: ignore[misc]
                    *server, method, path, header, options.seconds
                )
                for server in (opened, closed)
            ]
            paths = {name: path for name, path in paths.items() if not name.startswith("HEAD")}
            show(f"serve, {CONNECTIONS} connections", paths, kinds, options.rounds, *measures)


if __name__ == "__main__":
    main()
