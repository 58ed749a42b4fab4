"""How often a search asks its database, and what is found of a repository that was removed and came back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from support.clock import Clock
from support.searching_processes import Everybody

from v1registry import FileStorage
from v1registry.names import RepositoryName
from v1registry.openers import open_search
from v1registry.registry.repositories import Repositories
from v1registry.rights import EVERYTHING
from v1registry.search.facts import Facts
from v1registry.search.indexed import IndexedSearch
from v1registry.search.postgresql_database import Transaction
from v1registry.search.sqlite_database import SqliteDatabase
from v1registry.search.upkeep import Periods

APP = RepositoryName("team", "app")


class Instance:
    """A process that has an index and changes repositories. It looks for other programs when it begins."""

    def __init__(self, url: str, folder: Path, clock: Clock):
        self.storage = FileStorage(folder, durable=False)
        self.repositories = Repositories(self.storage, clock=clock)
        opened = open_search(url, self.storage, self.repositories, clock)
        assert isinstance(opened, IndexedSearch)
        self.index = opened
        self.index.upkeep.periods = Periods(1e9, 1e9)

    def find(self, query: str = "") -> list[str]:
        found = self.index.find(query, Everybody(self.repositories, EVERYTHING), 0, 10)
        return [str(hit.name) for hit in found.hits]

    def list_names(self) -> list[str]:
        caller = Everybody(self.repositories, EVERYTHING)
        return self.index.names_after("", caller, 10, lambda name: True)[0]


class World:
    """A folder with one repository, and an index that is whole."""

    def __init__(self, url: str, folder: Path):
        self._url, self._folder, self.clock = url, folder, Clock()
        self.instance = self.begin()
        self.instance.repositories.announce(APP, b"[]", [])
        self.instance.index.rebuild(lambda name: None)
        assert self.settle(self.instance) == ["team/app"]

    def begin(self) -> Instance:
        """Return one more process."""
        return Instance(self._url, self._folder, self.clock)

    def settle(self, instance: Instance) -> list[str]:
        """Return what a process finds when nothing more is due."""
        instance.find()
        instance.index.upkeep.wait(60)
        return instance.find()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    is_sqlite = request.param == "sqlite"
    url = f"sqlite://{tmp_path}/search" if is_sqlite else request.getfixturevalue("postgres_url")
    world = World(url, tmp_path / "data")
    yield world
    world.instance.index.upkeep.wait(60)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note each request to a PostgreSQL server, and each transaction of SQLite."""
    noted: list[str] = []
    execute, reading = Transaction.execute, SqliteDatabase.reading

    def noted_execute(transaction: Transaction, statement: str, values: Sequence[object] = ()) -> Any:
        noted.append(statement)
        return execute(transaction, statement, values)

    def noted_reading(database: SqliteDatabase) -> AbstractContextManager[Any]:
        noted.append("BEGIN")
        return reading(database)

    monkeypatch.setattr(Transaction, "execute", noted_execute)
    monkeypatch.setattr(SqliteDatabase, "reading", noted_reading)
    return noted


@pytest.mark.parametrize(
    ("ask", "most"),
    [
        # begin, what is due, the rows, and the end
        (lambda instance: instance.find("app"), 4),
        (lambda instance: instance.find(), 4),
        # the rows are read as they are asked for
        (lambda instance: instance.list_names(), 5),
    ],
)
def test_search_is_one_transaction_if_nothing_is_due(
    world: World, asked: list[str], ask: Callable[[Instance], list[str]], most: int
) -> None:
    assert ask(world.instance) == ["team/app"]
    assert len([statement for statement in asked if statement.startswith("BEGIN")]) == 1
    assert len(asked) <= most


def test_change_of_a_different_process_is_found_at_once(world: World) -> None:
    other = world.begin()
    assert world.settle(other) == ["team/app"]
    other.repositories.announce(RepositoryName("team", "new"), b"[]", [])
    assert world.instance.find() == ["team/app", "team/new"]
    changing = other.index.changing(APP, only_appears=False)
    changing.__enter__()
    other.storage.delete_tree("repositories/team/app")
    # the change has not ended
    assert world.instance.find() == ["team/new"]
    changing.__exit__(None, None, None)


def test_repository_that_a_killed_push_brought_back_is_found(world: World) -> None:
    pusher, remover = world.begin(), world.instance
    # the push takes the repository for indexed, and so writes no mark
    push = pusher.index.changing(APP, only_appears=True)
    push.__enter__()
    with remover.repositories.changing(APP):
        remover.storage.delete_tree("repositories/team/app")
    assert remover.find() == []
    # it makes the repository again, and is killed
    pusher.storage.write("repositories/team/app/_index_images", b"[]")
    world.clock.now_s += 119
    assert remover.find() == []
    world.clock.now_s += 1
    assert remover.find() == ["team/app"]
    third = world.begin()
    assert third.find() == ["team/app"]
    # this process was not killed
    push.__exit__(None, None, None)


def test_repository_that_was_removed_again_is_read_once_more(world: World) -> None:
    remover = world.instance

    def remove() -> None:
        with remover.repositories.changing(APP):
            remover.storage.delete_tree("repositories/team/app")

    remove()
    world.clock.now_s += 60
    remover.repositories.announce(APP, b"[]", [])
    world.clock.now_s += 120
    # the first removal is due now
    remove()
    remover.storage.write("repositories/team/app/_index_images", b"[]")
    world.clock.now_s += 119
    assert remover.find() == []
    world.clock.now_s += 1
    assert remover.find() == ["team/app"]


@pytest.mark.parametrize("change", ["search", "change"])
def test_removed_repository_is_read_once_more_only(
    world: World, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    read: list[RepositoryName] = []
    reader = world.instance.index._rows._reader
    real = reader.read

    def noted_read(name: RepositoryName) -> Facts | None:
        read.append(name)
        return real(name)

    monkeypatch.setattr(reader, "read", noted_read)
    with world.instance.repositories.changing(APP):
        world.instance.storage.delete_tree("repositories/team/app")
    assert read == [APP]
    world.clock.now_s += 120
    for _ in range(3):
        if change == "search":
            assert world.instance.find() == []
        else:
            world.instance.repositories.announce(RepositoryName("team", "new"), b"[]", [])
    assert read.count(APP) == 2
