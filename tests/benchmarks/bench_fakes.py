"""Compare what the fakes cost a test with pytest-httpserver, moto, and a process of docker-registry.

    pip install 'v1registry[test,bench]'
    python tests/benchmarks/bench_fakes.py [--rounds 20] [--tests 1000] [--workers 2]

Everything is measured in one run. The servers of a row take turns, so that they meet the same machine. A
figure is the median of the rounds in milliseconds, with the fastest beside it. The columns at the right are
its ratios to the medians of the others: 0.50 takes half as long. The first round, which imports and compiles,
does not count. Servers that are not installed are named as missing.

Whole runs of pytest are measured once: their CPU time in all processes, with the ratios of it, and how long
they took, which depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests
from fake_tests import SOURCES, ask_and_run, pull_and_run, push_and_pull, put_and_get
from v1registry_fakes import FakeEngine, FakeRegistry

PEERS = ("pytest-httpserver", "moto", "docker-registry")

#: Yields the time of each round in ms. What must be closed is left on the stack.
Measure = Callable[[ExitStack], Iterator[float]]


def elapsed_ms(begin_s: float) -> float:
    """Return the time since a moment."""
    return (time.perf_counter() - begin_s) * 1000


# -- servers


@contextmanager
def docker_registry() -> Iterator[str]:
    """Run a process of docker-registry that stores in memory; the value is its URL once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = {"version": 0.1, "storage": {"inmemory": {}}, "http": {"addr": f"127.0.0.1:{port}"}}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "config.yml")
        file.write_text(json.dumps(config), "utf-8")
        with subprocess.Popen(
            ["docker-registry", "serve", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                _await_port(port, process)
                yield f"http://127.0.0.1:{port}"
            finally:
                process.kill()


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    until_s = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < until_s:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.001)
        else:
            return
    raise SystemExit("docker-registry does not start")


@contextmanager
def fake_registry() -> Iterator[str]:
    """Serve a FakeRegistry on a live port."""
    with FakeRegistry() as registry:
        yield registry.url


@contextmanager
def fake_engine() -> Iterator[str]:
    """Serve a FakeEngine on a port."""
    with FakeEngine() as engine:
        yield engine.url.replace("tcp:", "http:")


@contextmanager
def httpserver() -> Iterator[str]:
    """Serve pytest-httpserver."""
    from pytest_httpserver import HTTPServer

    with HTTPServer(host="127.0.0.1") as server:
        server.expect_request("/ping").respond_with_data("pong")
        yield server.url_for("").rstrip("/")


@contextmanager
def moto_server() -> Iterator[str]:
    """Serve moto."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


#: name -> (serves, the path of a short answer)
SERVERS = {
    "FakeRegistry": (fake_registry, "/v2/"),
    "FakeEngine": (fake_engine, "/_ping"),
    "pytest-httpserver": (httpserver, "/ping"),
    "moto": (moto_server, "/moto-api/data.json"),
    "docker-registry": (docker_registry, "/v2/"),
}


def installed() -> list[str]:
    """Return the names of what can be measured here."""
    found = {
        "pytest-httpserver": importlib.util.find_spec("pytest_httpserver") is not None,
        "moto": all(importlib.util.find_spec(name) is not None for name in ("moto", "boto3", "flask")),
        "docker-registry": shutil.which("docker-registry") is not None,
    }
    return [name for name in SERVERS if found.get(name, True)]


# -- measurements


def _plugin(module: str) -> Measure:
    program = (
        "import time, pytest, importlib\nbegin = time.perf_counter()\n"
        f"importlib.import_module({module!r})\nprint((time.perf_counter() - begin) * 1000)"
    )

    def measure(stack: ExitStack) -> Iterator[float]:
        while True:
            done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
            yield float(done.stdout)

    return measure


def _ready(make: Callable[[], object], close: Callable[[object], object]) -> Measure:
    def measure(stack: ExitStack) -> Iterator[float]:
        while True:
            begin_s = time.perf_counter()
            made = make()
            yield elapsed_ms(begin_s)
            close(made)

    return measure


def _opened(name: str) -> Measure:
    def measure(stack: ExitStack) -> Iterator[float]:
        while True:
            begin_s = time.perf_counter()
            with SERVERS[name][0]():
                yield elapsed_ms(begin_s)

    return measure


def _closed(name: str) -> Measure:
    serve, path = SERVERS[name]

    def measure(stack: ExitStack) -> Iterator[float]:
        while True:
            with ExitStack() as serving:
                url = serving.enter_context(serve())
                requests.get(f"{url}{path}", timeout=10).raise_for_status()
                begin_s = time.perf_counter()
            yield elapsed_ms(begin_s)

    return measure


def _asked(name: str) -> Measure:
    serve, path = SERVERS[name]

    def measure(stack: ExitStack) -> Iterator[float]:
        url = f"{stack.enter_context(serve())}{path}"
        session = stack.enter_context(requests.Session())
        while True:
            begin_s = time.perf_counter()
            session.get(url, timeout=10).raise_for_status()
            yield elapsed_ms(begin_s)

    return measure


def _pushed(name: str) -> Measure:
    def measure(stack: ExitStack) -> Iterator[float]:
        while True:
            begin_s = time.perf_counter()
            with SERVERS[name][0]() as url, requests.Session() as session:
                push_and_pull(session, url)
            yield elapsed_ms(begin_s)

    return measure


def _pushed_in_process(stack: ExitStack) -> Iterator[float]:
    while True:
        begin_s = time.perf_counter()
        with FakeRegistry() as registry, registry.session() as session:
            push_and_pull(session, session.base_url)
        yield elapsed_ms(begin_s)


def _put_in_process(stack: ExitStack) -> Iterator[float]:
    from moto import mock_aws

    while True:
        begin_s = time.perf_counter()
        with mock_aws():
            put_and_get()
        yield elapsed_ms(begin_s)


def _run(work: Callable[[FakeEngine, FakeRegistry], None]) -> Measure:
    def measure(stack: ExitStack) -> Iterator[float]:
        while True:
            begin_s = time.perf_counter()
            with FakeRegistry() as registry, FakeEngine() as engine:
                work(engine, registry)
            yield elapsed_ms(begin_s)

    return measure


def rows(names: list[str]) -> Iterator[tuple[str, Mapping[str, Measure]]]:
    """Yield what is measured, and how for each server."""
    plugins = {
        "FakeRegistry": _plugin("v1registry_fakes.plugin"),
        "pytest-httpserver": _plugin("pytest_httpserver.pytest_plugin"),
    }
    yield "the plugin is loaded and not used", {name: plugins[name] for name in plugins if name in names}
    in_process = {
        "FakeRegistry": _ready(FakeRegistry, FakeRegistry.close),
        "FakeEngine": _ready(FakeEngine, FakeEngine.close),
    }
    if "moto" in names:
        from moto import mock_aws

        in_process["moto"] = _ready(lambda: _started(mock_aws()), lambda mock: mock.stop())
    yield "ready in process", in_process
    yield "ready with an open port", {name: _opened(name) for name in names}
    yield "a request over the port", {name: _asked(name) for name in names}
    yield "the port is closed", {name: _closed(name) for name in names}
    whole = {"FakeRegistry": _pushed_in_process, "FakeRegistry (port)": _pushed("FakeRegistry")}
    if "moto" in names:
        whole["moto"] = _put_in_process
    if "docker-registry" in names:
        whole["docker-registry"] = _pushed("docker-registry")
    yield "a test pushes and pulls", whole
    by_client = {"FakeEngine": _run(pull_and_run), "FakeEngine (http.client)": _run(ask_and_run)}
    yield "a test pulls and runs", by_client


def _started(mock: object) -> object:
    mock.start()
    return mock


def measured(measures: Mapping[str, Measure], rounds: int) -> dict[str, list[float]]:
    """Return name -> times in ms, without the first round. The servers take turns."""
    times: dict[str, list[float]] = {name: [] for name in measures}
    with ExitStack() as stack:
        steps = {name: measure(stack) for name, measure in measures.items()}
        for _ in range(rounds + 1):
            for name, step in steps.items():
                times[name].append(next(step))
        for step in steps.values():
            step.close()
    return {name: found[1:] for name, found in times.items()}


def whole_runs(
    names: list[str], tests: int, workers: int
) -> Iterator[tuple[str, dict[str, tuple[float, float]]]]:
    """Run pytest with many tests, and yield what they do with CPU time and duration of the run in ms."""
    for what, sources in SOURCES.items():
        chosen = {name: text for name, text in sources.items() if name in names or name.startswith("Fake")}
        times = {name: _run_of_pytest(text, tests, workers) for name, text in chosen.items()}
        yield f"{tests} × {what}, {workers} workers", times


def _run_of_pytest(source: str, tests: int, workers: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        head = f"import pytest\npytestmark = pytest.mark.parametrize('number', range({tests}))\n"
        Path(folder, "test_it.py").write_text(f"{head}{source}", "utf-8")
        Path(folder, "pytest.ini").write_text(
            f"[pytest]\nfilterwarnings = error\npythonpath = {Path(__file__).parent}\n", "utf-8"
        )
        begin_s, begin_cpu_s = time.perf_counter(), _cpu_of_children_s()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", str(workers)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(done.stdout)
        return (_cpu_of_children_s() - begin_cpu_s) * 1000, elapsed_ms(begin_s)


def _cpu_of_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def show(what: str, figures: Mapping[str, tuple[float, float]]) -> None:
    """Print the lines of a row.

    :param figures: name -> the figure that is compared, and the one beside it.
    """
    for name, (figure, beside) in figures.items():
        ratios = [f"{figure / figures[peer][0]:8.2f}" if peer in figures else f"{'-':>8}" for peer in PEERS]
        print(f"{what:58} {name:24} {figure:10.2f} {beside:10.2f}   {'  '.join(ratios)}", flush=True)
        what = ""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--tests", type=int, default=1000, help="of the runs of pytest; 0 for no runs")
    parser.add_argument("--workers", type=int, default=2, help="of pytest-xdist")
    options = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # of pytest-httpserver and moto
    names = installed()
    print("missing:", ", ".join(peer for peer in PEERS if peer not in names) or "nothing")
    print(f"{'':83} {'median ms':>10} {'fastest ms':>10}   ratio to {', '.join(PEERS)}")
    for what, measures in rows(names):
        times = measured(measures, options.rounds)
        show(what, {name: (statistics.median(found), min(found)) for name, found in times.items()})
    if options.tests:
        print(f"{'':83} {'CPU ms':>10} {'took ms':>10}")
        for what, figures in whole_runs(names, options.tests, options.workers):
            show(what, figures)


if __name__ == "__main__":
    main()
