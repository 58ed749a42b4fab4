"""``v1registry serve`` over a folder of docker-registry 0.9.1."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.programs import PROJECT, Program

from v1registry.cli.main import main

SAMPLE = PROJECT / "tests" / "data" / "docker-registry-0.9.1-data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the sample folder."""
    return Path(shutil.copytree(SAMPLE, tmp_path / "data"))


def log_of_start(folder: Path, *options: str) -> str:
    command = ["v1registry", "serve", "--storage", folder.as_uri(), "--port", "0", *options]
    with Program(command, folder=folder.parent) as serve:
        assert serve.host
        return serve.log


@pytest.mark.real
def test_start_says_how_many_repositories_are_not_adopted(folder: Path) -> None:
    assert "old data: 2 of the first 1000 repositories are not adopted yet" in log_of_start(
        folder, "--auth", "users:"
    )


@pytest.mark.real
def test_start_is_silent_about_adopted_and_open_folders(folder: Path) -> None:
    assert "old data" not in log_of_start(folder)
    assert main(["adopt", "--storage", folder.as_uri()]) == 0
    assert "old data" not in log_of_start(folder, "--auth", "users:")
