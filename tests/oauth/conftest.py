"""What the tests of OAuth share."""

from __future__ import annotations

import pytest
from oauth_world import ApplicationClient, World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def ci(world: World) -> ApplicationClient:
    """The application ci-bot in front of a server."""
    return ApplicationClient(world.app(), "ci-bot", world.secret)
