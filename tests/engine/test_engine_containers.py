"""Containers of the engine: creation, states, lists, waiting, rules of the test."""

from __future__ import annotations

import time
from threading import Thread
from typing import Any

import docker
import pytest
from docker.errors import APIError, ContainerError, ImageNotFound, NotFound
from v1registry_fakes.engine import FakeEngine
from v1registry_fakes.engine.behaviours import Run
from webtest import TestApp


def test_RMT_070_a_container_has_the_settings_of_image_and_request(
    client: docker.DockerClient, image: str
) -> None:
    container = client.containers.create(
        image, "sleep 10", name="web", environment={"KEY": "mine"}, labels={"c": "d"}
    )
    found = container.attrs
    assert (found["Name"], found["Path"], found["Args"]) == ("/web", "sleep", ["10"])
    assert sorted(found["Config"]["Env"]) == ["KEY=mine", "PATH=/bin"]
    assert found["Config"]["Labels"] == {"a": "b", "c": "d"}
    assert found["State"]["Status"] == "created"
    assert found["Image"] == client.images.get(image).id


def test_RMT_070_names_and_ids_are_the_same_in_every_run(client: docker.DockerClient, image: str) -> None:
    first, second = (client.containers.create(image) for _ in range(2))
    assert [first.name, second.name] == ["brave_ada", "calm_banach"]
    assert first.id.startswith("4b2de9c5ccf6")


def test_RMT_071_what_cannot_be_created_is_rejected(
    client: docker.DockerClient, api: TestApp, image: str
) -> None:
    client.containers.create(image, name="web")
    with pytest.raises(APIError, match='The container name "/web" is already in use') as taken:
        client.containers.create(image, name="web")
    assert taken.value.status_code == 409
    with pytest.raises(APIError, match=r"Invalid container name \(-x\)"):
        client.containers.create(image, name="-x")
    with pytest.raises(ImageNotFound, match="No such image: alice/none:latest"):
        client.containers.create("alice/none")
    for body in ({"Image": image, "Cmd": [1]}, {"Image": image, "HostConfig": "x"}, {}):
        assert api.post_json("/containers/create", body, status=400).json["message"]


def test_RMT_072_a_container_without_a_rule_stays_running(client: docker.DockerClient, image: str) -> None:
    container = client.containers.run(image, detach=True)
    container.reload()
    assert container.status == "running"
    assert container.logs() == b""
    assert container.attrs["State"]["Pid"] > 0


def test_RMT_073_a_rule_says_logs_exit_code_and_duration(
    engine: FakeEngine, client: docker.DockerClient, image: str
) -> None:
    engine.on_run("*/alice/app", logs=["ready", ("stderr", "warning")], exit_code=3, after_s=60)
    container = client.containers.run(image, detach=True)
    assert container.logs(stdout=True, stderr=False) == b"ready\n"
    container.reload()
    assert container.status == "running"
    engine.clock.advance(minutes=1)
    container.reload()
    assert (container.status, container.attrs["State"]["ExitCode"]) == ("exited", 3)
    assert container.wait() == {"StatusCode": 3}


def test_RMT_073_the_last_rule_that_matches_counts(
    engine: FakeEngine, client: docker.DockerClient, image: str
) -> None:
    engine.on_run("*", logs=["any"])
    engine.on_run("*", command="echo *", logs=["echo"])
    engine.on_run("*", command=["echo", "b"], logs=["exact"])
    for command, output in (("true", b"any\n"), ("echo a", b"echo\n"), ("echo b", b"exact\n")):
        assert client.containers.run(image, command) == output


def test_RMT_074_a_function_acts_as_the_container(
    engine: FakeEngine, client: docker.DockerClient, image: str
) -> None:
    def program(run: Run) -> int:
        run.out(f"{run.command} {run.environment['KEY']}\n")
        run.err("failed\n")
        return 5

    engine.on_run("*", program)
    with pytest.raises(ContainerError) as failed:
        client.containers.run(image, ["do", "it"])
    assert (failed.value.exit_status, failed.value.stderr) == (5, b"failed\n")
    assert client.containers.list(all=True)[0].logs(stderr=False) == b"['do', 'it'] image\n"


def test_RMT_074_a_function_waits_on_the_clock_and_sees_its_stop(
    engine: FakeEngine, client: docker.DockerClient, image: str
) -> None:
    def program(run: Run) -> int:
        while run.wait(3600):
            run.out("tick\n")
        return 0

    engine.on_run("*", program)
    container = client.containers.run(image, detach=True)
    stream = container.logs(stream=True, follow=True)
    engine.clock.advance(hours=1)
    assert next(stream) == b"tick\n"
    container.stop()
    assert list(stream) in ([], [b"tick\n"])


