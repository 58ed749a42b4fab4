"""The commands of docs/migrating.md that copy a registry to a different storage."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.accounts_world import AccountsWorld, image_of
from support.backends import People
from support.copied import assert_serves_the_same
from support.documents import block
from support.programs import environment_of

from v1registry import FileStorage
from v1registry.rights import User


def test_the_commands_of_copies_work(tmp_path: Path) -> None:
    source = FileStorage(tmp_path / "srv" / "registry", durable=False)
    AccountsWorld(People.of(User("alice")), source).person("alice").push("alice/app", image_of("base"))
    script = block("copy").replace("/srv/", f"{tmp_path}/srv/").replace("/mnt/", f"{tmp_path}/mnt/")

    done = subprocess.run(
        ["sh", "-ec", script], env=environment_of(tmp_path), check=True, capture_output=True, text=True
    )

    assert [" would be copied" in line for line in done.stdout.splitlines()] == [True, False]
    assert_serves_the_same(source, FileStorage(tmp_path / "mnt" / "new" / "registry"))
