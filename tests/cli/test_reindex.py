"""``v1registry reindex``, and commands that tell the index of the search of their changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.wsgi_client import Client

from v1registry import Registry
from v1registry.cli.main import main
from v1registry.names import RepositoryName
from v1registry.registry.repositories import Repositories
from v1registry.search.sqlite import SqliteSearch
from v1registry.storage.filesystem import FileStorage


@pytest.fixture
def store(url: str) -> FileStorage:
    storage = FileStorage.from_url(url)
    repositories = Repositories(storage)
    for name in ("team/app", "team/base", "library/x"):
        repositories.announce(RepositoryName.parse(name), b"[]", [])
    return storage


def found(app: Registry, query: str = "") -> list[str]:
    """Return the names that the index of a server has."""
    index = app._services.search
    assert isinstance(index, SqliteSearch)
    assert index._is_ready()
    answer = Client(app).get(f"/v1/search?n=100&q={query}")
    return [result["name"] for result in answer.json["results"]]


def test_index_is_built_and_servers_use_it(
    url: str, store: FileStorage, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert main(["reindex", "--storage", url]) == 0
        assert (
            capsys.readouterr().out
            == "the index of the search is built: 3 folders of repositories were read\n"
        )
        assert found(Registry(storage=store)) == ["x", "team/app", "team/base"]
    assert len(list(Path(store.path).glob("search/*/index.sqlite3"))) == 1


def test_commands_tell_the_index_of_their_changes(url: str, store: FileStorage) -> None:
    assert main(["reindex", "--storage", url]) == 0
    app = Registry(storage=store)
    assert main(["repository", "describe", "team/app", "A service", "--storage", url]) == 0
    assert found(app, "service") == ["team/app"]
    assert main(["repository", "stars", "team/base", "3", "--storage", url]) == 0
    assert found(app, "team") == ["team/base", "team/app"]
    assert main(["repository", "delete", "team/app", "--storage", url]) == 0
    assert found(app) == ["x", "team/base"]


def test_there_is_nothing_to_build_without_an_index(
    url: str, store: FileStorage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("V1REGISTRY_SEARCH", "scan")
    assert main(["reindex", "--storage", url]) == 2
    assert "there is no index: the setting search is scan" in capsys.readouterr().err


def test_invalid_setting_is_reported(
    url: str, store: FileStorage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("V1REGISTRY_SEARCH", "elastic")
    assert main(["reindex", "--storage", url]) == 2
    assert "search: must be auto, sqlite" in capsys.readouterr().err


def test_index_that_cannot_be_written_is_reported(
    url: str, store: FileStorage, capsys: pytest.CaptureFixture[str]
) -> None:
    (Path(store.path) / "search").write_bytes(b"no folder")
    assert main(["reindex", "--storage", url]) == 3
    assert "cannot be made" in capsys.readouterr().err
