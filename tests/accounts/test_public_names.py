"""The public names of ``v1registry.accounts``."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from support.programs import environment_of

import v1registry.accounts

NAMES = v1registry.accounts.__all__


@pytest.mark.parametrize("name", NAMES)
def test_public_name_is_that_of_its_module(name: str) -> None:
    found = getattr(v1registry.accounts, name)
    assert found is getattr(importlib.import_module(found.__module__), name)
    assert found.__doc__


def test_names_are_sorted_and_unique() -> None:
    assert sorted(set(NAMES)) == sorted(NAMES)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Backends'"):
        _ = v1registry.accounts.Backends  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="Backends"):
        exec("from v1registry.accounts import Backends")


def test_import_of_one_name_loads_no_library_of_others(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom v1registry.accounts import Backend, Callback, Environ\n"
        "libraries = ('argon2', 'bcrypt', 'passlib', 'ldap3', 'smtplib', 'msgspec')\n"
        "print([name for name in libraries if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment_of(tmp_path),
        check=True,
    )
    assert done.stdout.strip() == "[]"
