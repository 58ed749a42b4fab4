"""What the tests of storages share."""

from __future__ import annotations

from pathlib import Path

import pytest

from v1registry.storage import FileStorage

pytest.register_assert_rewrite(
    "v1registry_fakes.storage_contracts", "v1registry_fakes.storage_sharing", "v1registry_fakes.storage_steps"
)


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def storage(root) -> FileStorage:
    return FileStorage(root, durable=False)


@pytest.fixture
def impatient(root) -> FileStorage:
    """The same folder through another object, which is kept out by ``storage`` as another process is."""
    return FileStorage(root, durable=False, lock_timeout_s=0)
