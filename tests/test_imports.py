"""Importing the package: no warnings, and only what it needs."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from v1registry import Registry, Settings
from v1registry.settings import Options


@pytest.mark.parametrize(
    "code",
    [
        "import v1registry, v1registry_fakes",
        "from v1registry import Registry; Registry('memory:', auth='users:')",
        "from v1registry_fakes import FakeRegistry; FakeRegistry()",
    ],
)
def test_import_with_warnings_as_errors_succeeds(code: str) -> None:
    outcome = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)

    assert (outcome.returncode, outcome.stderr) == (0, "")


def test_every_setting_is_a_typed_option() -> None:
    """tests/typing_checks.py has the calls that mypy must reject."""
    assert list(Options.__annotations__) == [field.name for field in dataclasses.fields(Settings)]
    assert Registry.__init__.__annotations__["options"] == "Unpack[Options]"
