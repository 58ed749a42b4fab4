"""Links, volumes of other containers, published ports, and what a container may be made with."""

from __future__ import annotations

import docker
import pytest
from docker.errors import APIError, ContainerError
from v1registry_fakes.engine import FakeEngine
from v1registry_fakes.engine.behaviours import Run
from webtest import TestApp


def show_environment(run: Run) -> None:
    """Write the variables."""
    for name, value in sorted(run.environment.items()):
        run.out(f"{name}={value}\n")


def test_RMT_128_a_link_gives_variables_and_a_name(
    engine: FakeEngine, client: docker.DockerClient, image: str
) -> None:
    engine.on_run("*", show_environment, command="show")
    client.containers.run(
        image, detach=True, name="db", environment={"USER": "alice", "PATH": "/x"}, ports={"5432/tcp": None}
    )

    output = client.containers.run(image, "show", name="web", links={"db": "my-db"}).decode()

    assert [line for line in output.splitlines() if line.startswith("MY_DB")] == [
        "MY_DB_ENV_KEY=image",
        "MY_DB_ENV_USER=alice",
        "MY_DB_NAME=/web/my-db",
        "MY_DB_PORT=tcp://172.17.0.2:5432",
        "MY_DB_PORT_5432_TCP=tcp://172.17.0.2:5432",
        "MY_DB_PORT_5432_TCP_ADDR=172.17.0.2",
        "MY_DB_PORT_5432_TCP_PORT=5432",
        "MY_DB_PORT_5432_TCP_PROTO=tcp",
    ]
    assert client.api.inspect_container("web")["HostConfig"]["Links"] == ["/db:/web/my-db"]
    assert client.containers.get("web/my-db").name == "db"
    assert client.api.containers(filters={"name": "db"})[0]["Names"] == ["/db", "/web/my-db"]


def test_RMT_128_a_link_is_removed(client: docker.DockerClient, image: str) -> None:
    client.containers.run(image, detach=True, name="db")
    client.containers.run(image, detach=True, name="web", links={"db": "db"})

    client.api.remove_container("web/db", link=True)

    assert client.api.containers(filters={"name": "db"})[0]["Names"] == ["/db"]
    with pytest.raises(APIError, match="No such container: web/db"):
        client.api.remove_container("web/db", link=True)
    with pytest.raises(APIError, match="cannot remove the default link name of the container"):
        client.api.remove_container("web", link=True)


def test_RMT_128_a_link_to_a_stopped_container_does_not_start(
    client: docker.DockerClient, image: str
) -> None:
    client.containers.create(image, name="db")
    web = client.containers.create(image, name="web", links={"db": "db"})
    with pytest.raises(APIError, match="Cannot link to a non running container: /db AS /web/db"):
        web.start()
    with pytest.raises(APIError, match="could not get container for no: No such container: no"):
        client.containers.create(image, links={"no": "db"})


def test_RMT_128_a_malformed_link_is_rejected(api: TestApp, image: str) -> None:
    body = {"Image": image, "HostConfig": {"Links": ["a:b:c"]}}
    answer = api.post_json("/v1.47/containers/create", body, status=500)
    assert answer.json == {"message": "bad format for links: a:b:c"}


def test_RMT_129_volumes_come_from_another_container(client: docker.DockerClient, image: str) -> None:
    client.containers.create(image, name="data", volumes=["vol:/data", "/srv:/srv:ro"])

    both = client.containers.create(image, volumes_from=["data"])
    read_only = client.containers.create(image, volumes_from=["data:ro"])

    def seen(container: docker.models.containers.Container) -> list[tuple[str, str, bool]]:
        return [(mount["Type"], mount["Destination"], mount["RW"]) for mount in container.attrs["Mounts"]]

    assert seen(both) == [("volume", "/data", True), ("bind", "/srv", False)]
    assert seen(read_only) == [("volume", "/data", False), ("bind", "/srv", False)]
    with pytest.raises(APIError, match="volume is in use"):
        client.volumes.get("vol").remove()


@pytest.mark.parametrize(
    ("source", "message"),
    [("none", "No such container: none"), ("data:x", "invalid mode: x"), ("data:", "invalid mode: ")],
)
def test_RMT_129_an_invalid_source_of_volumes_is_400(
    api: TestApp, client: docker.DockerClient, image: str, source: str, message: str
) -> None:
    client.containers.create(image, name="data")
    body = {"Image": image, "HostConfig": {"VolumesFrom": [source]}}
    assert api.post_json("/v1.47/containers/create", body, status=400).json == {"message": message}


