"""What the tests of users share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cheap_passwords import CheapPasswords
from support.slapd import Slapd

from v1registry.accounts.users import UserStore
from v1registry.storage.memory import MemoryStorage

pytest.register_assert_rewrite("v1registry_fakes.contracts.accounts")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Slapd]:
    """A server of the test's own, with one user."""
    with Slapd(tmp_path / "slapd") as started:
        started.fill()
        started.add_person("mira", "correct horse")
        yield started


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def passwords() -> CheapPasswords:
    return CheapPasswords()


@pytest.fixture
def store(storage: MemoryStorage, passwords: CheapPasswords) -> UserStore:
    return UserStore(storage, passwords=passwords)
