"""What tests of search indexes share: a PostgreSQL server."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from support.postgres import Postgres, shared_server


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """Give the server of the test session."""
    folder = tmp_path_factory.getbasetemp()
    # the base of a worker of pytest-xdist is a folder in that of the session
    with shared_server(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) as server:
        yield server


@pytest.fixture(scope="module")
def module_database(postgres: Postgres) -> Iterator[str]:
    """Give the name of a database for a module whose tests build the index from nothing."""
    name = postgres.new_database()
    yield name
    postgres.drop(name)


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """Give the name of a new database on the server."""
    name = postgres.new_database()
    yield name
    postgres.drop(name)


@pytest.fixture
def postgres_url(postgres: Postgres, database: str) -> str:
    """Return the setting ``search`` for a new database."""
    return postgres.url(database)
