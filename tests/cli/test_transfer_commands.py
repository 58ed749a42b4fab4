"""``v1registry push`` and ``v1registry pull``."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from v1registry_fakes import FakeRegistry

from v1registry.cli.main import main

V1 = ("--api", "v1")


def test_push_of_a_pulled_archive_sends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = str(tmp_path / "app.tar")
    with FakeRegistry() as registry:
        registry.add_image("alice/app:1.0", files={"etc/motd": "hello"}, layers=3)

        assert main(["pull", *V1, f"{registry.host}/alice/app:1.0", "-o", archive]) == 0
        assert "3 image(s)" in capsys.readouterr().out
        assert main(["push", *V1, archive, f"{registry.host}/alice/copy:2.0"]) == 0
        assert "0 image(s) pushed, 3 already present, 0 bytes sent" in capsys.readouterr().out
        assert registry.tags("alice/copy") == {"2.0": registry.tags("alice/app")["1.0"]}


def test_exit_code_names_the_kind_of_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = str(tmp_path / "x.tar")
    with socket.socket() as silent, FakeRegistry() as registry:
        silent.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        registry.add_image("alice/app:1.0")

        assert (
            main(["pull", *V1, f"{registry.host}/alice/app:1.0", "-o", str(tmp_path / "no" / "x.tar")]) == 1
        )
        assert main(["pull", "no-registry/app", "-o", output]) == 2
        assert main(["push", str(tmp_path / "missing.tar"), f"{registry.host}/a/b"]) == 2
        assert main(["pull", *V1, f"{host}/alice/app", "-o", output]) == 3
        assert main(["pull", *V1, f"{registry.host}/alice/none", "-o", output]) == 5
    complaints = capsys.readouterr().err.splitlines()
    assert len(complaints) == 5
    assert all(line.startswith("v1registry: ") for line in complaints)


def test_refused_credentials_exit_with_4(
    tmp_path: Path, typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    typed("wrong\n")
    with FakeRegistry(auth="users:") as registry:
        pull = ["pull", f"{registry.host}/alice/app", "-o", str(tmp_path / "x.tar")]

        assert main([*pull, "--username", "alice", "--password-stdin"]) == 4
    assert "credentials" in capsys.readouterr().err


def test_contradictory_options_exit_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pull = ["pull", "localhost/alice/app", "-o", str(tmp_path / "x.tar")]

    assert main([*pull, "--password-stdin"]) == 2
    assert "--password-stdin needs --username" in capsys.readouterr().err
    missing = str(tmp_path / "missing.pem")
    assert main([*pull, "--ca-cert", missing]) == 2
    assert f"--ca-cert: must be a readable file, not '{missing}'" in capsys.readouterr().err
