"""Servers for the tests of this folder: docker-registry 0.9.1, and docker's engine."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import engine_peers
from support.oci_clients import docker_engine
from support.programs import Program
from v1registry_fakes.engine import FakeEngine

INSTALL = Path(__file__).with_name("install_docker_registry.sh")
NO_PYTHON = 3


@pytest.fixture(scope="session")
def old_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command that starts docker-registry."""
    base = tmp_path_factory.getbasetemp()
    # workers of one run have folders beside each other
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = shared / "docker-registry", shared / "docker-registry-installed"
    with (shared / "docker-registry-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            installed = subprocess.run(
                [INSTALL, folder],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
            if installed.returncode == NO_PYTHON:
                pytest.skip(f"docker-registry 0.9.1: {installed.stderr.strip()}")
            assert installed.returncode == 0, installed.stdout + installed.stderr
            done.touch()
    return folder / "serve"


@pytest.fixture(scope="session")
def dockerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of docker's engine, started once for each worker."""
    if os.geteuid() != 0:
        pytest.skip("needs root to run docker's engine")
    with docker_engine(tmp_path_factory.mktemp("d")) as address:
        yield address


@pytest.fixture(params=["fake", pytest.param(engine_peers.REAL, marks=pytest.mark.real)])
def peer(request: pytest.FixtureRequest) -> Iterator[engine_peers.EnginePeer]:
    """An empty engine of release 20.10.24: a fake, or docker's."""
    test = request.function.__name__.removeprefix("test_")
    if request.param == engine_peers.REAL:
        peer = engine_peers.real_peer(request.getfixturevalue("dockerd"), test)
        yield peer
        peer.finish()
        return
    with FakeEngine(version=engine_peers.VERSION) as engine:
        peer = engine_peers.fake_peer(engine, test)
        yield peer
        peer.finish()


@pytest.fixture
def start(old_registry: Path, tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Start docker-registry with ``start(storage)``, or behind an index with ``start(storage, url)``."""
    started: list[Program] = []

    def start(storage: Path, index_url: str | None = None) -> Program:
        folder = tmp_path / f"docker-registry-{len(started)}"
        folder.mkdir()
        environment = {"STORAGE_PATH": str(storage), "LOGLEVEL": "warning"}
        if index_url is not None:
            environment |= {"STANDALONE": "false", "INDEX_ENDPOINT": index_url}
        started.append(Program([str(old_registry)], folder=folder, environment=environment))
        return started[-1]

    yield start
    for program in started:
        program.end()
