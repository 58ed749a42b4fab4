"""What the tests of pages share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from v1registry_fakes import FakeRegistry


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """An empty registry whose contents a test adds."""
    with FakeRegistry() as registry:
        yield registry
