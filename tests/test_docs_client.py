"""The code in docs/client.md does what the text says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.documents import block, section
from support.programs import environment_of
from v1registry_fakes import FakeRegistry

from v1registry.cli.main import main


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        registry.add_image("library/busybox:latest", layers=2)
        yield registry


def test_the_commands_of_client_md_push_and_pull(registry: FakeRegistry, tmp_path: Path) -> None:
    (tmp_path / "v1registry").symlink_to(Path(sys.executable).parent / "v1registry")
    script = block("client-commands").replace("localhost:5000", registry.host)
    environment = {**environment_of(tmp_path), "DOCKER_CONFIG": str(tmp_path)}
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"

    subprocess.run(["sh", "-ec", script], cwd=tmp_path, env=environment, check=True, timeout=120)

    assert list(registry.tags("me/copy")) == ["1.0"]
    assert registry.tags("me/busybox") == registry.tags("me/copy")


def test_the_program_of_client_md_pulls_and_pushes(
    registry: FakeRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    registry.add_image("me/busybox:1.0")

    exec(block("client-library").replace("localhost:5000", registry.host), {})

    assert list(registry.tags("me/copy")) == ["2.0"]
    assert re.fullmatch(r"[0-9a-f]{64} sha256:[0-9a-f]{64}\n", capsys.readouterr().out)
    assert (tmp_path / "busybox-layout" / "index.json").is_file()


def test_client_md_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    titles = ("v1 or v2", "Archives", "Log in", "Certificates")
    text = "".join(section("docs/client.md", title) for title in titles)
    with pytest.raises(SystemExit):
        main(["pull", "--help"])
    words = shlex.split(capsys.readouterr().out.replace("'", ""))
    options = {word.strip("[],") for word in words if word.strip("[],").startswith("--")}
    general = {"--help", "--verbose", "--output", "--insecure", "--parallel", "--quiet"}
    assert options - general == {option for option in options - general if option in text}
