"""What the README shows is run here, as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from webtest import TestApp

from v1registry import MemoryStorage, Registry

pytest_plugins = ["pytester"]

README = Path(__file__).parent.parent / "README.md"


def block(name: str) -> str:
    """Return the fenced block behind the comment ``<!-- name -->``."""
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```\n", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None, f"the README has no block {name}"
    return found[1]


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
        path = next(word for word in words if word.startswith("localhost:5000")).removeprefix(
            "localhost:5000"
        )
        # as curl sends it: a form, whatever the body
        environ = {"CONTENT_TYPE": "application/x-www-form-urlencoded"} if body else {}
        answer = client.request(path, method=method, body=body, environ=environ, expect_errors=True)
        assert answer.text == expected, command


@pytest.mark.parametrize("name", ["serve", "tests"])
def test_the_commands_set_everything_up(name: str) -> None:
    command = block(name)

    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert command.count("\n") == 1
