"""The PostgreSQL index and its server: what is down, silent, newer or emptied never fails a request."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clock import Clock
from support.faulty_storage import FaultyStorage
from support.postgres import Postgres, own_server
from support.searching_processes import Everybody

from v1registry import FileStorage, Storage
from v1registry.cli.main import main
from v1registry.names import RepositoryName
from v1registry.openers import open_search
from v1registry.registry.repositories import Repositories
from v1registry.rights import EVERYTHING
from v1registry.search import postgresql_database, postgresql_pool, postgresql_schema
from v1registry.search.postgresql import PostgresSearch
from v1registry.search.scan import ScanSearch

pytestmark = pytest.mark.real

APP, BASE, NEW = (RepositoryName("team", name) for name in ("app", "base", "new"))


class World:
    """A storage with two repositories, an index that is whole, and a clock that a test sets."""

    def __init__(self, url: str, storage: Storage):
        self.url, self.storage, self.clock = url, storage, Clock()
        self.repositories = Repositories(storage, clock=self.clock)
        self.index = self.open()
        for name in (APP, BASE):
            self.repositories.announce(name, b"[]", [])
        self.index.rebuild(lambda name: None)

    def open(self) -> PostgresSearch:
        """Return the index as one more process opens it."""
        opened = open_search(self.url, self.storage, self.repositories, self.clock)
        assert isinstance(opened, PostgresSearch)
        return opened

    def names(self, query: str = "") -> list[str]:
        """Return what is found."""
        found = self.index.find(query, Everybody(self.repositories, EVERYTHING), 0, 100)
        assert found.total == len(found.hits)
        return [hit.name.repository for hit in found.hits]

    def write(self, name: str) -> None:
        """Make a repository without telling the index."""
        self.storage.write(f"repositories/team/{name}/_index_images", b"[]")

    def is_asked(self) -> bool:
        """Tell whether the next search asks the database, after all that is due was done."""
        self.index.upkeep.wait(60)
        return self.index._is_ready()


@pytest.fixture
def world(tmp_path: Path, postgres_url: str) -> Iterator[World]:
    world = World(postgres_url, FileStorage(tmp_path / "data", durable=False))
    yield world
    world.index.upkeep.wait(60)


@pytest.fixture
def server() -> Iterator[Postgres]:
    with own_server() as server:
        yield server


# -- versions of the tables


def test_newer_tables_are_left_alone_and_searches_go_on(
    world: World, postgres: Postgres, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    postgres.execute("UPDATE v1registry_search.schema_version SET version = 99", database)
    world.repositories.announce(NEW, b"[]", [])
    for _ in range(3):
        assert world.names() == ["app", "base", "new"]
        assert not world.is_asked()
    assert caplog.text.count("have version 99, and this program knows versions up to 1: a newer") >= 1
    assert caplog.text.count("search looks at every repository") == 1
    assert postgres.execute("SELECT count(*) FROM v1registry_search.repositories", database) == [(2,)]
    with pytest.raises(postgresql_schema.NewerSchema):
        world.index.rebuild(lambda name: None)


def test_older_tables_are_brought_up_to_date(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    added = "ALTER TABLE repositories ADD COLUMN added integer NOT NULL DEFAULT 7;"
    monkeypatch.setattr(postgresql_schema, "MIGRATIONS", (*postgresql_schema.MIGRATIONS, added))
    for module in (postgresql_schema, postgresql_database):
        monkeypatch.setattr(module, "SCHEMA_VERSION", 2)
    world.repositories.announce(NEW, b"[]", [])
    assert world.names() == ["app", "base", "new"]
    assert world.is_asked()
    assert world.names() == ["app", "base", "new"]
    with world.index._database.reading() as transaction:
        assert transaction.execute("SELECT name, added FROM repositories ORDER BY name").fetchall() == [
            ("team/app", 7), ("team/base", 7), ("team/new", 7),
        ]  # fmt: skip


# -- what is lost

HARMS = {
    "schema": "DROP SCHEMA v1registry_search CASCADE",
    "table": "DROP TABLE v1registry_search.dirty",
    "numbers": "TRUNCATE v1registry_search.state",
    "all rows": "TRUNCATE v1registry_search.state, v1registry_search.repositories, v1registry_search.dirty",
    "version": "TRUNCATE v1registry_search.schema_version",
    "extension": "DROP EXTENSION pg_trgm CASCADE; DROP SCHEMA v1registry_search CASCADE",
}


@pytest.mark.parametrize("harm", HARMS)
def test_emptied_database_is_built_again_and_no_request_fails(
    world: World, postgres: Postgres, database: str, harm: str
) -> None:
    postgres.execute(HARMS[harm], database)
    world.repositories.announce(NEW, b"[]", [])
    assert world.names() == ["app", "base", "new"]
    world.clock.now_s += 3
    world.names()
    assert world.is_asked()
    assert world.names("new") == ["new"]
    world.repositories.remove(NEW)
    assert world.names() == ["app", "base"]


def test_lost_rows_are_found_by_the_first_upkeep_of_a_process(
    world: World, postgres: Postgres, database: str
) -> None:
    postgres.execute("DELETE FROM v1registry_search.repositories WHERE name = 'team/app'", database)
    world.index = world.open()
    world.index.find("", Everybody(world.repositories, EVERYTHING), 0, 9)
    assert world.is_asked()
    assert world.names() == ["app", "base"]


def test_database_that_was_dropped_fails_no_request(
    world: World, postgres: Postgres, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    postgres.drop(database)
    for _ in range(5):
        world.repositories.describe(APP, "A service")
        assert world.names("service") == ["app"]
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) <= 4
    postgres.execute(f"CREATE DATABASE {database}")
    time.sleep(postgresql_pool._PAUSE_S)
    world.clock.now_s += 61
    world.names()
    assert world.is_asked()
    assert world.names("service") == ["app"]


# -- the server


def test_server_that_is_down_and_restarted(
    server: Postgres, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(server.url("postgres"), FileStorage(tmp_path / "data", durable=False))
    assert world.names() == ["app", "base"]
    assert world.is_asked()
    # a connection of before the restart is replaced, and the index is asked at once
    server.stop()
    server.start()
    assert world.index._is_ready()
    assert world.names() == ["app", "base"]
    server.stop("immediate")
    began_s = time.monotonic()
    world.repositories.announce(NEW, b"[]", [])
    world.repositories.describe(APP, "A service")
    for _ in range(20):
        assert world.names() == ["app", "base", "new"]
    assert time.monotonic() - began_s < 10
    assert caplog.text.count("search looks at every repository") == 1
    assert caplog.text.count("will learn of a change of team/new later") == 1
    server.start()
    time.sleep(postgresql_pool._PAUSE_S)
    world.clock.now_s += 3
    world.names()
    assert world.is_asked()
    assert world.names("service") == ["app"]
    assert world.names() == ["app", "base", "new"]


def test_server_that_is_silent_delays_requests_by_seconds_only(server: Postgres, tmp_path: Path) -> None:
    world = World(server.url("postgres"), FileStorage(tmp_path / "data", durable=False))
    assert world.is_asked()
    with server.frozen():
        began_s = time.monotonic()
        world.repositories.announce(NEW, b"[]", [])
        first_s = time.monotonic() - began_s
        for _ in range(5):
            assert world.names() == ["app", "base", "new"]
        assert first_s < 15
        assert time.monotonic() - began_s < 25


def test_search_goes_on_if_another_process_reads_a_change_for_long(world: World) -> None:
    other = world.open()
    with other.changing(APP, only_appears=False), other._database.writing([APP]):
        assert world.names() == ["app", "base"]
        assert world.index._is_ready()


# -- storages far away


def test_far_storage_is_walked_over_once_an_hour_only(postgres_url: str) -> None:
    storage = FaultyStorage()
    storage.folder_version = lambda folder: None  # type: ignore[method-assign]
    world = World(postgres_url, storage)
    world.names()
    world.index.upkeep.wait(60)

    def calls_of_upkeep(seconds: float) -> int:
        """Return how often folders are listed by searches that go on for a time."""
        before = storage.count("list_folders")
        for _ in range(10):
            world.clock.now_s += seconds / 10
            world.names("nothing")
            world.index.upkeep.wait(60)
        return storage.count("list_folders") - before

    calls_of_upkeep(300)
    assert calls_of_upkeep(250) <= 2
    world.write("new")
    world.clock.now_s += 301
    world.names()
    assert world.is_asked()
    assert world.names() == ["app", "base", "new"]
    storage.write("repositories/team/app/_description", b"A service")
    assert world.names("service") == []
    world.clock.now_s += 3601
    world.names()
    assert world.is_asked()
    assert world.names("service") == ["app"]


def test_scan_in_place_of_the_database_is_bounded(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(postgres_url, FaultyStorage())
    scan = ScanSearch(world.repositories, most_s=0.0)
    found = scan.find("", Everybody(world.repositories, EVERYTHING), 0, 10)
    assert (found.hits, found.has_more) == ([], True)
    assert "left out the repositories after that" in caplog.text
    names, after = scan.names_after("", Everybody(world.repositories, EVERYTHING), 10, str.islower)
    assert (names, after) == (["team/app"], "team/app")


# -- settings and commands


def test_reindex_builds_the_index(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("V1REGISTRY_SEARCH", world.url)
    world.write("new")
    assert main(["reindex", "--storage", (tmp_path / "data").as_uri()]) == 0
    assert "3 folders of repositories were read" in capsys.readouterr().out
    assert world.is_asked()
    assert world.names() == ["app", "base", "new"]
