"""Measure searches, lists and changes of many repositories, with an index and without one.

    python tests/benchmarks/bench_search.py [--repositories 20000] [--rounds 7] [--folder DIR] [--scan]

The repositories are ``ns0/repo000000`` and so on, in 100 namespaces; each has an image list only. A folder
that has them already is used again. The columns are the CPU time of the first call and the median of the
rounds, in this thread, without a server. ``--scan`` measures the search that looks at every repository too.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from v1registry import FileStorage
from v1registry.names import RepositoryName
from v1registry.openers import open_search
from v1registry.registry.repositories import Repositories
from v1registry.rights import EVERYTHING, Listing, User
from v1registry.search.base import SearchIndex
from v1registry.search.sqlite import SqliteSearch

NAMESPACES = 100


class Caller:
    """A caller who may see what the listing says. Nothing is private here."""

    def __init__(self, listing: Listing):
        self._listing = listing

    def may_list(self, repository: RepositoryName) -> bool:
        return True

    def listing(self) -> Listing:
        return self._listing


def seed(folder: Path, count: int) -> None:
    """Write the image lists that are missing, as docker-registry does."""
    for number in range(count):
        repository = folder / "repositories" / f"ns{number % NAMESPACES}" / f"repo{number:06}"
        if not repository.exists():
            repository.mkdir(parents=True)
            (repository / "_index_images").write_bytes(b"[]")


def timed(call: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Return the milliseconds of the first call, and the median of further ones."""
    times = []
    for _ in range(rounds + 1):
        start_s = time.thread_time()
        call()
        times.append((time.thread_time() - start_s) * 1000)
    return times[0], statistics.median(times[1:])


def measure(index: SearchIndex, repositories: Repositories, count: int, rounds: int) -> None:
    """Print the table of one index."""
    user = Caller(Listing(has_public=True, namespaces=frozenset({"ns3"}), collaborator=User("mira")))
    everybody = Caller(EVERYTHING)
    calls: dict[str, Callable[[], object]] = {
        "one hit": lambda: index.find(f"repo{count // 2:06}", everybody, 0, 25),
        "one hit, a user": lambda: index.find(f"repo{count // 2:06}", user, 0, 25),
        "no hit": lambda: index.find("zzzz", everybody, 0, 25),
        "a namespace": lambda: index.find("ns12/", everybody, 0, 25),
        "25 of all": lambda: index.find("", everybody, 0, 25),
        "25 of all, a user": lambda: index.find("", user, 0, 25),
        "25 of all that have a word": lambda: index.find("repo", everybody, 0, 25),
        "last 25 of all": lambda: index.find("", everybody, count - 25, 25),
        "two characters, no hit": lambda: index.find("x9", everybody, 0, 25),
        "a wildcard, one hit": lambda: index.find(f"r*{count - 1}", everybody, 0, 25),
        "100 names": lambda: index.names_after("ns50/", everybody, 100, str.islower),
    }
    for label, call in calls.items():
        first_ms, median_ms = timed(call, rounds)
        print(f"{label:30}{first_ms:10.2f}{median_ms:10.2f} ms")

    numbers = iter(range(10 * rounds))

    def push() -> None:
        name = RepositoryName("new", f"{time.time_ns()}-{next(numbers)}")
        repositories.announce(name, b"[]", [])
        repositories.remove(name)

    first_ms, median_ms = timed(push, rounds)
    print(f"{'new repository, and removed':30}{first_ms:10.2f}{median_ms:10.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repositories", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--scan", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        seed(folder, options.repositories)
        storage = FileStorage(folder)
        for setting in ("sqlite", *(["scan"] if options.scan else [])):
            repositories = Repositories(storage)
            index = open_search(setting, storage, repositories)
            print(f"{setting}, {options.repositories} repositories: first call, median")
            if isinstance(index, SqliteSearch):
                start_s = time.thread_time()
                index.rebuild(lambda name: None)
                print(f"{'build':30}{time.thread_time() - start_s:10.2f} s")
                (file,) = folder.glob("search/*/index.sqlite3")
                print(f"{'size':30}{file.stat().st_size / 1e6:10.1f} MB")
            measure(index, repositories, options.repositories, options.rounds)


if __name__ == "__main__":
    main()
