"""Programs that drive an engine, against the fake one: docker, docker-compose, testcontainers, dockerode."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.engine_client import tar_layer
from support.oci_clients import program
from support.programs import PATIENCE_S, PROJECT, environment_of
from v1registry_fakes import FakeRegistry
from v1registry_fakes.engine import FakeEngine

pytestmark = pytest.mark.real

#: Installed by ``npm install --prefix . --no-save dockerode@5.0.1`` in the project's folder.
MODULES = PROJECT / "node_modules"
SCRIPT = Path(__file__).parent / "dockerode_client.js"


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """A registry with a user and an image."""
    with FakeRegistry(auth="users:") as registry:
        registry.add_user("alice", "secret")
        registry.add_image(
            "alice/app:1.0",
            files={"bin/sh": "x", "etc/": "", "etc/motd": "hello\n"},
            json={"config": {"Cmd": ["sh"]}},
            api="v2",
        )
        yield registry


@pytest.fixture
def engine(registry: FakeRegistry) -> Iterator[FakeEngine]:
    """An engine that takes the registry for Docker Hub, too."""
    with FakeEngine(mirrors={"docker.io": registry.url}) as engine:
        yield engine


class Commands:
    """Runs programs that find the engine by its variables.

    :param folder: the HOME of the programs.
    """

    def __init__(self, engine: FakeEngine, folder: Path):
        self.folder = folder
        self._environment = {**environment_of(folder), **engine.environ, "COMPOSE_PROJECT_NAME": "mine"}

    def run(self, *command: str, code: int = 0, given: bytes = b"", **variables: str) -> str:
        """Run a program to its end and return its standard output."""
        done = subprocess.run(
            command,
            env={**self._environment, **variables},
            cwd=self.folder,
            input=given,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == code, f"{command}\n{done.stdout.decode()}\n{done.stderr.decode()}"
        return done.stdout.decode()

    def docker(self, *arguments: str, code: int = 0, given: bytes = b"") -> str:
        """Run docker's command line."""
        return self.run(program("docker", "docker.io"), *arguments, code=code, given=given)


@pytest.fixture
def commands(engine: FakeEngine, tmp_path: Path) -> Commands:
    """Programs with an empty HOME."""
    return Commands(engine, tmp_path)


def layers_of(archive: Path) -> list[str]:
    """Return the diff ids of the image in an archive of docker save."""
    with tarfile.open(archive) as members:
        manifest = json.loads(_member(members, "manifest.json"))
        config = json.loads(_member(members, manifest[0]["Config"]))
    found: list[str] = config["rootfs"]["diff_ids"]
    return found


def _member(members: tarfile.TarFile, name: str) -> bytes:
    file = members.extractfile(name)
    assert file is not None
    return file.read()


