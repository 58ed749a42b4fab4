"""The contract of search indexes, for the one in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from obstore.store import MemoryStore
from support.faulty_storage import FaultyStorage
from support.postgres import Postgres
from v1registry_fakes.contracts import SearchIndexContract

from v1registry import FileStorage, Storage
from v1registry.openers import open_search
from v1registry.registry.key_groups import KEY_GROUPS
from v1registry.registry.repositories import Repositories
from v1registry.search.base import SearchIndex
from v1registry.search.postgresql import PostgresDialect, PostgresSearch
from v1registry.storage.objects import ObjectStorage
from v1registry.storage.objects.groups import Groups

pytestmark = pytest.mark.real


class TestPostgresBesideMemory(SearchIndexContract):
    @pytest.fixture
    def index(
        self, storage: Storage, repositories: Repositories, postgres: Postgres, module_database: str
    ) -> Iterator[SearchIndex]:
        index = open_search(postgres.url(module_database), storage, repositories)
        assert isinstance(index, PostgresSearch)
        index.rebuild(lambda name: None)
        yield index
        # the next test builds an index in the same database
        index.upkeep.wait(60)

    @pytest.fixture(autouse=True)
    def was_asked(self, index: SearchIndex, monkeypatch: pytest.MonkeyPatch) -> None:
        """Fail a test whose searches look at every repository."""

        def fail(*arguments: object, **options: object) -> None:
            raise AssertionError("the database was not asked")

        assert isinstance(index, PostgresSearch)
        monkeypatch.setattr(index._scan, "find", fail)
        monkeypatch.setattr(index._scan, "names_after", fail)


class TestPostgresBesideFolder(TestPostgresBesideMemory):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return FileStorage(tmp_path / "data", durable=False)


class TestPostgresBesideStorageWithoutVersions(TestPostgresBesideMemory):
    """As an object store that cannot tell whether a folder changed."""

    @pytest.fixture
    def storage(self, monkeypatch: pytest.MonkeyPatch) -> Storage:
        storage = FaultyStorage()
        monkeypatch.setattr(storage, "folder_version", lambda folder: None)
        return storage


class TestPostgresBesideObjects(TestPostgresBesideMemory):
    @pytest.fixture
    def storage(self) -> Storage:
        return ObjectStorage(MemoryStore(), groups=Groups(KEY_GROUPS))


class TestPostgresOfFrequentWords(TestPostgresBesideMemory):
    """All words are too frequent to read all that have them."""

    @pytest.fixture(autouse=True)
    def without_sorting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(PostgresDialect, "most_sorted", 0)


class TestPostgresBeforeItIsWhole(SearchIndexContract):
    """Every repository is looked at, because the upkeep does not run."""

    @pytest.fixture
    def index(
        self,
        storage: Storage,
        repositories: Repositories,
        postgres_url: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> SearchIndex:
        index = open_search(postgres_url, storage, repositories)
        assert isinstance(index, PostgresSearch)
        wake: Callable[..., None] = lambda **options: None  # noqa: E731
        monkeypatch.setattr(index.upkeep, "wake", wake)
        return index
