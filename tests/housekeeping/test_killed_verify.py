"""``v1registry verify --quarantine`` is killed with SIGKILL."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.accounts_world import AccountsWorld, image_of
from support.backends import People
from support.programs import environment_of

from v1registry import FileStorage
from v1registry.housekeeping.service import Housekeeping
from v1registry.rights import User

BASE = image_of("base")
TOP = image_of("top", BASE)

_RUN = "import sys; from v1registry.cli.main import main; sys.exit(main())"


def test_commands_that_are_killed_lose_nothing(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "store", durable=False)
    world, key = AccountsWorld(People.of(User("alice")), storage), f"images/{BASE.image_id}/layer"
    alice = world.person("alice")
    alice.push("alice/app", BASE, TOP)
    command = [sys.executable, "-c", _RUN, "verify", "--quarantine", "--storage", storage_url(tmp_path)]
    for number in range(4):
        storage.delete(key)
        storage.write(key, BASE.layer[:-1] + b"x")
        with subprocess.Popen(
            [*command, "--restart"], stdout=subprocess.PIPE, env=environment_of(tmp_path)
        ) as running:
            assert running.stdout is not None
            if number % 2:
                assert b"moved to quarantine/" in running.stdout.readline()
            running.kill()
        done = subprocess.run(command, stdout=subprocess.DEVNULL, env=environment_of(tmp_path))
        assert done.returncode == 1
        alice.push("alice/app", BASE, TOP)
        assert alice.get(f"/v1/images/{BASE.image_id}/layer").body == BASE.layer
    assert list(Housekeeping(storage).verify(restarts=True).findings()) == []


def storage_url(folder: Path) -> str:
    return (folder / "store").as_uri()
