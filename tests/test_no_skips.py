"""Where everything must be proved, a skip is a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

def test_passes(): pass

def test_skips(): pytest.skip("needs a thing")

@pytest.mark.skipif(True, reason="needs another thing")
def test_is_marked(): pass

@pytest.fixture
def thing(): pytest.skip("needs a third thing")

def test_with_a_fixture(thing): pass

@pytest.mark.xfail(reason="known")
def test_fails_as_expected(): assert False
"""

SKIPPED_MODULE = """
import pytest

pytest.importorskip("no_such_module_anywhere")
"""


@pytest.mark.parametrize("workers", ["0", "1"])
def test_skips_of_every_kind_fail_where_none_may_be(tmp_path: Path, workers: str) -> None:
    done = run(tmp_path, workers, {"NO_SKIPS": "1"})
    assert done.returncode == 1, done.stdout
    # pytest calls a failure before the test itself an error
    assert "1 failed, 1 passed, 1 xfailed, 3 errors" in done.stdout
    for reason in ("needs a thing", "needs another thing", "needs a third thing", "no_such_module_anywhere"):
        assert reason in done.stdout


def test_skips_are_skips_elsewhere(tmp_path: Path) -> None:
    done = run(tmp_path, "0", {})
    assert done.returncode == 0, done.stdout
    assert "1 passed, 4 skipped, 1 xfailed" in done.stdout


def run(folder: Path, workers: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a few tests below the conftest.py of this folder."""
    (folder / "conftest.py").write_text(Path(__file__).with_name("conftest.py").read_text("utf-8"))
    (folder / "test_some.py").write_text(TESTS)
    (folder / "test_module.py").write_text(SKIPPED_MODULE)
    (folder / "pytest.ini").write_text("[pytest]\n")
    options = ["-q", "-rA", "-n", workers, "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "NO_SKIPS"))
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=folder,
        env=inherited | {"PYTHONPATH": str(Path(__file__).parent)} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