def test_a_failure_of_a_function_fails_the_check(
    client: docker.DockerClient, image: str, engine: FakeEngine
) -> None:
    def program(run: Run) -> int:
        raise LookupError("of the test")

    engine.on_run("*", program)
    with pytest.raises(ContainerError, match="LookupError: of the test"):
        client.containers.run(image, "x")
    with pytest.raises(AssertionError, match="LookupError: of the test"):
        engine.check()
    engine.check()


@pytest.mark.parametrize("arguments", [{"logs": ["x"]}, {"after_s": 1}])
def test_a_program_excludes_logs_and_time(engine: FakeEngine, arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="program"):
        engine.on_run("*", lambda run: 0, **arguments)
    with pytest.raises(ValueError, match="after_s must be 0 or more"):
        engine.on_run("*", after_s=-1)


def test_RMT_080_states_follow_each_other(client: docker.DockerClient, image: str) -> None:
    container = client.containers.create(image)
    seen = []
    for step in ("start", "pause", "unpause", "stop", "start", "kill"):
        getattr(container, step)()
        container.reload()
        seen.append((step, container.status))
    assert seen == [
        ("start", "running"),
        ("pause", "paused"),
        ("unpause", "running"),
        ("stop", "exited"),
        ("start", "running"),
        ("kill", "exited"),
    ]
    assert container.attrs["State"]["ExitCode"] == 137


def test_RMT_081_what_changes_nothing_is_304(api: TestApp, client: docker.DockerClient, image: str) -> None:
    name = client.containers.create(image).name
    assert api.post(f"/containers/{name}/stop", status=304).body == b""
    api.post(f"/containers/{name}/start", status=204)
    assert api.post(f"/containers/{name}/start", status=304).body == b""


@pytest.mark.parametrize(
    ("status", "call", "message"),
    [
        ("created", "kill", "Container ID is not running"),
        ("created", "pause", "Container ID is not running"),
        ("created", "unpause", "Container ID is not paused"),
        ("created", "top", "Container ID is not running"),
        ("paused", "pause", "Container ID is already paused"),
        ("paused", "start", "cannot start a paused container, try unpause instead"),
        ("running", "remove", "You cannot remove a running container ID. Stop the container"),
        ("paused", "remove", "You cannot remove a paused container ID. Unpause and then stop"),
    ],
)
def test_RMT_082_what_the_state_does_not_allow_is_rejected(
    client: docker.DockerClient, image: str, status: str, call: str, message: str
) -> None:
    container = client.containers.create(image)
    if status != "created":
        container.start()
    if status == "paused":
        container.pause()
    with pytest.raises(APIError) as refused:
        getattr(container, call)()
    assert message in str(refused.value.explanation).replace(container.id, "ID")
    assert refused.value.status_code == (500 if call == "unpause" else 409)


def test_RMT_083_signals_end_a_container_unless_they_are_harmless(
    client: docker.DockerClient, image: str
) -> None:
    container = client.containers.run(image, detach=True)
    container.kill("WINCH")
    container.reload()
    assert container.status == "running"
    with pytest.raises(APIError, match="Invalid signal: NONE"):
        container.kill("NONE")
    container.kill("SIGHUP")
    assert container.wait()["StatusCode"] == 129


@pytest.mark.parametrize(
    ("policy", "exit_code", "count"),
    [
        ({"Name": "always"}, 0, 3),
        ({"Name": "on-failure", "MaximumRetryCount": 2}, 1, 2),
        ({"Name": "on-failure"}, 0, 0),
    ],
)
def test_RMT_084_the_restart_policy_starts_a_container_again(
    engine: FakeEngine,
    client: docker.DockerClient,
    image: str,
    policy: dict[str, Any],
    exit_code: int,
    count: int,
) -> None:
    engine.clock.freeze()
    engine.on_run("*", logs=["run"], exit_code=exit_code, after_s=10)
    container = client.containers.run(image, detach=True, restart_policy=policy)
    engine.clock.advance(31)
    container.reload()
    assert container.attrs["RestartCount"] == count
    assert container.logs() == b"run\n" * (count + 1)


def test_RMT_085_wait_returns_when_a_container_stops_or_is_removed(
    engine: FakeEngine, client: docker.DockerClient, image: str
) -> None:
    results = {}
    for condition in ("not-running", "next-exit", "removed"):
        container = client.containers.create(image, auto_remove=condition == "removed")
        if condition != "next-exit":
            container.start()
        waiting = Thread(
            target=lambda container=container, condition=condition: results.update(
                {condition: container.wait(condition=condition)["StatusCode"]}
            )
        )
        waiting.start()
        engine_waits(engine, "post_wait")
        if condition == "next-exit":
            container.start()
        container.kill()
        waiting.join(10)
    assert results == {"not-running": 137, "next-exit": 137, "removed": 137}


def engine_waits(engine: FakeEngine, route: str) -> None:
    """Return when a request of a route has arrived and is not finished."""
    until = time.monotonic() + 10
    while not any(request.route == route and not request.is_finished for request in engine.requests):
        assert time.monotonic() < until


