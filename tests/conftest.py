"""What all tests share: where NO_SKIPS is set a skip is a failure, and failures show what servers said."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.object_storages import (
    IN_FOLDERS,
    REAL_STORES,
    folders_in_place_of_memory,
    real_store_in_place_of_memory,
    remove_unused_containers,
    replace_memory_storage,
)
from support.object_stores import ObjectStore, shared_store
from support.programs import Program

# before WebTest and PasteDeploy import WebOb, which warns on Python 3.11 and 3.12
import v1registry.wsgi.framework  # noqa: F401

# before anything imports them: their assertions are to tell values, as those of test files do
pytest.register_assert_rewrite(
    "v1registry_fakes.contracts.accounts",
    "v1registry_fakes.contracts.profiles",
    "v1registry_fakes.contracts.search",
    "v1registry_fakes.contracts.storage",
    "v1registry_fakes.contracts.storage_listing",
    "v1registry_fakes.contracts.storage_sharing",
    "v1registry_fakes.contracts.storage_steps",
    "v1registry_fakes.contracts.storage_versions",
)

_STORAGE = os.environ.get("TEST_STORAGE", "")
if _STORAGE:
    # before test modules import it: all tests of a storage in memory then test one somewhere else
    replace_memory_storage(_STORAGE)

#: The full run (``.ci/run``) has all programs installed, so no test may be skipped.
NO_SKIPS = os.environ.get("NO_SKIPS", "") not in ("", "0")

_SHOWN_LOG_CHARACTERS = 10_000

#: The test modules that start servers, commands or other Pythons, or race for seconds. Their tests get the
#: mark ``process``, so that they run with one Python (see ``.ci/run``).
_WITH_PROCESSES = (
    "accounts/test_auth_examples.py",
    "cli/test_repository_texts.py",
    "cli/test_serve_settings.py",
    "cli/test_transfer_streams.py",
    "fakes/test_fakes_process.py",
    "fakes/test_npm_client.py",
    "housekeeping/test_killed_verify.py",
    "hub/test_index_elsewhere.py",
    "hub/test_one_name_at_once.py",
    "peers/",
    "pushes/test_overlapping_pushes.py",
    "pushes/test_pushes_in_processes.py",
    "search/test_postgres_",
    "search/test_search_in_processes.py",
    "servers/",
    "storage/test_filesystem_processes.py",
    "storage/test_filesystem_publishing.py",
    "test_docs.py",
    "test_docs_",
    "test_example_",
    "test_examples",
    "test_no_skips.py",
    "test_readme.py",
)
_TESTS = Path(__file__).parent

#: The test modules that try each row of a table of rules, and make most of all calls of the storage. What
#: they find does not depend on it, so over a real object store one of ten tests runs.
_TABLES = (
    "hub/test_attacks.py",
    "hub/test_attacks_on_pushes.py",
    "hub/test_rights_table.py",
    "oauth/test_accounts_api_table.py",
)
_OF_TABLES = 10


_session = ExitStack()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add an option for the Pythons that run a part of the tests."""
    parser.addoption(
        "--one-case", action="store_true", help="run one case of each parametrized test, and all smoke tests"
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Make the place of storages that is in the place of memory, before a test is imported."""
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    if _STORAGE in REAL_STORES and (is_worker or session.config.getoption("dist", "no") == "no"):
        run_id = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"alone-{os.getpid()}")
        _session.enter_context(real_store_in_place_of_memory(_STORAGE, run_id))
    if _STORAGE == IN_FOLDERS:
        _session.enter_context(folders_in_place_of_memory())


def pytest_sessionfinish() -> None:
    """Leave the place of storages. A real store ends after its last user."""
    _session.close()


def pytest_runtest_logfinish() -> None:
    """Remove from the real store what the test left there, if that would make it slow."""
    remove_unused_containers()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of the modules that start processes; leave out those that the run does not need.

    These are the ones marked ``stores``, unless they are asked for, and most of :data:`_TABLES` over a store.
    """
    left_out = []
    if "stores" not in config.option.markexpr:
        left_out += [item for item in items if item.get_closest_marker("stores")]
    if _STORAGE in REAL_STORES:
        tables = [item for item in items if _is_in(item, _TABLES)]
        left_out += [item for number, item in enumerate(tables) if number % _OF_TABLES]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        unneeded = set(left_out)
        items[:] = [item for item in items if item not in unneeded]
    for item in items:
        if _is_in(item, _WITH_PROCESSES):
            item.add_marker("process")
    if config.option.one_case:
        _leave_one_case(config, items)


def _is_in(item: pytest.Item, modules: tuple[str, ...]) -> bool:
    """Tell whether a test is in one of some modules or folders."""
    return item.path.is_relative_to(_TESTS) and str(item.path.relative_to(_TESTS)).startswith(modules)


def _leave_one_case(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out all cases of a parametrized test but the first one."""
    kept: dict[str, pytest.Item] = {}
    left_out = []
    for item in items:
        test = item.nodeid if item.get_closest_marker("smoke") else item.nodeid.partition("[")[0]
        if kept.setdefault(test, item) is not item:
            left_out.append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept.values()


def _refuse_skip(report: Any) -> None:
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped although NO_SKIPS is set: {reason}"


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, Any, None]:
    outcome = yield
    report = outcome.get_result()
    _refuse_skip(report)
    if report.failed:
        for program in Program.running:
            report.sections.append((f"log of {program!r}", program.log[-_SHOWN_LOG_CHARACTERS:]))


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, Any, None]:
    outcome = yield
    _refuse_skip(outcome.get_result())


@pytest.fixture(scope="session")
def busybox() -> Path:
    """A real program for a real layer: Debian's static busybox."""
    path = Path("/bin/busybox")
    if not path.exists():
        pytest.skip("needs /bin/busybox: apt-get install busybox-static")
    return path


def _store_of_run(kind: str, factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """Start an object store that the workers of a test run share, and set its credentials."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # that of all workers
    with shared_store(kind, root) as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment.items():
            patch.setenv(name, value)
        yield store


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A real Ceph with its S3 gateway. Each test makes buckets of its own."""
    yield from _store_of_run("ceph", tmp_path_factory)


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A real OpenStack Swift with its S3 interface, which refuses conditional writes."""
    yield from _store_of_run("swift", tmp_path_factory)


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """The server of Microsoft with the interface of Azure Blob Storage."""
    yield from _store_of_run("azurite", tmp_path_factory)


@pytest.fixture(scope="session")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A stand-in for Google Cloud Storage."""
    yield from _store_of_run("google", tmp_path_factory)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name bytes and long texts by their size: compressed ones contain the time, and names must be stable."""
    if isinstance(val, bytes):
        return f"{len(val)} bytes"
    return f"{len(val)} characters" if isinstance(val, str) and len(val) > 40 else None
