"""The SQLite index: what is damaged, missed, or written by other programs, is found and repaired."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.clock import Clock
from support.faulty_storage import FaultyStorage

from v1registry import FileStorage, MemoryStorage, Registry, SettingsError
from v1registry.names import RepositoryName
from v1registry.openers import open_search
from v1registry.registry.repositories import Repositories
from v1registry.rights import Listing
from v1registry.search.database import DatabaseBusy, DatabaseDamaged, NoDatabase
from v1registry.search.scan import ScanSearch
from v1registry.search.sqlite import SqliteSearch
from v1registry.storage.base import Storage, StorageUnavailable

APP, BASE = RepositoryName("team", "app"), RepositoryName("library", "base")
PUBLIC = Listing(has_public=True)


class World:
    """A folder with repositories, and an index with a clock that a test sets."""

    def __init__(self, root: Path, storage: Storage | None = None):
        self.root = root
        self.clock = Clock()
        self.storage = storage or FileStorage(root, durable=False)
        self.repositories = Repositories(self.storage, clock=self.clock)
        opened = open_search(f"sqlite://{root}/search", self.storage, self.repositories, self.clock)
        assert isinstance(opened, SqliteSearch)
        self.index = opened

    def may_list(self, repository: RepositoryName) -> bool:
        return not self.repositories.is_private(repository)

    def listing(self) -> Listing:
        return PUBLIC

    def names(self, query: str = "") -> list[str]:
        """Return what anonymous callers find."""
        found = self.index.find(query, self, 0, 100)
        assert found.total == len(found.hits)
        return [str(hit.name) for hit in found.hits]

    def indexed_names(self) -> list[str]:
        """Return what is found after all that is due was done, if it comes from the index."""
        self.names()
        self.index.upkeep.wait(60)
        assert self.index._is_ready()
        return self.names()

    def later(self, seconds: float) -> list[str]:
        """Return what is found when some time has passed, and all that was due then was done."""
        self.clock.now_s += seconds
        return self.indexed_names()

    def write(self, name: str, key: str = "_index_images", value: bytes = b"[]") -> None:
        """Write a key as a different program does: in place, without telling anybody."""
        path = self.root / "repositories" / name / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value)

    @property
    def file(self) -> Path:
        """The file of the index."""
        (found,) = self.root.glob("search/*/index.sqlite3")
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    for name in (APP, BASE):
        world.repositories.announce(name, b"[]", [])
    assert world.indexed_names() == ["library/base", "team/app"]
    return world


# -- before there is an index


def test_nothing_is_opened_before_the_first_search(tmp_path: Path) -> None:
    Registry(storage=FileStorage(tmp_path, durable=False))
    world = World(tmp_path)
    world.repositories.announce(APP, b"[]", [])
    world.repositories.describe(APP, "A service")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["repositories"]


def test_first_search_is_right_and_builds_the_index(tmp_path: Path) -> None:
    world = World(tmp_path)
    for number in range(250):
        world.write(f"team{number % 3}/app{number}")
    assert len(world.index.find("", world, 0, 1000).hits) == 100 * 2 + 50
    world.index.upkeep.wait(60)
    assert world.index._is_ready()
    assert world.names("app249") == ["team0/app249"]


def test_folder_that_cannot_be_written_is_searched_without_an_index(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path)
    world.repositories.announce(APP, b"[]", [])
    (tmp_path / "search").write_bytes(b"a file, so that no folder can be made")
    with caplog.at_level(logging.INFO):
        assert world.names("app") == ["team/app"]
        world.index.upkeep.wait(60)
    assert "cannot be made" in caplog.text
    assert world.names("app") == ["team/app"]


# -- other programs


def test_repositories_that_others_make_and_remove_are_found_soon(world: World) -> None:
    world.write("zoe/new")
    world.write("team/new", "tag_latest", b"0" * 64)
    world.write("team/no-repository", "_description", b"x")
    shutil.rmtree(world.root / "repositories" / "library")
    assert world.later(3) == ["team/app", "team/new", "zoe/new"]
    shutil.rmtree(world.root / "repositories" / "team" / "new")
    assert world.later(3) == ["team/app", "zoe/new"]


def test_what_others_change_in_repositories_is_found_by_the_next_walk(world: World) -> None:
    world.write("team/app", "_private")
    world.write("library/base", "_description", b"a service")
    assert world.later(61) == ["library/base"]
    assert world.names("service") == ["library/base"]
    (world.root / "repositories/team/app/_private").unlink()
    assert world.later(61) == ["library/base", "team/app"]


def test_repository_that_others_remove_or_hide_is_not_shown_even_before_a_walk(world: World) -> None:
    world.write("team/app", "_private")
    assert world.names() == ["library/base"]
    shutil.rmtree(world.root / "repositories" / "library")
    assert world.names() == []


def test_folders_without_repositories_are_not_read_again_and_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write("team/none", "_description", b"x")
    assert world.indexed_names() == []
    with sqlite3.connect(world.file) as connection:
        assert connection.execute("SELECT name FROM others").fetchall() == [("team/none",)]
    connection.close()
    shutil.rmtree(tmp_path / "repositories" / "team" / "none")
    world.later(61)
    with sqlite3.connect(world.file) as connection:
        assert connection.execute("SELECT count(*) FROM others").fetchone() == (0,)
    connection.close()


# -- damage


def remove_file(file: Path) -> None:
    file.unlink()


def remove_log(file: Path) -> None:
    for name in ("-wal", "-shm"):
        file.with_name(file.name + name).unlink()
    os.truncate(file, 4096)


def remove_folder(file: Path) -> None:
    shutil.rmtree(file.parent.parent)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def halve(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def overwrite(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(b"\xa5" * file.stat().st_size)


def lose_a_table(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("DROP TABLE state")
    connection.commit()
    connection.close()


HARMS = [remove_file, remove_log, remove_folder, empty, halve, overwrite, lose_a_table]


@pytest.mark.parametrize("harm", HARMS)
def test_damaged_index_is_built_again_and_no_search_fails(world: World, harm: object) -> None:
    assert callable(harm)
    restarted = World(world.root)
    before = world.file
    harm(before)
    for one in (world, restarted):
        assert one.names() == ["library/base", "team/app"]
        one.repositories.announce(RepositoryName("zoe", "app"), b"[]", [])
        assert one.names("app") == ["team/app", "zoe/app"]
        assert one.later(3) == ["library/base", "team/app", "zoe/app"]
        one.repositories.remove(RepositoryName("zoe", "app"))
        assert one.names("app") == ["team/app"]
    assert world.file != before


def test_damage_that_no_query_meets_is_found_by_the_first_upkeep_of_a_process(world: World) -> None:
    with sqlite3.connect(world.file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'by_folded'").fetchone()[0]
    connection.close()
    with world.file.open("r+b") as opened:
        opened.seek((page - 1) * 4096)
        opened.write(b"\xa5" * 4096)
    restarted = World(world.root)
    with pytest.raises(DatabaseDamaged):
        restarted.index._database.check()
    assert restarted.indexed_names() == ["library/base", "team/app"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (sqlite3.OperationalError("database is locked"), DatabaseBusy),
        (sqlite3.OperationalError("database or disk is full"), NoDatabase),
        (sqlite3.OperationalError("too many SQL variables"), NoDatabase),
        (sqlite3.OperationalError("user-defined function raised exception"), NoDatabase),
        (sqlite3.ProgrammingError("Cannot operate on a closed database."), NoDatabase),
        (sqlite3.OperationalError("disk I/O error"), DatabaseDamaged),
        (sqlite3.DatabaseError("database disk image is malformed"), DatabaseDamaged),
        (sqlite3.IntegrityError("UNIQUE constraint failed: repositories.name"), DatabaseDamaged),
    ],
)
def test_only_damage_removes_the_index(world: World, error: sqlite3.Error, kind: type[NoDatabase]) -> None:
    with pytest.raises(NoDatabase) as caught, world.index._database.reading():
        raise error
    assert type(caught.value) is kind
    assert len(list(world.root.glob("search/*/index.sqlite3"))) == (kind is not DatabaseDamaged)


# -- interrupted and missed changes


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Write into the index for a long time, as a different process."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def test_change_is_made_though_the_index_is_locked_and_found_later(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with locked(world.file):
        world.repositories.announce(RepositoryName("zoe", "app"), b"[]", [])
        world.repositories.set_private(APP, True)
        assert world.names() == ["library/base", "zoe/app"]
    assert "will learn of a change of zoe/app later" in caplog.text
    assert world.names() == ["library/base", "zoe/app"]


def test_changes_of_a_killed_process_are_found(world: World) -> None:
    killed = World(world.root)
    for name in (APP, RepositoryName("zoe", "app")):
        change = killed.index.changing(name, only_appears=False)
        change.__enter__()
    world.write("team/app", "_private")
    world.write("zoe/app")
    # the process ended here
    assert world.names() == ["library/base", "zoe/app"]
    world.clock.now_s += 601
    assert world.indexed_names() == ["library/base", "zoe/app"]
    with sqlite3.connect(world.file) as connection:
        assert connection.execute("SELECT count(*) FROM dirty").fetchone() == (0,)
    connection.close()


def test_storage_that_fails_after_a_change_does_not_fail_the_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path)
    world.repositories.announce(APP, b"[]", [])
    world.indexed_names()

    def fail(name: RepositoryName) -> None:
        raise StorageUnavailable("key", "no answer")

    with monkeypatch.context() as patched:
        patched.setattr(world.index._rows._reader, "read", fail)
        world.repositories.describe(APP, "A service")
    assert "will learn of a change of team/app later: key: no answer" in caplog.text
    assert world.names("service") == ["team/app"]


def test_defect_in_the_index_does_not_fail_a_change(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(name: RepositoryName) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(world.index._rows._reader, "version", fail)
        world.repositories.describe(APP, "A service")
    assert "ZeroDivisionError" in caplog.text
    assert world.names("service") == ["team/app"]


def test_walk_of_a_killed_process_is_continued(world: World) -> None:
    with sqlite3.connect(world.file) as connection:
        connection.execute("UPDATE state SET value = 0 WHERE key = 'is_complete'")
        connection.execute("UPDATE state SET value = 'killed' WHERE key = 'walker'")
        connection.execute("UPDATE state SET value = ? WHERE key = 'walker_seen_s'", (world.clock.now_s,))
    connection.close()
    assert world.names() == ["library/base", "team/app"]
    world.index.upkeep.wait(60)
    assert not world.index._is_ready()
    assert world.later(31) == ["library/base", "team/app"]


# -- cost


def test_page_reads_only_what_it_shows(tmp_path: Path) -> None:
    storage = FaultyStorage()
    world = World(tmp_path, storage)
    for number in range(300):
        storage.write(f"repositories/team/app-{number:03}/_index_images", b"[]")
    world.index.find("", world, 0, 25)
    world.index.upkeep.wait(60)
    for query in ("", "app", "a", "app-001"):
        before = storage.count("stat", "read", "list", "list_folders")
        assert world.index.find(query, world, 0, 25).total in (300, 1)
        world.index.upkeep.wait(60)
        assert storage.count("stat", "read", "list", "list_folders") - before <= 26 * 4


def test_tag_of_a_known_repository_writes_nothing_into_the_index(world: World) -> None:
    with locked(world.file):
        for number in range(3):
            world.repositories.set_tag(APP, f"v{number}", "0" * 64, "")
    assert not world.index._missed


# -- settings


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("sqlite", "sqlite needs a storage that is a folder"),
        ("elastic", "must be auto, sqlite"),
        ("sqlite:x", "is a / missing|does not begin|not absolute|expected"),
        ("missing_module:x", "names nothing"),
    ],
)
def test_invalid_setting_is_reported(setting: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem) as caught:
        Registry(storage="memory:", search=setting)
    assert caught.value.problems[0].startswith("search: ")


def test_module_and_attribute_name_what_makes_an_index() -> None:
    storage = MemoryStorage()
    assert isinstance(open_search("support.own_search:scan", storage, Repositories(storage)), ScanSearch)
    with pytest.raises(SettingsError, match="or an index, not 'none'"):
        Registry(storage="memory:", search="support.own_search:no_index")


def test_setting_may_be_an_index() -> None:
    storage = MemoryStorage()
    index = ScanSearch(Repositories(storage))
    assert open_search(index, storage, Repositories(storage)) is index
