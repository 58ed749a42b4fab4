"""One Chromium for each worker, without and with JavaScript, and what it looks at."""

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
    """A browser as new. At the end of the test its console must have nothing to complain of: no refused script, no exception."""
    chromium.forget()
    yield chromium
    assert chromium.complaints() == []


@pytest.fixture
def scriptless(scriptless_chromium: Browser) -> Browser:
    """A browser as new that runs no scripts."""
    scriptless_chromium.forget()
    return scriptless_chromium


@pytest.fixture
def harbour() -> Iterator[Harbour]:
    with Harbour() as harbour:
        yield harbour


@pytest.fixture
def demo(harbour: Harbour) -> Iterator[Demo]:
    """A registry as people meet one, at ``demo.registry.url``. A page that is a failure of ours fails the test."""
    with FakeRegistry(auth="users:") as registry:
        yield fill(registry, harbour.redirect_uri)


@pytest.fixture
def hostile(harbour: Harbour) -> Iterator[HostileDemo]:
    """A registry that an enemy filled."""
    with FakeRegistry(auth="users:") as registry:
        yield fill_with_attacks(registry, harbour.redirect_uri)


@pytest.fixture(scope="session")
def axe() -> None:
    """For tests that ask axe-core."""
    if not SCRIPT.exists():
        pytest.skip("needs axe-core: npm install --prefix . --no-save axe-core@4.14.1")