def test_RMT_086_a_container_is_renamed(client: docker.DockerClient, image: str) -> None:
    container = client.containers.create(image, name="old")
    client.containers.create(image, name="other")
    container.rename("new")
    assert client.containers.get("new").id == container.id
    with pytest.raises(APIError, match="already in use"):
        container.rename("other")
    with pytest.raises(APIError, match="the same name as its current name"):
        container.rename("new")
    with pytest.raises(NotFound, match="No such container: old"):
        client.containers.get("old")


def test_RMT_087_a_container_is_removed_with_its_volumes(client: docker.DockerClient, image: str) -> None:
    container = client.containers.run(image, detach=True, volumes=["/data", "named:/more"])
    assert len(client.volumes.list()) == 2
    container.remove(force=True, v=True)
    assert [volume.name for volume in client.volumes.list()] == ["named"]
    assert client.containers.list(all=True) == []


def test_RMT_088_prune_removes_stopped_containers(client: docker.DockerClient, image: str) -> None:
    stopped = client.containers.create(image)
    running = client.containers.run(image, detach=True)
    assert client.containers.prune()["ContainersDeleted"] == [stopped.id]
    assert client.containers.list() == [running]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, ["two"]),
        ({"status": "exited"}, ["one"]),
        ({"status": ["exited", "running"]}, ["two", "one"]),
        ({"name": "^tw"}, ["two"]),
        ({"name": "w", "label": "color=blue"}, ["two"]),
        ({"label": "color=red"}, []),
        ({"exited": 4}, ["one"]),
        ({"ancestor": "IMAGE"}, ["two"]),
        ({"network": "bridge"}, ["two"]),
        ({"expose": "80/tcp"}, ["two"]),
        ({"volume": "/data"}, ["two"]),
    ],
)
def test_RMT_090_the_list_is_filtered(
    engine: FakeEngine, client: docker.DockerClient, image: str, filters: dict[str, Any], names: list[str]
) -> None:
    engine.on_run("*", command="fail", exit_code=4)
    client.containers.run(image, "fail", detach=True, name="one")
    client.containers.run(
        image, detach=True, name="two", labels={"color": "blue"}, ports={"80/tcp": None}, volumes=["/data"]
    )
    asked = {key: image if value == "IMAGE" else value for key, value in filters.items()}
    assert [container.name for container in client.containers.list(filters=asked)] == names


def test_RMT_091_the_list_shows_state_ports_and_command(
    api: TestApp, client: docker.DockerClient, image: str
) -> None:
    client.containers.run(
        image, ["sleep", "1 2"], detach=True, name="web", ports={"80/tcp": 8080, "81/tcp": None}
    )
    (found,) = api.get("/containers/json").json
    assert (found["Names"], found["Image"], found["State"]) == (["/web"], image, "running")
    assert found["Command"] == "sleep '1 2'"
    assert found["Ports"] == [
        {"IP": "0.0.0.0", "PrivatePort": 80, "Type": "tcp", "PublicPort": 8080},
        {"IP": "0.0.0.0", "PrivatePort": 81, "Type": "tcp", "PublicPort": 49153},
    ]
    assert found["Status"].startswith("Up ")


def test_RMT_092_top_stats_update_and_resize_answer(client: docker.DockerClient, image: str) -> None:
    container = client.containers.run(image, "sleep 9", detach=True)
    assert container.top()["Processes"][0][-1] == "sleep 9"
    assert container.stats(stream=False)["name"] == f"/{container.name}"
    container.update(mem_limit="64m")
    container.reload()
    assert container.attrs["HostConfig"]["Memory"] == 64 << 20
    container.resize(24, 80)
    stream = container.stats(stream=True, decode=True)
    assert next(stream)["id"] == container.id
    container.remove(force=True)
    assert all(stats["id"] == container.id for stats in stream)


def test_RMT_093_an_image_in_use_is_not_removed(client: docker.DockerClient, image: str) -> None:
    container = client.containers.run(image, detach=True)
    with pytest.raises(APIError, match=r"\(must force\) - container .* is using its referenced image"):
        client.images.remove(image)
    with pytest.raises(APIError, match=r"\(cannot be forced\) - image is being used by running container"):
        client.images.remove(client.images.get(image).id, force=True)
    container.remove(force=True)
    client.images.remove(image)


def test_RMT_094_events_tell_what_happened(
    engine: FakeEngine, client: docker.DockerClient, image: str
) -> None:
    engine.on_run("*", exit_code=2)
    client.containers.run(image, detach=True, name="web").remove()
    found = list(client.events(since=0, until=time.time() + 0.2, decode=True, filters={"container": "web"}))
    assert [event["Action"] for event in found] == ["create", "start", "die", "destroy"]
    assert found[2]["Actor"]["Attributes"]["exitCode"] == "2"
