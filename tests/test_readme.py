"""What the README shows is run here, as it stands there. The command of the tests is run by .ci/run."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from engine_client import EngineClient, make_image, random_layer
from programs import PROJECT, Program, environment_of
from webtest import TestApp

from v1registry import MemoryStorage, Registry

pytest_plugins = ["pytester"]


def block(name: str) -> str:
    """Return the fenced block after the comment ``<!-- name -->`` of the README."""
    readme = (PROJECT / "README.md").read_text("utf-8")
    (found,) = re.findall(rf"^<!-- {name} -->\n```\w+\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.mark.parametrize("name", ["serve", "tests"])
def test_one_command_sets_everything_up(name: str) -> None:
    (command,) = block(name).splitlines()
    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")


def test_the_commands_of_the_readme_serve_push_and_pull(tmp_path: Path) -> None:
    command = block("serve").rpartition("&&")[2].replace("$PWD", str(tmp_path))
    words = shlex.split(command.replace(".venv/bin/", ""))
    image = make_image(random_layer(1000, "readme"))
    with Program([*words, "--port", "0"], folder=tmp_path) as serving:
        EngineClient(serving.host).push("library/any", [image])
        first = f"v1registry pull {serving.host}/library/any -o busybox.tar"
        for line in [first, *block("push-and-pull").splitlines()]:
            typed = line.replace(".venv/bin/", "").replace("localhost:5000", serving.host)
            subprocess.run(shlex.split(typed), cwd=tmp_path, env=environment_of(tmp_path), check=True)

        assert EngineClient(serving.host).pull("library/busybox") == [image]
    assert (tmp_path / "pulled.tar").stat().st_size > len(image.layer)
    assert (tmp_path / "registry" / "images").is_dir()


def test_the_mount_example_serves_the_application_and_the_registry(tmp_path: Path) -> None:
    names: dict[str, object] = {}
    exec(block("mount").replace("/srv/registry", str(tmp_path)), names)  # the README's own code
    client = TestApp(names["application"])

    assert client.get("/anything").text == "Hello"
    assert client.get("/").text == "Hello"
    assert client.get("/v1/_ping").json == {}


def test_the_fixture_example_passes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(block("fixture"))

    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_the_curl_transcript_is_what_the_registry_answers() -> None:
    client = TestApp(Registry(storage=MemoryStorage()))
    commands = re.findall(r"^\$ curl -s (.*)\n(.*)\n", block("curl"), re.MULTILINE)
    assert len(commands) == 5

    for command, expected in commands:
        words = shlex.split(command)
        method = words[words.index("-X") + 1] if "-X" in words else "GET"
        body = words[words.index("-d") + 1].encode() if "-d" in words else b""
        (url,) = (word for word in words if word.startswith("localhost:5000"))
        # as curl sends it: a form, whatever the body
        environ = {"CONTENT_TYPE": "application/x-www-form-urlencoded"} if body else {}
        answer = client.request(
            url.removeprefix("localhost:5000"), method=method, body=body, environ=environ, expect_errors=True
        )
        assert answer.text == expected, command
