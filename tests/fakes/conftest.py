"""A registry, and a client of it in this process."""

from __future__ import annotations

import pytest
from v1registry_fakes import FakeRegistry
from webtest import TestApp


@pytest.fixture
def registry():
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def client(registry):
    return TestApp(registry.app)
