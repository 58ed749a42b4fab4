"""The PostgreSQL index in several processes, as instances of a registry, some of which are killed."""

from __future__ import annotations

import gc
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.postgres import Postgres, wait_for_connections
from support.programs import environment_of
from support.searching_processes import ORDERS, Everybody, fork_that_searches, opened, rounds, same_as_a_scan
from support.worker_processes import started_workers

from v1registry import FileStorage
from v1registry.names import RepositoryName
from v1registry.openers import open_search
from v1registry.registry.repositories import Repositories
from v1registry.rights import EVERYTHING, Listing

pytestmark = pytest.mark.real

#: Makes the tables, or finds them, when a line comes.
_CREATE = """
import sys
from v1registry import MemoryStorage
from v1registry.registry.repositories import Repositories
from v1registry.search.postgresql import PostgresSearch

storage = MemoryStorage()
index = PostgresSearch(sys.argv[-1], storage, Repositories(storage))
print("ready", flush=True)
sys.stdin.readline()
index._database.create()
print("made", flush=True)
"""

#: Forks with a connection, and ends both processes as Python does.
_FORK = """
import os, sys
from v1registry import MemoryStorage
from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories
from v1registry.search.postgresql import PostgresSearch

storage = MemoryStorage()
index = PostgresSearch(sys.argv[1], storage, Repositories(storage))
index._database.create()
with index._database.reading() as transaction:
    number = transaction.execute("SELECT pg_backend_pid()").fetchone()
child = os.fork()
if child == 0:
    if sys.argv[2] == "uses":
        with index._database.reading() as transaction:
            assert transaction.execute("SELECT pg_backend_pid()").fetchone() != number
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
with index._database.reading() as transaction:
    assert transaction.execute("SELECT pg_backend_pid()").fetchone() == number
"""


def test_instances_that_start_at_once_make_the_tables_once(tmp_path: Path, postgres_url: str) -> None:
    with started_workers(_CREATE, 5, tmp_path, postgres_url) as workers:
        for worker in workers:
            worker.send("make")
        assert [worker.receive() for worker in workers] == ["made"] * 5


def test_each_instance_finds_what_the_others_change(tmp_path: Path, postgres_url: str) -> None:
    (tmp_path / "data").mkdir()
    index, repositories = opened(tmp_path / "data", postgres_url)
    with started_workers(ORDERS, 2, tmp_path, postgres_url) as (one, other):
        assert one.ask("push", "team/app") == "team/app"
        assert other.ask("push", "team/base") == "team/app team/base"
        assert one.ask("look", "team/app") == "team/app team/base"
        assert one.ask("remove", "team/app") == "team/base"
        assert other.ask("look", "team/app") == "team/base"
        assert other.ask("hide", "team/base") == "team/base"
        assert index.find("", Everybody(repositories, Listing(has_public=True)), 0, 9).total == 0
    same_as_a_scan(index, repositories)


def test_changes_at_once_leave_a_right_index(tmp_path: Path, postgres_url: str) -> None:
    index, repositories = opened(tmp_path, postgres_url)
    others = [opened(tmp_path, postgres_url)[1] for _ in range(2)]

    def change(number: int) -> None:
        one = (repositories, *others)[number % 3]
        name = RepositoryName("team", f"app{number % 7}")
        one.announce(name, b"[]", [])
        one.set_private(name, number % 2 == 0)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(change, range(60)))
    same_as_a_scan(index, repositories)


def test_killed_instances_leave_a_right_index(tmp_path: Path, postgres_url: str) -> None:
    rounds(tmp_path / "data", 5, postgres_url)


@pytest.mark.parametrize("use", ["uses", "leaves"])
def test_fork_leaves_connections_to_the_parent(tmp_path: Path, postgres_url: str, use: str) -> None:
    command = [sys.executable, "-W", "error", "-c", _FORK, postgres_url, use]
    ended = subprocess.run(command, env=environment_of(tmp_path), capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_forked_process_searches(tmp_path: Path, postgres_url: str) -> None:
    fork_that_searches(tmp_path, postgres_url)


def test_connections_are_bounded_and_closed_at_the_end(
    tmp_path: Path, postgres: Postgres, database: str
) -> None:
    storage = FileStorage(tmp_path, durable=False)
    repositories = Repositories(storage)
    index = open_search(f"{postgres.url(database)}&connections=3", storage, repositories)
    everybody = Everybody(repositories, EVERYTHING)
    with ThreadPoolExecutor(20) as pool:
        for _ in range(200):
            pool.submit(index.find, "", everybody, 0, 9)
    index.upkeep.wait(60)
    count = postgres.execute(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'")[0][0]
    assert 1 <= count <= 3
    del repositories, everybody, index
    gc.collect()
    wait_for_connections(postgres, database, 0)
