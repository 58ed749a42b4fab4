"""Measure how long a test waits for the fixture.

    python tests/benchmarks/bench_fixture.py [--rounds 100]

The figures are the median and the slowest of the rounds, in milliseconds, in one process after the imports.
The time of the imports is printed first. The first round, which compiles and warms up, is printed separately.
bench_fakes.py compares the fakes with other servers.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import requests

warnings.filterwarnings("ignore", "'cgi' is deprecated", DeprecationWarning)

#: Yields the time of each round in ms. What must be closed is left on the stack.
Measure = Callable[[ExitStack], Iterator[float]]


def timed(action: Callable[[], object]) -> float:
    """Return the time of one call, in ms."""
    begin = time.perf_counter()
    action()
    return (time.perf_counter() - begin) * 1000


def report(what: str, measure: Measure, rounds: int) -> None:
    """Print a line of the report."""
    with ExitStack() as stack:
        steps = measure(stack)
        times = [next(steps) for _ in range(rounds)]
    first, later = times[0], times[1:]
    print(
        f"{what:52} first {first:7.3f}   median {statistics.median(later):7.3f}   slowest {max(later):7.3f}"
    )


def pushed_and_pulled(session: requests.Session, layer: bytes) -> None:
    """Push an image and pull it, as an engine does: six requests up, five down."""
    base, image_id = "http://v1registry.test/v1", "ab" * 32
    document = json.dumps({"id": image_id}).encode()
    payload = hashlib.sha256(document + b"\n" + layer).hexdigest()
    listed = json.dumps([{"id": image_id, "Tag": "1.0"}])
    session.get(f"{base}/_ping")
    session.put(f"{base}/repositories/alice/app/", listed)
    session.put(f"{base}/images/{image_id}/json", document)
    session.put(f"{base}/images/{image_id}/layer", layer)
    session.put(
        f"{base}/images/{image_id}/checksum", headers={"X-Docker-Checksum-Payload": f"sha256:{payload}"}
    )
    session.put(f"{base}/repositories/alice/app/tags/1.0", f'"{image_id}"')
    session.get(f"{base}/repositories/alice/app/images")
    session.get(f"{base}/repositories/alice/app/tags")
    session.get(f"{base}/images/{image_id}/ancestry")
    session.get(f"{base}/images/{image_id}/json")
    pulled = session.get(f"{base}/images/{image_id}/layer").content
    assert pulled == layer, "the layer was not pulled as it was pushed"


def in_process() -> list[tuple[str, Measure]]:
    """Return the measurements without a port."""
    import requests
    from v1registry_fakes import FakeRegistry, WSGIAdapter, WSGISession
    from v1registry_fakes.pushing.pusher import numbered_layer

    def ready(stack: ExitStack) -> Iterator[float]:
        while True:
            begin = time.perf_counter()
            registry = FakeRegistry()
            yield (time.perf_counter() - begin) * 1000
            registry.close()

    def reset(stack: ExitStack) -> Iterator[float]:
        registry = stack.enter_context(FakeRegistry())
        while True:
            registry.add_image("alice/app", layers=3)
            yield timed(registry.reset)

    def fill(stack: ExitStack) -> Iterator[float]:
        registry = stack.enter_context(FakeRegistry())
        while True:
            yield timed(lambda: registry.add_image("alice/app:1.0", files={"etc/motd": "hello"}, layers=2))
            registry.reset()

    def first_request(stack: ExitStack) -> Iterator[float]:
        while True:
            with FakeRegistry() as registry, WSGISession(registry.app) as session:
                yield timed(lambda: session.get("/v1/_ping"))

    def ready_and_asked(stack: ExitStack) -> Iterator[float]:
        while True:
            begin = time.perf_counter()
            registry = FakeRegistry()
            with WSGISession(registry.app) as session:
                session.get("/v1/_ping")
                yield (time.perf_counter() - begin) * 1000
            registry.close()

    def push_and_pull(stack: ExitStack, layer: bytes = numbered_layer(1)) -> Iterator[float]:
        session = stack.enter_context(requests.Session())
        session.trust_env = False
        while True:
            begin = time.perf_counter()
            with FakeRegistry() as registry:
                session.mount("http://", WSGIAdapter(registry.app))
                pushed_and_pulled(session, layer)
            yield (time.perf_counter() - begin) * 1000

    return [
        ("a FakeRegistry is ready", ready),
        ("reset() of one with three images", reset),
        ("add_image() with a repository and two layers", fill),
        ("the first request of a registry, in process", first_request),
        ("from nothing to the first answer, in process", ready_and_asked),
        ("a test that pushes and pulls, in process", push_and_pull),
        (
            "the same with a layer of 1 MiB",
            lambda stack: push_and_pull(stack, numbered_layer(1) + bytes(1 << 20)),
        ),
    ]


def over_a_port() -> list[tuple[str, Measure]]:
    """Return the measurements over a live port."""
    import requests
    from v1registry_fakes import FakeRegistry

    def start(stack: ExitStack, tls: bool = False) -> Iterator[float]:
        while True:
            registry = FakeRegistry(tls=tls)
            yield timed(lambda: registry.url)  # noqa: B023  called at once
            registry.close()

    def stop(stack: ExitStack) -> Iterator[float]:
        while True:
            registry = FakeRegistry()
            requests.get(f"{registry.url}/v1/_ping", timeout=10)
            yield timed(registry.close)

    def live_request(stack: ExitStack) -> Iterator[float]:
        registry = stack.enter_context(FakeRegistry())
        session = stack.enter_context(requests.Session())
        url = f"{registry.url}/v1/_ping"
        while True:
            yield timed(lambda: session.get(url, timeout=10))

    return [
        ("a live port is open (.url)", start),
        ("a live port with TLS is open", lambda stack: start(stack, tls=True)),
        ("a live port is closed, a client still connected", stop),
        ("a request over the live port, kept alive", live_request),
    ]


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=100)
    rounds = max(2, parser.parse_args().rounds)

    def import_fakes() -> None:
        import v1registry_fakes.registry  # noqa: F401

    def import_all() -> None:
        import requests  # noqa: F401
        import v1registry_fakes.listener
        import v1registry_fakes.session  # noqa: F401

    plugin_ms = timed(lambda: __import__("v1registry_fakes.plugin"))
    fakes_ms, all_ms = timed(import_fakes), timed(import_all)
    print(f"imports: plugin (with pytest) {plugin_ms:.1f} ms, registry {fakes_ms:.1f} ms")
    print(f"         requests, cheroot and the session {all_ms:.1f} ms\n")

    for what, measure in (*in_process(), *over_a_port()):
        report(what, measure, rounds)


if __name__ == "__main__":
    main()
