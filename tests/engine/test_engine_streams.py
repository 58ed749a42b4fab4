"""Logs, attach and exec: what clients read from containers, and send to them."""

from __future__ import annotations

import os
import subprocess

import docker
import pytest
from docker.errors import APIError, NotFound
from v1registry_fakes.engine import FakeEngine
from v1registry_fakes.engine.behaviours import Run
from webtest import TestApp


def shout(run: Run) -> int:
    """Answer input in capitals."""
    for chunk in run.input():
        run.out(chunk.upper())
    return 7


def test_RMT_100_logs_are_those_of_the_wanted_streams(
    engine: FakeEngine, client: docker.DockerClient, image: str
) -> None:
    engine.on_run("*", logs=["one", ("stderr", "two"), "three"])
    container = client.containers.run(image, detach=True)
    assert container.logs() == b"one\ntwo\nthree\n"
    assert container.logs(stderr=False) == b"one\nthree\n"
    assert container.logs(tail=1) == b"three\n"
    assert container.logs(timestamps=True).split(b" ")[0].endswith(b"Z")
    with pytest.raises(APIError, match="you must choose at least one stream"):
        container.logs(stdout=False, stderr=False)


def test_RMT_101_since_and_until_choose_by_time(
    engine: FakeEngine, client: docker.DockerClient, image: str
) -> None:
    engine.clock.freeze()
    engine.on_run("*", logs=["run"], exit_code=0)
    container = client.containers.run(image, detach=True)
    engine.clock.advance(100)
    middle = int(engine.clock.time_s())
    engine.clock.advance(100)
    container.start()
    assert container.logs() == b"run\nrun\n"
    assert container.logs(since=middle) == container.logs(until=middle) == b"run\n"


def test_RMT_102_logs_follow_until_the_container_stops(
    engine: FakeEngine, client: docker.DockerClient, image: str
) -> None:
    engine.on_run("*", logs=["ready"], exit_code=None)
    container = client.containers.run(image, detach=True)
    stream = container.logs(stream=True, follow=True)
    assert next(stream) == b"ready\n"
    container.stop()
    assert list(stream) == []


def test_RMT_103_output_has_frames_unless_there_is_a_terminal(
    engine: FakeEngine, client: docker.DockerClient, api: TestApp, image: str
) -> None:
    engine.on_run("*", logs=["x", ("stderr", "y")])
    for tty in (False, True):
        client.containers.run(image, detach=True, tty=tty, name=f"tty-{tty}")
    framed = api.get("/v1.41/containers/tty-False/logs?stdout=1&stderr=1")
    assert framed.body == b"\x01\0\0\0\0\0\0\x02x\n\x02\0\0\0\0\0\0\x02y\n"
    assert framed.content_type == "application/vnd.docker.raw-stream"
    newer = api.get("/v1.42/containers/tty-False/logs?stdout=1")
    assert newer.content_type == "application/vnd.docker.multiplexed-stream"
    assert api.get("/v1.42/containers/tty-True/logs?stdout=1").body == b"x\r\ny\r\n"


def test_RMT_104_attach_streams_output_from_the_start(
    engine: FakeEngine, client: docker.DockerClient, image: str
) -> None:
    engine.on_run("*", logs=["hello", ("stderr", "world")], exit_code=0)
    container = client.containers.create(image)
    stream = container.attach(stream=True, logs=True, demux=True)
    container.start()
    assert list(stream) == [(b"hello\n", None), (None, b"world\n")]


def test_RMT_105_attach_and_exec_in_process_are_501(
    client: docker.DockerClient, api: TestApp, image: str
) -> None:
    container = client.containers.run(image, detach=True)
    told = api.post(f"/containers/{container.id}/attach?stream=1", status=501).json["message"]
    assert "in process, without a live port," in told
    command = api.post_json(f"/containers/{container.id}/exec", {"Cmd": ["x"]}).json["Id"]
    assert "live port" in api.post_json(f"/exec/{command}/start", {}, status=501).json["message"]
    api.post_json(f"/exec/{command}/start", {"Detach": True}, status=200)


def test_RMT_110_exec_runs_what_the_rule_says(
    engine: FakeEngine, client: docker.DockerClient, image: str
) -> None:
    engine.on_exec("*/alice/app:1.0", command="ls *", logs=["a", ("stderr", "b")], exit_code=2)
    container = client.containers.run(image, detach=True)
    assert container.exec_run("ls /") == (2, b"a\nb\n")
    assert container.exec_run("ls /", demux=True) == (2, (b"a\n", b"b\n"))
    assert container.exec_run("true") == (0, b"")
    code, stream = container.exec_run("ls /", stream=True)
    assert (code, b"".join(stream)) == (None, b"a\nb\n")


def test_RMT_111_exec_needs_a_running_container_and_a_command(
    client: docker.DockerClient, image: str
) -> None:
    container = client.containers.create(image)
    with pytest.raises(APIError, match="is not running") as refused:
        container.exec_run("ls")
    assert refused.value.status_code == 409
    container.start()
    container.pause()
    with pytest.raises(APIError, match="is paused, unpause the container before exec"):
        container.exec_run("ls")
    container.unpause()
    with pytest.raises(APIError, match="No exec command specified"):
        client.api.exec_create(container.id, [])
    with pytest.raises(NotFound, match="No such exec instance: none"):
        client.api.exec_inspect("none")


def test_RMT_112_an_exec_runs_once_and_is_inspected(client: docker.DockerClient, image: str) -> None:
    container = client.containers.run(image, detach=True)
    exec_id = client.api.exec_create(container.id, ["ls", "-l"], tty=True)["Id"]
    assert client.api.exec_inspect(exec_id)["ExitCode"] is None
    client.api.exec_start(exec_id)
    found = client.api.exec_inspect(exec_id)
    assert (found["ExitCode"], found["Running"]) == (0, False)
    assert found["ProcessConfig"]["entrypoint"] == "ls"
    with pytest.raises(APIError, match="has already run"):
        client.api.exec_start(exec_id)


@pytest.mark.real
def test_RMT_113_input_reaches_the_command_and_its_end_too(
    engine: FakeEngine, client: docker.DockerClient, image: str
) -> None:
    engine.on_exec("*", shout, command="cat")
    container = client.containers.run(image, detach=True)
    done = subprocess.run(
        ["docker", "exec", "-i", container.name, "cat"],
        input=b"hello\n",
        env={**os.environ, **engine.environ},
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, b"HELLO\n", b"")


@pytest.mark.real
def test_RMT_114_input_reaches_an_attached_container(
    engine: FakeEngine, client: docker.DockerClient, image: str
) -> None:
    engine.on_run("*", shout)
    done = subprocess.run(
        ["docker", "run", "-i", "--rm", image],
        input=b"hello\n",
        env={**os.environ, **engine.environ},
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (7, b"HELLO\n")
    assert client.containers.list(all=True) == []
