"""The recipes of docs/testing/cookbook.md run as they are, and the page lists each of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
from support.programs import EXAMPLES, PATIENCE_S, PROJECT

RECIPES = EXAMPLES / "testing"


def test_the_recipes_in_python_pass_without_a_warning(tmp_path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", tmp_path / "pytest.ini"]

    done = subprocess.run(
        [*command, "--rootdir", RECIPES, RECIPES],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    tests = sum(path.read_text("utf-8").count("\ndef test_") for path in RECIPES.glob("test_*.py"))
    (passed,) = re.findall(r"(\d+) passed", done.stdout)
    assert int(passed) >= tests > 40


@pytest.mark.real
def test_the_recipe_in_javascript_passes() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node 20 or newer: apt-get install nodejs")

    done = subprocess.run(
        [node, "--test", "--test-reporter=tap", RECIPES / "newest_tag.test.mjs"],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "# pass 3" in done.stdout


def test_the_page_lists_each_recipe_once() -> None:
    page = (PROJECT / "docs" / "testing" / "cookbook.md").read_text("utf-8")
    rows = re.findall(r"^\| \[[^]]+\]\(\.\./\.\./examples/testing/([\w.]+)\) \| \S", page, re.MULTILINE)

    recipes = [*RECIPES.glob("test_*.py"), *RECIPES.glob("*.test.mjs")]
    assert sorted(rows) == sorted(path.name for path in recipes)
    assert len(rows) >= 19
