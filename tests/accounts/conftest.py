"""What the tests of users share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.slapd import Slapd

pytest.register_assert_rewrite("v1registry_fakes.auth_contracts")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Slapd]:
    """A server of the test's own, with one user."""
    with Slapd(tmp_path / "slapd") as started:
        started.fill()
        started.add_person("mira", "correct horse")
        yield started
