"""A registry, and a client of it in this process."""

from __future__ import annotations

import pytest
from v1registry_fakes import FakeRegistry
from v1registry_fakes.control.application import ControlledFake
from webtest import TestApp


@pytest.fixture
def registry():
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def client(registry):
    return TestApp(registry.app)


@pytest.fixture
def control(registry):
    """A client of a registry with its control API."""
    return TestApp(ControlledFake(registry))


@pytest.fixture
def with_users():
    """A registry with accounts."""
    with FakeRegistry(auth="users:") as registry:
        yield registry
