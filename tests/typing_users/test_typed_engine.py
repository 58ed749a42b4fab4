"""Tests of programs that use docker, as users write them. They run; mypy and pyright find nothing in them."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from v1registry_fakes import (
    FakeContainer,
    FakeEngine,
    FakeEngineImage,
    FakeRegistry,
    Fault,
    NotThere,
    RecordedRequest,
    Run,
)


def greet(run: Run) -> int:
    name: str = run.environment.get("NAME", "nobody")
    run.out(f"hello {name}: {run.command}\n")
    run.err(b"warning\n")
    for data in run.input():
        run.out(data)
    return 0 if run.wait(0) else 1


def run_forever(run: Run) -> None:
    while not run.is_stopped:
        run.wait(0.01)


def ask(engine: FakeEngine, method: str, path: str, body: bytes | None = None) -> int:
    request = urllib.request.Request(f"{engine.url.replace('tcp:', 'http:')}{path}", body, method=method)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as answer:
        status: int = answer.status
    return status


def test_images(docker_engine: FakeEngine) -> None:
    base: FakeEngineImage = docker_engine.add_image("alice/base", files={"etc/motd": "a", "bin/sh": b""})
    app = docker_engine.add_image("alice/app:1", files={"old": None}, parent=base, config={"Cmd": ["go"]})
    names: list[str] = app.tags
    files: dict[str, bytes] = app.files
    config: Mapping[str, Any] = docker_engine.images["alice/app:1"].config
    assert (names, files["/etc/motd"], config["os"]) == (["alice/app:1"], b"a", "linux")
    with pytest.raises(NotThere):
        docker_engine.images["alice/none"]
    with pytest.raises(AssertionError):
        docker_engine.assert_pulled("alice/app:1")


def test_containers(docker_engine: FakeEngine) -> None:
    docker_engine.add_image("alice/app:1")
    docker_engine.on_run("alice/app:1", logs=["ready", b"raw", ("stderr", "failed")], exit_code=3)
    docker_engine.on_run("alice/app", greet, command="go *")
    docker_engine.on_run("*/worker", run_forever)
    docker_engine.on_run("alice/cron", lambda run: 0, command=["cron", "-f"])
    docker_engine.on_exec("alice/app", logs=["done"], after_s=0.5)
    ask(docker_engine, "POST", "/containers/create?name=web", b'{"Image": "alice/app:1", "Cmd": ["x"]}')
    ask(docker_engine, "POST", "/containers/web/start")
    web: FakeContainer = docker_engine.containers["web"]
    code: int | None = web.exit_code
    command: list[str] = web.command
    assert (code, command, web.status) == (3, ["x"], "exited")
    assert docker_engine.assert_ran("alice/app", command=["x"]).id == web.id
    docker_engine.clock.advance(timedelta(minutes=5).total_seconds())


def test_faults_and_requests(docker_engine: FakeEngine) -> None:
    with docker_engine.fail("GET", "*/info", status=500, error="gone", times=1) as fault:
        typed: Fault = fault
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(docker_engine, "GET", "/info")
        caught.value.close()
        assert typed.count == 1
    docker_engine.fail(route="post_create", disk="full", delay_s=0.0, bytes_per_second=1000)
    docker_engine.faults.clear()
    ask(docker_engine, "GET", "/_ping")
    request: RecordedRequest = docker_engine.wait_for_request("GET", "*/_ping", timeout_s=5)
    assert docker_engine.assert_requested(route="ping", times=1) == [request]
    assert docker_engine.requests.matching(status=200)


@pytest.mark.docker_engine(version="20.10.24", tls=True)
def test_options(docker_engine: FakeEngine, v1registry: FakeRegistry) -> None:
    environ: dict[str, str] = docker_engine.environ
    assert environ["DOCKER_TLS_VERIFY"] == "1"
    mirrors = {"docker.io": v1registry.url}
    with FakeEngine(api="v1", mirrors=mirrors) as old, FakeEngine(ca_file=None) as new:
        assert old.socket_url.startswith("unix://")
        assert new.app is not old.app
