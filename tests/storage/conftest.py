"""Fixtures of the tests of storages."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.old_data import SAMPLE
from support.wsgi_client import Client

from v1registry import FileStorage, Registry

pytest.register_assert_rewrite(
    *(
        f"v1registry_fakes.contracts.storage{name}"
        for name in ("", "_listing", "_sharing", "_steps", "_versions")
    )
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def client(folder: Path) -> Client:
    return Client(Registry(storage=FileStorage(folder, durable=False)))


@pytest.fixture
def sample(folder: Path, client: Client) -> Client:
    shutil.copytree(SAMPLE, folder)
    return client
