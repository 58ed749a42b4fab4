"""An index that nothing looks after any more, or that is damaged, is not asked."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from support.clock import Clock

from v1registry import FileStorage
from v1registry.names import RepositoryName
from v1registry.openers import open_search
from v1registry.registry.repositories import Repositories
from v1registry.rights import Listing
from v1registry.search.database import DatabaseDamaged
from v1registry.search.sqlite import SqliteDialect, SqliteSearch
from v1registry.search.sqlite_database import SqliteDatabase


class Anonymous:
    """A caller without credentials."""

    def __init__(self, repositories: Repositories):
        self._repositories = repositories

    def may_list(self, repository: RepositoryName) -> bool:
        return not self._repositories.is_private(repository)

    def listing(self) -> Listing:
        return Listing(has_public=True)


class World:
    """A folder with an index that is whole, and its caller."""

    def __init__(self, root: Path):
        self.root = root
        self.clock = Clock()
        self.storage = FileStorage(root, durable=False)
        self.repositories = Repositories(self.storage, clock=self.clock)
        self.caller = Anonymous(self.repositories)
        self.repositories.announce(RepositoryName("team", "app"), b"[]", [])
        self.index = self.open()
        self.index.rebuild(lambda name: None)

    def open(self) -> SqliteSearch:
        """Return the index as a different process opens it."""
        opened = open_search(f"sqlite://{self.root}/search", self.storage, self.repositories, self.clock)
        assert isinstance(opened, SqliteSearch)
        return opened

    def names(self) -> list[str]:
        """Return what is found when all that was due was done."""
        self.index.find("", self.caller, 0, 10)
        self.index.upkeep.wait(60)
        return [str(hit.name) for hit in self.index.find("", self.caller, 0, 10).hits]

    def write(self, name: str) -> None:
        """Make a repository as a different program does."""
        folder = self.root / "repositories" / name
        folder.mkdir(parents=True)
        (folder / "_index_images").write_bytes(b"[]")

    @property
    def file(self) -> Path:
        """The file of the index."""
        (found,) = self.root.glob("search/*/index.sqlite3")
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_index_that_cannot_be_written_is_not_asked_after_a_minute(world: World) -> None:
    assert world.names() == ["team/app"]
    _forbid_upkeep(world)
    world.write("team/new")
    world.clock.now_s += 61
    assert world.names() == ["team/app", "team/new"]


def test_index_is_asked_again_once_it_can_be_written(world: World) -> None:
    _forbid_upkeep(world)
    world.clock.now_s += 61
    world.names()
    assert not world.index._is_ready()
    (world.root / "search" / "lock").rmdir()
    world.clock.now_s += 3
    world.write("team/new")
    assert world.names() == ["team/app", "team/new"]
    assert world.index._is_ready()


def test_index_that_a_different_process_looks_after_is_asked(world: World) -> None:
    _forbid_upkeep(world)
    world.clock.now_s += 61
    assert world.names() == ["team/app"]
    seen_s = world.clock.time_s() - 5
    with sqlite3.connect(world.file) as connection:
        connection.execute("UPDATE state SET value = ? WHERE key = 'looked_at_s'", (seen_s,))
    connection.close()
    assert world.index._is_ready()


def test_damage_that_ends_a_transaction_is_seen_as_damage(world: World) -> None:
    database = SqliteDatabase(str(world.root / "search"))
    with pytest.raises(DatabaseDamaged), database.reading() as connection:
        connection.execute("ROLLBACK")
        raise sqlite3.DatabaseError("database disk image is malformed")
    assert not database.exists()


def test_totals_of_a_former_index_are_not_remembered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SqliteDialect, "most_sorted", 0)
    assert world.index.find("team", world.caller, 0, 10).total == 1
    shutil.rmtree(world.root / "repositories" / "team")
    world.write("zoe/app")
    world.open().rebuild(lambda name: None)
    assert world.index.find("team", world.caller, 0, 10).total == 0


def _forbid_upkeep(world: World) -> None:
    """Let the index be read alone, as in a folder that the process may not write."""
    lock = world.root / "search" / "lock"
    lock.unlink()
    lock.mkdir()
