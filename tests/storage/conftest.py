"""Fixtures of the tests of storages."""

from __future__ import annotations

from pathlib import Path

import pytest

from v1registry.storage import FileStorage

pytest.register_assert_rewrite(
    *(f"v1registry_fakes.storage_{name}" for name in ("contracts", "listing", "sharing", "steps"))
)


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def storage(root) -> FileStorage:
    return FileStorage(root, durable=False)


@pytest.fixture
def impatient(root) -> FileStorage:
    """Return a storage over the same folder, which ``storage`` keeps out as it does another process."""
    return FileStorage(root, durable=False, lock_timeout_s=0)
