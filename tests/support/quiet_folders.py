"""Folders that changed lately, and count as quiet for a FileStorage all the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from v1registry.storage import files

#: Lets all changes so far have earlier times than all changes from now on.
Settle = Callable[[], None]


@pytest.fixture
def settle(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Settle:
    """Trust the versions of folders at once, and give the function that makes that right."""
    monkeypatch.setattr(files, "QUIET_NS", 0)
    probe = tmp_path_factory.mktemp("clock") / "probe"

    def wait_for_the_next_step_of_the_clock() -> None:
        began_ns = _touched_ns(probe)
        while _touched_ns(probe) == began_ns:
            pass

    return wait_for_the_next_step_of_the_clock


def _touched_ns(path: Path) -> int:
    path.write_bytes(b"x")
    return os.stat(path).st_mtime_ns
