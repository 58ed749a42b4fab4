"""The session with curl in docs/testing/process.md is what the process of the fakes answers."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import requests
from msgspec.structs import fields
from support.documents import block, section
from support.fakes_process import FakesProcess
from support.programs import PATIENCE_S
from v1registry_fakes.control import bodies
from v1registry_fakes.control.application import TABLE

_PORT = "5005"


def steps(text: str) -> list[tuple[str, str]]:
    """Return each command of a session with its output."""
    parts = [part.partition("\n") for part in text.split("$ ") if part]
    return [(command, output) for command, _, output in parts]


@pytest.mark.real
def test_documented_session_with_curl_is_what_is_answered(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl: apt-get install curl")
    (start, line), *commands, (end, _) = steps(block("testing-process"))
    module = "python -m v1registry_fakes "
    assert start.startswith(module)
    assert start.endswith(" &")
    assert end == "kill $!"
    words = shlex.split(start.removeprefix(module).removesuffix(" &").replace(_PORT, "0"))

    with FakesProcess(*words, folder=tmp_path) as process:
        port = process.host.rpartition(":")[2]
        assert process.place == json.loads(line.replace(_PORT, port))
        for command, output in commands:
            done = subprocess.run(
                ["sh", "-c", command.replace(_PORT, port)],
                cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=True,
            )  # fmt: skip
            assert done.stdout.rstrip("\n") == output.rstrip("\n"), command
        assert process.end() == (0, "")

    assert json.loads((tmp_path / "image.json").read_text())["is_complete"] is True
    assert [each["status"] for each in json.loads((tmp_path / "requests.json").read_text())] == [200]


def test_documented_commands_record_and_replay(tmp_path: Path) -> None:
    record, replay = (shlex.split(line)[3:] for line in block("testing-record").splitlines())

    with FakesProcess(folder=tmp_path) as fake:
        words = [fake.url if word.startswith("https:") else word for word in record]
        with FakesProcess(*words, folder=tmp_path) as proxy:
            recorded = requests.get(f"{proxy.url}/v1/_ping", timeout=PATIENCE_S)
            assert proxy.end() == (0, "")
    with FakesProcess(*replay, folder=tmp_path) as replayed:
        assert requests.get(f"{replayed.url}/v1/_ping", timeout=PATIENCE_S).text == recorded.text
        assert replayed.end() == (0, "")


def test_every_endpoint_of_the_control_api_is_documented() -> None:
    rows = section("docs/testing/process.md", "The control API").splitlines()
    documented = {
        name.partition("?")[0]
        for row in rows
        if row.startswith("| `")
        for name in re.findall(r"`((?:GET|PUT|POST|DELETE) [^`]+)`", row.split(" | ")[0])
    }
    served = {
        f"{route.method} {route.path.removeprefix('/_fakes/').replace('{fault_id}', 'ID')}" for route in TABLE
    }

    assert documented == {"GET /_fakes/" if name == "GET /_fakes[/]" else name for name in served}


@pytest.mark.parametrize(
    ("endpoint", "kind"),
    [
        ("POST images", bodies.NewImage),
        ("POST tags", bodies.NewTag),
        ("POST repositories", bodies.NewRepository),
        ("POST users", bodies.NewUser),
        ("PUT clock", bodies.ClockMove),
    ],
)
def test_keys_of_a_body_are_documented(endpoint: str, kind: type[bodies.Body]) -> None:
    rows = section("docs/testing/process.md", "The control API").splitlines()
    (row,) = (row for row in rows if f"`{endpoint}`" in row)

    assert re.findall(r"`(\w+)`", row.split(" | ")[2]) == [known.name for known in fields(kind)]
