"""Tags are linearisable while processes are killed by SIGKILL: four workers over one folder.

``HISTORY_PUSHES=5000`` makes a longer history than the suite does, ``HISTORY_SEED`` a different one.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.killed_servers import KilledServer, run_disturbed
from support.linearisable import check_histories
from support.programs import environment_of
from support.tag_clients import Crowd, TagClient
from support.whole_registry import Patient, check_all_is_whole

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


@pytest.fixture
def server(tmp_path: Path, storage: str) -> Iterator[KilledServer]:
    settings = {"V1REGISTRY_STORAGE": storage, "V1REGISTRY_MAX_UNFINISHED_PUSHES": UNFINISHED}
    running = KilledServer(tmp_path / "server", WORKERS, settings)
    yield running
    running.end()


def test_tags_are_linearisable_while_processes_over_one_folder_are_killed(
    server: KilledServer, storage: str, tmp_path: Path
) -> None:
    crowd = Crowd(REPOSITORIES, PUSHES, deleted="team/gone")
    TagClient(crowd, server.app, "first").push_base()
    source = random.Random(SEED)
    disturbances = [(6, lambda: server.kill_worker(source)), (1, server.kill_main), (1, server.kill_all)]
    limit_s = 60 + PUSHES * PUSH_S

    assert run_disturbed(crowd, [server.app] * CLIENTS, disturbances, seed=SEED, limit_s=limit_s) > 0
    TagClient(crowd, Patient(server.app), "last").read_all()
    check_histories(crowd.history.operations)
    assert check_all_is_whole(server.app, crowd) > 0
    verified = subprocess.run(
        ["v1registry", "verify", "--layers", "--quiet", "--storage", storage],
        env=environment_of(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout
