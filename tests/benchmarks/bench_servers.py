"""Compare WSGI servers by what a registry needs of them, and print a table in Markdown.

    python tests/benchmarks/bench_servers.py [--only serve,granian] [--layer-mib 1024] [--rounds 3]

Each server runs floor_application.py. The first table is about correctness and about clients that send or
read nothing, with one worker and 256 threads. The second is about speed, with two workers; ``wrk`` has to be
installed. Measurements go round all servers before they are repeated. Figures are medians. CPU times are
those of the server, and are steadier than rates on a busy machine. Besides the packages of the extra
``test``, uWSGI and gevent are needed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
THREADS = 256

#: A ping that takes longer counts as not answered, in seconds.
PATIENCE_S = 5.0

#: A connection that takes longer was not accepted, in seconds.
CONNECT_S = 5.0

IDLE, BODIES, READERS = 1000, 300, 300

_SERVE = """
import socket
from floor_application import application
from v1registry.cli import serve_gunicorn
listener = socket.create_server(("127.0.0.1", {port}), backlog=2048)
serve_gunicorn.run(lambda: application, listener=listener.detach(), workers={workers}, most_bodies=256,
    body_timeout_s=10, certificate=None, key=None, is_verbose=False)
"""
_WAITRESS = """
from floor_application import application
from waitress import serve
serve(application, listen="127.0.0.1:{port}", threads=256, max_request_body_size=64 << 30)
"""
_CHEROOT = """
from cheroot.wsgi import Server
from floor_application import application
Server(("127.0.0.1", {port}), application, numthreads=256).start()
"""

_GUNICORN = "gunicorn --log-level error --bind 127.0.0.1:{port} --workers {workers}"

COMMANDS = {
    "serve": [sys.executable, "-c", _SERVE],
    "gunicorn gthread": [*_GUNICORN.split(), "--threads", str(THREADS), "floor_application"],
    "gunicorn gevent": [*_GUNICORN.split(), "--worker-class", "gevent", "floor_application"],
    "granian": [
        *"granian --interface wsgi --http 1 --host 127.0.0.1 --port {port} --workers {workers}".split(),
        *f"--blocking-threads {THREADS} --log-level error floor_application:application".split(),
    ],
    "waitress": [sys.executable, "-c", _WAITRESS],
    "cheroot": [sys.executable, "-c", _CHEROOT],
    "uWSGI": [
        *"uwsgi --master --need-app --disable-logging --die-on-term --http-socket 127.0.0.1:{port}".split(),
        *f"--processes {{workers}} --threads {THREADS} --chunked-input-timeout 60".split(),
        *"--module floor_application".split(),
    ],
}  # fmt: skip


@dataclass
class Server:
    """A server that runs."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path

    def connect(self, timeout_s: float = 30.0) -> socket.socket:
        """Return a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)

    def ask(self, sent: bytes, timeout_s: float = 30.0, *, ends: bool = False) -> bytes:
        """Send bytes, and return what comes until the server closes or is silent.

        :param ends: whether the client closes its side after it.
        """
        answer = b""
        with self.connect(timeout_s) as client:
            client.sendall(sent)
            if ends:
                client.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                while piece := client.recv(65536):
                    answer += piece
        return answer

    def ping_s(self) -> float:
        """Return how long the slowest of three pings takes, infinity if one is not answered."""
        slowest = 0.0
        for _ in range(3):
            began_s = time.perf_counter()
            try:
                answer = self.ask(request("GET", "/ping", close=True), PATIENCE_S)
            except OSError:
                return float("inf")
            if not answer.startswith(b"HTTP/1.1 200"):
                return float("inf")
            slowest = max(slowest, time.perf_counter() - began_s)
        return slowest

    def cpu_s(self) -> float:
        """Return the CPU time of all processes of the server."""
        total = 0
        for entry in os.listdir("/proc"):
            if entry.isdecimal():
                with contextlib.suppress(OSError):
                    # after the name: state, parent, group, …, user and system ticks. Source: proc(5)
                    fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                    if int(fields[2]) == self.process.pid:
                        total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")


def request(method: str, path: str, *headers: str, body: bytes = b"", close: bool = False) -> bytes:
    """Return a request as it goes over the wire."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        *headers,
        *(["Connection: close"] if close else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextlib.contextmanager
def running(name: str, workers: int) -> Iterator[Server]:
    """Start a server, and end it."""
    folder = Path(tempfile.mkdtemp(prefix="bench-servers-"))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [part.format(port=port, workers=workers) for part in COMMANDS[name]]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "FLOOR_FOLDER": str(folder), "PYTHONPATH": str(HERE), "PATH": path}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=HERE, stdout=log, stderr=log, start_new_session=True
        )
    server = Server(process, port, folder)
    try:
        until_s = time.monotonic() + 30
        while server.ping_s() == float("inf"):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until_s, f"{name} does not answer"
            time.sleep(0.1)
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


# -- the first table


def broken_bodies(server: Server) -> str:
    """Tell what becomes of chunked bodies without end, and of malformed ones."""
    head = request("PUT", "/cut", "Transfer-Encoding: chunked", close=True)
    wrong = []
    for kind, body in (("cut", b"5\r\nhello\r\n"), ("malformed", b"5\r\nhello\r\nzz\r\nno hex\r\n0\r\n\r\n")):
        with contextlib.suppress(OSError):
            server.ask(head + body, 10, ends=True)
        if (server.folder / "cut").exists():
            (server.folder / "cut").unlink()
            wrong.append(kind)
    return f"**taken as whole: {', '.join(wrong)}**" if wrong else "error"


def header_names(server: Server) -> str:
    """Tell whether names in answers are as the application wrote them."""
    answer = server.ask(request("GET", "/ping", close=True))
    return "as written" if b"\r\nX-Docker-Token:" in answer else "**changed**"


def underscores(server: Server) -> str:
    """Tell what becomes of X_Name beside X-Name."""
    seen = set()
    for headers in (("X-Name: proxy", "X_Name: stranger"), ("X_Name: stranger", "X-Name: proxy")):
        answer = server.ask(request("GET", "/headers", *headers, close=True))
        seen.add(json.loads(answer.partition(b"\r\n\r\n")[2])["HTTP_X_NAME"])
    return "dropped" if seen == {"proxy"} else f"**{' or '.join(sorted(seen))}**"


def while_waiting(server: Server, *crowds: tuple[int, bytes]) -> str:
    """Return how long a ping takes while clients have sent something and then neither send nor read.

    A connection that the server does not accept counts as a ping without answer.
    """
    with contextlib.ExitStack() as stack:
        try:
            for number, sent in crowds:
                for _ in range(number):
                    client = stack.enter_context(server.connect(CONNECT_S))
                    client.sendall(sent)
        except OSError:
            return shown_s(float("inf"))
        return shown_s(server.ping_s())


def shown_s(seconds: float) -> str:
    """Return a time for the table."""
    return "**none**" if seconds == float("inf") else f"{seconds:.2f} s"


def while_busy(server: Server) -> str:
    """Return how long a ping takes while four requests compute."""
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(server.connect())
            client.sendall(request("GET", "/busy"))
        return shown_s(server.ping_s())


def upload_at_the_end(server: Server) -> str:
    """Tell whether an upload may end after SIGTERM. The server is gone after this."""
    with server.connect(15) as client:
        client.sendall(request("PUT", "/last", "Content-Length: 1000000", body=bytes(500_000)))
        time.sleep(1)
        server.process.terminate()
        time.sleep(1)
        try:
            client.sendall(bytes(500_000))
            return "ends" if client.recv(12) == b"HTTP/1.1 200" else "**cut**"
        except OSError:
            return "**cut**"