def test_docker_moves_images(commands: Commands, registry: FakeRegistry, tmp_path: Path) -> None:
    docker, source = commands.docker, f"{registry.host}/alice/app"
    assert "Login Succeeded" in docker("login", "-u", "alice", "-p", "secret", registry.host)
    docker("login", "-u", "alice", "-p", "wrong", registry.host, code=1)
    assert f"Downloaded newer image for {source}:1.0" in docker("pull", f"{source}:1.0")
    assert f"Image is up to date for {source}:1.0" in docker("pull", f"{source}:1.0")
    docker("tag", f"{source}:1.0", f"{source}:2.0")
    listed = docker("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert sorted(listed) == [f"{source}:1.0", f"{source}:2.0"]
    assert docker("history", "-q", f"{source}:1.0").split()[0] != "<missing>"
    image_id = docker("inspect", "--format", "{{.Id}}", f"{source}:1.0").strip()
    assert image_id.startswith("sha256:")

    docker("save", "-o", str(tmp_path / "saved.tar"), f"{source}:2.0")
    assert "digest: sha256:" in docker("push", f"{source}:2.0")
    docker("rmi", f"{source}:1.0", f"{source}:2.0")
    assert docker("images", "-q") == ""
    docker("pull", f"{source}:2.0")
    docker("save", "-o", str(tmp_path / "pulled.tar"), f"{source}:2.0")
    docker("rmi", f"{source}:2.0")
    assert f"Loaded image: {source}:2.0" in docker("load", "-i", str(tmp_path / "pulled.tar"))
    assert docker("inspect", "--format", "{{.Id}}", f"{source}:2.0").strip() == image_id
    assert layers_of(tmp_path / "pulled.tar") == layers_of(tmp_path / "saved.tar")


def test_docker_searches(commands: Commands) -> None:
    assert commands.docker("search", "--format", "{{.Name}}", "app").split() == ["alice/app"]


def test_docker_runs_containers(commands: Commands, engine: FakeEngine, tmp_path: Path) -> None:
    docker, image = commands.docker, "alice/app:1.0"
    engine.on_run(image, command=["greet"], logs=["hi", ("stderr", "there")], exit_code=3)
    engine.on_exec(image, command=["ask"], logs=["answer"], exit_code=4)
    assert docker("run", "--rm", image, "greet", code=3) == "hi\n"
    docker("run", "-d", "--name", "stays", image)
    docker("run", "-d", "--name", "ended", image, "greet")
    assert docker("ps", "--format", "{{.Names}}").split() == ["stays"]
    assert docker("ps", "-a", "--format", "{{.Names}} {{.State}}").splitlines() == [
        "ended exited",
        "stays running",
    ]
    assert docker("logs", "-f", "ended") == "hi\n"
    assert docker("wait", "ended") == "3\n"
    assert docker("exec", "stays", "ask", code=4) == "answer\n"
    (tmp_path / "note").write_text("written")
    docker("cp", str(tmp_path / "note"), "stays:/etc/note")
    docker("cp", "stays:/etc/note", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "written"
    assert docker("diff", "stays").split() == ["C", "/etc", "A", "/etc/note"]
    assert docker("commit", "stays", "mine:1").startswith("sha256:")
    assert docker("stop", "-t", "1", "stays") == "stays\n"
    assert docker("rm", "stays", "ended").split() == ["stays", "ended"]
    assert docker("ps", "-aq") == ""
    docker("rmi", "mine:1")


def test_docker_imports(commands: Commands, engine: FakeEngine) -> None:
    image_id = commands.docker(
        "import", "-c", 'CMD ["sh"]', "-", "mine:2", given=tar_layer({"a": b"b"})
    ).strip()
    assert commands.docker("inspect", "--format", "{{.Id}} {{json .Config.Cmd}}", "mine:2").split() == [
        image_id,
        '["sh"]',
    ]
    assert "mine:2" in engine.images


def test_compose_pulls_starts_and_removes(commands: Commands, engine: FakeEngine, tmp_path: Path) -> None:
    compose = program("docker-compose", "docker-compose")
    (tmp_path / "docker-compose.yml").write_text(
        "version: '3'\nservices:\n  web:\n    image: alice/app:1.0\n    environment: {KEY: value}\n"
    )
    commands.run(compose, "pull")
    commands.run(compose, "up", "-d")
    assert "Up" in commands.run(compose, "ps")
    [name] = engine.containers
    assert name.startswith("mine")
    commands.run(compose, "down")
    assert len(engine.containers) == 0


def test_testcontainers_starts_and_stops(commands: Commands, engine: FakeEngine) -> None:
    engine.on_run("alice/app:1.0", logs=["ready"], exit_code=None)
    script = (
        "from testcontainers.core.container import DockerContainer\n"
        "with DockerContainer('alice/app:1.0').with_env('KEY', 'value') as container:\n"
        "    print(container.get_wrapped_container().status, container.get_logs())\n"
    )
    told = commands.run(sys.executable, "-c", script, TESTCONTAINERS_RYUK_DISABLED="true")
    assert told == "created (b'ready\\n', b'')\n"
    assert len(engine.containers) == 0


def test_dockerode_pulls_runs_and_removes(commands: Commands, engine: FakeEngine) -> None:
    node = shutil.which("node")
    if node is None or not (MODULES / "dockerode").is_dir():
        pytest.skip("needs node, and npm install --prefix . --no-save dockerode@5.0.1")
    engine.on_run("alice/app:1.0", logs=["hi", ("stderr", "there")], exit_code=3)
    told = json.loads(commands.run(node, str(SCRIPT), NODE_PATH=str(MODULES)))
    assert told == {"status": "exited", "code": 3, "out": "hi\n", "err": "there\n", "left": 0}
    engine.assert_pulled("alice/app:1.0")
