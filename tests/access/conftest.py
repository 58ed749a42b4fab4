"""Rights that an index decides."""

from __future__ import annotations

import pytest
from support.clock import Clock
from support.set_index import Index, make_access

from v1registry.access.index import ForeignIndexAccess


@pytest.fixture
def index() -> Index:
    return Index()


@pytest.fixture
def clock() -> Clock:
    return Clock(1000)


@pytest.fixture
def access(index: Index, clock: Clock) -> ForeignIndexAccess:
    return make_access(index, clock)