def qualities(name: str) -> list[str]:
    """Return the row of a server in the first table."""
    form = request("PUT", "/slow", "Content-Length: 60000", body=b"[")
    layer = request("PUT", "/slow", "Transfer-Encoding: chunked", body=b"fffff\r\nab")
    cells = []
    probes: list[Callable[[Server], str]] = [
        broken_bodies,
        header_names,
        underscores,
        lambda server: while_waiting(server, (IDLE, b"")),
        lambda server: while_waiting(server, (IDLE, b"GET /ping HTTP/1.1\r\n")),
        lambda server: while_waiting(server, (BODIES, form)),
        lambda server: while_waiting(server, (BODIES, layer)),
        lambda server: while_waiting(server, (READERS, request("GET", "/large"))),
        while_busy,
        upload_at_the_end,
    ]
    for probe in probes:
        with running(name, 1) as server:  # a new one each time: some do not recover
            (server.folder / "large").write_bytes(bytes(32 << 20))
            cells.append(probe(server))
    return [name, *cells]


# -- the second table


def pings(server: Server, seconds: int = 3) -> dict[str, float]:
    """Return the rate of small requests on 16 connections, and their cost."""
    before_s = server.cpu_s()
    command = ["wrk", "-t1", "-c16", f"-d{seconds}", f"http://127.0.0.1:{server.port}/ping"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+) requests in", printed)
    assert found is not None, printed
    number = int(found[1])
    return {"requests/s": number / seconds, "CPU ms/request": (server.cpu_s() - before_s) * 1000 / number}


def transfers(server: Server, mib: int) -> dict[str, float]:
    """Return the rates and costs of a chunked PUT and of a GET."""
    figures = {}
    piece = bytes(128 << 10)
    chunk = b"%x\r\n" % len(piece) + piece + b"\r\n"
    gigabytes = mib * 1.048576e-3
    before_s, began_s = server.cpu_s(), time.perf_counter()
    with server.connect(600) as client:
        client.sendall(request("PUT", "/layer", "Transfer-Encoding: chunked", close=True))
        for _ in range(mib * 8):
            client.sendall(chunk)
        client.sendall(b"0\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
    figures["PUT MB/s"] = gigabytes * 1000 / (time.perf_counter() - began_s)
    figures["PUT CPU s/GB"] = (server.cpu_s() - before_s) / gigabytes
    before_s, began_s, buffer = server.cpu_s(), time.perf_counter(), bytearray(1 << 20)
    with server.connect(600) as client:
        client.sendall(request("GET", "/layer", close=True))
        received = 0
        while size := client.recv_into(buffer):
            received += size
        assert received > mib << 20
    figures["GET MB/s"] = gigabytes * 1000 / (time.perf_counter() - began_s)
    figures["GET CPU s/GB"] = (server.cpu_s() - before_s) / gigabytes
    return figures


def speeds(names: list[str], mib: int, rounds: int) -> list[list[str]]:
    """Return the rows of the second table."""
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            with running(name, 2) as server:
                measured[name].append(pings(server) | transfers(server, mib))
    columns = list(next(iter(measured.values()))[0])
    rows = [["server", *columns]]
    for name in names:
        medians = [statistics.median(round_[column] for round_ in measured[name]) for column in columns]
        rows.append([name, *(f"{value:,.0f}" if value >= 10 else f"{value:.2f}" for value in medians)])
    return rows


def print_table(rows: list[list[str]]) -> None:
    """Print rows in Markdown, the first one as the head."""
    for number, row in enumerate(rows):
        print(f"| {' | '.join(row)} |", flush=True)
        if not number:
            print(f"|{' --- |' * len(row)}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(COMMANDS), help="names of servers, with commas")
    parser.add_argument("--layer-mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3, help="of the second table; 0 leaves it out")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    names = options.only.split(",")
    head = [
        "server", "broken chunked body", "names in answers", "X_Name beside X-Name", f"ping, {IDLE} idle",
        f"ping, {IDLE} half requests", f"ping, {BODIES} forms", f"ping, {BODIES} layers",
        f"ping, {READERS} readers", "ping, 4 × computing", "upload at SIGTERM",
    ]  # fmt: skip
    print_table([head])
    for name in names:
        print(f"| {' | '.join(qualities(name))} |", flush=True)
    if options.rounds:
        print()
        print_table(speeds(names, options.layer_mib, options.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
