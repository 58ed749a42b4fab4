"""The control API of a process that serves an engine too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import docker
import pytest
from support.control_requests import post, refused
from support.fakes_process import FakesProcess
from v1registry_fakes import FakeEngine, FakeRegistry
from v1registry_fakes.command import main
from v1registry_fakes.control.application import ControlledFake
from webtest import TestApp

RULE = {"image": "alice/app", "command": "serve *", "logs": ["up", {"text": "bad", "stream": "stderr"}]}


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    """The engine of the control API."""
    with FakeEngine() as engine:
        yield engine


@pytest.fixture
def control(engine: FakeEngine) -> Iterator[TestApp]:
    """The control API in process."""
    with FakeRegistry() as registry:
        yield TestApp(ControlledFake(registry, engine))


def started(engine: FakeEngine, command: list[str]) -> str:
    """Run a container of alice/app and return its name."""
    api = TestApp(engine.app)
    made = api.post_json("/v1.47/containers/create?name=web", {"Image": "alice/app", "Cmd": command}).json
    api.post(f"/v1.47/containers/{made['Id']}/start")
    return "web"


def test_image_of_the_engine_is_added(control: TestApp, engine: FakeEngine) -> None:
    body = {"name": "alice/app:1.0", "files": {"etc/motd": "hi"}, "config": {"Cmd": ["serve"]}}
    made = post(control, "engine/images", body)
    image = engine.images["alice/app:1.0"]
    assert made == {"id": image.id, "tags": ["alice/app:1.0"]}
    assert image.files == {"/etc/motd": b"hi"}


def test_rule_says_what_containers_do(control: TestApp, engine: FakeEngine) -> None:
    post(control, "engine/images", {"name": "alice/app"})
    post(control, "engine/runs", {**RULE, "exit_code": 3}, 204)

    started(engine, ["serve", "80"])

    shown = control.get("/_fakes/engine/contents").json
    assert list(shown["images"]) == ["alice/app:latest"]
    web = shown["containers"]["web"]
    assert (web["status"], web["exit_code"], web["logs"]) == ("exited", 3, "up\nbad\n")
    assert (web["image"], web["command"]) == ("alice/app", ["serve", "80"])


def test_rule_says_what_commands_do(control: TestApp, engine: FakeEngine) -> None:
    post(control, "engine/images", {"name": "alice/app"})
    post(control, "engine/execs", {**RULE, "exit_code": 4}, 204)
    api = TestApp(engine.app)
    name = started(engine, ["sh"])
    made = api.post_json(f"/v1.47/containers/{name}/exec", {"Cmd": ["serve", "80"]}).json
    api.post_json(f"/v1.47/exec/{made['Id']}/start", {"Detach": True})
    assert api.get(f"/v1.47/exec/{made['Id']}/json").json["ExitCode"] == 4


def test_fault_of_the_engine_is_set_and_undone(control: TestApp, engine: FakeEngine) -> None:
    fault = post(control, "engine/faults", {"path": "*/_ping", "status": 500})
    api = TestApp(engine.app)
    api.get("/_ping", status=500)
    assert control.delete(f"/_fakes/faults/{fault['id']}").json["count"] == 1
    api.get("/_ping")
    post(control, "engine/faults", {"path": "*/_ping", "status": 500})
    control.delete("/_fakes/faults")
    api.get("/_ping")
    asked = control.get("/_fakes/engine/requests?path=*/_ping&status=500").json
    assert [request["route"] for request in asked] == ["ping"]


def test_clock_moves_the_engine(control: TestApp, engine: FakeEngine) -> None:
    control.put_json("/_fakes/clock", {"now": "2024-05-01T12:00:00Z", "is_frozen": True})
    assert engine.clock.now().isoformat() == "2024-05-01T12:00:00+00:00"
    assert engine.clock.is_frozen
    control.put_json("/_fakes/clock", {"is_frozen": False})
    assert not engine.clock.is_frozen


def test_reset_empties_the_engine(control: TestApp, engine: FakeEngine) -> None:
    post(control, "engine/images", {"name": "alice/app"})
    control.post("/_fakes/reset")
    assert control.get("/_fakes/engine/contents").json == {"images": {}, "containers": {}}
    assert control.get("/_fakes/").json["engine"] == engine.url


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("engine/images", {"name": "A"}, "'A': invalid reference format"),
        ("engine/images", {"name": "a", "parent": "none"}, "no image 'none'"),
        ("engine/runs", {"image": ""}, "image must be a pattern of a name"),
        ("engine/runs", {"image": "a", "exit_code": 256}, "an exit code must be from 0 to 255"),
        ("engine/faults", {}, "fail() needs an effect"),
        ("engine/faults", {"disk": "slow"}, "The body is invalid"),
    ],
)
def test_invalid_body_for_the_engine_is_rejected(
    control: TestApp, path: str, body: dict[str, object], reason: str
) -> None:
    status = 404 if "parent" in body else 400
    assert reason in refused(control, path, body, status)


def test_process_without_an_engine_says_so() -> None:
    with FakeRegistry() as registry:
        control = TestApp(ControlledFake(registry))
        assert "--engine" in refused(control, "engine/images", {"name": "a"}, 404)
        assert "engine" not in control.get("/_fakes/").json


def test_process_serves_an_engine_that_pulls_from_its_registry(tmp_path: Path) -> None:
    with FakesProcess("--engine", "20.10.24", folder=tmp_path) as process:
        address = process.place["engine"]["DOCKER_HOST"]
        with closing(docker.DockerClient(base_url=address)) as client:
            assert client.version()["Version"] == "20.10.24"
            with pytest.raises(docker.errors.APIError):
                client.images.pull("alice/app", tag="1.0")
        assert process.end()[0] == 0


def test_used_port_of_the_engine_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with FakeEngine() as engine:
        port = engine.url.rpartition(":")[2]
        assert main(["serve", "--engine", "--engine-port", port]) == 2
    assert "choose another --host, --port or --engine-port" in capsys.readouterr().err
