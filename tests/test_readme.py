"""The code blocks of the README are run here. ``.ci/run`` runs the block named ``tests``."""

from __future__ import annotations

import gzip
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from support.documents import block
from support.engine_client import EngineClient, make_image, random_layer
from support.programs import Program, environment_of
from webtest import TestApp

pytest_plugins = ["pytester"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder like a clone after the first command of the README: ``.venv/bin`` has the programs."""
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    return tmp_path


def run(script: str, folder: Path, *, typed: str = "") -> None:
    """Run a block in a shell that stops at the first failure."""
    subprocess.run(
        ["sh", "-ec", script], cwd=folder, env=environment_of(folder), input=typed, text=True, check=True
    )


def served(name: str, folder: Path) -> Program:
    """Start what a block serves, on a free port."""
    command = block(name).rpartition("&&")[2].replace("$PWD", str(folder))
    return Program([*shlex.split(command.replace(".venv/bin/", "")), "--port", "0"], folder=folder)


@pytest.mark.parametrize("name", ["serve", "tests"])
def test_one_command_installs_and_runs(name: str) -> None:
    (command,) = block(name).splitlines()
    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")


def test_the_commands_serve_push_and_pull(folder: Path) -> None:
    image = make_image(random_layer(1000, "readme"))
    with served("serve", folder) as serving:
        EngineClient(serving.host).push("library/any", [image])
        run(f".venv/bin/v1registry pull {serving.host}/library/any -o busybox.tar", folder)

        run(block("push-and-pull").replace("localhost:5000", serving.host), folder)

        (pulled,) = EngineClient(serving.host).pull("library/busybox")
        assert gzip.decompress(pulled.layer) == gzip.decompress(image.layer)
    assert (folder / "pulled.tar").stat().st_size > len(image.layer)
    assert (folder / "registry" / "images").is_dir()


def test_the_commands_of_accounts_make_a_private_repository(folder: Path) -> None:
    image = make_image(random_layer(1000, "readme"))
    with served("serve", folder) as serving:
        EngineClient(serving.host).push("library/any", [image])
        run(f".venv/bin/v1registry pull {serving.host}/library/any -o busybox.tar", folder)
    with served("accounts", folder) as serving:
        script = block("administration").replace("localhost:5000", serving.host)

        run(
            script.replace("--username alice", "--username alice --password-stdin"),
            folder,
            typed="s3cret-one\n",
        )

        alice, robert = ("alice", "s3cret-one"), ("robert", "s3cret-two")
        url = f"{serving.url}/v1/repositories/alice/busybox/images"
        assert requests.get(url, auth=alice, timeout=60).status_code == 200
        assert requests.get(url, auth=robert, timeout=60).status_code == 200
        assert requests.get(url, timeout=60).status_code in (401, 404)


def test_mount_example_serves_application_and_registry(tmp_path: Path) -> None:
    names: dict[str, object] = {}
    exec(block("mount").replace("/srv/registry", str(tmp_path)), names)
    client = TestApp(names["application"])

    assert client.get("/anything").text == "Hello"
    assert client.get("/").text == "Hello"
    assert client.get("/v1/_ping").json == {}


def test_the_fixture_example_passes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(block("fixture"))

    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
