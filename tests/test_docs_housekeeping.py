"""The code in docs/housekeeping.md does what the text says."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.accounts_world import AccountsWorld, image_of
from support.backends import People
from support.documents import block
from support.programs import environment_of

from v1registry import FileStorage
from v1registry.rights import User


@pytest.fixture
def sh(tmp_path: Path) -> Callable[[str], str]:
    """Run a script beside a folder with an image, which takes the place of /srv/registry."""
    storage = FileStorage(tmp_path / "srv" / "registry", durable=False)
    AccountsWorld(People.of(User("alice")), storage).person("alice").push("alice/app", image_of("base"))

    def run(script: str) -> str:
        script = re.sub(r"(?<![\w.])/srv/", f"{tmp_path}/srv/", script)
        done = subprocess.run(
            ["sh", "-ec", script],
            cwd=tmp_path,
            env=environment_of(tmp_path),
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    return run


def test_the_command_of_usage_works(sh: Callable[[str], str]) -> None:
    assert "alice/app" in sh(block("usage"))


def test_the_command_of_expiry_works(sh: Callable[[str], str]) -> None:
    assert sh(block("expire")).startswith("removed 0 unfinished pushes")


def test_the_commands_of_verify_work(sh: Callable[[str], str]) -> None:
    assert ", 0 damaged values" in sh(block("verify"))
    assert ", 0 damaged values" in sh(block("quarantine"))


def test_the_commands_of_garbage_collection_work(sh: Callable[[str], str]) -> None:
    dry, collected = sh(block("gc")).splitlines()
    assert dry.startswith("1 repositories, 1 images and 0 blobs looked at, would be removed: 0 tags, ")
    assert collected.startswith("1 repositories, 1 images and 0 blobs looked at, removed: 0 tags, ")
