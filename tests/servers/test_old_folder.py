"""What ``v1registry serve`` does with what it finds in its folder when it starts."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from support.crowds import ping
from support.engine_client import make_image, tar_layer
from support.programs import PROJECT, Program
from support.wsgi_client import Client

from v1registry import FileStorage, Registry
from v1registry.cli.main import main

UNFINISHED = make_image(tar_layer({"etc/unfinished": b"unfinished"}))

SAMPLE = PROJECT / "tests" / "data" / "docker-registry-0.9.1-data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the sample folder."""
    return Path(shutil.copytree(SAMPLE, tmp_path / "data"))


def log_of_start(folder: Path, *options: str) -> str:
    command = ["v1registry", "serve", "--storage", folder.as_uri(), "--port", "0", *options]
    with Program(command, folder=folder.parent) as serve:
        # all that is said and done at the start comes before the first answer
        assert ping(serve) == 200
        return serve.log


@pytest.mark.real
def test_start_says_how_many_repositories_are_not_adopted(folder: Path) -> None:
    assert "old data: 2 of the first 100 repositories are not adopted yet" in log_of_start(
        folder, "--auth", "users:"
    )


@pytest.mark.real
def test_start_is_silent_about_adopted_and_open_folders(folder: Path) -> None:
    assert "old data" not in log_of_start(folder)
    assert main(["adopt", "--storage", folder.as_uri()]) == 0
    assert "old data" not in log_of_start(folder, "--auth", "users:")


@pytest.mark.real
@pytest.mark.parametrize(("age_s", "is_kept"), [(25 * 3600, False), (3600, True)], ids=["old", "young"])
def test_start_removes_uploads_that_are_older_than_a_day(tmp_path: Path, age_s: float, is_kept: bool) -> None:
    client = Client(Registry(storage=FileStorage(tmp_path / "data", durable=False)))
    client.put_json(UNFINISHED)
    client.put_layer(UNFINISHED)
    uploads = tmp_path / "data" / "uploads" / UNFINISHED.image_id
    changed_at = time.time() - age_s
    for path in uploads.rglob("*"):
        os.utime(path, (changed_at, changed_at))
    log_of_start(tmp_path / "data")
    assert [path.name for path in uploads.rglob("layer")] == ["layer"] * is_kept
