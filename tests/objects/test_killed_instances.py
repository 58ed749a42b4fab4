"""Tags are linearisable while processes are killed by SIGKILL: three servers over one Ceph of three OSDs.

The servers are open, or they have accounts: :class:`support.logged_in.LoggedIn`.

``HISTORY_PUSHES=3000`` makes a longer history, ``HISTORY_SEED`` a different one.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.ceph import Ceph
from support.killed_servers import KilledServer, run_disturbed
from support.linearisable import check_histories
from support.logged_in import KINDS, LoggedIn
from support.object_stores import ObjectStore
from support.programs import environment_of, eventually
from support.tag_clients import Crowd, TagClient
from support.whole_registry import Patient, check_all_is_whole

pytestmark = [pytest.mark.real, pytest.mark.stores]

PUSHES = int(os.environ.get("HISTORY_PUSHES", "300"))
SEED = int(os.environ.get("HISTORY_SEED", "13"))

OSDS = 3
INSTANCES = 3
CLIENTS = 16
REPOSITORIES = ("team/one", "team/two", "team/gone")

#: More pushes than killed processes leave unfinished.
UNFINISHED = "100000"

#: How long Ceph may take to copy objects to an OSD that was killed, in seconds.
RECOVERY_S = 300

#: How long a push may take when the machine is busy, in seconds.
PUSH_S = 20


@pytest.fixture
def ceph(tmp_path: Path) -> Iterator[Ceph]:
    with Ceph(tmp_path / "ceph", osds=OSDS, replicas=2, durable=True) as running:
        yield running


@pytest.fixture(params=[False, True], ids=["open", "accounts"])
def has_accounts(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def settings(ceph: Ceph, has_accounts: bool, tmp_path: Path) -> Mapping[str, str]:
    """The environment of a server over a new bucket."""
    store = ObjectStore(ceph.url, ceph.environment)
    settings = {
        **ceph.environment,
        "V1REGISTRY_STORAGE": store.url(store.new_bucket(), "registry"),
        "V1REGISTRY_MAX_UNFINISHED_PUSHES": UNFINISHED,
    }
    if has_accounts:
        settings["V1REGISTRY_AUTH"] = "users:"
        subprocess.run(
            ["v1registry", "user", "add", "team", "--email", "team@example.org", "--password-stdin"],
            env={**environment_of(tmp_path), **settings},
            input="pw-team\n",
            text=True,
            check=True,
        )
    return settings


@pytest.fixture
def servers(tmp_path: Path, settings: Mapping[str, str]) -> Iterator[list[KilledServer]]:
    with ExitStack() as stack:
        started = []
        for number in range(INSTANCES):
            started.append(KilledServer(tmp_path / f"server-{number}", 1, settings))
            stack.callback(started[-1].end)
        yield started


def is_recovered(ceph: Ceph) -> bool:
    """Tell whether each object is on two OSDs."""
    try:
        return ceph.is_recovered()
    except AssertionError:
        # an OSD that has just been started cannot tell
        return False


def wait_for_objects(ceph: Ceph) -> None:
    """Wait until each object is on two OSDs."""
    eventually(lambda: is_recovered(ceph), "each object is on two OSDs", within_s=RECOVERY_S)


def kill_osd(ceph: Ceph, source: random.Random) -> None:
    """Kill an OSD and start it again. Two at once would take objects with them that only they have."""
    wait_for_objects(ceph)
    number = source.randrange(OSDS)
    ceph.kill_osd(number)
    ceph.start_osd(number)


def kill_gateway(ceph: Ceph) -> None:
    """Kill the S3 gateway and start it again."""
    ceph.kill_gateway()
    ceph.start_gateway()


def test_tags_are_linearisable_while_instances_and_osds_are_killed(
    ceph: Ceph,
    servers: list[KilledServer],
    settings: Mapping[str, str],
    has_accounts: bool,
    tmp_path: Path,
) -> None:
    def new_app(server: KilledServer) -> Any:
        return LoggedIn(server.app, "team") if has_accounts else server.app

    crowd = Crowd(REPOSITORIES, PUSHES, deleted="team/gone", has_accounts=has_accounts)
    TagClient(crowd, new_app(servers[0]), "first").push_base()
    source = random.Random(SEED)
    disturbances: list[tuple[int, Callable[[], None]]] = [
        *((1, server.kill_all) for server in servers),
        *((1, partial(server.kill_worker, source)) for server in servers),
        (2, partial(kill_osd, ceph, source)),
        (1, partial(kill_gateway, ceph)),
    ]
    apps = [new_app(servers[number % INSTANCES]) for number in range(CLIENTS)]

    assert run_disturbed(crowd, apps, disturbances, seed=SEED, limit_s=60 + PUSHES * PUSH_S) > 0
    assert not has_accounts or all(sum(app.counts[kind] for app in apps) for kind in KINDS)
    wait_for_objects(ceph)
    for server in servers:
        TagClient(crowd, Patient(new_app(server)), "last").read_all()
    check_histories(crowd.history.operations)
    for server in servers:
        assert check_all_is_whole(new_app(server), crowd) > 0
    verified = subprocess.run(
        ["v1registry", "verify", "--layers", "--quiet"],
        env={**environment_of(tmp_path), **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr
