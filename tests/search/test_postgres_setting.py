"""The setting ``search = postgresql://…``: what is invalid is reported, and no text has the password."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest
from support.searching_processes import Everybody

from v1registry import MemoryStorage, Registry, SettingsError
from v1registry.cli.main import main
from v1registry.names import RepositoryName
from v1registry.openers import open_search
from v1registry.registry.repositories import Repositories
from v1registry.rights import EVERYTHING
from v1registry.search.postgresql import PostgresSearch

SECRET = "s3cret"

#: Nothing listens on port 1.
DOWN = f"postgresql://mira:{SECRET}@127.0.0.1:1/registry"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql:mira:{SECRET}",
        f"postgresql://mira:{SECRET}%zz@host/db",
        f"postgresql://mira:{SECRET}@host/db?password={SECRET}&nonsense=1",
        f"postgresql://mira:{SECRET}@[host/db",
        f"postgresql://mira:{SECRET}@host/db?connections=1",
        f"postgresql://mira:{SECRET}@host/db?connections=many",
        f"postgresql://mira:{SECRET}@host/db?connections",
    ],
)
def test_invalid_url_is_reported_without_the_password(url: str) -> None:
    with pytest.raises(SettingsError, match="search: must be a URL such as postgresql://") as caught:
        Registry(storage="memory:", search=url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgres://host/db",
        "postgresql://mira@one,two:5433/db?target_session_attrs=read-write&connections=7",
        "postgresql:///db?host=/run/postgresql&connect_timeout=10",
    ],
)
def test_urls_of_libpq_are_accepted_and_nothing_is_opened(url: str) -> None:
    storage = MemoryStorage()
    open_search(url, storage, Repositories(storage))


def test_missing_psycopg_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without_psycopg(name: str, *arguments: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "psycopg":
            raise ImportError("no module")
        return imported(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_psycopg)
    with pytest.raises(SettingsError, match=r"needs psycopg: pip install 'v1registry\[postgresql\]'"):
        Registry(storage="memory:", search="postgresql://host/db")


def test_check_config_tries_the_database_and_prints_no_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("V1REGISTRY_STORAGE", tmp_path.as_uri())
    monkeypatch.setenv("V1REGISTRY_SEARCH", f"{DOWN}?sslpassword={SECRET}&connections=3")
    assert main(["check-config"]) == 3
    printed = "".join(capsys.readouterr())
    assert "search = postgresql://mira:...@127.0.0.1:1/registry" in printed
    assert "problem: search: every repository is looked at: the database does not answer" in printed
    assert SECRET not in printed


def test_database_that_is_down_fails_no_request_and_logs_no_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    storage = MemoryStorage()
    repositories = Repositories(storage)
    index = open_search(DOWN, storage, repositories)
    assert isinstance(index, PostgresSearch)
    everybody = Everybody(repositories, EVERYTHING)
    with caplog.at_level("DEBUG"):
        repositories.announce(RepositoryName("team", "app"), b"[]", [])
        for _ in range(3):
            assert [str(hit.name) for hit in index.find("", everybody, 0, 9).hits] == ["team/app"]
        index.upkeep.wait(60)
    assert caplog.text.count("search looks at every repository") == 1
    assert caplog.text.count("will learn of a change") == 1
    assert SECRET not in caplog.text
