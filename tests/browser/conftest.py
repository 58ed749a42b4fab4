"""Fixtures: one Chromium with and one without JavaScript for each worker, and registries to visit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.axe_core import SCRIPT
from support.chromium import Browser, what_is_missing
from support.demo_world import Demo, HostileDemo, fill, fill_with_attacks
from support.harbour import Harbour
from v1registry_fakes import FakeRegistry


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--pictures",
        metavar="FOLDER",
        type=Path,
        help="write a picture of every page there, in both themes, on a desk and on a phone (tests/browser)",
    )


def _start(folder: Path, *, runs_scripts: bool) -> Browser:
    missing = what_is_missing()
    if missing is not None:
        pytest.skip(missing)
    return Browser(folder / "profile", runs_scripts=runs_scripts)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with _start(tmp_path_factory.mktemp("chromium"), runs_scripts=True) as browser:
        yield browser


@pytest.fixture(scope="session")
def scriptless_chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with _start(tmp_path_factory.mktemp("scriptless-chromium"), runs_scripts=False) as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """A reset browser. The test fails if its console has an error at the end, such as a blocked script."""
    chromium.forget()
    yield chromium
    assert chromium.complaints() == []


@pytest.fixture
def scriptless(scriptless_chromium: Browser) -> Browser:
    """A reset browser without JavaScript."""
    scriptless_chromium.forget()
    return scriptless_chromium


@pytest.fixture
def harbour() -> Iterator[Harbour]:
    with Harbour() as harbour:
        yield harbour


@pytest.fixture
def demo(harbour: Harbour) -> Iterator[Demo]:
    """A typical registry at ``demo.registry.url``. A 500 fails the test."""
    with FakeRegistry(auth="users:") as registry:
        yield fill(registry, harbour.redirect_uri)


@pytest.fixture
def hostile(harbour: Harbour) -> Iterator[HostileDemo]:
    """A registry filled by an attacker."""
    with FakeRegistry(auth="users:") as registry:
        yield fill_with_attacks(registry, harbour.redirect_uri)


@pytest.fixture(scope="session")
def axe() -> None:
    """Skip the test if axe-core is missing."""
    if not SCRIPT.exists():
        pytest.skip("needs axe-core: npm install --prefix . --no-save axe-core@4.14.1")
