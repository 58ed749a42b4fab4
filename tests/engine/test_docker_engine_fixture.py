"""The fixture docker_engine, and what a test sees of an engine: images, containers, faults, assertions."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import docker
import pytest
import requests
from docker.errors import APIError
from urllib3.exceptions import ProtocolError
from v1registry_fakes import FakeEngine, FakeRegistry, NotThere
from webtest import TestApp

pytest_plugins = ["pytester"]


@pytest.fixture
def local(docker_engine: FakeEngine) -> docker.DockerClient:
    client = docker.DockerClient.from_env(environment=docker_engine.environ)
    yield client
    client.close()


def test_an_image_is_there_without_a_registry(docker_engine: FakeEngine, local: docker.DockerClient) -> None:
    base = docker_engine.add_image("alice/base", files={"etc/motd": "hello", "old": "x"})
    app = docker_engine.add_image(
        "alice/app:1.0", files={"app.py": "pass", "old": None}, config={"Cmd": ["run"]}, parent=base
    )
    assert local.images.get("alice/app:1.0").id == app.id
    assert app.files == {"/app.py": b"pass", "/etc/motd": b"hello"}
    assert (app.tags, len(app.layers), app.config["config"]["Cmd"]) == (["alice/app:1.0"], 2, ["run"])
    assert list(docker_engine.images) == ["alice/app:1.0", "alice/base:latest"]
    with pytest.raises(NotThere, match=r"there are: alice/app:1\.0, alice/base:latest"):
        docker_engine.images["alice/none"]
    with pytest.raises(ValueError, match="'Upper': invalid reference format"):
        docker_engine.add_image("Upper")


def test_containers_tell_what_they_did(docker_engine: FakeEngine, local: docker.DockerClient) -> None:
    docker_engine.add_image("alice/app:1.0")
    docker_engine.on_run("alice/app", logs=["done"], exit_code=4)
    local.containers.run("alice/app:1.0", "work", name="job", environment={"A": "b"}, detach=True)

    job = docker_engine.containers["job"]

    assert (job.status, job.exit_code, job.logs, job.starts) == ("exited", 4, "done\n", 1)
    assert (job.command, job.environment, job.image) == (["work"], {"A": "b"}, "alice/app:1.0")
    assert docker_engine.assert_ran("alice/app", command="wo*").id == job.id
    with pytest.raises(AssertionError, match=r"no container of bob/\* was started"):
        docker_engine.assert_ran("bob/*")
    with pytest.raises(NotThere, match="no container 'x'; there are: job"):
        docker_engine.containers["x"]


def test_pulls_and_pushes_are_asserted(
    docker_engine: FakeEngine, local: docker.DockerClient, v1registry: FakeRegistry
) -> None:
    v1registry.add_image("alice/app:1.0", files={"a": "b"})
    name = f"{v1registry.host}/alice/app:1.0"
    with pytest.raises(AssertionError, match="was not pulled; pulled: nothing"):
        docker_engine.assert_pulled(name)
    local.images.pull(name).tag(f"{v1registry.host}/bob/copy", "2")
    local.images.push(f"{v1registry.host}/bob/copy", "2")
    assert docker_engine.assert_pulled(name).files == {"/a": b"b"}
    assert docker_engine.assert_pushed(f"{v1registry.host}/bob/copy:2").id == docker_engine.images[name].id
    with pytest.raises(AssertionError, match=f"pushed: {v1registry.host}/bob/copy:2"):
        docker_engine.assert_pushed(name)


def test_an_engine_fails_on_demand(docker_engine: FakeEngine, local: docker.DockerClient) -> None:
    with docker_engine.fail("GET", "*/info", status=500, error="of the test", times=2) as fault:
        for _ in range(2):
            with pytest.raises(APIError, match="of the test"):
                local.info()
        assert local.info()["Name"]
    assert fault.count == 2
    with (
        docker_engine.fail(route="get_version", refuse_connection=True),
        pytest.raises(requests.ConnectionError),
    ):
        local.version()
    with pytest.raises(ValueError, match="get_nothing"):
        docker_engine.fail(route="get_nothing", status=500)


def test_a_pull_breaks_off_and_a_disk_is_full(
    docker_engine: FakeEngine, local: docker.DockerClient, v1registry: FakeRegistry
) -> None:
    v1registry.add_image("alice/app:1.0")
    name = f"{v1registry.host}/alice/app"
    with docker_engine.fail(route="post_create", disk="full"):
        messages = list(local.api.pull(name, "1.0", stream=True, decode=True))
    assert messages[-1]["error"] == "write /var/lib/docker/tmp: no space left on device"
    with (
        docker_engine.fail(route="post_create", cut_after_bytes=20),
        pytest.raises(ProtocolError),
    ):
        list(local.api.pull(name, "1.0", stream=True, decode=True))
    assert local.images.pull(name, "1.0").tags == [f"{name}:1.0"]


def test_requests_are_waited_for_and_asserted(docker_engine: FakeEngine, local: docker.DockerClient) -> None:
    asking = threading.Thread(target=local.ping)
    asking.start()
    assert docker_engine.wait_for_request("GET", "*/_ping").status == 200
    asking.join()
    docker_engine.assert_requested(route="ping", times=1)
    docker_engine.assert_not_requested("DELETE")


def test_the_fixture_takes_options_and_reports_failures(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.docker_engine(version="20.10.24")
        def test_version(docker_engine):
            docker_engine.add_image("alice/app")
            assert "20.10.24" in repr(docker_engine)
            assert False
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*docker_engine*", "*images of the engine: alice/app:latest*"])


def test_reset_forgets_everything(docker_engine: FakeEngine, local: docker.DockerClient) -> None:
    docker_engine.add_image("alice/app")
    local.containers.run("alice/app", detach=True)
    docker_engine.fail(status=500)
    docker_engine.reset()
    assert (len(docker_engine.images), len(docker_engine.containers), len(docker_engine.requests)) == (
        0,
        0,
        0,
    )
    assert local.images.list() == []


def test_pulls_are_remembered_after_many_events(
    docker_engine: FakeEngine, local: docker.DockerClient, v1registry: FakeRegistry
) -> None:
    v1registry.add_image("alice/app:1.0")
    name = f"{v1registry.host}/alice/app:1.0"
    local.images.pull(name)
    for _ in range(150):
        local.containers.create(name, "sh").remove()
    assert docker_engine.assert_pulled(name).tags == [name]


def test_a_failure_within_an_answer_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(images: object) -> Iterator[bytes]:
        yield b"first"
        raise LookupError("within the answer")

    monkeypatch.setattr("v1registry_fakes.engine.image_archives.saved", broken)
    with FakeEngine() as engine:
        engine.add_image("alice/app")
        with pytest.raises(LookupError):
            TestApp(engine.app).get("/images/alice/app/get")
        with pytest.raises(AssertionError, match="LookupError: within the answer"):
            engine.check()
        engine.check()


def test_wider_fixtures_share_an_engine(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.docker_engine(version="20.10.24")

        class TestShared:
            def test_first(self, docker_engine_per_class, docker_engine_per_session):
                docker_engine_per_class.add_image("alice/app")
                assert "20.10.24" in repr(docker_engine_per_class)
                assert docker_engine_per_class is not docker_engine_per_session

            def test_second(self, docker_engine_per_class):
                assert list(docker_engine_per_class.images) == ["alice/app:latest"]

        def test_other(docker_engine_per_module, docker_engine_per_class):
            assert list(docker_engine_per_class.images) == list(docker_engine_per_module.images) == []
        """
    )
    pytester.runpytest().assert_outcomes(passed=3)
