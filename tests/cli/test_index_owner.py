"""The owner of an index that root makes: the server runs as the owner of the folder around it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from v1registry.search.sqlite_database import SqliteDatabase


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    """Be root; the changes of owners."""
    changed: dict[str, tuple[int, int]] = {}

    def chown(path: str, user: int, group: int, *, follow_symlinks: bool) -> None:
        assert not follow_symlinks
        changed[os.path.basename(path)] = user, group

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", chown)
    return changed


def test_index_made_by_root_gets_owner_of_its_folder(
    tmp_path: Path, owners: dict[str, tuple[int, int]]
) -> None:
    SqliteDatabase(str(tmp_path / "search")).create()

    (made,) = (path for path in (tmp_path / "search").iterdir() if path.is_dir())
    owner = tmp_path.stat().st_uid, tmp_path.stat().st_gid
    assert owners == dict.fromkeys(["search", "lock", f"new-{made.name}", "index.sqlite3"], owner)


def test_root_without_the_right_to_change_owners_is_warned(
    tmp_path: Path, owners: object, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "chown", refuse)
    database = SqliteDatabase(str(tmp_path / "search"))

    with caplog.at_level(logging.WARNING):
        database.create()

    assert database.exists()
    owner = f"{tmp_path.stat().st_uid}:{tmp_path.stat().st_gid}"
    assert f"chown -R {owner} {tmp_path / 'search'}" in caplog.text


def test_other_users_change_no_owner(
    tmp_path: Path, owners: dict[str, tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    SqliteDatabase(str(tmp_path / "search")).create()

    assert owners == {}
