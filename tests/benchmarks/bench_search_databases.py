"""Measure searches of the SQLite and the PostgreSQL index at several numbers of repositories, in one run.

    python tests/benchmarks/bench_search_databases.py [--repositories 100000,1000000] [--rounds 25]

The indexes are filled with generated rows: ``ns0/repo0000000`` and so on in 100 namespaces, a description in
each tenth one, each twentieth one private. The storage is a folder that has the repositories which the
answers show, because each hit is looked at there. The upkeep of the indexes does not run meanwhile.

The table has for each search the CPU time of the thread and of the server's processes for it together, and in
brackets the shortest time that it took. They are medians and minima of the rounds, in milliseconds. CPU times
are steadier on a busy machine. The program needs Debian's package ``postgresql``.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench_search import Caller
from support.postgres import Postgres, own_server
from support.wsgi_client import Client

from v1registry import FileStorage, Registry
from v1registry.names import RepositoryName
from v1registry.rights import EVERYTHING, Listing
from v1registry.search.indexed import IndexedSearch
from v1registry.search.postgresql import PostgresSearch
from v1registry.search.words import Query, searched_text

_COLUMNS = "(name, namespace, is_official, version, text, is_private, stars, has_description)"
_PUBLIC = Listing(has_public=True)


def rows(count: int) -> Iterator[tuple[object, ...]]:
    """Yield generated rows."""
    for number in range(count):
        name = RepositoryName(f"ns{number % 100}", f"repo{number:07}")
        description = f"A service of the team number {number % 977}" if number % 10 == 0 else ""
        text = searched_text(name, description)
        yield str(name), name.namespace, 0, "", text, int(number % 20 == 19), 0, int(bool(description))


def fill(index: IndexedSearch, count: int) -> None:
    """Fill an empty index with rows at once."""
    index._database.create(replaces=True)
    numbers = {"is_complete": 1, "repositories": count, "public": count - count // 20}
    with index._database.writing() as connection:
        if isinstance(index, PostgresSearch):
            connection.execute("SET LOCAL statement_timeout = 0")
            (definition,) = connection.execute("SELECT pg_get_indexdef('words'::regclass)").fetchone()
            connection.execute("DROP INDEX words")
            database = connection.connection
            with database.cursor() as cursor, cursor.copy(f"COPY repositories {_COLUMNS} FROM STDIN") as copy:
                for row in rows(count):
                    copy.write_row(row)
            database.execute(definition)
            database.execute("ANALYZE repositories")
        else:
            connection.executemany(
                f"INSERT INTO repositories {_COLUMNS} VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows(count)
            )
            connection.execute("INSERT INTO words (words) VALUES ('rebuild')")
        for key, value in numbers.items():
            connection.execute("UPDATE state SET value = ? WHERE key = ?", (value, key))


def store_shown(index: IndexedSearch, data: Path, query: str) -> None:
    """Make the repositories that a search shows, in the folder of the storage."""
    with index._database.reading() as connection:
        found = index._questions.find(connection, Query(query), _PUBLIC, 0, 60, needs_total=True)[0]
    for match in found:
        stored = data / "repositories" / str(match.name)
        stored.mkdir(parents=True, exist_ok=True)
        (stored / "_index_images").write_bytes(b"[]")
        if match.has_description:
            (stored / "_description").write_bytes(b"A service of the team")


class Meter:
    """Measures calls in this thread, and the processes of a database server."""

    def __init__(self, server: Postgres | None, rounds: int):
        self._server = server
        self._rounds = rounds
        self._pids: list[object] = []

    def measure(
        self, call: Callable[[], object], before: Callable[[], object] | None = None
    ) -> tuple[float, float]:
        """Return the median of the CPU times and the shortest time of a call, in milliseconds.

        :param before: is called before each round, and is not measured.
        """
        cpu, wall = [], []
        call()
        if self._server is not None:
            statement = "SELECT pid FROM pg_stat_activity WHERE application_name = 'v1registry'"
            self._pids = [pid for (pid,) in self._server.execute(statement)]
        for _ in range(self._rounds + 1):
            if before is not None:
                before()
            of_server_s, of_thread_s, began_s = self._cpu_s(), time.thread_time(), time.perf_counter()
            call()
            wall.append((time.perf_counter() - began_s) * 1000)
            cpu.append((time.thread_time() - of_thread_s + self._cpu_s() - of_server_s) * 1000)
        return statistics.median(cpu[1:]), min(wall[1:])

    def _cpu_s(self) -> float:
        # the first number is the time on a processor, in nanoseconds. Source: the kernel's sched-stats
        return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in self._pids) / 1e9


def measured(
    setting: str, server: Postgres | None, count: int, rounds: int, folder: Path
) -> dict[str, tuple[float, float]]:
    """Return what each search takes with one index."""
    storage = FileStorage(folder / "data", durable=False)
    registry = Registry(storage=storage, search=setting)
    index = registry._services.search
    assert isinstance(index, IndexedSearch)
    index.upkeep.wake = lambda **options: None  # type: ignore[method-assign]
    began_s = time.perf_counter()
    fill(index, count)
    print(
        f"{setting.partition(':')[0]}, {count:,}: filled in {time.perf_counter() - began_s:.0f} s",
        file=sys.stderr,
    )
    searches = {
        "a page of 25 of all": "",
        "one hit": f"repo{count // 2:07}",
        "no hit": "zzzzzz",
        "a word that all have": "repo",
        "a word that a tenth has": "service",
        "two characters, no hit": "x9",
        "a wildcard, one hit": f"r*{count - 2:07}",
    }  # fmt: skip
    everyone = Caller(_PUBLIC)
    for query in searches.values():
        store_shown(index, folder / "data", query)

    def change() -> None:
        with index._database.writing() as connection:
            connection.execute("UPDATE state SET value = value + 1 WHERE key = 'changes'")

    meter = Meter(server, rounds)
    results = {}
    for label, query in searches.items():
        results[label] = meter.measure(lambda query=query: index.find(query, everyone, 0, 25))
    for label in ("a word that all have", "a word that a tenth has"):
        query = searches[label]
        results[f"{label}, after a change"] = meter.measure(
            lambda query=query: index.find(query, everyone, 0, 25), change
        )
    results["100 names of the catalog"] = meter.measure(
        lambda: index.names_after("ns50/", Caller(EVERYTHING), 100, str.islower)
    )
    client = Client(registry)
    results["first page /"] = meter.measure(lambda: client.get("/", headers={"Accept": "text/html"}))
    print(results, file=sys.stderr, flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repositories", default="100000", help="numbers with commas between")
    parser.add_argument("--indexes", default="sqlite,postgresql")
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    # so that the server is stopped
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    table: dict[str, dict[str, tuple[float, float]]] = {}
    with ExitStack() as stack:
        for number in map(int, options.repositories.split(",")):
            for name in options.indexes.split(","):
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                server = stack.enter_context(own_server()) if name == "postgresql" else None
                setting = server.url("postgres") if server else f"sqlite://{folder}/search"
                column = f"{name}, {number:,}"
                for label, figures in measured(setting, server, number, options.rounds, folder).items():
                    table.setdefault(label, {})[column] = figures
    columns = list(next(iter(table.values())))
    print("| search | " + " | ".join(columns) + " |")
    print("| --- |" + " --- |" * len(columns))
    for label, found in table.items():
        cells = [f"{found[column][0]:.3g} ({found[column][1]:.3g})" for column in columns]
        print(f"| {label} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
