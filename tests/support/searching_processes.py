"""Processes that search and change repositories over one folder, with one index, and are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from v1registry_fakes.clock import FakeClock

from support.programs import environment_of
from v1registry import FileStorage
from v1registry.clock import SYSTEM_CLOCK, Clock
from v1registry.names import RepositoryName
from v1registry.openers import open_search
from v1registry.registry.repositories import Repositories
from v1registry.rights import EVERYTHING, Listing
from v1registry.search.indexed import IndexedSearch
from v1registry.search.scan import ScanSearch
from v1registry.search.upkeep import NEAR

ORDERS = """
import sys
from v1registry import FileStorage
from v1registry.names import RepositoryName
from v1registry.openers import open_search
from v1registry.registry.repositories import Repositories
from v1registry.rights import EVERYTHING

class Everybody:
    def may_list(self, name): return True
    def listing(self): return EVERYTHING

storage = FileStorage(sys.argv[1], durable=False)
repositories = Repositories(storage)
index = open_search(sys.argv[-1], storage, repositories)
print("ready", flush=True)
for line in sys.stdin:
    order, name = line.split()
    name = RepositoryName.parse(name)
    if order == "push":
        repositories.announce(name, b"[]", [])
    elif order == "remove":
        repositories.remove(name)
    elif order == "hide":
        repositories.set_private(name, True)
    found = index.find("", Everybody(), 0, 100)
    print(*map(lambda hit: str(hit.name), found.hits), flush=True)
"""

#: Changes repositories at random until it is killed.
_CHANGES = """
import random, sys
from v1registry import FileStorage
from v1registry.names import RepositoryName
from v1registry.openers import open_search
from v1registry.registry.repositories import Repositories

storage = FileStorage(sys.argv[1], durable=False)
repositories = Repositories(storage)
index = open_search(sys.argv[-1], storage, repositories)
choices = random.Random(int(sys.argv[2]))
print("ready", flush=True)
while True:
    name = RepositoryName(f"team{choices.randrange(3)}", f"app{choices.randrange(12)}")
    change = choices.randrange(5)
    if change == 0:
        repositories.remove(name)
    elif change == 1:
        repositories.set_tag(name, "v1", "0" * 64, "")
    elif not repositories.exists(name):
        repositories.announce(name, b"[]", [])
    elif change == 2:
        repositories.set_private(name, choices.random() < 0.5)
    elif change == 3:
        repositories.describe(name, choices.choice(["a service", "a program", ""]))
    else:
        repositories.set_stars(name, choices.randrange(3))
"""


class Everybody:
    """A caller who sees a listing."""

    def __init__(self, repositories: Repositories, listing: Listing):
        self._repositories = repositories
        self._listing = listing

    def may_list(self, repository: RepositoryName) -> bool:
        return self._listing.is_everything or not self._repositories.is_private(repository)

    def listing(self) -> Listing:
        return self._listing


def opened(
    data: Path, setting: str = "auto", clock: Clock = SYSTEM_CLOCK
) -> tuple[IndexedSearch, Repositories]:
    """Return a whole index over a folder."""
    storage = FileStorage(data, durable=False)
    repositories = Repositories(storage)
    index = open_search(setting, storage, repositories, clock)
    assert isinstance(index, IndexedSearch)
    index.find("", Everybody(repositories, EVERYTHING), 0, 1)
    index.upkeep.wait(60)
    return index, repositories


def differences(index: IndexedSearch, repositories: Repositories) -> list[str]:
    """Return what the index finds, and a look at every repository finds otherwise."""
    found = []
    assert index._is_ready()
    for listing in (EVERYTHING, Listing(has_public=True)):
        caller = Everybody(repositories, listing)
        for query in ("", "app1", "service", "te", "program app"):
            by_index = index.find(query, caller, 0, 100)
            by_scan = ScanSearch(repositories).find(query, caller, 0, 100)
            if by_index != by_scan:
                found.append(f"{query!r} of {listing}: {by_index}, and not {by_scan}")
    return found


def same_as_a_scan(index: IndexedSearch, repositories: Repositories) -> None:
    """Check that the index finds what a look at every repository finds."""
    assert differences(index, repositories) == []


def is_right_at_once_or_after_a_walk(
    index: IndexedSearch, repositories: Repositories, clock: FakeClock
) -> bool:
    """Tell whether the index was right at once. If not, check that it is after the next walk.

    On a busy machine a process may not be able to mark a change, or one that is killed has removed a
    repository which another one that is killed makes again (docs/internals.md, Search).
    """
    if not differences(index, repositories):
        return True
    clock.advance(seconds=10 * NEAR.walk_s)
    index.find("", Everybody(repositories, EVERYTHING), 0, 1)
    index.upkeep.wait(60)
    same_as_a_scan(index, repositories)
    return False


def killed_while_changing(data: Path, seed: int, after_s: float, count: int, setting: str) -> None:
    """Start processes that change repositories, and kill them."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _CHANGES, str(data), str(seed + number), setting],
            stdout=subprocess.PIPE,
            env=environment_of(data.parent),
        )
        for number in range(count)
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    time.sleep(after_s)
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()


def rounds(data: Path, count: int, setting: str = "auto") -> None:
    """Kill processes again and again; afterwards the index is right each time; at once, but for one of 30."""
    data.mkdir()
    clock = FakeClock()
    index, repositories = opened(data, setting, clock)
    choices = random.Random(7)
    were_right = 0
    for number in range(count):
        killed_while_changing(data, number * 10, choices.uniform(0.0, 0.4), 1 + number % 2, setting)
        were_right += is_right_at_once_or_after_a_walk(index, repositories, clock)
        fresh, known = opened(data, setting)
        same_as_a_scan(fresh, known)
    assert were_right >= count - count // 30


#: Searches in a process and in a forked child of it.
_FORKS = """
import sys
from pathlib import Path
from support.killed_children import run_in_child
from support.searching_processes import Everybody, opened, same_as_a_scan
from v1registry.names import RepositoryName
from v1registry.rights import EVERYTHING

def announce(name):
    repositories.announce(RepositoryName("team", name), b"[]", [])
    same_as_a_scan(index, repositories)

index, repositories = opened(Path(sys.argv[1]), sys.argv[2])
announce("app")
assert run_in_child(lambda: announce("child"), is_beside_threads=True) == 0
same_as_a_scan(index, repositories)
assert index.find("child", Everybody(repositories, EVERYTHING), 0, 9).total == 1
"""


def fork_that_searches(data: Path, setting: str = "auto") -> None:
    """Make a repository in a process and in its forked child, and check that both find both."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", _FORKS, str(data), setting],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
