"""Tags are linearisable while processes are killed by SIGKILL: four workers over one folder.

The server is open, or it has accounts: :class:`support.logged_in.LoggedIn`.
``.ci/run stores`` runs the latter.

``HISTORY_PUSHES=5000`` makes a longer history than the suite does, ``HISTORY_SEED`` a different one.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.killed_servers import KilledServer, run_disturbed
from support.linearisable import check_histories
from support.logged_in import KINDS, LoggedIn
from support.programs import environment_of
from support.tag_clients import Crowd, TagClient
from support.whole_registry import Patient, check_all_is_whole

from v1registry import FileStorage
from v1registry.accounts.users import UserStore

pytestmark = pytest.mark.real

PUSHES = int(os.environ.get("HISTORY_PUSHES", "100"))
SEED = int(os.environ.get("HISTORY_SEED", "13"))

WORKERS = 4
CLIENTS = 16
REPOSITORIES = ("team/one", "team/two", "team/gone")

#: More pushes than killed processes leave unfinished.
UNFINISHED = "100000"

#: How long a push may take when the machine is busy, in seconds.
PUSH_S = 5


@pytest.fixture
def storage(tmp_path: Path) -> str:
    (tmp_path / "registry").mkdir()
    return f"file://{tmp_path}/registry"


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.stores)], ids=["open", "accounts"])
def has_accounts(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def server(tmp_path: Path, storage: str, has_accounts: bool) -> Iterator[KilledServer]:
    settings = {"V1REGISTRY_STORAGE": storage, "V1REGISTRY_MAX_UNFINISHED_PUSHES": UNFINISHED}
    if has_accounts:
        users = UserStore(FileStorage(tmp_path / "registry"))
        users.create("team", "pw-team", "team@example.org")
        settings["V1REGISTRY_AUTH"] = "users:"
    running = KilledServer(tmp_path / "server", WORKERS, settings)
    yield running
    running.end()


def test_tags_are_linearisable_while_processes_over_one_folder_are_killed(
    server: KilledServer, storage: str, has_accounts: bool, tmp_path: Path
) -> None:
    def new_app() -> Any:
        return LoggedIn(server.app, "team") if has_accounts else server.app

    crowd = Crowd(REPOSITORIES, PUSHES, deleted="team/gone", has_accounts=has_accounts)
    TagClient(crowd, new_app(), "first").push_base()
    source = random.Random(SEED)
    disturbances = [(6, lambda: server.kill_worker(source)), (1, server.kill_main), (1, server.kill_all)]
    limit_s = 60 + PUSHES * PUSH_S

    apps = [new_app() for _ in range(CLIENTS)]
    assert run_disturbed(crowd, apps, disturbances, seed=SEED, limit_s=limit_s) > 0
    assert not has_accounts or all(sum(app.counts[kind] for app in apps) for kind in KINDS)
    TagClient(crowd, Patient(new_app()), "last").read_all()
    check_histories(crowd.history.operations)
    assert check_all_is_whole(new_app(), crowd) > 0
    verified = subprocess.run(
        ["v1registry", "verify", "--layers", "--quiet", "--storage", storage],
        env=environment_of(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout
