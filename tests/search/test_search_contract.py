"""The contract of search indexes, for those that come with the package."""

from __future__ import annotations

from pathlib import Path

import pytest
from v1registry_fakes.contracts import SearchIndexContract

from v1registry import FileStorage, MemoryStorage, Storage
from v1registry.openers import open_search
from v1registry.registry.repositories import Repositories
from v1registry.search import sqlite, sqlite_schema
from v1registry.search.base import SearchIndex
from v1registry.search.scan import ScanSearch
from v1registry.search.sqlite import SqliteSearch


class TestScan(SearchIndexContract):
    @pytest.fixture
    def index(self, repositories: Repositories) -> SearchIndex:
        return ScanSearch(repositories)


class TestSqliteBesideMemory(SearchIndexContract):
    @pytest.fixture
    def index(self, storage: Storage, repositories: Repositories, tmp_path: Path) -> SearchIndex:
        return whole(open_search(f"sqlite://{tmp_path}/search", storage, repositories))


class TestSqliteBesideFolder(SearchIndexContract):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return FileStorage(tmp_path / "data", durable=False)

    @pytest.fixture
    def index(self, storage: Storage, repositories: Repositories) -> SearchIndex:
        return whole(open_search("auto", storage, repositories))


class TestSqliteWithoutTrigrams(TestSqliteBesideFolder):
    @pytest.fixture(autouse=True)
    def without_trigrams(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite_schema, "WORDS", "CREATE VIRTUAL TABLE words USING missing(text)")
        sqlite_schema.has_trigrams.cache_clear()
        assert not sqlite_schema.has_trigrams()
        yield
        sqlite_schema.has_trigrams.cache_clear()


class TestSqliteBeforeItIsWhole(SearchIndexContract):
    """Every repository is looked at, because the upkeep does not run."""

    @pytest.fixture
    def index(
        self, storage: Storage, repositories: Repositories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> SearchIndex:
        index = open_search(f"sqlite://{tmp_path}/search", storage, repositories)
        assert isinstance(index, SqliteSearch)
        monkeypatch.setattr(index.upkeep, "wake", lambda **options: None)
        return index


def whole(index: SearchIndex) -> SearchIndex:
    """Return an index after it was built."""
    assert isinstance(index, SqliteSearch)
    index.upkeep.build(lambda name: None)
    return index


def test_storages_in_memory_are_looked_at_by_default() -> None:
    storage = MemoryStorage()
    assert isinstance(open_search("auto", storage, Repositories(storage)), ScanSearch)


class TestSqliteOfFrequentWords(TestSqliteBesideFolder):
    """All words are too frequent to read all that have them."""

    @pytest.fixture(autouse=True)
    def without_sorting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite.SqliteDialect, "most_sorted", 0)


class TestSqliteOfManyMatches(TestSqliteBesideFolder):
    """All words have too many matches to find their rows by numbers."""

    @pytest.fixture(autouse=True)
    def without_numbers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite, "_MOST_NAMED", -1)
