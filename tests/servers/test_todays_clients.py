"""Today's clients and a registry: the parts of v1 that they still support work, the rest fails cleanly.

Their requests were recorded (podman 4.3, skopeo 1.9, docker 20.10 and 28, docker-registry-client 0.5.2).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.errors
import pytest
import requests
from support.engine_client import Image, make_chain, make_image, random_layer
from support.programs import PATIENCE_S, Program, environment_of, eventually
from support.wsgi_servers import SERVE, RunningServer

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def chain() -> list[Image]:
    return make_chain((random_layer(1000, n) for n in range(3)), name="today")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, chain: list[Image]) -> Iterator[RunningServer]:
    """``v1registry serve`` with two repositories."""
    folder = tmp_path_factory.mktemp("served")
    running = SERVE.start(folder, folder / "registry")
    with running.program:
        fill(running, chain)
        yield running


@pytest.fixture(scope="module")
def served_with_ping(tmp_path_factory: pytest.TempPathFactory, chain: list[Image]) -> Iterator[RunningServer]:
    """The same, with the distribution API off."""
    folder = tmp_path_factory.mktemp("served")
    running = SERVE.start(folder, folder / "registry", settings={"V1REGISTRY_V2": "ping"})
    with running.program:
        fill(running, chain)
        yield running


@pytest.fixture(scope="module")
def served_without_v2(
    tmp_path_factory: pytest.TempPathFactory, chain: list[Image]
) -> Iterator[RunningServer]:
    """The same, with 404 at ``/v2/``, as docker-registry 0.9 answers."""
    folder = tmp_path_factory.mktemp("served")
    running = SERVE.start(folder, folder / "registry", settings={"V1REGISTRY_V2": "absent"})
    with running.program:
        fill(running, chain)
        yield running


def fill(server: RunningServer, chain: list[Image]) -> None:
    server.client().push("busy/box", chain)
    server.client().push("busy/bee", [make_image(random_layer(1000, "bee"))], "1.0")
    server.client().push("library/app", chain[:1])


def program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}: apt-get install {package}")
    return found


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with a home of its own."""
    return subprocess.run(
        command,
        env=environment_of(folder),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a short name: podman takes no more than 50 characters for what it keeps while it runs."""
    with tempfile.TemporaryDirectory(prefix="v1-", dir="/tmp") as folder:
        yield Path(folder)


# -- podman and skopeo


def podman(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    storage = ["--storage-driver", "vfs", "--root", str(folder / "root"), "--runroot", str(folder / "run")]
    return run([program("podman", "podman"), *storage, *arguments], folder)


@pytest.mark.smoke
def test_CLI_016_017_podman_search_finds_repositories(served: RunningServer, short_folder: Path) -> None:
    host = served.program.host
    done = podman(short_folder, "search", "--tls-verify=false", "--format", "json", f"{host}/busy")
    assert done.returncode == 0, done.stderr
    assert sorted(hit["Name"] for hit in json.loads(done.stdout)) == [f"{host}/busy/bee", f"{host}/busy/box"]


def test_CLI_016_podman_search_keeps_to_its_limit(served: RunningServer, short_folder: Path) -> None:
    found = podman(
        short_folder,
        "search",
        "--tls-verify=false",
        "--limit=1",
        "--format",
        "json",
        f"{served.program.host}/busy",
    )
    assert found.returncode == 0, found.stderr
    assert len(json.loads(found.stdout)) == 1


def test_CLI_017_podman_does_not_search_where_v2_is_absent(
    served_without_v2: RunningServer, short_folder: Path
) -> None:
    done = podman(short_folder, "search", "--tls-verify=false", f"{served_without_v2.program.host}/busy")
    assert done.returncode != 0
    assert "can't talk to a V1 container registry" in done.stderr


def test_CLI_017_podman_pull_says_how_to_pull(served_with_ping: RunningServer, short_folder: Path) -> None:
    host = served_with_ping.program.host
    done = podman(short_folder, "pull", "--tls-verify=false", f"{host}/busy/box")
    assert done.returncode != 0
    assert f"v1registry pull {host}/busy/box:latest -o image.tar" in done.stderr


def test_CLI_017_podman_login_checks_the_password(tmp_path: Path, short_folder: Path) -> None:
    running = SERVE.start(tmp_path, tmp_path / "registry", settings={"V1REGISTRY_AUTH": "users:"})
    with running.program:
        url = f"http://{running.program.host}"
        account = {"username": "alice", "password": "s3cret-one", "email": "alice@example.org"}
        assert requests.post(f"{url}/v1/users/", json=account, timeout=30).status_code == 201
        for password, is_right in (("not it", False), ("s3cret-one", True)):
            options = ["--tls-verify=false", "--authfile", str(tmp_path / "auth.json"), "-u", "alice"]
            done = podman(short_folder, "login", *options, "-p", password, running.program.host)
            assert (done.returncode == 0) is is_right, done.stderr
            assert ("Login Succeeded" in done.stdout) is is_right


@pytest.mark.parametrize(("command", "told"), [("inspect", "v1registry pull"), ("list-tags", "404")])
def test_skopeo_fails_cleanly_with_ping_alone(
    served_with_ping: RunningServer, tmp_path: Path, command: str, told: str
) -> None:
    place = f"docker://{served_with_ping.program.host}/busy/box"
    done = run([program("skopeo", "skopeo"), command, "--tls-verify=false", place], tmp_path)
    assert done.returncode == 1
    assert told in done.stderr


def test_skopeo_knows_a_v1_registry_where_v2_is_absent(
    served_without_v2: RunningServer, tmp_path: Path
) -> None:
    skopeo = program("skopeo", "skopeo")
    place = f"docker://{served_without_v2.program.host}/busy/box"
    done = run([skopeo, "inspect", "--tls-verify=false", place], tmp_path)
    assert done.returncode == 1
    assert "can't talk to a V1 container registry" in done.stderr


# -- docker's engine, by its command line and by the docker library for Python


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a docker engine that touches nothing of the machine: no bridge, no firewall rules."""
    dockerd = program("dockerd", "docker.io")
    if os.geteuid() != 0:
        pytest.skip("needs root to run docker's engine")
    folder = tmp_path_factory.mktemp("engine")
    address = f"unix://{folder}/socket"
    command = [
        dockerd,
        f"--data-root={folder}/data",
        f"--exec-root={folder}/exec",
        f"--pidfile={folder}/pid",
        f"--host={address}",
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-masq=false",
        "--storage-driver=vfs",
    ]
    with Program(command, folder=folder, listens=False) as running:

        def answers() -> bool:
            assert running.is_running(), running.log
            with socket.socket(socket.AF_UNIX) as connection:
                if connection.connect_ex(f"{folder}/socket") != 0:
                    return False
                connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in connection.recv(100)

        eventually(answers, "docker's engine answers")
        yield address


@pytest.fixture
def docker_library(engine: str) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(engine)
    yield client
    client.close()


def test_CLI_016_docker_search_finds_repositories(served: RunningServer, engine: str, tmp_path: Path) -> None:
    host = served.program.host
    command = [program("docker", "docker.io"), "--host", engine, "search", "--format", "{{.Name}}"]
    done = run([*command, f"{host}/busy"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == ["busy/bee", "busy/box"]
    done = run([*command, "--limit", "1", f"{host}/busy"], tmp_path)
    assert len(done.stdout.split()) == 1


def test_CLI_016_the_docker_library_searches_through_its_engine(
    served: RunningServer, docker_library: docker.DockerClient
) -> None:
    (found,) = docker_library.images.search(f"{served.program.host}/app")
    assert found == {
        "name": "app",
        "description": "",
        "is_official": True,
        "is_automated": False,
        "star_count": 0,
    }
    assert docker_library.images.search(f"{served.program.host}/nothing-like-this") == []


def test_the_docker_library_logs_in_to_an_open_registry(
    served: RunningServer, docker_library: docker.DockerClient
) -> None:
    answer = docker_library.login("anybody", "anything", registry=served.program.host, reauth=True)
    assert answer["Status"] == "Login Succeeded"


def test_the_docker_library_is_told_that_a_pull_fails_with_ping_alone(
    served_with_ping: RunningServer, docker_library: docker.DockerClient
) -> None:
    with pytest.raises(docker.errors.APIError, match="v1registry pull"):
        docker_library.images.pull(f"{served_with_ping.program.host}/busy/box", tag="latest")


def test_the_docker_library_pulls_an_image_of_v1(
    served: RunningServer, docker_library: docker.DockerClient
) -> None:
    name = f"{served.program.host}/busy/box"
    assert docker_library.images.pull(name, tag="latest").tags == [f"{name}:latest"]


# -- docker-registry-client from PyPI, which speaks v1 to this day


def test_docker_registry_client_lists_reads_tags_and_deletes(
    served: RunningServer, chain: list[Image]
) -> None:
    from docker_registry_client import DockerRegistryClient

    client = DockerRegistryClient(served.program.url, api_version=1)
    assert sorted(client.namespaces()) == ["busy", "library"]
    assert sorted(client.repositories("busy")) == ["busy/bee", "busy/box"]
    assert sorted(client.repositories()) == ["busy/bee", "busy/box", "library/app"]
    repository = client.repository("box", namespace="busy")
    assert repository.tags() == ["latest"]
    assert repository.data("latest")["docker_version"] == "1.9.1"
    image = repository.image("latest")
    assert image.image_id == chain[-1].image_id
    assert image.get_json() == json.loads(chain[-1].json)
    assert image.ancestry() == [image.image_id for image in reversed(chain)]
    repository.tag("stable", chain[0].image_id)
    repository.refresh()
    assert sorted(repository.tags()) == ["latest", "stable"]
    repository.untag("stable")
    repository.refresh()
    assert repository.tags() == ["latest"]


def test_docker_registry_client_detects_that_v2_is_absent(
    served_without_v2: RunningServer,
) -> None:
    from docker_registry_client import DockerRegistryClient

    client = DockerRegistryClient(served_without_v2.program.url)
    assert client.api_version == 1
    assert client.repository("busy/bee").tags() == ["1.0"]
