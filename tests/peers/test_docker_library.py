"""The integration tests of docker's library 6.1.3 for Python against FakeEngine. Later releases have none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.docker_library import failed_tests, library_engine
from support.docker_library_failures import FAILURES

pytestmark = pytest.mark.real

INSTALL = Path(__file__).with_name("install_docker_library_tests.sh")


def test_only_the_tests_in_the_table_fail(tmp_path: Path) -> None:
    folder = tmp_path / "library"
    installed = subprocess.run(
        [INSTALL, sys.executable, folder],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert installed.returncode == 0, installed.stdout + installed.stderr

    with library_engine(tmp_path) as engine:
        failed = failed_tests(engine, folder / "bin" / "python", folder / "source", tmp_path)

    assert failed == {name for names in FAILURES.values() for name in names}
