"""A CI runner that runs each step of a job in a container, and its tests.

pytest examples/testing/test_ci_runner.py
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import docker
import pytest
import requests
from docker.errors import DockerException
from v1registry_fakes import FakeEngine, Run


@dataclass(frozen=True)
class Result:
    """How a step ended."""

    step: str
    outcome: str  #: passed, failed, timed out or broken
    log: str


def run_job(
    client: docker.DockerClient,
    image: str,
    steps: list[str],
    environment: Mapping[str, str],
    *,
    longest_s: float = 3600,
) -> list[Result]:
    """Run steps one after another until one does not pass, and leave no container."""
    results: list[Result] = []
    for step in steps:
        try:
            results.append(_run(client, image, step, environment, longest_s))
        except DockerException as error:
            results.append(Result(step, "broken", str(error)))
        if results[-1].outcome != "passed":
            break
    return results


def _run(
    client: docker.DockerClient, image: str, step: str, environment: Mapping[str, str], longest_s: float
) -> Result:
    container = client.containers.run(image, ["sh", "-c", step], environment=dict(environment), detach=True)
    try:
        code = container.wait(timeout=longest_s)["StatusCode"]
        outcome = "passed" if code == 0 else "failed"
    except requests.ConnectionError:  # what the docker library makes of a wait that is too long
        container.kill()
        outcome = "timed out"
    log = container.logs().decode()
    container.remove()
    return Result(step, outcome, log)


# -- tests

IMAGE = "python:3.12"


@pytest.fixture(autouse=True)
def image(docker_engine: FakeEngine) -> None:
    docker_engine.add_image(IMAGE)
    docker_engine.on_run(IMAGE, exit_code=0)


def test_all_steps_pass(docker_engine: FakeEngine, client: docker.DockerClient) -> None:
    def install(run: Run) -> int:
        run.out(f"installing from {run.environment['INDEX']}\n")
        return 0

    docker_engine.on_run(IMAGE, install, command=["sh", "-c", "pip install ."])

    results = run_job(client, IMAGE, ["pip install .", "pytest"], {"INDEX": "https://pypi.example.org"})

    assert results == [
        Result("pip install .", "passed", "installing from https://pypi.example.org\n"),
        Result("pytest", "passed", ""),
    ]
    assert list(docker_engine.containers) == []


def test_a_failure_ends_the_job(docker_engine: FakeEngine, client: docker.DockerClient) -> None:
    docker_engine.on_run(IMAGE, command="*pytest*", logs=["1 failed"], exit_code=1)

    results = run_job(client, IMAGE, ["ruff check", "pytest", "twine upload"], {})

    assert [(each.step, each.outcome) for each in results] == [("ruff check", "passed"), ("pytest", "failed")]
    assert results[-1].log == "1 failed\n"


def test_a_step_that_hangs_is_killed(docker_engine: FakeEngine, client: docker.DockerClient) -> None:
    docker_engine.on_run(IMAGE, logs=["waiting"], exit_code=None)

    (result,) = run_job(client, IMAGE, ["sleep infinity", "pytest"], {}, longest_s=0.2)

    assert result == Result("sleep infinity", "timed out", "waiting\n")
    docker_engine.assert_requested("POST", "*/kill", times=1)
    assert list(docker_engine.containers) == []


def test_a_full_disk_breaks_the_job(docker_engine: FakeEngine, client: docker.DockerClient) -> None:
    docker_engine.fail("POST", "*/containers/create", status=500, error="no space left on device")

    (result,) = run_job(client, IMAGE, ["pytest"], {})

    assert result.outcome == "broken"
    assert "no space left on device" in result.log
