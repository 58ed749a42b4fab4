"""Which modules read the system's time: what expires, or is dated, asks the registry's clock instead."""

from __future__ import annotations

import ast
import time
from pathlib import Path
from typing import Any

import pytest

from v1registry import Clock, MemoryStorage, Registry, SettingsError
from v1registry.clock import SYSTEM_CLOCK

ROOT = Path(__file__).resolve().parent.parent / "v1registry"

#: What reads the time of the system, by the name with which it is called or passed on.
READERS = {
    "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter", "datetime.now",
    "datetime.utcnow", "datetime.today", "date.today",
}  # fmt: skip

#: What is no part of an application: the commands and the server, and the client. They measure real time.
OUTSIDE = {"cli", "client"}

#: The modules that may, and why.
REASONS = {
    "access/index_client.py": "the time-out of the external index",
    "accounts/backends/htpasswd.py": "compared with the times of a file",
    "accounts/backends/ldap_server.py": "how long a connection is idle",
    "accounts/backends/ldap_values.py": "the time-out of LDAP",
    "clock.py": "the clock itself",
    "distribution/layer_blobs.py": "how long a pass over a layer takes",
    "distribution/to_v1.py": "how long layers take to be read",
    "mirror/fetches.py": "how long a request waits for a fetch",
    "mirror/origin.py": "the speed of transfers from the origin",
    "registry/known_tags.py": "compared with the times of files",
    "registry/looks.py": "how long a look into a layer takes",
    "registry/staging.py": "the order of what one push sends",
    "search/postgresql_database.py": "how long the database takes to fail",
    "search/postgresql_pool.py": "the time-outs of statements, and the pause after a failure",
    "search/scan.py": "how long a search takes",
    "search/upkeep.py": "how long the pauses of a walk are",
    "storage/files.py": "the times of files",
    "storage/folders.py": "how long a lock is waited for",
    "storage/objects/committing.py": "how long a change is tried",
    "storage/objects/turns.py": "how long a lock is waited for",
    "storage/patience.py": "how long a request waits for the store",
    "wsgi/access_log.py": "the duration of a request",
    "wsgi/waiting.py": "how long a body takes",
}


def readers_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    found = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    imported = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and not node.level
        for alias in node.names
    }
    return (found | imported) & READERS


def test_only_listed_modules_read_the_time_of_the_system() -> None:
    paths = [path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] not in OUTSIDE]
    found = {path.relative_to(ROOT).as_posix() for path in paths if readers_in(path)}
    assert found == set(REASONS)


def caches_without_a_clock(path: Path) -> list[str]:
    calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    return [
        f"{path.name}:{call.lineno}"
        for call in calls
        if ast.unparse(call.func).partition("[")[0] in ("TTLCache", "TLRUCache")
        and "clock.monotonic_s" not in ast.unparse(call)
    ]


def test_caches_that_expire_have_the_timer_of_the_clock() -> None:
    assert [found for path in ROOT.rglob("*.py") for found in caches_without_a_clock(path)] == []


def test_clock_of_the_system_is_aware_and_never_goes_back() -> None:
    told = [SYSTEM_CLOCK.monotonic_s() for _ in range(100)]
    assert told == sorted(told)
    assert SYSTEM_CLOCK.now().utcoffset() is not None


@pytest.mark.parametrize("clock", [0, "", "utc", time.time])
def test_clock_of_a_different_type_is_an_invalid_setting(clock: Any) -> None:
    with pytest.raises(SettingsError, match=r"clock: must be a v1registry\.Clock, not "):
        Registry(MemoryStorage(), clock=clock)


def test_clock_cannot_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "v1registry.ini"
    path.write_text("[v1registry]\nstorage = memory:\nclock = utc\n", "utf-8")
    with pytest.raises(SettingsError, match="clock"):
        Registry.from_ini(path)


class Yesterday(Clock):
    def time_s(self) -> float:
        return super().time_s() - 86400


def test_registry_of_a_url_dates_values_by_its_clock() -> None:
    registry = Registry("memory:", clock=Yesterday())
    stat = registry.storage.write("greeting", b"hello")
    assert 86_300 < time.time() - stat.modified.timestamp() < 86_500
