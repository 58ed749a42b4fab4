"""The commands of the README do what they say. The one of the tests is run by .ci/run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from engine_client import EngineClient, make_image, random_layer
from programs import PROJECT, Program


def commands(name: str) -> list[str]:
    """Return the lines of the fenced block after the comment ``<!-- name -->`` of the README."""
    readme = (PROJECT / "README.md").read_text("utf-8")
    (block,) = re.findall(rf"^<!-- {name} -->\n```\w*\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    return block.splitlines()


def test_the_readme_has_one_command_for_the_tests() -> None:
    (command,) = commands("tests")
    assert command.endswith(".venv/bin/pytest -n auto")


def test_the_command_of_the_readme_serves_a_registry(tmp_path: Path) -> None:
    *_, command = commands("serve")
    assert "file:///srv/registry" in command
    words = shlex.split(command.replace("file:///srv/registry", (tmp_path / "registry").as_uri()))
    image = make_image(random_layer(1000, "readme"))
    with Program([*words, "--port", "0"], folder=tmp_path) as serving:
        client = EngineClient(serving.host)
        client.push("me/tiny", [image])
        assert client.pull("me/tiny") == [image]