def test_RMT_149_a_range_gives_the_first_free_port(client: docker.DockerClient, image: str) -> None:
    ports = []
    for _ in range(2):
        container = client.containers.run(image, detach=True, ports={"80/tcp": "8000-8001"})
        container.reload()
        ports.append(container.ports["80/tcp"][0]["HostPort"])
    assert ports == ["8000", "8001"]
    with pytest.raises(APIError, match="all ports are allocated"):
        client.containers.run(image, detach=True, ports={"80/tcp": "8000-8001"})


def test_RMT_149_exposed_ranges_are_listed(api: TestApp, client: docker.DockerClient, image: str) -> None:
    made = api.post_json("/v1.47/containers/create", {"Image": image, "ExposedPorts": {"80-82/tcp": {}}}).json
    client.containers.get(made["Id"]).start()
    assert api.get("/v1.47/containers/json").json[0]["Ports"] == [{"PrivatePort": 0, "Type": "tcp"}]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"StopSignal": "NONE"}, "Invalid signal: NONE"),
        (
            {"HostConfig": {"LogConfig": {"Type": "x"}}},
            'error looking up logging plugin x: plugin "x" not found',
        ),
        ({"HostConfig": {"Runtime": "x"}}, "Unknown runtime specified x"),
    ],
)
def test_RMT_076_unknown_signals_drivers_and_runtimes_are_400(
    api: TestApp, image: str, settings: dict[str, object], message: str
) -> None:
    answer = api.post_json("/v1.47/containers/create", {"Image": image, **settings}, status=400)
    assert answer.json == {"message": message}


def test_RMT_076_all_settings_of_the_host_are_told(client: docker.DockerClient, image: str) -> None:
    container = client.containers.create(image, log_config={"Config": {"max-file": "3"}})
    told = container.attrs["HostConfig"]
    assert told["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "3"}}
    assert (told["Runtime"], told["CgroupnsMode"], told["Memory"]) == ("runc", "private", 0)
    assert "KernelMemory" not in told


def test_RMT_076_logs_that_are_not_kept_are_501(
    engine: FakeEngine, api: TestApp, client: docker.DockerClient, image: str
) -> None:
    client.containers.create(image, name="silent", log_config={"Type": "none"})
    answer = api.get("/v1.47/containers/silent/logs?stdout=1", status=501)
    assert answer.json == {"message": "configured logging driver does not support reading"}


def test_RMT_083_stop_sends_the_stop_signal(client: docker.DockerClient, image: str) -> None:
    container = client.containers.run(image, detach=True, stop_signal="SIGUSR1")
    container.stop()
    assert container.wait()["StatusCode"] == 128 + 10


def test_RMT_077_a_function_reads_and_writes_files(
    engine: FakeEngine, client: docker.DockerClient, image: str
) -> None:
    def report(run: Run) -> int:
        run.write_file("/srv/report.txt", run.files["/etc/motd"].upper() + run.working_folder.encode())
        return 0 if run.user == "1000" else 1

    engine.on_run("*", report)
    container = client.containers.create(image, user="1000", working_dir="/work")
    container.start()

    assert container.wait()["StatusCode"] == 0
    assert engine.containers[container.name].files["/srv/report.txt"] == b"HELLO/work"
    assert {"Path": "/srv/report.txt", "Kind": 1} in container.diff()


def test_RMT_007_keys_of_bodies_are_read_in_any_letters(api: TestApp, image: str) -> None:
    made = api.post_json(
        "/v1.47/containers/create", {"image": image, "hostconfig": {"networkMODE": "none"}, "USER": "7"}
    ).json
    told = api.get(f"/v1.47/containers/{made['Id']}/json").json
    assert (told["HostConfig"]["NetworkMode"], told["Config"]["User"]) == ("none", "7")


def test_RMT_015_an_engine_outside_of_a_swarm_leaves_none(api: TestApp) -> None:
    answer = api.post("/v1.47/swarm/leave", status=503)
    assert answer.json == {"message": "This node is not part of a swarm"}


def test_RMT_085_wait_ends_before_a_restart(
    engine: FakeEngine, client: docker.DockerClient, image: str
) -> None:
    engine.on_run("*", exit_code=3, after_s=0.3)
    container = client.containers.create(image, restart_policy={"Name": "always"})
    container.start()
    assert container.wait()["StatusCode"] == 3
    with pytest.raises(APIError, match="You cannot remove a "):
        container.remove()


def test_RMT_113_a_container_without_input_reads_its_end(
    engine: FakeEngine, client: docker.DockerClient, image: str
) -> None:
    engine.on_run("*", lambda run: len(list(run.input())) + 5)
    with pytest.raises(ContainerError) as ended:
        client.containers.run(image)
    assert ended.value.exit_status == 5
