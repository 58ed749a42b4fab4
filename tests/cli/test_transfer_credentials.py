"""Credentials of ``v1registry push`` and ``v1registry pull``."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from v1registry_fakes import FakeRegistry

from v1registry.cli.main import main

Log_in = Callable[[str, str], None]


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """A registry with the private repository alice/app."""
    with FakeRegistry(auth="users:") as registry:
        for name in ("alice", "robert"):
            registry.add_user(name, f"secret-of-{name}")
        registry.add_image("alice/app:1.0")
        registry.add_repository("alice/app", is_private=True)
        yield registry


@pytest.fixture
def pull(registry: FakeRegistry, tmp_path: Path) -> list[str]:
    """A pull of the private repository."""
    return ["pull", "--api", "v1", f"{registry.host}/alice/app:1.0", "-o", str(tmp_path / "x.tar"), "--quiet"]


@pytest.fixture
def log_in(registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Log_in:
    """A function that stores what ``docker login`` stores."""

    def log_in(username: str, password: str) -> None:
        auth = base64.b64encode(f"{username}:{password}".encode()).decode()
        config = {"auths": {registry.host: {"auth": auth}}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    return log_in


def test_docker_login_is_used(pull: list[str], log_in: Log_in, capsys: pytest.CaptureFixture[str]) -> None:
    log_in("alice", "secret-of-alice")
    assert main(pull) == 0, capsys.readouterr().err


def test_docker_login_is_used_for_pushes(
    registry: FakeRegistry, pull: list[str], log_in: Log_in, tmp_path: Path
) -> None:
    log_in("alice", "secret-of-alice")
    assert main(pull) == 0
    assert main(["push", str(tmp_path / "x.tar"), f"{registry.host}/alice/copy:1", "--quiet"]) == 0
    assert list(registry.tags("alice/copy")) == ["1"]


def test_username_takes_precedence_over_docker_login(
    pull: list[str], log_in: Log_in, typed: Callable[[str], None]
) -> None:
    log_in("robert", "secret-of-robert")
    typed("secret-of-alice\n")
    assert main([*pull, "--username", "alice", "--password-stdin"]) == 0


def test_rejected_docker_login_is_named(
    pull: list[str], log_in: Log_in, capsys: pytest.CaptureFixture[str]
) -> None:
    log_in("alice", "wrong")
    assert main(pull) == 4
    assert "(with the credentials of docker login; --username gives others)" in capsys.readouterr().err


def test_rejected_options_do_not_blame_docker_login(
    pull: list[str], log_in: Log_in, typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    log_in("alice", "secret-of-alice")
    typed("wrong\n")
    assert main([*pull, "--username", "alice", "--password-stdin"]) == 4
    assert "docker login" not in capsys.readouterr().err


def test_broken_configuration_is_a_warning(
    pull: list[str], log_in: Log_in, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_in("alice", "secret-of-alice")
    (tmp_path / "config.json").write_text("{")
    assert main(pull) != 0
    first, _ = capsys.readouterr().err.splitlines()
    assert first == f"v1registry: {tmp_path}/config.json is not used: it must be a JSON object"


def test_prompt_without_a_terminal_names_the_option(pull: list[str]) -> None:
    script = "import sys; from v1registry.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", script, *pull, "--username", "alice"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "v1registry: there is no terminal to ask for the password: write it to standard input with "
        "--password-stdin\n"
    )
