"""Storages of both kinds."""

from __future__ import annotations

from pathlib import Path

import pytest

from v1registry import FileStorage, MemoryStorage, Storage


@pytest.fixture(params=["memory", "folder"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """An empty storage."""
    if request.param == "memory":
        return MemoryStorage()
    return FileStorage(tmp_path / "store", durable=False)
